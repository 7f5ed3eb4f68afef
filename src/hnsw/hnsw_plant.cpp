// Planting the seed tree: samples the nodes, divides them into pages of seeds that lie together, then the pages'
// middles, and so on up to one page. Locks: one page at a time, share to read nodes, exclusive to write a seed page.
#include <algorithm>

#include "hnsw/hnsw_seeds.h"
#include "kernels/vector_sums.h"

namespace vecann {

namespace {

// Each so manyth node is a seed. Of 100,000 x 768 vectors each 64th, 16th, 8th, 4th as a seed gave recall@10 at
// ef_search 20 of .939, .978, .988, .987; each 8th costs 14 bytes a vector there.
constexpr uint64 kSeedRatio = 8;

// Nodes with few links to them are seeds too, the fewest first, as long as they are no more than this share of all: a
// walk hardly meets them. So are those with a chain of rows. On Tate's catalogue seven of 200 queries by rows of their
// own needed 400 hops to find 77 equal rows far from all others.
constexpr uint64 kFewRatio = 16;
constexpr int kMostFewLinks = 8;

// The tree is planted anew when one node in so many has come or gone. After ten rounds in which a tenth of 20,000 x 128
// is deleted, vacuumed away, and inserted again, recall@10 at ef_search 10 is .934 with a fifth and .941 with a new
// tree.
constexpr uint64 kReplantShare = 16;

// The root of a smaller tree would save no hop.
constexpr uint64 kLeastSeeds = 32;

// Rounds of 2-means in a division.
constexpr int kRounds = 4;

// They look at so many points, evenly spread, and at the first dimensions: of rotated vectors these are a random
// projection.
constexpr size_t kDivideSample = 1024;
constexpr size_t kDivideDims = 192;

// A division leaves each side at least this share of the pages, which bounds the depth of the recursion.
constexpr double kLeastShare = 0.25;

// The points that one level of the tree holds: nodes, or the pages of the level below.
struct Points {
    ArenaVec<uint32> ids;
    ArenaVec<uint8> generations;  // of nodes; pages have none
    char* payloads;               // none is exact: points are compared as they are rotated
};

// A page's points: order[begin] .. order[end - 1].
struct Group {
    size_t begin, end;
};

struct Scored {
    float score;
    uint32 point;
};

struct Planter {
    HnswContext* ctx;
    Arena arena;
    size_t capacity;
    size_t divide_dims;
    const Points* points;  // of the level under way
    ArenaVec<uint32> order;
    ArenaVec<Group> groups;
    Scored* scored;
    uint32* sample;                   // of a division's points
    float* vector;                    // scratch, dim floats; so are the three
    float* sides[2];                  // the middles of both sides
    ArenaVec<BlockNumber> old_pages;  // but the root's
    size_t old_used;
};

const char* PayloadOf(const Planter& p, uint32 point) {
    return p.points->payloads + static_cast<size_t>(point) * p.ctx->meta.payload_size;
}

// The first n dimensions of a point.
void Decode(const Planter& p, uint32 point, size_t n, float* out) {
    DecodePayload(p.ctx->form.payload, PayloadOf(p, point), static_cast<int>(n), out);
}

float Apart(const Planter& p, const float* from, uint32 point) {
    const PayloadKernels& kernels = Kernels().payload[static_cast<int>(p.ctx->form.payload)];
    return kernels.l2_squared(from, PayloadOf(p, point), p.divide_dims);
}

// The first dimensions of the mean of n points.
void Mean(Planter* p, const uint32* points, size_t n, size_t dims, float* out) {
    std::fill(out, out + dims, 0.0F);
    const float share = 1.0F / static_cast<float>(n);
    for (size_t i = 0; i < n; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        Decode(*p, points[i], dims, p->vector);
        AddScaled(p->vector, dims, share, out);
    }
}

uint32 Farthest(const Planter& p, const uint32* points, size_t n, const float* from) {
    uint32 farthest = points[0];
    float most = -1;
    for (size_t i = 0; i < n; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        const float apart = Apart(p, from, points[i]);
        if (!(apart > most)) continue;
        most = apart;
        farthest = points[i];
    }
    return farthest;
}

// Sorts points[0 .. n) by which of two sides they are nearer to, the left first; returns how many are nearer to it.
size_t SortBySide(Planter* p, uint32* points, size_t n) {
    size_t nearer = 0;
    for (size_t i = 0; i < n; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        p->scored[i] = {Apart(*p, p->sides[0], points[i]) - Apart(*p, p->sides[1], points[i]), points[i]};
        // infinity from both; NaN has no place in an order
        if (!(p->scored[i].score == p->scored[i].score)) p->scored[i].score = 0;
        nearer += p->scored[i].score < 0 ? 1 : 0;
    }
    std::sort(p->scored, p->scored + n, [](const Scored& a, const Scored& b) {
        return a.score < b.score || (a.score == b.score && a.point < b.point);
    });
    for (size_t i = 0; i < n; ++i)
        points[i] = p->scored[i].point;
    return nearer;
}

// How many of n points go left when so many are nearer to it: both sides fill whole pages.
size_t SplitAt(const Planter& p, size_t n, size_t nearer) {
    const size_t pages = (n + p.capacity - 1) / p.capacity;
    const size_t least = Max<size_t>(1, static_cast<size_t>(kLeastShare * static_cast<double>(pages)));
    const size_t wish = (nearer + p.capacity / 2) / p.capacity;
    const size_t left_pages = Min(Max(wish, least), pages - least);
    const size_t most = left_pages * p.capacity, rest = (pages - left_pages) * p.capacity;
    return Max(Min(nearer, most), n > rest ? n - rest : 1);
}

// Sorts points[0 .. n) by two sides, the left first; returns how many go left.
size_t Divide(Planter* p, uint32* points, size_t n) {
    const size_t some = Min(n, kDivideSample), dims = p->divide_dims;
    for (size_t i = 0; i < some; ++i)
        p->sample[i] = points[i * n / some];
    Mean(p, p->sample, some, dims, p->sides[0]);
    const uint32 left = Farthest(*p, p->sample, some, p->sides[0]);
    Decode(*p, left, dims, p->sides[0]);
    const uint32 right = Farthest(*p, p->sample, some, p->sides[0]);
    Decode(*p, right, dims, p->sides[1]);
    for (int round = 0; round < kRounds; ++round) {
        const size_t nearer = SortBySide(p, p->sample, some);
        // of the sample what all points will have
        const size_t split = Min(Max<size_t>(SplitAt(*p, n, nearer * n / some) * some / n, 1), some - 1);
        Mean(p, p->sample, split, dims, p->sides[0]);
        Mean(p, p->sample + split, some - split, dims, p->sides[1]);
    }
    return SplitAt(*p, n, SortBySide(p, points, n));
}

// Divides the points into groups of one page each.
void Partition(Planter* p, size_t begin, size_t end) {
    if (end - begin <= p->capacity) {
        p->groups.Push({begin, end});
        return;
    }
    const size_t split = Divide(p, p->order.data + begin, end - begin);
    Partition(p, begin, begin + split);
    Partition(p, begin + split, end);
}

// A page to write to, pinned and locked: the old root for the new one, so that readers find one there at all times; any
// other old page for another; else a new one.
Buffer LockPageToWrite(Planter* p, bool root) {
    const HnswContext& ctx = *p->ctx;
    BlockNumber old = root ? ctx.meta.seed_root : 0;
    if (old == 0 && p->old_used < p->old_pages.size) old = p->old_pages[p->old_used++];
    if (old == 0) return ExtendRelationLocked(ctx.index, MAIN_FORKNUM);
    const Buffer buffer = ReadBuffer(ctx.index, old);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    return buffer;
}

BlockNumber WriteSeedPage(Planter* p, bool root, const char* contents) {
    const HnswContext& ctx = *p->ctx;
    LockedPage page(ctx.index, LockPageToWrite(p, root));
    HnswCheckIdRange(ctx.index, page.block(), ctx.meta.slots);
    PageTxn txn(ctx.index, ctx.mode);
    const Page edit = txn.RegisterNew(page.buffer());
    InitPage(edit, PageKind::kSeed, HnswSeedBytes(ctx.meta));
    memcpy(ContentsOf(edit), contents, HnswSeedBytes(ctx.meta));
    txn.Commit();
    return page.block();
}

// Fills in the contents of a page for a group, its middle included.
void FillPage(Planter* p, const Group& group, int level, IndexedVector* middle, char* contents) {
    const HnswContext& ctx = *p->ctx;
    memset(contents, 0, HnswSeedBytes(ctx.meta));
    const SeedView view = HnswSeedsAt(ctx.meta, contents);
    const size_t n = group.end - group.begin;
    Mean(p, p->order.data + group.begin, n, static_cast<size_t>(ctx.form.dim), middle->vector);
    HnswMeasure(ctx.form, middle);
    HnswEncodeRotated(ctx.form, 0, middle);
    memcpy(view.payload, middle->payload, ctx.meta.payload_size);
    // Codes are relative to what the payload says.
    HnswDecode(ctx.form, view.payload, middle->vector);
    view.header->level = static_cast<uint16>(level);
    view.header->count = static_cast<uint16>(n);
    for (size_t i = 0; i < n; ++i) {
        const uint32 point = p->order[group.begin + i];
        Decode(*p, point, static_cast<size_t>(ctx.form.dim), p->vector);
        EncodeNeighbour(ctx.form.shape, ctx.form.code_metric(), middle->vector, p->vector, &view.edges[i],
                        view.codes + i * ctx.meta.code_size, middle->scratch);
        view.edges[i].id = p->points->ids[point];
        view.edges[i].generation = level == 0 ? p->points->generations[point] : 0;
    }
}

// Writes one level of the tree; *above receives its pages and their middles.
void PlantLevel(Planter* p, const Points& points, int level, Points* above) {
    const HnswContext& ctx = *p->ctx;
    const size_t n = points.ids.size;
    p->points = &points;
    p->order.Clear();
    p->order.Reserve(n);
    for (size_t i = 0; i < n; ++i)
        p->order.Push(static_cast<uint32>(i));
    p->groups.Clear();
    Partition(p, 0, n);
    above->ids.Init(&p->arena, p->groups.size);
    above->payloads = p->arena.Allocate<char>(p->groups.size * ctx.meta.payload_size);
    IndexedVector middle;
    middle.Init(&p->arena, ctx.form);
    PGAlignedBlock contents;
    for (const Group& group : p->groups) {
        vacuum_delay_point();
        FillPage(p, group, level, &middle, contents.data);
        memcpy(above->payloads + above->ids.size * ctx.meta.payload_size, middle.payload, ctx.meta.payload_size);
        above->ids.Push(WriteSeedPage(p, p->groups.size == 1, contents.data));
    }
}

// Calls visit(id, slot) for every live node of a locked page.
template <class Visit>
void ForLiveNodes(const HnswContext& ctx, const LockedPage& page, Visit visit) {
    if (!page.Is(PageKind::kNode)) return;
    HnswForSlots(ctx, page, [&](uint32 id, const SlotView& slot) {
        if (slot.state() == SlotState::kLive) visit(id, slot);
    });
}

bool HasManyRows(const SlotView& slot) {
    return slot.header->tid_chain != kInvalidId;
}

// What a first look at the nodes gives.
struct Census {
    BlockNumber blocks;
    uint8* links;  // of each id: 1 when its node lives, and the links to it; 255 at most
    uint64 nodes;
    uint64 many_rows;
    int few;  // nodes with no more in `links` are seeds
};

void CountLink(Census* census, uint32 id) {
    if (census->links[id] < PG_UINT8_MAX) ++census->links[id];
}

// Counts the links to every node, and notes the seed pages there are.
void TakeCensus(Planter* p, Census* census) {
    const HnswContext& ctx = *p->ctx;
    const uint64 ids = static_cast<uint64>(census->blocks) * ctx.meta.slots;
    census->links = p->arena.Allocate<uint8>(ids);
    memset(census->links, 0, ids);
    p->old_pages.Init(&p->arena);
    for (BlockNumber block = kMetaBlock + 1; block < census->blocks; ++block) {
        vacuum_delay_point();
        p->old_pages.Reserve(p->old_pages.size + 1);  // no allocation under the lock
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        if (page.Is(PageKind::kSeed) && block != ctx.meta.seed_root) p->old_pages.Push(block);
        ForLiveNodes(ctx, page, [&](uint32 id, const SlotView& slot) {
            ++census->nodes;
            census->many_rows += HasManyRows(slot) ? 1 : 0;
            CountLink(census, id);
            for (int e = 0; e < slot.header->edge_count; ++e)
                if (slot.edges[e].id < ids) CountLink(census, slot.edges[e].id);
        });
    }
}

// Sets how few links make a node a seed; returns how many are seeds for that.
uint64 ChooseFew(const HnswContext& ctx, Census* census) {
    uint64 with[kMostFewLinks + 2] = {};
    const uint64 ids = static_cast<uint64>(census->blocks) * ctx.meta.slots;
    for (uint64 id = 0; id < ids; ++id)
        if (census->links[id] <= kMostFewLinks + 1) ++with[census->links[id]];
    uint64 chosen = 0;
    census->few = 0;
    while (census->few <= kMostFewLinks && chosen + with[census->few + 1] <= census->nodes / kFewRatio)
        chosen += with[++census->few];
    return chosen;
}

// Takes the seeds from the live nodes: a sample, and those that a walk hardly meets or that are worth most rows.
void Collect(Planter* p, Points* out) {
    const HnswContext& ctx = *p->ctx;
    const size_t payload_size = ctx.meta.payload_size;
    Census census;
    memset(static_cast<void*>(&census), 0, sizeof(census));
    census.blocks = RelationGetNumberOfBlocks(ctx.index);
    TakeCensus(p, &census);
    // A share of half of the memory for the sample, and as much at most for the others.
    const uint64 few = ChooseFew(ctx, &census);
    const uint64 memory = static_cast<uint64>(maintenance_work_mem) * 1024 / 2;
    const uint64 room = Max<uint64>(memory / (payload_size + 2 * sizeof(Scored)) / 2, kLeastSeeds);
    const uint64 stride = Max(kSeedRatio, census.nodes / room + 1);
    const uint64 special = Min(few + census.many_rows, room);
    // Nodes that come meanwhile are left out.
    const uint64 most = census.nodes / stride + special + 1;
    uint64 taken = 0;
    out->ids.Init(&p->arena, most);
    out->generations.Init(&p->arena, most);
    out->payloads = p->arena.Allocate<char>(most * payload_size);
    IndexedVector rotated;
    rotated.Init(&p->arena, ctx.form);
    uint64 seen = 0;
    for (BlockNumber block = kMetaBlock + 1; block < census.blocks; ++block) {
        vacuum_delay_point();
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        ForLiveNodes(ctx, page, [&](uint32 id, const SlotView& slot) {
            const bool sampled = seen++ % stride == 0;
            const bool wanted = HasManyRows(slot) || census.links[id] <= census.few;
            if (!sampled && (!wanted || taken == special)) return;
            if (!sampled) ++taken;
            if (out->ids.size == most) return;
            if (HnswIsExact(slot.payload)) {
                HnswDecode(ctx.form, slot.payload, rotated.vector);
                HnswMeasure(ctx.form, &rotated);
                HnswEncodeRotated(ctx.form, 0, &rotated);
            }
            const char* payload = HnswIsExact(slot.payload) ? rotated.payload : slot.payload;
            memcpy(out->payloads + out->ids.size * payload_size, payload, payload_size);
            out->ids.Push(id);
            out->generations.Push(static_cast<uint8>(slot.header->generation & 0xFF));
        });
    }
}

void SetRoot(const HnswContext& ctx, BlockNumber root) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->seed_root = root;
    edit->seed_blocks = RelationGetNumberOfBlocks(ctx.index);
    edit->seed_changes = 0;
    txn.Commit();
}

}  // namespace

void HnswPlantSeeds(HnswContext* ctx) {
    const int capacity = HnswSeedCapacity(ctx->meta);
    if (capacity == 0) return;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw seeds", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Planter p;
    memset(static_cast<void*>(&p), 0, sizeof(p));
    p.ctx = ctx;
    p.arena = MakeArena(memory);
    p.capacity = static_cast<size_t>(capacity);
    Points points;
    Collect(&p, &points);
    BlockNumber root = 0;
    if (points.ids.size >= kLeastSeeds) {
        const size_t dim = static_cast<size_t>(ctx->form.dim);
        p.divide_dims = Min(dim, kDivideDims);
        p.scored = p.arena.Allocate<Scored>(points.ids.size);
        p.sample = p.arena.Allocate<uint32>(kDivideSample);
        p.vector = p.arena.Allocate<float>(dim);
        p.sides[0] = p.arena.Allocate<float>(dim);
        p.sides[1] = p.arena.Allocate<float>(dim);
        p.order.Init(&p.arena, points.ids.size);
        p.groups.Init(&p.arena);
        for (int level = 0; level <= kMaxSeedLevel; ++level) {
            Points above;
            PlantLevel(&p, points, level, &above);
            points = above;
            root = points.ids[0];
            if (points.ids.size == 1) break;
        }
    }
    SetRoot(*ctx, points.ids.size == 1 ? root : 0);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
}

bool HnswReplantSeeds(HnswContext* ctx) {
    const HnswMetaData& meta = ctx->meta;
    const uint64 nodes = static_cast<uint64>(RelationGetNumberOfBlocks(ctx->index)) * meta.slots;
    const uint64 planted = static_cast<uint64>(meta.seed_blocks) * meta.slots;
    const uint64 grown = nodes > planted ? nodes - planted : 0;
    const bool wanted = nodes >= kLeastSeeds * kSeedRatio || meta.seed_root != 0;
    const bool changed = (grown + meta.seed_changes) * kReplantShare > planted;
    if (wanted && changed) HnswPlantSeeds(ctx);
    return changed;
}

void HnswCountFreed(const HnswContext& ctx, size_t nodes) {
    if (nodes == 0) return;
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->seed_changes += static_cast<uint32>(Min<size_t>(nodes, PG_UINT32_MAX - edit->seed_changes));
    txn.Commit();
}

}  // namespace vecann

// Back edges: the edges to a slot that its neighbours take. Locks: the pages of one record, up to four, in ascending
// block order; what was read before is compared again under them. See README.md, "Insert".
#include <algorithm>

#include "hnsw/hnsw_link.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

enum class BackEdgeState : uint8 {
    kNew,     // may be appended where there is room
    kFull,    // `old` is a full list
    kChosen,  // `chosen` shall take the place of `old`
    kDone,    // written, not wanted, or gone
};

// One edge from a neighbour to the slot.
struct BackEdge {
    LinkEnd from;  // with its vector
    BackEdgeState state;
    bool must_accept;
    uint16 count_after;
    EdgeList single;  // the edge alone
    EdgeCopy old;
    EdgeList chosen;
};

constexpr int kGroup = 16;     // edges under way together
constexpr int kMostEdges = 8;  // of one record
constexpr int kPutsPerEdge = 3;
static_assert(kMostEdges * kPutsPerEdge <= PagePatch::kMaxRegions);

// The back edges of one slot.
struct BackEdges {
    HnswContext* ctx;
    int level;
    LinkEnd to;
    BackEdge* items;  // kGroup
    int count;
    bool refused;  // one that must accept is gone or has no place

    BlockNumber Block(int i) const { return BlockOfId(ctx->meta, items[i].from.id); }
};

static_assert(std::is_trivially_destructible_v<BackEdges>);

// The vector of a slot that is still of this generation, and live where it must be; null otherwise.
const void* VectorOf(HnswContext* ctx, int level, const LinkEnd& slot, bool must_live) {
    char* payload = HnswPayloadRoom(ctx);
    ProbedSlot probed;
    if (!HnswProbe(ctx, slot.id, KindOfLevel(level), kAnyGeneration, &probed, payload)) return nullptr;
    if (probed.generation != slot.generation || (must_live && probed.state != SlotState::kLive)) return nullptr;
    return HnswKeepVector(ctx->form, &ctx->arena, payload);
}

// Writes one edge as far as the locked slot allows.
void WriteOne(BackEdges* edges, BackEdge* item, const LockedPage& page, PagePatch* patch) {
    const HnswMetaData& meta = edges->ctx->meta;
    const SlotView slot = HnswCheckedSlot(meta, edges->ctx->index, page, KindOfLevel(edges->level), item->from.id);
    const bool chosen = item->state == BackEdgeState::kChosen;
    item->state = BackEdgeState::kDone;
    if (!HnswIsLiveSlot(slot, item->from.generation)) {
        edges->refused |= item->must_accept;
        return;
    }
    if (chosen && HnswHasEdges(slot, item->old)) {
        HnswPutEdges(meta, patch, page.buffer(), slot, item->chosen);
        return;
    }
    const int n = slot.header->edge_count;
    const size_t size = static_cast<size_t>(n);
    const int known = HnswEdgeTo(slot.edges, n, edges->to.id);
    if (known >= 0 && slot.edges[known].generation != item->single.edges[0].generation) {
        // to what stood there before
        patch->Put(page.buffer(), slot.edges + known, item->single.edges, sizeof(EdgeData));
        patch->Put(page.buffer(), slot.codes + static_cast<size_t>(known) * meta.code_size, item->single.codes,
                   meta.code_size);
        return;
    }
    if (known >= 0) {
        if (item->single.edges[0].held == 0) return;
        item->single.edges[0] = slot.edges[known];
        item->single.edges[0].held = 1;
        patch->Put(page.buffer(), slot.edges + known, item->single.edges, sizeof(EdgeData));
        return;
    }
    if (n < meta.max_edges) {
        item->count_after = static_cast<uint16>(n + 1);
        patch->Put(page.buffer(), &slot.header->edge_count, &item->count_after, sizeof(item->count_after));
        patch->Put(page.buffer(), slot.edges + n, item->single.edges, sizeof(EdgeData));
        patch->Put(page.buffer(), slot.codes + size * meta.code_size, item->single.codes, meta.code_size);
        return;
    }
    item->state = BackEdgeState::kFull;
    item->old.count = n;
    memcpy(static_cast<void*>(item->old.edges), slot.edges, size * sizeof(EdgeData));
    memcpy(item->old.codes, slot.codes, size * meta.code_size);
}

// Writes what is not done, in records of up to four pages.
void WriteAll(BackEdges* edges) {
    HnswContext* ctx = edges->ctx;
    for (int from = 0; from < edges->count;) {
        BlockNumber blocks[LockedSet::kMost];
        int pages = 0, to = from;
        for (int taken = 0; to < edges->count && taken < kMostEdges; ++to) {
            if (edges->items[to].state == BackEdgeState::kDone) continue;
            const BlockNumber block = edges->Block(to);
            if (pages == 0 || blocks[pages - 1] != block) {
                if (pages == LockedSet::kMost) break;
                blocks[pages++] = block;
            }
            ++taken;
        }
        if (pages == 0) return;
        LockedSet set(ctx->index, blocks, pages, ctx->strategy);
        PagePatch patch(ctx->index, ctx->mode);
        for (int at = 0; from < to; ++from) {
            if (edges->items[from].state == BackEdgeState::kDone) continue;
            while (blocks[at] != edges->Block(from))
                ++at;
            WriteOne(edges, &edges->items[from], set[at], &patch);
        }
        patch.Commit();
    }
}

// The back edge for a full list: chooses again among the old edges and the slot. False when the slot is not wanted.
bool ChooseAgain(const BackEdges& edges, BackEdge* item) {
    HnswContext* ctx = edges.ctx;
    EdgeList* chosen = &item->chosen;
    const int max = ctx->meta.max_edges;
    CandidateSet candidates;
    candidates.Init(ctx, item->from.vector, edges.level);
    candidates.AddKnown(edges.to.id, edges.to.generation, edges.to.vector);
    for (int i = 0; i < item->old.count; ++i)
        candidates.AddSlot(item->old.edges[i].id, item->old.edges[i].generation, true);
    candidates.Choose(max, max, &item->old, chosen);
    // An insert has many back edges, and vectors may be long.
    for (const Candidate& known : candidates.items)
        if (known.payload != edges.to.vector) HnswForgetVector(ctx->form, &ctx->arena, known.payload);
    for (int i = 0; i < chosen->count; ++i)
        chosen->vectors[i] = nullptr;
    const int held = item->single.edges[0].held;
    const int at = HnswEdgeTo(chosen->edges, chosen->count, edges.to.id);
    if (at >= 0) {
        chosen->edges[at].held = static_cast<uint8>(held);
        return true;
    }
    if (!item->must_accept) return false;
    // Those that are held come first.
    if (chosen->count == max && chosen->edges[--chosen->count].held != 0) return false;
    HnswEncodeEdge(ctx, item->from.vector, edges.to, chosen->count, chosen);
    chosen->edges[chosen->count++].held = static_cast<uint8>(held);
    return true;
}

// The same for words, whose distances are dear and whose edges know theirs: one for each old edge at most. The slot is
// not wanted where an old neighbour is nearer to it than the list's owner is. It takes the place of the farthest of
// those it is so near to itself, or of the farthest of all.
bool TakePlace(const BackEdges& edges, BackEdge* item) {
    HnswContext* ctx = edges.ctx;
    const EdgeCopy& old = item->old;
    const EdgeData& fresh = item->single.edges[0];
    char* payload = HnswPayloadRoom(ctx);
    int gone = -1, hidden = -1, farthest = -1;
    for (int i = 0; i < old.count && gone < 0; ++i) {
        const EdgeData& edge = old.edges[i];
        if (edge.held == 0 && (farthest < 0 || edge.add > old.edges[farthest].add)) farthest = i;
        ProbedSlot slot;
        if (!HnswProbe(ctx, edge.id, KindOfLevel(edges.level), edge.generation, &slot, payload)) {
            gone = i;
            break;
        }
        const float apart = ctx->form.between(edges.to.vector, payload, 0);
        if (edge.add <= fresh.add && apart < fresh.add && !item->must_accept) return false;
        if (edge.held == 0 && edge.add > fresh.add && apart < edge.add &&
            (hidden < 0 || edge.add > old.edges[hidden].add))
            hidden = i;
    }
    const int place = gone >= 0 ? gone : hidden >= 0 ? hidden : farthest;
    if (place < 0) return false;
    if (place == farthest && gone < 0 && hidden < 0 && !item->must_accept && fresh.add >= old.edges[farthest].add)
        return false;
    EdgeList* chosen = &item->chosen;
    chosen->count = old.count;
    memcpy(static_cast<void*>(chosen->edges), old.edges, static_cast<size_t>(old.count) * sizeof(EdgeData));
    chosen->edges[place] = fresh;
    return true;
}

// Writes a group, and again those whose lists were full or have changed meanwhile.
void WriteGroup(BackEdges* edges) {
    for (bool again = true; again;) {
        CHECK_FOR_INTERRUPTS();
        WriteAll(edges);
        again = false;
        for (int i = 0; i < edges->count; ++i) {
            BackEdge* item = &edges->items[i];
            if (item->state != BackEdgeState::kFull) continue;
            CHECK_FOR_INTERRUPTS();
            const bool wanted = edges->ctx->form.words ? TakePlace(*edges, item) : ChooseAgain(*edges, item);
            item->state = wanted ? BackEdgeState::kChosen : BackEdgeState::kDone;
            edges->refused |= !wanted && item->must_accept;
            again |= item->state == BackEdgeState::kChosen;
        }
        if (again) VECANN_RACE_POINT("hnsw-link-before-replace");
    }
}

// Begins the back edge from `from`, unless that is gone.
void Begin(BackEdges* edges, const LinkEnd& from, bool must_accept, bool held) {
    BackEdge* item = &edges->items[edges->count];
    item->from = from;
    if (from.vector == nullptr) item->from.vector = VectorOf(edges->ctx, edges->level, from, false);
    if (item->from.vector == nullptr) {
        edges->refused |= must_accept;
        return;
    }
    item->state = BackEdgeState::kNew;
    item->must_accept = must_accept;
    HnswEncodeEdge(edges->ctx, item->from.vector, edges->to, 0, &item->single);
    item->single.edges[0].held = held ? 1 : 0;
    ++edges->count;
}

BackEdges MakeBackEdges(HnswContext* ctx, int level, const LinkEnd& to, int room) {
    BackEdges edges = {ctx, level, to, nullptr, 0, false};
    edges.items = ctx->arena.Allocate<BackEdge>(static_cast<size_t>(room));
    for (int i = 0; i < room; ++i) {
        edges.items[i].single = HnswMakeEdgeList(ctx);
        edges.items[i].old.Init(&ctx->arena, ctx->meta);
        edges.items[i].chosen = HnswMakeEdgeList(ctx);
    }
    return edges;
}

// Gives `from` an edge to `slot` that it must accept; false when it is gone or has no place.
bool Oblige(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& slot, bool held) {
    BackEdges edges = MakeBackEdges(ctx, level, slot, 1);
    Begin(&edges, from, true, held);
    WriteGroup(&edges);
    return !edges.refused;
}

// Holders to be asked, at most: each has been deleted since it was found. One that is found again has no place.
constexpr int kMostHolders = 10;

// Has another than the first take the edge that a new slot must have.
void ObligeAnother(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& list) {
    if (!HnswHolds(ctx->meta)) {
        for (int i = 1; i < list.count; ++i)
            if (Oblige(ctx, level, {list.edges[i].id, list.generations[i], list.vectors[i]}, slot, false)) return;
        return;
    }
    // Without their vectors they are read again, and who is deleted by now is left out.
    EdgeList unread = list;
    unread.vectors = ctx->arena.Allocate<const void*>(static_cast<size_t>(list.count) + 1);
    std::fill_n(unread.vectors, list.count, nullptr);
    LinkEnd holder;
    uint32 last = kInvalidId;
    for (int i = 0; i < kMostHolders && HnswFindHolder(ctx, level, slot, unread, &holder) && holder.id != last; ++i) {
        if (Oblige(ctx, level, holder, slot, true)) return;
        last = holder.id;
    }
}

}  // namespace

void HnswHold(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& slot) {
    LinkEnd to = slot;
    // Vacuum frees a deleted slot as soon as nothing that was live before leads there.
    if (to.vector == nullptr) to.vector = VectorOf(ctx, level, slot, true);
    if (to.vector != nullptr) Oblige(ctx, level, from, to, true);
}

void HnswAddBackEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& list, bool hold) {
    const bool holds = HnswHolds(ctx->meta);
    LinkEnd holder = {kInvalidId, 0, nullptr};
    if (holds && hold && !HnswFindHolder(ctx, level, slot, list, &holder)) holder.id = kInvalidId;
    LinkEnd* ends = ctx->arena.Allocate<LinkEnd>(static_cast<size_t>(list.count) + 1);
    int n = 0;
    for (int i = 0; i < list.count; ++i)
        if (list.edges[i].id != holder.id) ends[n++] = {list.edges[i].id, list.generations[i], list.vectors[i]};
    if (holder.id != kInvalidId) ends[n++] = holder;
    const uint32 must_accept = holds || list.count == 0 ? holder.id : list.edges[0].id;
    std::sort(ends, ends + n, [](const LinkEnd& a, const LinkEnd& b) { return a.id < b.id; });
    BackEdges edges = MakeBackEdges(ctx, level, slot, Min(n, kGroup));
    for (int from = 0; from < n; from += kGroup) {
        edges.count = 0;
        for (int i = from; i < Min(from + kGroup, n); ++i)
            Begin(&edges, ends[i], ends[i].id == must_accept, ends[i].id == holder.id);
        WriteGroup(&edges);
    }
    if (edges.refused) ObligeAnother(ctx, level, slot, list);
}

}  // namespace vecann

// Searching the seed tree; see hnsw_seeds.h. Locks: one page at a time, share, for the time of scoring it.
#include "hnsw/hnsw_seeds.h"

#include "pg/recent_buffers.h"

namespace vecann {

namespace {

// Fewer entries than these to a page would make a tree of too many pages.
constexpr int kLeastCapacity = 16;

// Pages read on each level below the root, at most. On 100,000 x 768 vectors 4, 8, 16 pages found recall@10 of .836,
// .842, .844 at ef_search 10.
constexpr int kPagesRead = 8;

// At least so many, and others only where the square of the distance to their middle is within this margin of the
// least: with 8 always, recall is the same, and a search of Fashion-MNIST or Tate reads five pages more.
constexpr int kPagesReadAlways = 3;
constexpr float kPageMargin = 1.2F;

// Of a page that is about to be read, so much is asked for ahead; the rest comes in sequence.
constexpr size_t kBytesAhead = 1024;

// An entry of a page.
struct Seed {
    float distance;  // an estimate
    SlotHint at;
};

// Seeds that a search begins at.
constexpr int kSeeds = 8;

// The few nearest entries met, nearest first.
struct NearestFew {
    Seed entries[kSeeds];
    int count = 0;

    void Offer(float distance, const EdgeData& edge) {
        // A broken code may give no number.
        if (!(distance == distance)) return;
        if (count == kSeeds && !(distance < entries[count - 1].distance)) return;
        int at = count < kSeeds ? count++ : kSeeds - 1;
        for (; at > 0 && distance < entries[at - 1].distance; --at)
            entries[at] = entries[at - 1];
        entries[at] = {distance, {edge.id, edge.generation}};
    }

    // The same for the n entries of a page, of which most are too far: four at a time. What is no number is no least.
    void OfferAll(const float* distances, const EdgeData* edges, int n) {
        constexpr int kAtOnce = 4;
        int i = 0;
        for (; count < kSeeds && i < n; ++i)
            Offer(distances[i], edges[i]);
        for (; i + kAtOnce <= n; i += kAtOnce) {
            const float* some = distances + i;
            const float farthest = entries[kSeeds - 1].distance;
            float even = farthest, odd = farthest;
#pragma GCC unroll 2
            for (int j = 0; j < kAtOnce; j += 2) {
                even = some[j] < even ? some[j] : even;
                odd = some[j + 1] < odd ? some[j + 1] : odd;
            }
            if (likely(!(even < farthest || odd < farthest))) continue;
            for (int j = 0; j < kAtOnce; ++j)
                Offer(some[j], edges[i + j]);
        }
        for (; i < n; ++i)
            Offer(distances[i], edges[i]);
    }
};
static_assert(kPagesRead <= kSeeds && kSeeds <= LayerSearch::kMostHints);

// Scores one page into *nearest; returns its level, or -1 when that is not `level` (-1: any).
int ScorePage(HnswContext* ctx, const IndexedVector& query, BlockNumber block, int level, float* estimates,
              NearestFew* nearest) {
    const HnswMetaData& meta = ctx->meta;
    LockedPage page(ctx->index, block, BUFFER_LOCK_SHARE, ctx->strategy);
    ++ctx->counts.pages;
    page.Check(PageKind::kSeed);
    const SeedView view = HnswSeedsAt(meta, ContentsOf(page.page()));
    if (view.header->level > kMaxSeedLevel || view.header->count > HnswSeedCapacity(meta))
        ereport(ERROR,
                (errcode(ERRCODE_INDEX_CORRUPTED),
                 errmsg("block %u of index \"%s\" has a broken header", block, RelationGetRelationName(ctx->index)),
                 errhint("Please REINDEX it.")));
    // The tree is written in place: a page may have changed its level since its parent was read.
    if (level >= 0 && view.header->level != level) return -1;
    CodeBatch batch;
    query.code.Fill(&batch);
    batch.edges = view.edges;
    batch.codes = view.codes;
    batch.count = view.header->count;
    batch.base = HnswDistance(ctx->form, query, view.payload);
    Kernels().score_edges(batch, estimates);
    ctx->counts.codes += view.header->count;
    nearest->OfferAll(estimates, view.edges, view.header->count);
    return view.header->level;
}

// How many of a level's pages, nearest first, are worth reading: the first few, and those whose middles are hardly
// farther from the query than the nearest. Inner products have no such measure.
int PagesWorthReading(const VectorForm& form, const NearestFew& pages) {
    const int most = Min(pages.count, kPagesRead);
    if (form.metric != Metric::kL2 && form.metric != Metric::kCosine) return most;
    const auto squared = [&](int i) {
        const float distance = pages.entries[i].distance;
        return form.metric == Metric::kL2 ? distance : 2 + 2 * distance;
    };
    int n = Min(most, kPagesReadAlways);
    while (n < most && squared(n) <= kPageMargin * squared(0))
        ++n;
    return n;
}

// The nearest seeds. *cold: pages had to be read from the disk; after the first of a level, the rest of it is asked
// for.
NearestFew FindSeeds(HnswContext* ctx, const IndexedVector& query, bool* cold) {
    const int64 reads_before = pgBufferUsage.shared_blks_read;
    const size_t capacity = static_cast<size_t>(HnswSeedCapacity(ctx->meta));
    float* estimates = ctx->arena.Allocate<float>(capacity);
    NearestFew nearest;
    int level = ScorePage(ctx, query, ctx->meta.seed_root, -1, estimates, &nearest);
    while (level-- > 0) {
        NearestFew below;
        const int pages = PagesWorthReading(ctx->form, nearest);
        for (int i = 0; i < pages; ++i)
            PrefetchRecent(ctx->index, nearest.entries[i].at.id, kPageContents, kBytesAhead);
        bool asked = !ctx->asks_ahead;
        for (int i = 0; i < pages; ++i) {
            const int64 reads = pgBufferUsage.shared_blks_read;
            ScorePage(ctx, query, nearest.entries[i].at.id, level, estimates, &below);
            if (asked || pgBufferUsage.shared_blks_read == reads) continue;
            asked = true;
            for (int next = i + 1; next < pages; ++next)
                PrefetchBuffer(ctx->index, MAIN_FORKNUM, nearest.entries[next].at.id);
        }
        nearest = below;
    }
    *cold = pgBufferUsage.shared_blks_read != reads_before;
    ctx->arena.Release(estimates, capacity);
    return nearest;
}

}  // namespace

int HnswSeedCapacity(const HnswMetaData& meta) {
    const size_t taken = sizeof(SeedPageData) + meta.payload_size;
    if (meta.code_bits == 0 || meta.part_count > 0 || taken >= kPageRoom) return 0;
    const int capacity = static_cast<int>((kPageRoom - taken) / (sizeof(EdgeData) + meta.code_size));
    return capacity >= kLeastCapacity ? capacity : 0;
}

size_t HnswSeedBytes(const HnswMetaData& meta) {
    return sizeof(SeedPageData) + meta.payload_size +
           static_cast<size_t>(HnswSeedCapacity(meta)) * (sizeof(EdgeData) + meta.code_size);
}

SeedView HnswSeedsAt(const HnswMetaData& meta, char* contents) {
    SeedView view;
    view.header = reinterpret_cast<SeedPageData*>(contents);
    view.payload = contents + sizeof(SeedPageData);
    view.edges = reinterpret_cast<EdgeData*>(view.payload + meta.payload_size);
    view.codes = reinterpret_cast<char*>(view.edges + HnswSeedCapacity(meta));
    return view;
}

bool HnswHasSeeds(const HnswContext& ctx) {
    // A backend that has not seen the index grow since has not come to its new pages: the seeds are as good as ever.
    return ctx.meta.seed_root != 0 && BlocksSeen(ctx.index) / 2 <= ctx.meta.seed_blocks;
}

bool HnswSettleFromSeeds(LayerSearch* search) {
    bool cold;
    const NearestFew seeds = FindSeeds(search->ctx, *search->query, &cold);
    for (int i = 0; i < seeds.count; ++i)
        search->OfferHint(seeds.entries[i].distance, seeds.entries[i].at);
    if (unlikely(cold)) search->BeginCold();
    const uint64 before = search->ctx->counts.expanded;
    if (!search->Settle(0)) return false;
    // A filter may have refused all that was found.
    return search->admission != nullptr ? search->ctx->counts.expanded > before : !search->found.empty();
}

}  // namespace vecann

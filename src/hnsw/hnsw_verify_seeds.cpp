// The verifier of the seed tree: every page's form, and that the tree holds each page once and ends at node pages.
// Seeds are hints: that a node has been freed or replaced since is no problem. Locks: one page at a time, share, for a
// copy.
#include "hnsw/hnsw_seeds.h"
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

namespace {

// A page of the tree, and the level its parent says it has.
struct TreePage {
    BlockNumber block;
    int level;
};

void CheckEntry(HnswVerifier* v, BlockNumber block, int level, const EdgeData& edge) {
    if (!std::isfinite(edge.add) || !std::isfinite(edge.scale))
        BlockProblem(v->report, block, "the code of a seed has a factor that is no number");
    if (level == 0 && !SlotExists(*v, edge.id, PageKind::kNode))
        BlockProblem(v->report, block, "a seed is slot %d of block %u, which is no node page",
                     SlotOfId(v->meta, edge.id), BlockOfId(v->meta, edge.id));
}

bool IsSeedPage(const HnswVerifier& v, BlockNumber block) {
    return block < v.blocks && v.block[block].kind == static_cast<uint16>(PageKind::kSeed);
}

}  // namespace

void SurveySeeds(HnswVerifier* v, BlockNumber block, Page page) {
    const SeedView view = HnswSeedsAt(v->meta, ContentsOf(page));
    if (view.header->level > kMaxSeedLevel || view.header->count > HnswSeedCapacity(v->meta) ||
        view.header->count == 0) {
        BlockProblem(v->report, block, "has %u seeds of level %u", view.header->count, view.header->level);
        v->block[block].kind = 0;
    }
}

void VerifySeeds(HnswVerifier* v) {
    if (v->meta.seed_root == 0) return;
    ArenaVec<TreePage> pages;
    pages.Init(&v->arena);
    BitSet met;
    met.Init(&v->arena, v->blocks);
    pages.Push({v->meta.seed_root, -1});
    PGAlignedBlock copy;
    for (size_t at = 0; at < pages.size; ++at) {
        CHECK_FOR_INTERRUPTS();
        const TreePage page = pages[at];
        if (!IsSeedPage(*v, page.block)) {
            BlockProblem(v->report, page.block, "the seed tree leads to it, but it holds no seeds");
            continue;
        }
        if (!met.Add(page.block)) {
            BlockProblem(v->report, page.block, "the seed tree leads to it a second time");
            continue;
        }
        CopyIndexPage(*v, page.block, nullptr, &copy);
        const SeedView view = HnswSeedsAt(v->meta, ContentsOf(PageOf(&copy)));
        const int level = view.header->level;
        if (page.level >= 0 && level != page.level)
            BlockProblem(v->report, page.block, "has seeds of level %d where level %d is expected", level, page.level);
        for (int i = 0; i < Min<int>(view.header->count, HnswSeedCapacity(v->meta)); ++i) {
            CheckEntry(v, page.block, level, view.edges[i]);
            if (level > 0) pages.Push({view.edges[i].id, level - 1});
        }
    }
}

}  // namespace vecann

// Counting the rows of lists; see ivf_stats.h. Locks: one page at a time, share.
#include "ivf/ivf_stats.h"

#include <algorithm>

#include "ivf/ivf_am.h"
#include "ivf/ivf_relearn.h"

namespace vecann {

namespace {

// So many times the rows of the training, and lists are long and their centroids old.
constexpr double kOutgrown = 5;

void CountPage(const IvfContext& ctx, const BitSet& closed, BlockNumber block, int64* rows, IvfStats* stats) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    if (!page.Is(PageKind::kIvfList)) return;
    const ListPageData* header = ListOf(ctx.meta, page.page()).header;
    if (header->owner == 0) return;
    const bool beyond = header->owner > ctx.meta.lists && ctx.meta.strays != 0;
    if (header->structure != static_cast<uint16>(ctx.meta.structure) || beyond || closed.Has(header->owner - 1)) {
        ++stats->retired_pages;
        return;
    }
    if (header->owner > ctx.meta.lists)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("block %u of index \"%s\" belongs to list %u, which does not exist", block,
                               RelationGetRelationName(ctx.index), header->owner - 1),
                        errhint("Please REINDEX it.")));
    rows[header->owner - 1] += header->live;
    ++stats->list_pages;
}

// The mean difference of two lists, relative to twice the mean.
double Gini(int64* rows, int64 lists, double all) {
    if (all <= 0) return 0;
    std::sort(rows, rows + lists);
    double sum = 0;
    for (int64 i = 0; i < lists; ++i)
        sum += static_cast<double>(2 * (i + 1) - lists - 1) * static_cast<double>(rows[i]);
    return sum / (static_cast<double>(lists) * all);
}

void Advise(const IvfContext& ctx, IvfStats* stats) {
    const uint64 enough = IvfRowsToLearn(IvfOptionsOf(ctx.index));
    if (!stats->learnt) {
        stats->reindex_due = stats->rows >= static_cast<int64>(enough);
        stats->advice =
            stats->reindex_due
                ? "it was made with too few rows to learn lists from: VACUUM the table, or REINDEX"
                : psprintf("it was made with too few rows to learn lists from: VACUUM makes them when it has %llu rows",
                           static_cast<unsigned long long>(enough));
        return;
    }
    const double grown = static_cast<double>(stats->rows) / Max(static_cast<double>(stats->learnt_rows), 1.0);
    if (stats->rows < static_cast<int64>(enough) || grown < kOutgrown) return;
    stats->reindex_due = true;
    stats->advice = psprintf("it has %.1f times the rows that its lists were learnt for: REINDEX", grown);
}

}  // namespace

IvfStats IvfCountLists(Relation index) {
    IvfContext ctx;
    IvfOpen(&ctx, index);
    ctx.strategy = GetAccessStrategy(BAS_BULKREAD);
    IvfStats stats;
    memset(static_cast<void*>(&stats), 0, sizeof(stats));
    stats.lists = ctx.meta.open_lists();
    Arena arena = MakeArena(CurrentMemoryContext);
    BitSet closed;
    IvfFindClosed(ctx, &arena, &closed);
    stats.learnt = ctx.meta.trained != 0;
    stats.learnt_rows = static_cast<int64>(Max(ctx.meta.built_rows, 0.0));
    int64* rows = PallocArray<int64>(ctx.meta.lists);
    memset(rows, 0, ctx.meta.lists * sizeof(int64));
    const BlockNumber blocks = RelationGetNumberOfBlocks(index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        CountPage(ctx, closed, block, rows, &stats);
    }
    int64 open = 0;
    for (uint32 list = 0; list < ctx.meta.lists; ++list) {
        if (closed.Has(list)) continue;
        rows[open++] = rows[list];
        stats.rows += rows[list];
        stats.largest_list = Max(stats.largest_list, rows[list]);
        stats.empty_lists += rows[list] == 0 ? 1 : 0;
    }
    stats.gini = Gini(rows, open, static_cast<double>(stats.rows));
    Advise(ctx, &stats);
    pfree(rows);
    FreeAccessStrategy(ctx.strategy);
    return stats;
}

}  // namespace vecann

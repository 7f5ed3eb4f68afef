// Lists for an index that has had nothing to learn from: vacuum learns from the rows in its one list, writes another
// structure behind the pages in use, and puts it in their place by one record of the meta page. See README.md,
// "Structures".
//
// Invariants: until that record nobody but this vacuum reads the new structure; after it nobody changes the old one.
// Inserts into the old one hold the structure's lock in share mode, each for one row.
#include "ivf/ivf_relearn.h"

#include "ivf/ivf_build.h"
#include "ivf/ivf_chain.h"
#include "pg/race_point.h"
#include "storage/page_patch.h"

namespace vecann {

void IvfReplaceMeta(Relation index, IvfMetaData meta) {
    LockedPage page(index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    page.Check(PageKind::kMeta);
    // Under the lock: whoever has read the page before has an older snapshot.
    meta.retired = U64FromFullTransactionId(ReadNextFullTransactionId());
    PageTxn txn(index, WriteMode::kLogged);
    const Page edit = txn.Register(page.buffer());
    meta.header = IvfMetaOf(edit)->header;
    *IvfMetaOf(edit) = meta;
    reinterpret_cast<PageHeader>(edit)->pd_lower = static_cast<LocationIndex>(kPageContents + sizeof(meta));
    txn.Commit();
}

namespace {

// The rest is added while inserts wait, once a round of it was no more than this, or after so many rounds.
constexpr uint64 kFewPages = 16;
constexpr int kMostRounds = 5;

struct Relearner {
    ListReader old;
    IvfBuild* build;
    PageLink* pages;  // of the list as it was when the learning began
    uint64 page_count;
    uint64 rows;
    double caught_up;  // rows that came meanwhile
};

// ---- rows of the old list --------------------------------------------------------

// Calls take(vector, tid) for each row of a copied page; `vector` is where it decodes to.
template <class Take>
void ForRows(Relearner* r, const ListView& view, float* vector, Take take) {
    for (int slot = 0; slot < r->old.ctx.meta.slots; ++slot) {
        if (!view.IsLive(slot)) continue;
        IvfDecodePayload(r->old.ctx, IvfWholeEntry(&r->old, view, slot), vector);
        take(view.tids[slot]);
    }
}

// ---- learning --------------------------------------------------------------------

bool HoldsEnough(Relearner* r) {
    const uint64 wanted = IvfRowsToLearn(IvfOptionsOf(r->old.ctx.index));
    if (static_cast<uint64>(RelationGetNumberOfBlocks(r->old.ctx.index)) * r->old.ctx.meta.slots < wanted) return false;
    uint64 rows = 0;
    ForListPages(&r->old, 0, IvfReadEntry(r->old.ctx, 0).head, {InvalidBlockNumber, 0}, false,
                 [&rows](const PageLink&, const ListView& view) { rows += view.header->live; });
    return rows >= wanted;
}

void ListPages(Relearner* r, const PageLink& first) {
    uint64 room = 1024;
    r->pages = PallocArray<PageLink>(room);
    r->page_count = r->rows = 0;
    ForListPages(&r->old, 0, first, {InvalidBlockNumber, 0}, false, [&](const PageLink& link, const ListView& view) {
        if (r->page_count == room) {
            room *= 2;
            r->pages = static_cast<PageLink*>(repalloc_huge(r->pages, room * sizeof(PageLink)));
        }
        r->pages[r->page_count++] = link;
        r->rows += view.header->live;
    });
}

IvfBuild* MakeBuild(const Relearner& r) {
    IvfBuild* build = PallocZeroed<IvfBuild>();
    const Relation index = r.old.ctx.index;
    build->relearning = true;
    build->options = IvfOptionsOf(index);
    build->ctx.index = index;
    build->ctx.desc = r.old.ctx.desc;
    build->ctx.strategy = r.old.ctx.strategy;
    build->dim = r.old.ctx.meta.dim;
    build->ctx.meta = IvfMakeMeta(*r.old.ctx.desc, r.old.ctx.meta.dim, build->options, true);
    build->ctx.meta.structure = static_cast<uint16>(r.old.ctx.meta.structure + 1);
    build->ctx.meta.strays = 1;
    build->memory_limit = Max(static_cast<uint64>(VacuumMemory()) * 1024, kIvfLeastBuildBytes);
    // Autovacuum leaves the processors to others.
    build->threads = IsAutovacuum() ? 1 : ComputeThreads(nullptr);
    build->rng = Rng(build->options.seed);
    build->pages = {index, MAIN_FORKNUM, InvalidBlockNumber, RelationNeedsWAL(index)};
    IvfInitVector(build->ctx, &build->value);
    return build;
}

// Options may have been changed since the index was made.
bool HasFitOptions(const IvfContext& ctx) {
    const IvfOptions options = IvfOptionsOf(ctx.index);
    const int most = IvfMostQuantizers(options, ctx.meta.dim);
    if (options.m <= most) return true;
    ereport(WARNING,
            (errmsg("option \"m\" of index \"%s\" is too large to make its lists", RelationGetRelationName(ctx.index)),
             errhint("It must be at most %d.", most)));
    return false;
}

bool FitsMemory(const IvfBuild& build) {
    const uint64 bytes = IvfListsWished(build) * build.row_bytes();
    if (bytes <= build.memory_limit / 2) return true;
    ereport(WARNING, (errmsg("maintenance_work_mem is too low to make the lists of index \"%s\"",
                             RelationGetRelationName(build.ctx.index)),
                      errhint("Set it to at least %llu MB, or REINDEX the index with fewer lists.",
                              static_cast<unsigned long long>(2 * bytes / (1024 * 1024) + 1))));
    return false;
}

// Takes the sample from pages spread evenly over the list, one at random of each stretch.
void TakeSample(Relearner* r) {
    IvfBuild* build = r->build;
    const uint64 fit = build->memory_limit / 2 / build->row_bytes();
    build->sample_room = Max<uint64>(Min(IvfSampleRows(*build), fit), 1);
    build->sample = PallocArray<float>(build->sample_room * build->dim);
    const double wanted = 1.1 * static_cast<double>(build->sample_room) / static_cast<double>(r->rows);
    const uint64 taken = Min(static_cast<uint64>(wanted * static_cast<double>(r->page_count)) + 1, r->page_count);
    for (uint64 i = 0; i < taken; ++i) {
        vacuum_delay_point();
        const uint64 begin = i * r->page_count / taken, end = (i + 1) * r->page_count / taken;
        const ListView view = IvfCopyPage(&r->old, 0, r->pages[begin + build->rng.Next() % (end - begin)]);
        ForRows(r, view, build->value.plain, [build](const ItemPointerData&) { IvfSample(build, build->value.plain); });
    }
}

// ---- writing ---------------------------------------------------------------------

void WriteSkeleton(IvfBuild* build) {
    const BlockNumber count = IvfPlaceSkeleton(&build->ctx.meta, 0, build->numbers());
    NewPages pages = build->pages;
    pages.next = IvfReserveBlocks(build->ctx.index, count);
    IvfPlaceSkeleton(&build->ctx.meta, pages.next, build->numbers());
    IvfWriteSkeleton(&pages, build->ctx.meta, build->numbers());
}

// Writes the lists with the rows of the pages that were there when the learning began.
void WriteLists(Relearner* r) {
    IvfBuild* build = r->build;
    IvfInitBatches(build);
    for (uint64 i = 0; i < r->page_count; ++i) {
        vacuum_delay_point();
        const ListView view = IvfCopyPage(&r->old, 0, r->pages[i]);
        ForRows(r, view, build->value.plain, [build](const ItemPointerData& tid) {
            memcpy(build->batch + build->batch_count * build->dim, build->value.plain, build->row_bytes());
            build->batch_tids[build->batch_count++] = tid;
            if (build->batch_count == build->batch_room) IvfAssignBatch(build);
        });
    }
    IvfAssignBatch(build);
    IvfLoadLists(build);
    build->spool.Close();
}

// Adds the rows of the pages from `first` as far as `until` to the new lists. Returns the number of pages.
uint64 CatchUp(Relearner* r, const PageLink& first, const PageLink& until, bool hurry) {
    const IvfContext& fresh = r->build->ctx;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum row", ALLOCSET_DEFAULT_SIZES);
    IvfVector value;
    IvfInitVector(fresh, &value);
    const uint64 pages = ForListPages(&r->old, 0, first, until, hurry, [&](const PageLink&, const ListView& view) {
        ForRows(r, view, value.plain, [&](const ItemPointerData& tid) {
            MemoryContext old = MemoryContextSwitchTo(memory);
            IvfRotate(fresh, &value);
            IvfInsertVector(fresh, value, tid);
            MemoryContextSwitchTo(old);
            MemoryContextReset(memory);
            ++r->caught_up;
        });
    });
    MemoryContextDelete(memory);
    return pages;
}

// The record that puts the new structure in the place of the old one.
void PutInPlace(const Relearner& r) {
    const Relation index = r.old.ctx.index;
    IvfMetaData meta = r.build->ctx.meta;
    meta.built_rows = static_cast<double>(r.build->rows) + r.caught_up;
    IvfReplaceMeta(index, meta);
}

void Relearn(Relearner* r) {
    PageLink done = IvfFreezeList(r->old.ctx, 0);
    ListPages(r, done);
    r->build->estimated = static_cast<double>(r->rows);
    if (r->rows == 0 || !FitsMemory(*r->build)) return;
    TakeSample(r);
    IvfTrain(r->build);
    pfree(r->build->sample);
    if (r->build->ctx.meta.trained == 0) return;
    WriteSkeleton(r->build);
    WriteLists(r);
    VECANN_RACE_POINT("ivf-relearn-before-rest");
    for (int round = 0; round < kMostRounds; ++round) {
        const PageLink next = IvfFreezeList(r->old.ctx, 0);
        const uint64 pages = CatchUp(r, next, done, false);
        done = next;
        if (pages <= kFewPages) break;
    }
    VECANN_RACE_POINT("ivf-relearn-before-switch");
    IvfLockStructure(r->old.ctx.index, ExclusiveLock);
    CatchUp(r, IvfReadEntry(r->old.ctx, 0).head, done, true);
    PutInPlace(*r);
    IvfUnlockStructure(r->old.ctx.index, ExclusiveLock);
    ereport(IsAutovacuum() ? LOG : NOTICE,
            (errmsg("index \"%s\": made %u lists of %.0f rows", RelationGetRelationName(r->old.ctx.index),
                    r->build->ctx.meta.lists, static_cast<double>(r->build->rows) + r->caught_up)));
}

}  // namespace

bool IvfRelearn(Relation index, BufferAccessStrategy strategy) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum lists", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Relearner* r = PallocZeroed<Relearner>();
    IvfOpenReader(&r->old, index, strategy);
    const bool clean = IvfRecycle(r->old.ctx);
    if (r->old.ctx.meta.trained == 0 && clean && HoldsEnough(r) && HasFitOptions(r->old.ctx)) {
        IvfSetStrays(r->old.ctx);
        r->build = MakeBuild(*r);
        Relearn(r);
    }
    const bool learnt = clean && r->old.ctx.meta.trained != 0;
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return learnt;
}

}  // namespace vecann

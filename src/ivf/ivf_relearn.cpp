// Lists for an index that has had nothing to learn from: vacuum learns from the rows in its one list, writes another
// structure behind the pages in use, and puts it in their place by one record of the meta page. See README.md,
// "Structures".
//
// Invariants: until that record nobody but this vacuum reads the new structure; after it nobody changes the old one.
// Inserts into the old one hold the meta page's heavyweight lock in share mode, each for one row.
#include "ivf/ivf_relearn.h"

#include "ivf/ivf_build.h"
#include "pg/race_point.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

// The rest is added while inserts wait, once a round of it was no more than this, or after so many rounds.
constexpr uint64 kFewPages = 16;
constexpr int kMostRounds = 5;

struct Relearner {
    IvfContext old;
    IvfBuild* build;
    char* entry;      // one of the old structure, put together from its parts
    PageLink* pages;  // of the list as it was when the learning began
    uint64 page_count;
    uint64 rows;
    double caught_up;  // rows that came meanwhile
    PGAlignedBlock copy;
};

// ---- pages of the old list -------------------------------------------------------

void RaiseBrokenChain(const IvfContext& ctx, BlockNumber block) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("the list of index \"%s\" breaks at block %u", RelationGetRelationName(ctx.index), block),
                    errhint("Please REINDEX it.")));
}

void RaiseBrokenRow(const IvfContext& ctx) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("index \"%s\" has a value that cannot be indexed", RelationGetRelationName(ctx.index)),
                    errhint("Please REINDEX it.")));
}

// Copies a page of the list.
ListView CopyPage(Relearner* r, const PageLink& link) {
    LockedPage page(r->old.index, link.block, BUFFER_LOCK_SHARE, r->old.strategy);
    if (!IvfLeadsTo(r->old, page, 0, link)) RaiseBrokenChain(r->old, link.block);
    memcpy(r->copy.data, page.page(), BLCKSZ);
    return ListOf(r->old.meta, reinterpret_cast<Page>(r->copy.data));
}

// Calls take(link, view) for the pages from `link` on as far as `until`. Sleeps as vacuum does, unless `hurry`.
template <class Take>
uint64 ForPages(Relearner* r, PageLink link, const PageLink& until, bool hurry, Take take) {
    uint64 pages = 0;
    for (; link.block != InvalidBlockNumber && !SameLink(link, until); ++pages) {
        if (hurry)
            CHECK_FOR_INTERRUPTS();
        else
            vacuum_delay_point();
        // A chain that bites its tail has no end.
        if (pages > RelationGetNumberOfBlocks(r->old.index)) RaiseBrokenChain(r->old, link.block);
        const ListView view = CopyPage(r, link);
        take(link, view);
        link = view.next();
    }
    return pages;
}

void DecodeRow(const Relearner& r, const char* payload, float* vector) {
    const IvfMetaData& meta = r.old.meta;
    if (!HasWords(meta)) {
        DecodePayload(PayloadOf(meta), payload, meta.dim, vector);
        return;
    }
    uint32 hash;
    const Datum value = r.old.desc->words->restore(*reinterpret_cast<const WordsHeadData*>(payload), meta.dim);
    if (!r.old.desc->extract(value, meta.dim, vector, &hash)) RaiseBrokenRow(r.old);
    pfree(DatumGetPointer(value));
}

// Calls take(vector, tid) for each row of a copied page; `vector` is where it decodes to.
template <class Take>
void ForRows(Relearner* r, const ListView& view, float* vector, Take take) {
    const IvfMetaData& meta = r->old.meta;
    for (int slot = 0; slot < meta.slots; ++slot) {
        if (!view.IsLive(slot)) continue;
        const char* payload = view.data + static_cast<size_t>(slot) * meta.entry_size;
        if (meta.parts > 0) {
            memcpy(r->entry, view.data, HeadBytes(meta));
            IvfReadParts(r->old, view.parts, r->entry);
            payload = r->entry;
        }
        DecodeRow(*r, payload, vector);
        take(view.tids[slot]);
    }
}

// From now on inserts go to a new page at the head. The link to the page behind it, from which on nothing changes.
PageLink Freeze(Relearner* r) {
    const IvfContext& ctx = r->old;
    LockPage(ctx.index, kMetaBlock, ExclusiveLock);
    PageLink next;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        const ListEntryData entry = IvfReadEntry(ctx, 0);
        if (entry.head.block == InvalidBlockNumber) {
            next = entry.head;
            break;
        }
        const ListView view = CopyPage(r, entry.head);
        next = view.next();
        if (view.header->live == 0 && entry.alone != 0 && SameLink(entry.hint, entry.head)) break;
        IvfAddPage(ctx, 0, entry);
    }
    UnlockPage(ctx.index, kMetaBlock, ExclusiveLock);
    return next;
}

// ---- learning --------------------------------------------------------------------

bool HoldsEnough(Relearner* r) {
    const uint64 wanted = IvfRowsToLearn(IvfOptionsOf(r->old.index));
    if (static_cast<uint64>(RelationGetNumberOfBlocks(r->old.index)) * r->old.meta.slots < wanted) return false;
    uint64 rows = 0;
    ForPages(r, IvfReadEntry(r->old, 0).head, {InvalidBlockNumber, 0}, false,
             [&rows](const PageLink&, const ListView& view) { rows += view.header->live; });
    return rows >= wanted;
}

// Vacuum that was interrupted leaves pages behind, which the next one is to look for.
void SetFlag(const IvfContext& ctx) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PagePatch patch(ctx.index, WriteMode::kLogged);
    // The page of an index of an older version ends before it.
    *patch.Edit(page.buffer(), &reinterpret_cast<PageHeader>(page.page())->pd_lower) =
        static_cast<LocationIndex>(kPageContents + sizeof(IvfMetaData));
    *patch.Edit(page.buffer(), &IvfMetaOf(page.page())->strays) = 1;
    patch.Commit();
}

void ListPages(Relearner* r, const PageLink& first) {
    uint64 room = 1024;
    r->pages = PallocArray<PageLink>(room);
    r->page_count = r->rows = 0;
    ForPages(r, first, {InvalidBlockNumber, 0}, false, [&](const PageLink& link, const ListView& view) {
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
    const Relation index = r.old.index;
    build->relearning = true;
    build->options = IvfOptionsOf(index);
    build->ctx.index = index;
    build->ctx.desc = r.old.desc;
    build->ctx.strategy = r.old.strategy;
    build->dim = r.old.meta.dim;
    build->ctx.meta = IvfMakeMeta(*r.old.desc, r.old.meta.dim, build->options, true);
    build->ctx.meta.structure = static_cast<uint16>(r.old.meta.structure + 1);
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
        const ListView view = CopyPage(r, r->pages[begin + build->rng.Next() % (end - begin)]);
        ForRows(r, view, build->value.plain, [build](const ItemPointerData&) { IvfSample(build, build->value.plain); });
    }
}

// ---- writing ---------------------------------------------------------------------

// Adds so many blocks to the relation, one behind another. Returns the first.
BlockNumber ReserveBlocks(Relation index, BlockNumber count) {
    const bool lock = !RELATION_IS_LOCAL(index);
    if (lock) LockRelationForExtension(index, ExclusiveLock);
    BlockNumber first = InvalidBlockNumber;
    for (BlockNumber i = 0; i < count; ++i) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(index, ExtendRelationLocked(index, MAIN_FORKNUM));
        if (i == 0) first = page.block();
        if (page.block() != first + i)
            elog(ERROR, "the new blocks of index \"%s\" have a gap", RelationGetRelationName(index));
    }
    if (lock) UnlockRelationForExtension(index, ExclusiveLock);
    return first;
}

void WriteSkeleton(IvfBuild* build) {
    const BlockNumber count = IvfPlaceSkeleton(&build->ctx.meta, 0, build->numbers());
    NewPages pages = build->pages;
    pages.next = ReserveBlocks(build->ctx.index, count);
    IvfPlaceSkeleton(&build->ctx.meta, pages.next, build->numbers());
    IvfWriteSkeleton(&pages, build->ctx.meta, build->numbers());
}

// Writes the lists with the rows of the pages that were there when the learning began.
void WriteLists(Relearner* r) {
    IvfBuild* build = r->build;
    IvfInitBatches(build);
    for (uint64 i = 0; i < r->page_count; ++i) {
        vacuum_delay_point();
        const ListView view = CopyPage(r, r->pages[i]);
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
    const uint64 pages = ForPages(r, first, until, hurry, [&](const PageLink&, const ListView& view) {
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
    const Relation index = r.old.index;
    IvfMetaData meta = r.build->ctx.meta;
    meta.built_rows = static_cast<double>(r.build->rows) + r.caught_up;
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

void Relearn(Relearner* r) {
    PageLink done = Freeze(r);
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
        const PageLink next = Freeze(r);
        const uint64 pages = CatchUp(r, next, done, false);
        done = next;
        if (pages <= kFewPages) break;
    }
    VECANN_RACE_POINT("ivf-relearn-before-switch");
    LockPage(r->old.index, kMetaBlock, ExclusiveLock);
    CatchUp(r, IvfReadEntry(r->old, 0).head, done, true);
    PutInPlace(*r);
    UnlockPage(r->old.index, kMetaBlock, ExclusiveLock);
    ereport(IsAutovacuum() ? LOG : NOTICE,
            (errmsg("index \"%s\": made %u lists of %.0f rows", RelationGetRelationName(r->old.index),
                    r->build->ctx.meta.lists, static_cast<double>(r->build->rows) + r->caught_up)));
}

}  // namespace

void IvfRelearn(Relation index, BufferAccessStrategy strategy) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum lists", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Relearner* r = PallocZeroed<Relearner>();
    IvfOpen(&r->old, index);
    r->old.strategy = strategy;
    const bool clean = IvfRecycle(r->old);
    if (r->old.meta.trained == 0 && clean && HoldsEnough(r) && HasFitOptions(r->old)) {
        if (r->old.meta.parts > 0) r->entry = PallocArray<char>(r->old.meta.entry_size);
        SetFlag(r->old);
        r->build = MakeBuild(*r);
        Relearn(r);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
}

}  // namespace vecann

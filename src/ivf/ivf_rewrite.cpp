// Writing some lists anew: vacuum divides those that have outgrown the others, and packs those whose pages are mostly
// empty. Their rows go to lists with other numbers, on other pages; directory and centroids are written once more, and
// one record of the meta page puts both in place. All other lists stay what they are. See README.md, "Lists written
// anew".
//
// Invariants: until that record nobody but this vacuum reads what is new; after it nobody changes the old directory,
// nor the pages of the lists that were replaced, until no snapshot is left that may be reading them (IvfRecycle). No
// row goes to a page that the old directory leads to: who reads that meets each row once.
#include "ivf/ivf_build.h"
#include "ivf/ivf_chain.h"
#include "ivf/ivf_codes.h"
#include "ivf/ivf_known.h"
#include "ivf/ivf_relearn.h"
#include "pg/race_point.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

// So many times the rows of when its lists were made last, and an index is looked through.
constexpr double kGrown = 1.2;
// A list is divided that has so many times the rows that it should have.
constexpr double kOutgrown = 2;
// Where lists with this share of the rows are to be divided, all are written anew: then codes are learnt anew as well.
constexpr double kMostRows = 0.1;
// The same where the codes of the rows err by so many times what those erred that the lists were made of (mean squares
// of so many rows of a sample): bounds hold no longer for rows that have drifted.
constexpr double kErrMore = 1.25;
constexpr uint64 kErrorSample = 2000;
// Lists are packed that have fewer rows than this part of their slots, and so many pages; together they must free this
// share of the list pages, and so many, since directory and centroids are written once more.
constexpr double kSparse = 0.5;
constexpr uint64 kLeastPages = 4, kLeastFreed = 8;
constexpr double kLeastShareFreed = 0.1;

constexpr uint64 kSampleOfList = 50, kLeastSample = 10000, kLeastRowsOfList = 10;

// The rest is added while inserts wait, once a round of it was no more than this, or after so many rounds.
constexpr uint64 kFewPages = 16;
constexpr int kMostRounds = 5;

// Rows of the table by their TIDs.
struct HeapRows {
    Relation heap;
    IndexFetchTableData* fetch;
    TupleTableSlot* slot;
    EState* estate;
    IndexInfo* info;
    SnapshotData dirty;
};

struct ListCount {
    uint64 rows, pages;
    bool taken;     // is written anew
    PageLink done;  // the pages from here on have been read
};

struct Rewriter {
    ListReader old;
    BitSet closed;
    ListCount* lists;
    uint64 rows, pages;        // of all lists
    double target;             // rows that a list should have; 0: the index has not grown
    bool whole;                // all lists are written anew, and codes are learnt anew
    uint64 taken, taken_rows;  // lists that are written anew, and their rows
    uint32 wished;             // lists that they become

    IvfBuild* build;   // of the new lists alone
    uint32* numbers;   // what they are called
    IvfContext fresh;  // the index as it will be
    float* centroid;   // of the list at hand
    uint32 centroid_of;
    float* vector;          // a row, rotated where there is a rotation
    const float* codebook;  // of the codes there are; that of the new lists is the build's
    HeapRows table;
    MemoryContext row_memory;
};

// ---- which lists -----------------------------------------------------------------

void CountBlock(Rewriter* w, BlockNumber block) {
    const IvfContext& ctx = w->old.ctx;
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    if (PageIsNew(page.page()) || !page.Is(PageKind::kIvfList)) return;
    const ListPageData* header = ListOf(ctx.meta, page.page()).header;
    if (header->owner == 0 || header->owner > ctx.meta.lists || w->closed.Has(header->owner - 1)) return;
    ListCount* list = &w->lists[header->owner - 1];
    ++list->pages;
    list->rows += header->live;
    ++w->pages;
    w->rows += header->live;
}

void CountLists(Rewriter* w) {
    const size_t lists = w->old.ctx.meta.lists;
    w->lists = PallocArray<ListCount>(lists);
    memset(static_cast<void*>(w->lists), 0, lists * sizeof(ListCount));
    const BlockNumber blocks = RelationGetNumberOfBlocks(w->old.ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        CountBlock(w, block);
    }
}

void Take(Rewriter* w, ListCount* list, double target) {
    if (list->taken) return;
    list->taken = true;
    ++w->taken;
    w->taken_rows += list->rows;
    w->wished += static_cast<uint32>(std::ceil(static_cast<double>(list->rows) / target));
}

// Lists of an index that has grown should have as many rows as when they were learnt, or as many as there are lists.
void TakeOutgrown(Rewriter* w) {
    const IvfMetaData& meta = w->old.ctx.meta;
    const double rows = static_cast<double>(w->rows);
    if (rows < kGrown * meta.built_rows || rows < static_cast<double>(kLeastRowsOfList * meta.open_lists())) return;
    const double learnt = meta.learnt_lists > 0 ? meta.learnt_rows / meta.learnt_lists : meta.built_rows / meta.lists;
    w->target = Max(Max(learnt, std::sqrt(rows)), static_cast<double>(kLeastRowsOfList));
    for (uint32 list = 0; list < meta.lists; ++list)
        if (static_cast<double>(w->lists[list].rows) > kOutgrown * w->target) Take(w, &w->lists[list], w->target);
}

void TakeAll(Rewriter* w) {
    w->whole = true;
    for (uint32 list = 0; list < w->old.ctx.meta.lists; ++list)
        if (!w->closed.Has(list)) Take(w, &w->lists[list], w->target);
    w->wished = static_cast<uint32>(std::ceil(static_cast<double>(w->rows) / w->target));
}

bool IsSparse(const IvfMetaData& meta, const ListCount& list) {
    return !list.taken && list.pages >= kLeastPages &&
           static_cast<double>(list.rows) < kSparse * static_cast<double>((list.pages - 1) * meta.slots);
}

void TakeSparse(Rewriter* w) {
    const IvfMetaData& meta = w->old.ctx.meta;
    uint64 freed = 0;
    for (uint32 list = 0; list < meta.lists; ++list)
        if (IsSparse(meta, w->lists[list])) freed += w->lists[list].pages - w->lists[list].rows / meta.slots - 1;
    if (freed < kLeastFreed || static_cast<double>(freed) < kLeastShareFreed * static_cast<double>(w->pages)) return;
    for (uint32 list = 0; list < meta.lists; ++list)
        if (IsSparse(meta, w->lists[list])) Take(w, &w->lists[list], static_cast<double>(w->lists[list].rows) + 1);
}

// May there be something to do? To know it, every page must be read.
bool IsWorthALook(const IvfContext& ctx, const VacuumCounts& counts) {
    if (counts.heap_rows >= kGrown * ctx.meta.built_rows) return true;
    if (!counts.passed) return false;
    const double pages = static_cast<double>(RelationGetNumberOfBlocks(ctx.index)) / (1 + PartPointers(ctx.meta));
    return counts.index_rows < kSparse * (pages - ctx.meta.open_lists()) * ctx.meta.slots;
}

bool FitsMemory(const Rewriter& w) {
    const uint64 bytes = (w.old.ctx.meta.lists + w.wished) * w.build->row_bytes();
    if (bytes <= w.build->memory_limit / 2) return true;
    ereport(WARNING,
            (errmsg("maintenance_work_mem is too low to divide the lists of index \"%s\"",
                    RelationGetRelationName(w.old.ctx.index)),
             errhint("Set it to at least %llu MB.", static_cast<unsigned long long>(2 * bytes / (1024 * 1024) + 1))));
    return false;
}

// ---- rows as vectors -------------------------------------------------------------

void OpenTable(HeapRows* table, Relation index) {
    table->heap = table_open(IndexGetRelation(RelationGetRelid(index), false), AccessShareLock);
    table->fetch = table_index_fetch_begin(table->heap);
    table->slot = table_slot_create(table->heap, nullptr);
    table->estate = CreateExecutorState();
    table->info = BuildIndexInfo(index);
    // What is deleted by now is not found, what is being inserted is: neither is about to be pruned.
    InitDirtySnapshot(table->dirty);
}

void CloseTable(HeapRows* table) {
    ExecDropSingleTupleTableSlot(table->slot);
    table_index_fetch_end(table->fetch);
    FreeExecutorState(table->estate);
    table_close(table->heap, AccessShareLock);
}

// Reads the indexed value of a row into build->value. False when the row is dead to all who come: deleted, or never
// committed.
bool ReadTableRow(Rewriter* w, ItemPointerData tid) {
    HeapRows* table = &w->table;
    bool call_again = false;
    if (!table_index_fetch_tuple(table->fetch, &tid, &table->dirty, table->slot, &call_again, nullptr)) return false;
    GetPerTupleExprContext(table->estate)->ecxt_scantuple = table->slot;
    MemoryContext old = MemoryContextSwitchTo(w->row_memory);
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(table->info, table->slot, table->estate, values, nulls);
    const bool found = !nulls[0] && IvfExtract(w->fresh, values[0], &w->build->value);
    MemoryContextSwitchTo(old);
    MemoryContextReset(w->row_memory);
    ResetPerTupleExprContext(table->estate);
    ExecClearTuple(table->slot);
    return found;
}

void DecodeSigns(const IvfMetaData& meta, const uint8* code, float scale, Metric metric, float* out) {
    const float half = -scale / (metric == Metric::kL2 ? 4 : 2);
    for (int i = 0; i < meta.dim; ++i) {
        const int word = code[i / 8] >> (i / 4 % 2 * 4);
        out[i] = ((word >> (i % 4)) & 1) != 0 ? half : -half;
    }
}

// What the code of a row says of its vector.
void DecodeCode(Rewriter* w, uint32 list, const ListView& view, int slot, float* out) {
    const IvfContext& ctx = w->old.ctx;
    const IvfMetaData& meta = ctx.meta;
    if (w->centroid_of != list) ReadTapeRecord(ctx.index, CentroidTape(meta), list, w->centroid);
    w->centroid_of = list;
    uint8 code[BLCKSZ];
    if (HasBlocks(meta)) {
        const char* block = view.data + static_cast<size_t>(slot / kBlockCodes) * BlockBytes(meta.m);
        UnpackLane(meta.m, reinterpret_cast<const uint8*>(block), slot % kBlockCodes, code);
    } else {
        memcpy(code, view.data + static_cast<size_t>(slot) * meta.entry_size, meta.entry_size);
    }
    if (meta.quantizer == static_cast<uint8>(Quantizer::kPq))
        DecodePq(IvfPqShape(meta), w->codebook, code, out);
    else
        DecodeSigns(meta, code, view.factors[meta.slots + slot], IvfCodeMetric(*ctx.desc), out);
    for (int i = 0; i < meta.dim; ++i)
        out[i] += w->centroid[i];
}

// As the index itself has it: about the vector where it has codes.
void DecodeRow(Rewriter* w, uint32 list, const ListView& view, int slot, float* out) {
    if (HasPayload(w->old.ctx.meta))
        IvfDecodePayload(w->old.ctx, IvfWholeEntry(&w->old, view, slot), out);
    else
        DecodeCode(w, list, view, slot, out);
}

// The vector that a row's code is made from; of payloads, what is compared with centroids.
void RowVector(Rewriter* w, uint32 list, const ListView& view, int slot) {
    const size_t bytes = w->build->row_bytes();
    if (!HasPayload(w->old.ctx.meta) && ReadTableRow(w, view.tids[slot]))
        memcpy(w->vector, w->build->value.vector, bytes);
    else
        DecodeRow(w, list, view, slot, w->vector);
}

// The payload beside a row's code. Nobody takes rows out of a list meanwhile, so it stands where the page says.
void CopyStored(Rewriter* w, const PageLink& link, const ListView& view, int slot, char* payload) {
    const IvfContext& ctx = w->old.ctx;
    const BlockNumber block = ctx.meta.stored_on_page > 0 ? view.parts[StoredPlaceOf(ctx.meta, slot).part] : link.block;
    if (!IvfReadStored(ctx, block, slot, view.tids[slot], payload)) IvfRaiseBroken(ctx, block);
}

// ---- learning --------------------------------------------------------------------

// Rows of all lists at even distances, and the lists that they are in.
struct Sampled {
    float* points;
    uint32* lists;
    uint64 room, count;
    double step, next;  // in rows
    double seen;
};

void SampleBlock(Rewriter* w, Sampled* sample, BlockNumber block) {
    const IvfContext& ctx = w->old.ctx;
    uint32 owner;
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        if (PageIsNew(page.page()) || !page.Is(PageKind::kIvfList)) return;
        owner = ListOf(ctx.meta, page.page()).header->owner;
        if (owner == 0 || owner > ctx.meta.lists || w->closed.Has(owner - 1)) return;
        memcpy(w->old.copy.data, page.page(), BLCKSZ);
    }
    const ListView view = ListOf(ctx.meta, reinterpret_cast<Page>(w->old.copy.data));
    for (int slot = 0; slot < ctx.meta.slots; ++slot) {
        if (!view.IsLive(slot) || sample->seen++ < sample->next || sample->count == sample->room) continue;
        sample->next += sample->step;
        sample->lists[sample->count] = owner - 1;
        RowVector(w, owner - 1, view, slot);
        memcpy(sample->points + sample->count++ * w->build->dim, w->vector, w->build->row_bytes());
    }
}

void TakeSample(Rewriter* w, uint64 wanted, Sampled* sample) {
    memset(static_cast<void*>(sample), 0, sizeof(*sample));
    sample->room = Max<uint64>(Min(wanted, w->build->memory_limit / 4 / w->build->row_bytes()), 1);
    sample->points = PallocArray<float>(sample->room * w->build->dim);
    sample->lists = PallocArray<uint32>(sample->room);
    sample->step = Max(static_cast<double>(w->rows) / static_cast<double>(sample->room), 1.0);
    const BlockNumber blocks = RelationGetNumberOfBlocks(w->old.ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        SampleBlock(w, sample, block);
    }
}

// Have rows drifted so far that the bounds of their codes hold no longer? Sign codes have bounds of their own.
bool CodesErrMore(Rewriter* w) {
    const IvfContext& ctx = w->old.ctx;
    if (ctx.meta.quantizer != static_cast<uint8>(Quantizer::kPq)) return false;
    const PqShape shape = IvfPqShape(ctx.meta);
    uint8_t* code = PallocArray<uint8_t>(shape.code_bytes());
    Sampled sample;
    TakeSample(w, kErrorSample, &sample);
    double error = 0, learnt = 0;
    for (uint64 i = 0; i < sample.count; ++i) {
        float* point = sample.points + i * w->build->dim;
        ReadTapeRecord(ctx.index, CentroidTape(ctx.meta), sample.lists[i], w->centroid);
        for (size_t d = 0; d < w->build->dim; ++d)
            point[d] -= w->centroid[d];
        error += static_cast<double>(EncodePq(shape, w->codebook, point, code));
        const double of_list = static_cast<double>(IvfReadEntry(ctx, sample.lists[i]).error);
        learnt += of_list * of_list;
    }
    w->centroid_of = PG_UINT32_MAX;
    pfree(sample.points);
    pfree(sample.lists);
    pfree(code);
    return error > kErrMore * learnt;
}

// Learns the centroids of the new lists from those of the sampled rows that will be in them.
bool LearnCentroids(Rewriter* w, const Sampled& sample) {
    IvfBuild* build = w->build;
    build->sample = PallocArray<float>(sample.count * build->dim);
    build->sample_count = 0;
    for (uint64 i = 0; i < sample.count; ++i)
        if (w->lists[sample.lists[i]].taken)
            memcpy(build->sample + build->sample_count++ * build->dim, sample.points + i * build->dim,
                   build->row_bytes());
    const uint64 most = build->sample_count / kLeastRowsOfList;
    const uint64 others = w->old.ctx.meta.open_lists() - w->taken;
    uint64 made = Max<uint64>(Min<uint64>(w->wished, most), 1);
    if (others + made > static_cast<uint64>(kIvfMaxLists)) made = static_cast<uint64>(kIvfMaxLists) - others;
    // Too few rows to tell more lists apart than there were.
    if (build->sample_count == 0) return false;
    build->ctx.meta.lists = static_cast<uint32>(made);
    build->centroids = PallocArray<float>(made * build->dim);
    IvfFindCentroids(build);
    return true;
}

// Gives the new lists numbers: those of lists that are no more, then further ones. Sets the number of lists.
bool NumberLists(Rewriter* w) {
    const IvfMetaData& old = w->old.ctx.meta;
    const uint32 made = w->build->ctx.meta.lists;
    w->numbers = PallocArray<uint32>(made);
    uint32 count = 0;
    for (uint32 list = 0; list < old.lists && count < made; ++list)
        if (w->closed.Has(list)) w->numbers[count++] = list;
    const uint32 reused = count;
    uint32 next = old.lists;
    while (count < made)
        w->numbers[count++] = next++;
    w->fresh.meta.lists = next;
    w->fresh.meta.closed = old.closed - reused + static_cast<uint32>(w->taken);
    w->build->list_numbers = w->numbers;
    return next <= static_cast<uint32>(kIvfMaxLists);
}

// The centroids of all lists there will be; NaN for closed ones.
float* AllCentroids(Rewriter* w) {
    const IvfMetaData& old = w->old.ctx.meta;
    const size_t dim = w->build->dim;
    float* all = PallocArray<float>(static_cast<size_t>(w->fresh.meta.lists) * dim);
    CopyTapeRecords(w->old.ctx.index, CentroidTape(old), old.lists, all);
    for (uint32 list = 0; list < old.lists; ++list)
        for (size_t i = 0; i < dim && w->lists[list].taken; ++i)
            all[list * dim + i] = std::numeric_limits<float>::quiet_NaN();
    for (uint32 i = 0; i < w->build->ctx.meta.lists; ++i)
        memcpy(all + w->numbers[i] * dim, w->build->centroids + i * dim, w->build->row_bytes());
    return all;
}

// What searches need to know from now on, by the whole sample, which is used up.
void LearnSearch(Rewriter* w, const Sampled& sample, const float* centroids) {
    const uint32 lists = w->fresh.meta.lists;
    const size_t dim = w->build->dim;
    int32* labels = PallocArray<int32>(sample.count);
    uint32* place = PallocArray<uint32>(lists);  // among the open lists
    float* open = PallocArray<float>(static_cast<size_t>(lists) * dim);
    uint32 count = 0;
    for (uint32 list = 0; list < lists; ++list) {
        place[list] = count;
        const float* centroid = centroids + list * dim;
        if (centroid[0] == centroid[0]) memcpy(open + count++ * dim, centroid, w->build->row_bytes());
    }
    IvfFindLists(w->build, sample.points, sample.count, labels);
    for (uint64 i = 0; i < sample.count; ++i) {
        const bool taken = w->lists[sample.lists[i]].taken;
        labels[i] = static_cast<int32>(place[taken ? w->numbers[labels[i]] : sample.lists[i]]);
    }
    IvfBuild whole = *w->build;
    whole.sample = sample.points;
    whole.sample_count = sample.count;
    whole.centroids = open;
    whole.ctx.meta.lists = count;
    whole.estimated = static_cast<double>(w->rows);
    IvfLearnSearch(&whole, labels, w->whole);
    w->fresh.meta.probes = whole.ctx.meta.probes;
    w->fresh.meta.error_scale = w->build->ctx.meta.error_scale = whole.ctx.meta.error_scale;
    w->build->codebook = whole.codebook;
    pfree(open);
    pfree(place);
    pfree(labels);
}

// ---- writing ---------------------------------------------------------------------

void WriteSkeleton(Rewriter* w, const float* centroids) {
    const IvfNumbers numbers = {centroids, w->whole ? w->build->codebook : nullptr, nullptr};
    const BlockNumber count = IvfPlaceSkeleton(&w->fresh.meta, 0, numbers);
    NewPages pages = w->build->pages;
    pages.next = IvfReserveBlocks(w->old.ctx.index, count);
    IvfPlaceSkeleton(&w->fresh.meta, pages.next, numbers);
    IvfWriteSkeleton(&pages, w->fresh.meta, numbers);
}

void AddToBatch(Rewriter* w, uint32 list, const PageLink& link, const ListView& view) {
    IvfBuild* build = w->build;
    const IvfMetaData& meta = build->ctx.meta;
    for (int slot = 0; slot < meta.slots; ++slot) {
        if (!view.IsLive(slot)) continue;
        RowVector(w, list, view, slot);
        const uint64 at = build->batch_count++;
        memcpy(build->batch + at * build->dim, w->vector, build->row_bytes());
        build->batch_tids[at] = view.tids[slot];
        if (HasPayload(meta))
            memcpy(build->entries + at * meta.entry_size, IvfWholeEntry(&w->old, view, slot), meta.entry_size);
        if (HasStored(meta)) CopyStored(w, link, view, slot, build->stored + at * StoredBytes(meta));
        if (build->batch_count == build->batch_room) IvfAssignBatch(build);
    }
}

// Writes the pages of the new lists, and their entries in the new directory.
void WriteLists(Rewriter* w) {
    IvfBuild* build = w->build;
    IvfInitBatches(build);
    for (uint32 list = 0; list < w->old.ctx.meta.lists; ++list) {
        if (!w->lists[list].taken) continue;
        const PageLink first = IvfFreezeList(w->old.ctx, list);
        w->lists[list].done = first;
        ForListPages(&w->old, list, first, {InvalidBlockNumber, 0}, false,
                     [&](const PageLink& link, const ListView& view) { AddToBatch(w, list, link, view); });
    }
    IvfAssignBatch(build);
    table_index_fetch_reset(w->table.fetch);
    IvfLoadLists(build);
    build->spool.Close();
    for (uint32 i = 0; i < build->ctx.meta.lists; ++i) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(w->fresh.index, DirectoryBlock(w->fresh.meta, w->numbers[i]), BUFFER_LOCK_EXCLUSIVE);
        PagePatch patch(w->fresh.index, WriteMode::kLogged);
        patch.Put(page.buffer(), EntryOf(page.page(), w->numbers[i]), &build->directory[i], sizeof(ListEntryData));
        patch.Commit();
    }
}

uint32 NearestMade(const Rewriter& w, const float* vector) {
    uint32 nearest = 0;
    float least = std::numeric_limits<float>::infinity();
    for (uint32 i = 0; i < w.build->ctx.meta.lists; ++i) {
        const float distance =
            Kernels().float32.l2_squared(vector, w.build->centroids + i * w.build->dim, w.build->dim);
        if (!(distance < least)) continue;
        least = distance;
        nearest = i;
    }
    return nearest;
}

// Puts a row that came meanwhile into one of the new lists.
void AddLate(Rewriter* w, uint32 list, const PageLink& link, const ListView& view, int slot) {
    const IvfMetaData& meta = w->fresh.meta;
    RowVector(w, list, view, slot);
    const uint32 nearest = NearestMade(*w, w->vector);
    MemoryContext old = MemoryContextSwitchTo(w->row_memory);
    RowImage row;
    memset(static_cast<void*>(&row), 0, sizeof(row));
    row.tid = view.tids[slot];
    if (HasPayload(meta)) {
        row.entry = IvfWholeEntry(&w->old, view, slot);
    } else {
        IvfVector value = w->build->value;
        value.vector = w->vector;
        IvfEncodeCode(w->fresh, w->build->codebook, value, w->build->centroids + nearest * w->build->dim, &row);
    }
    if (HasStored(meta)) {
        char* stored = PallocArray<char>(StoredBytes(meta));
        CopyStored(w, link, view, slot, stored);
        row.stored = stored;
    }
    IvfPutRow(w->fresh, w->numbers[nearest], row);
    MemoryContextSwitchTo(old);
    MemoryContextReset(w->row_memory);
    ++w->build->rows;
}

// Adds the rows of pages that came since the last time. With `hurry` inserts wait; without, further ones go to further
// pages. Returns the number of pages.
uint64 CatchUp(Rewriter* w, bool hurry) {
    uint64 pages = 0;
    for (uint32 list = 0; list < w->old.ctx.meta.lists; ++list) {
        ListCount* count = &w->lists[list];
        if (!count->taken) continue;
        const PageLink first = hurry ? IvfReadEntry(w->old.ctx, list).head : IvfFreezeList(w->old.ctx, list);
        pages +=
            ForListPages(&w->old, list, first, count->done, hurry, [&](const PageLink& link, const ListView& view) {
                for (int slot = 0; slot < w->old.ctx.meta.slots; ++slot)
                    if (view.IsLive(slot)) AddLate(w, list, link, view, slot);
            });
        count->done = first;
    }
    table_index_fetch_reset(w->table.fetch);
    return pages;
}

// Writes what the old directory says of the lists that stay to a page of the new one, and closes those that do not.
// Inserts wait.
void CopyEntries(Rewriter* w, const BitSet& made, uint32 first, uint32 end) {
    const IvfContext& old = w->old.ctx;
    ListEntryData entries[kEntriesPerPage];
    for (uint32 list = first; list < end; ++list) {
        const ListEntryData closed = {{InvalidBlockNumber, 0}, {InvalidBlockNumber, 0}, 0, kListClosed};
        const bool stays = list < old.meta.lists && !w->lists[list].taken;
        entries[list - first] = made.Has(list) ? IvfReadEntry(w->fresh, list)
                                : stays        ? IvfReadEntry(old, list)
                                               : closed;
    }
    LockedPage page(old.index, DirectoryBlock(w->fresh.meta, first), BUFFER_LOCK_EXCLUSIVE);
    w->build->pages.Write(page.buffer(), PageKind::kIvfDirectory, entries, (end - first) * sizeof(ListEntryData));
}

void PutInPlace(Rewriter* w) {
    const Relation index = w->old.ctx.index;
    Arena arena = MakeArena(CurrentMemoryContext);
    BitSet made;
    made.Init(&arena, w->fresh.meta.lists);
    for (uint32 i = 0; i < w->build->ctx.meta.lists; ++i)
        made.Add(w->numbers[i]);
    for (uint32 first = 0; first < w->fresh.meta.lists; first += kEntriesPerPage) {
        CHECK_FOR_INTERRUPTS();
        CopyEntries(w, made, first, Min(first + kEntriesPerPage, w->fresh.meta.lists));
    }
    IvfMetaData meta = w->fresh.meta;
    meta.built_rows = static_cast<double>(w->rows - w->taken_rows + w->build->rows);
    IvfReplaceMeta(index, meta);
}

// ---- the whole -------------------------------------------------------------------

void InitRewriter(Rewriter* w) {
    const IvfContext& old = w->old.ctx;
    w->fresh = old;
    IvfMetaData* meta = &w->fresh.meta;
    meta->strays = 1;
    if (meta->learnt_lists == 0) {
        meta->learnt_lists = old.meta.lists;
        meta->learnt_rows = old.meta.built_rows;
    }
    IvfBuild* build = w->build = PallocZeroed<IvfBuild>();
    build->relearning = true;
    build->options = IvfOptionsOf(old.index);
    build->ctx = old;
    build->dim = old.meta.dim;
    build->memory_limit = Max(static_cast<uint64>(VacuumMemory()) * 1024, kIvfLeastBuildBytes);
    // Autovacuum leaves the processors to others.
    build->threads = IsAutovacuum() ? 1 : ComputeThreads(nullptr);
    build->pages = {old.index, MAIN_FORKNUM, InvalidBlockNumber, RelationNeedsWAL(old.index)};
    IvfInitVector(old, &build->value);
    w->codebook = build->codebook = const_cast<float*>(IvfReadCodebook(old));
    w->centroid = PallocArray<float>(build->dim);
    w->centroid_of = PG_UINT32_MAX;
    w->vector = PallocArray<float>(build->dim);
    w->row_memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum row", ALLOCSET_DEFAULT_SIZES);
}

// Learns the new centroids. False when that leads to nothing.
bool Learn(Rewriter* w) {
    Sampled sample;
    TakeSample(w, Max(kSampleOfList * (w->old.ctx.meta.open_lists() + w->wished), kLeastSample), &sample);
    if (!LearnCentroids(w, sample) || !NumberLists(w)) return false;
    float* centroids = AllCentroids(w);
    if (w->fresh.meta.compact != 0) LearnSearch(w, sample, centroids);
    pfree(sample.lists);
    pfree(sample.points);
    pfree(w->build->sample);
    IvfSetStrays(w->old.ctx);
    WriteSkeleton(w, centroids);
    pfree(centroids);
    return true;
}

void WriteAll(Rewriter* w) {
    WriteLists(w);
    VECANN_RACE_POINT("ivf-rewrite-before-rest");
    for (int round = 0; round < kMostRounds; ++round)
        if (CatchUp(w, false) <= kFewPages) break;
    VECANN_RACE_POINT("ivf-rewrite-before-switch");
    IvfLockStructure(w->old.ctx.index, ExclusiveLock);
    CatchUp(w, true);
    PutInPlace(w);
    IvfUnlockStructure(w->old.ctx.index, ExclusiveLock);
    ereport(IsAutovacuum() ? LOG : NOTICE,
            (errmsg("index \"%s\": made %u lists of %llu with %llu rows", RelationGetRelationName(w->old.ctx.index),
                    w->build->ctx.meta.lists, static_cast<unsigned long long>(w->taken),
                    static_cast<unsigned long long>(w->build->rows))));
}

void Rewrite(Rewriter* w) {
    InitRewriter(w);
    OpenTable(&w->table, w->old.ctx.index);
    CountLists(w);
    TakeOutgrown(w);
    const bool many = static_cast<double>(w->taken_rows) >= kMostRows * static_cast<double>(w->rows);
    if (w->target > 0 && (many || CodesErrMore(w))) TakeAll(w);
    TakeSparse(w);
    if (w->taken > 0 && FitsMemory(*w) && Learn(w)) WriteAll(w);
    CloseTable(&w->table);
}

}  // namespace

void IvfRewriteLists(Relation index, BufferAccessStrategy strategy, const VacuumCounts& counts) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum lists", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Rewriter* w = PallocZeroed<Rewriter>();
    IvfOpenReader(&w->old, index, strategy);
    // IvfRelearn may just have put lists in place, or cleared the flag.
    if (w->old.ctx.meta.strays == 0 && w->old.ctx.meta.trained != 0 && IsWorthALook(w->old.ctx, counts)) {
        Arena arena = MakeArena(memory);
        IvfFindClosed(w->old.ctx, &arena, &w->closed);
        Rewrite(w);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
}

}  // namespace vecann

// Building an index: sample, train, assign, load; unlogged, then one pass that logs the whole fork. Nobody else sees
// the index meanwhile. See README.md, "Build".
#include "ivf/ivf_build.h"

namespace vecann {

namespace {

// ---- reading the table -----------------------------------------------------------

// Extracts the value of a row; false when it is not indexed.
bool TakeRow(IvfBuild* build, const Datum* values, const bool* isnull) {
    if (isnull[0]) return false;
    MemoryContext old = MemoryContextSwitchTo(build->row_memory);
    const bool indexable =
        build->ctx.desc->extract(values[0], static_cast<int>(build->dim), build->value.plain, &build->value.hash);
    MemoryContextSwitchTo(old);
    MemoryContextReset(build->row_memory);
    return indexable;
}

void SampleRow(Relation, ItemPointer, Datum* values, bool* isnull, bool, void* arg) {
    IvfBuild* build = static_cast<IvfBuild*>(arg);
    if (TakeRow(build, values, isnull)) IvfSample(build, build->value.plain);
}

// Takes a sample from `taken` blocks spread evenly over the table, one at random of each stretch.
void SampleBlocks(IvfBuild* build, uint64 taken) {
    const BlockNumber blocks = RelationGetNumberOfBlocks(build->heap);
    // Rows of transactions in progress may be in a sample; a build CONCURRENTLY has a snapshot, which tells.
    const bool any_visible = !build->info->ii_Concurrent;
    build->sample_count = build->sample_seen = 0;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(taken));
    for (uint64 i = 0; i < taken; ++i) {
        CHECK_FOR_INTERRUPTS();
        const uint64 begin = i * blocks / taken, end = (i + 1) * blocks / taken;
        const BlockNumber block = static_cast<BlockNumber>(begin + build->rng.Next() % (end - begin));
        table_index_build_range_scan(build->heap, build->ctx.index, build->info, false, any_visible, false, block, 1,
                                     SampleRow, build, nullptr);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(i));
    }
}

void TakeSample(IvfBuild* build) {
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseSample);
    const uint64 wanted = IvfSampleRows(*build);
    build->sample_room = Max<uint64>(Min(wanted, build->memory_limit / 2 / build->row_bytes()), 1);
    build->sample = PallocArray<float>(build->sample_room * build->dim);
    const uint64 blocks = RelationGetNumberOfBlocks(build->heap);
    const double room = 1.1 * static_cast<double>(build->sample_room);
    double density = Max(build->estimated / Max(static_cast<double>(blocks), 1.0), 0.01);
    uint64 taken = Min(static_cast<uint64>(room / density) + 1, blocks);
    SampleBlocks(build, taken);
    if (taken == blocks || build->sample_count > build->sample_room / 2) return;
    // A partial index, or many NULLs: now the density is known better.
    density = Max(static_cast<double>(build->sample_count), 0.5) / static_cast<double>(taken);
    SampleBlocks(build, Min(static_cast<uint64>(room / density) + 1, blocks));
}

void AssignRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    IvfBuild* build = static_cast<IvfBuild*>(arg);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++build->seen);
    if (!TakeRow(build, values, isnull)) return;
    memcpy(build->batch + build->batch_count * build->dim, build->value.plain, build->row_bytes());
    build->batch_tids[build->batch_count++] = *tid;
    if (build->batch_count == build->batch_room) IvfAssignBatch(build);
}

// Sends every row to the temporary file with its list. Returns the rows of the table.
double AssignRows(IvfBuild* build) {
    IvfInitBatches(build);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseAssign);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(build->estimated));
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
    // In the table's order, wherever other scans are: the same table gives the same index.
    const double tuples =
        table_index_build_scan(build->heap, build->ctx.index, build->info, false, true, AssignRow, build, nullptr);
    IvfAssignBatch(build);
    return tuples;
}

// What is known of the rows when all are there.
void StoreRows(const IvfBuild& build) {
    LockedPage page(build.ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    IvfMetaOf(page.page())->built_rows = static_cast<double>(build.rows);
    IvfMetaOf(page.page())->stored_exact = build.ctx.meta.stored_exact;
    MarkBufferDirty(page.buffer());
}

void InitBuild(IvfBuild* build, Relation heap, Relation index, IndexInfo* info) {
    memset(static_cast<void*>(build), 0, sizeof(*build));
    build->heap = heap;
    build->info = info;
    build->options = IvfOptionsOf(index);
    build->ctx.index = index;
    build->ctx.desc = OpClassOf(index);
    build->dim = static_cast<size_t>(IndexDimensions(index));
    build->ctx.meta = IvfMakeMeta(*build->ctx.desc, static_cast<int>(build->dim), build->options, true);
    build->memory_limit = Max(static_cast<uint64>(maintenance_work_mem) * 1024, kIvfLeastBuildBytes);
    build->threads = ComputeThreads(heap);
    build->rng = Rng(build->options.seed);
    build->pages = {index, MAIN_FORKNUM, InvalidBlockNumber, false};
    build->row_memory = AllocSetContextCreate(CurrentMemoryContext, "ivf build row", ALLOCSET_DEFAULT_SIZES);
    IvfInitVector(build->ctx, &build->value);
    BlockNumber heap_pages;
    double all_visible;
    estimate_rel_size(heap, nullptr, &heap_pages, &build->estimated, &all_visible);
}

}  // namespace

extern "C" IndexBuildResult* ivf_build(Relation heap, Relation index, IndexInfo* index_info) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    IvfBuild* build = PallocZeroed<IvfBuild>();
    InitBuild(build, heap, index, index_info);
    TakeSample(build);
    IvfTrain(build);
    if (build->sample != nullptr) pfree(build->sample);
    IvfPlaceSkeleton(&build->ctx.meta, kMetaBlock + 1, build->numbers());
    IvfWriteMeta(index, MAIN_FORKNUM, build->ctx.meta);
    IvfWriteSkeleton(&build->pages, build->ctx.meta, build->numbers());
    const double tuples = AssignRows(build);
    IvfLoadLists(build);
    StoreRows(*build);
    build->spool.Close();

    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseLog);
    if (RelationNeedsWAL(index))
        log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocksInFork(index, MAIN_FORKNUM), true);
    const double rows = static_cast<double>(build->rows);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);

    IndexBuildResult* result = PallocZeroed<IndexBuildResult>();
    result->heap_tuples = tuples;
    result->index_tuples = rows;
    return result;
}

extern "C" void ivf_build_empty(Relation index) {
    const IvfOptions options = IvfOptionsOf(index);
    const int dim = IndexDimensions(index);
    IvfMetaData meta = IvfMakeMeta(*OpClassOf(index), dim, options, false);
    float* origin = static_cast<float*>(palloc0(static_cast<size_t>(dim) * sizeof(float)));
    meta.lists = 1;
    // The fork must survive a crash, as no other of an unlogged relation does.
    NewPages pages = {index, INIT_FORKNUM, InvalidBlockNumber, true};
    const IvfNumbers numbers = {origin, nullptr, nullptr};
    IvfPlaceSkeleton(&meta, kMetaBlock + 1, numbers);
    IvfWriteMeta(index, INIT_FORKNUM, meta);
    IvfWriteSkeleton(&pages, meta, numbers);
    pfree(origin);
}

extern "C" char* ivf_build_phase_name(int64 phase) {
    switch (phase) {
        case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
            return const_cast<char*>("initializing");
        case kIvfPhaseSample:
            return const_cast<char*>("sampling table");
        case kIvfPhaseTrain:
            return const_cast<char*>("training");
        case kIvfPhaseAssign:
            return const_cast<char*>("assigning rows");
        case kIvfPhaseLoad:
            return const_cast<char*>("loading lists");
        case kIvfPhaseLog:
            return const_cast<char*>("writing WAL");
        default:
            return nullptr;
    }
}

}  // namespace vecann

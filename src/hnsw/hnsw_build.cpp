// Building an index: the rows that fit maintenance_work_mem in bulk (hnsw_bulk.h), the rest one after another;
// unlogged, then one pass that logs the whole fork. Nobody else sees the index meanwhile.
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_bulk.h"
#include "hnsw/hnsw_insert.h"
#include "hnsw/hnsw_seeds.h"
#include "pg/compute_run.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

struct BuildState {
    HnswContext ctx;
    IndexedVector value;
    MemoryContext bulk_memory;  // null once the bulk is written
    BulkBuild bulk;
    double indexed;
    int64 seen;
    int64 inserted;  // of those collected
};

void InsertOne(BuildState* state, ItemPointer tid) {
    HnswContext* ctx = &state->ctx;
    MemoryContext old = MemoryContextSwitchTo(ctx->memory);
    HnswInsertRow(ctx, &state->value, tid);
    MemoryContextSwitchTo(old);
    MemoryContextReset(ctx->memory);
    ctx->arena = MakeArena(ctx->memory);
}

void InsertCollected(void* arg, const float* plain, const BulkRow& row) {
    BuildState* state = static_cast<BuildState*>(arg);
    CHECK_FOR_INTERRUPTS();
    memcpy(state->value.plain, plain, static_cast<size_t>(state->ctx.form.dim) * sizeof(float));
    HnswRotate(state->ctx.form, &state->value);
    state->value.hash = row.value_hash;
    ItemPointerData tid = row.tid;
    InsertOne(state, &tid);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++state->inserted);
}

// Writes what has been collected; rows that come later are inserted.
void EndBulk(BuildState* state) {
    if (state->bulk_memory == nullptr) return;
    // The row at hand waits in state->value.
    IndexedVector next = state->value;
    MemoryContext old = MemoryContextSwitchTo(state->bulk_memory);
    if (HnswBulkSuits(state->bulk)) {
        HnswBulkWrite(&state->bulk);
    } else {
        state->value.Init(&state->bulk.arena, state->ctx.form);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseInsert);
        HnswBulkEach(&state->bulk, InsertCollected, state);
        state->value = next;
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(state->bulk_memory);
    state->bulk_memory = nullptr;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseInsert);
}

void BuildRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    BuildState* state = static_cast<BuildState*>(arg);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++state->seen);
    if (isnull[0]) return;
    MemoryContext old = MemoryContextSwitchTo(state->ctx.memory);
    const bool indexable = HnswExtract(state->ctx.form, values[0], &state->value);
    MemoryContextSwitchTo(old);
    if (!indexable) return;
    state->indexed += 1;
    if (state->bulk_memory == nullptr || !HnswBulkAdd(&state->bulk, state->value, tid)) {
        EndBulk(state);
        InsertOne(state, tid);
    }
    MemoryContextReset(state->ctx.memory);
    state->ctx.arena = MakeArena(state->ctx.memory);
    VECANN_RACE_POINT("hnsw-build-row");
}

}  // namespace

int HnswIndexDimensions(Relation index) {
    const Form_pg_attribute column = TupleDescAttr(index->rd_att, 0);
    int32 dim = column->atttypmod;
    getBaseTypeAndTypmod(column->atttypid, &dim);  // a domain keeps the modifier of its base type to itself
    if (dim < 0) ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("column does not have dimensions")));
    return dim;
}

namespace {

HnswMetaData MetaFor(Relation index) {
    const HnswShapeOptions options = HnswOptions(index);
    if (options.ef_construction < 2 * options.m)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("ef_construction must be greater than or equal to 2 * m")));
    return HnswMakeMeta(*OpClassOf(index), HnswIndexDimensions(index), options);
}

}  // namespace

namespace {

// Prepares the bulk build and says so when memory will not hold all rows. Without codes (L1) there is none.
void StartBulk(BuildState* state, Relation heap, double expected) {
    const HnswMetaData& meta = state->ctx.meta;
    if (meta.code_bits == 0) return;
    const uint64 limit = static_cast<uint64>(maintenance_work_mem) * 1024;
    const uint64 rows = static_cast<uint64>(Max(expected, 0.0));
    const uint64 wanted = HnswBulkMemory(meta, rows, ComputeThreads(heap));
    // Without statistics the estimate goes by the size of the table, and vectors out of line mislead it.
    if (wanted > limit && heap->rd_rel->reltuples >= 0)
        ereport(NOTICE, (errmsg("hnsw graph of about %.0f rows does not fit into maintenance_work_mem", expected),
                         errdetail("It takes about %llu MB to build at once. Rows beyond that are inserted one by one, "
                                   "which takes longer.",
                                   static_cast<unsigned long long>(wanted / (1024 * 1024))),
                         errhint("Increase maintenance_work_mem to speed up the build.")));
    state->bulk_memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw bulk build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(state->bulk_memory);
    HnswBulkInit(&state->bulk, &state->ctx, heap, limit, rows);
    MemoryContextSwitchTo(old);
}

}  // namespace

extern "C" IndexBuildResult* hnsw_build(Relation heap, Relation index, IndexInfo* index_info) {
    HnswWriteMeta(index, MAIN_FORKNUM, MetaFor(index));

    BuildState state;
    memset(static_cast<void*>(&state), 0, sizeof(state));
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row", ALLOCSET_DEFAULT_SIZES);
    HnswOpen(&state.ctx, index, WriteMode::kBuild, memory);
    Arena long_arena = MakeArena(CurrentMemoryContext);
    state.value.Init(&long_arena, state.ctx.form);

    BlockNumber heap_pages;
    double estimate, all_visible;
    estimate_rel_size(heap, nullptr, &heap_pages, &estimate, &all_visible);
    StartBulk(&state, heap, estimate);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseScan);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(estimate));
    const double tuples = table_index_build_scan(heap, index, index_info, true, true, BuildRow, &state, nullptr);
    EndBulk(&state);
    HnswPlantSeeds(&state.ctx);

    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseLog);
    if (RelationNeedsWAL(index))
        log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocksInFork(index, MAIN_FORKNUM), true);
    MemoryContextDelete(memory);

    IndexBuildResult* result = PallocZeroed<IndexBuildResult>();
    result->heap_tuples = tuples;
    result->index_tuples = state.indexed;
    return result;
}

extern "C" void hnsw_build_empty(Relation index) {
    HnswWriteMeta(index, INIT_FORKNUM, MetaFor(index));
}

extern "C" char* hnsw_build_phase_name(int64 phase) {
    switch (phase) {
        case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
            return const_cast<char*>("initializing");
        case kHnswPhaseScan:
            return const_cast<char*>("scanning table");
        case kHnswPhaseGraph:
            return const_cast<char*>("building graph");
        case kHnswPhaseWrite:
            return const_cast<char*>("writing graph");
        case kHnswPhaseInsert:
            return const_cast<char*>("inserting rows");
        case kHnswPhaseLog:
            return const_cast<char*>("writing WAL");
        default:
            return nullptr;
    }
}

}  // namespace vecann

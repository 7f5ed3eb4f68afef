// Building an index: at once in memory when all rows fit maintenance_work_mem (hnsw_bulk.h), else by partitions through
// temporary files (hnsw_external.h); unlogged, then one pass that logs the whole fork. Rows that suit neither are
// inserted. Nobody else sees the index meanwhile.
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_bulk.h"
#include "hnsw/hnsw_external.h"
#include "hnsw/hnsw_insert.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_seeds.h"
#include "pg/compute_run.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

struct BuildState {
    HnswContext ctx;
    IndexedVector value;
    MemoryContext bulk_memory;  // of whichever is under way; null when rows are inserted as they come
    BulkBuild bulk;             // as long as the rows fit
    bool external_used;
    ExternalBuild external;  // from then on
    MemoryContext build_memory;
    TempFile odd_rows;  // TIDs and vectors whose squares leave the range of numbers: to be inserted at the end
    uint64 odd_count;
    uint64 memory_limit;
    uint64 expected;  // rows of the table
    bool tells;       // these are worth a notice
    double indexed;
    int64 seen;
    int64 inserted;  // of those collected
};

// Inserts the value at hand, of which the plain numbers and the hash are set.
void InsertOne(BuildState* state, ItemPointer tid) {
    HnswContext* ctx = &state->ctx;
    MemoryContext old = MemoryContextSwitchTo(ctx->memory);
    if (!ctx->form.words) HnswRotate(ctx->form, &state->value);
    HnswInsertRow(ctx, &state->value, tid);
    MemoryContextSwitchTo(old);
    MemoryContextReset(ctx->memory);
    ctx->arena = MakeArena(ctx->memory);
}

void SetValue(BuildState* state, const float* plain, uint32 hash) {
    memcpy(state->value.plain, plain, static_cast<size_t>(state->ctx.form.dim) * sizeof(float));
    state->value.hash = hash;
}

void InsertCollected(void* arg, const float* plain, const BulkRow& row) {
    BuildState* state = static_cast<BuildState*>(arg);
    CHECK_FOR_INTERRUPTS();
    SetValue(state, plain, row.value_hash);
    ItemPointerData tid = row.tid;
    InsertOne(state, &tid);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++state->inserted);
}

void SpillCollected(void* arg, const float* plain, const BulkRow& row) {
    BuildState* state = static_cast<BuildState*>(arg);
    CHECK_FOR_INTERRUPTS();
    SetValue(state, plain, row.value_hash);
    ItemPointerData tid = row.tid;
    ExternalAdd(&state->external, &state->value, &tid);
}

// The rows do not fit: hands those that were collected, and the one at hand, to the external build.
void TurnExternal(BuildState* state, ItemPointer tid) {
    IndexedVector next = state->value;
    MemoryContext memory = AllocSetContextCreate(state->build_memory, "hnsw external build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    ExternalInit(&state->external, state->bulk.jobs, state->memory_limit);
    state->external_used = true;
    state->value.Init(&state->external.arena, state->ctx.form);
    HnswBulkEach(&state->bulk, SpillCollected, state);
    state->value = next;
    ExternalAdd(&state->external, &state->value, tid);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(state->bulk_memory);
    state->bulk_memory = memory;
}

// The rows do not fit, and partitions do not suit them: inserts those that were collected, and the one at hand. All
// that are to come are inserted as they come.
void TurnToInserts(BuildState* state, ItemPointer tid) {
    if (state->tells)
        ereport(NOTICE, (errmsg("hnsw index is built by inserting rows"),
                         errdetail("Vectors of different lengths do not suit a build in parts under inner product.")));
    HnswBeginPhase(kHnswPhaseInsert, state->expected);
    const IndexedVector next = state->value;
    MemoryContext old = MemoryContextSwitchTo(state->build_memory);
    Arena arena = MakeArena(state->build_memory);
    state->value.Init(&arena, state->ctx.form);
    HnswBulkEach(&state->bulk, InsertCollected, state);
    state->value = next;
    MemoryContextSwitchTo(old);
    MemoryContextDelete(state->bulk_memory);
    state->bulk_memory = nullptr;
    InsertOne(state, tid);
}

void KeepOddRow(BuildState* state, ItemPointer tid) {
    MemoryContext old = MemoryContextSwitchTo(state->build_memory);
    if (!state->odd_rows.IsOpen()) state->odd_rows.Create();
    state->odd_rows.Put(RowHead{*tid, state->value.hash});
    state->odd_rows.Write(state->value.plain, static_cast<size_t>(state->ctx.form.dim) * sizeof(float));
    ++state->odd_count;
    MemoryContextSwitchTo(old);
}

void InsertOddRows(BuildState* state) {
    if (state->odd_count == 0) return;
    HnswBeginPhase(kHnswPhaseInsert, state->odd_count);
    state->odd_rows.Rewind();
    for (uint64 i = 0; i < state->odd_count; ++i) {
        CHECK_FOR_INTERRUPTS();
        RowHead row = state->odd_rows.Get<RowHead>();
        state->odd_rows.Read(state->value.plain, static_cast<size_t>(state->ctx.form.dim) * sizeof(float));
        state->value.hash = row.value_hash;
        InsertOne(state, &row.tid);
    }
    state->odd_rows.Close();
}

// Writes what has been collected.
void EndBulk(BuildState* state) {
    if (state->bulk_memory == nullptr) {
        InsertOddRows(state);
        return;
    }
    MemoryContext old = MemoryContextSwitchTo(state->bulk_memory);
    if (state->external_used) {
        ExternalWrite(&state->external);
    } else if (HnswBulkSuits(state->bulk)) {
        HnswBulkWrite(&state->bulk);
    } else {
        HnswBeginPhase(kHnswPhaseInsert, state->bulk.nodes.size + state->bulk.more_rows.size);
        HnswBulkEach(&state->bulk, InsertCollected, state);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(state->bulk_memory);
    state->bulk_memory = nullptr;
    InsertOddRows(state);
}

// A row of finite norm.
void CollectRow(BuildState* state, ItemPointer tid) {
    MemoryContext old = MemoryContextSwitchTo(state->bulk_memory);
    const bool is_full = !state->external_used && !HnswBulkAdd(&state->bulk, state->value, tid);
    if (state->external_used) ExternalAdd(&state->external, &state->value, tid);
    const bool turns = is_full && HnswBulkSuits(state->bulk);
    MemoryContextSwitchTo(old);
    if (turns)
        TurnExternal(state, tid);
    else if (is_full)
        TurnToInserts(state, tid);
}

void BuildRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    BuildState* state = static_cast<BuildState*>(arg);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++state->seen);
    if (isnull[0]) return;
    MemoryContext old = MemoryContextSwitchTo(state->ctx.memory);
    const bool indexable = HnswExtractPlain(state->ctx.form, values[0], &state->value);
    MemoryContextSwitchTo(old);
    if (!indexable) return;
    state->indexed += 1;
    if (state->bulk_memory == nullptr)
        InsertOne(state, tid);
    else if (!std::isfinite(state->value.norm))
        KeepOddRow(state, tid);
    else
        CollectRow(state, tid);
    MemoryContextReset(state->ctx.memory);
    state->ctx.arena = MakeArena(state->ctx.memory);
    VECANN_RACE_POINT("hnsw-build-row");
}

HnswMetaData MetaFor(Relation index) {
    const HnswShapeOptions options = HnswOptions(index);
    if (options.ef_construction < 2 * options.m)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("ef_construction must be greater than or equal to 2 * m")));
    return HnswMakeMeta(*OpClassOf(index), IndexDimensions(index), options);
}

// Tables of fewer rows are built in a moment either way.
constexpr double kWorthNotice = 10000;

// Prepares the bulk build and says so when memory will not hold all rows. Without codes (L1) there is none.
void StartBulk(BuildState* state, Relation heap, double expected) {
    const HnswMetaData& meta = state->ctx.meta;
    state->build_memory = CurrentMemoryContext;
    if (meta.code_bits == 0) return;
    state->memory_limit = Max(static_cast<uint64>(maintenance_work_mem) * 1024, kLeastBulkBytes);
    const BulkJobs jobs = {&state->ctx, ComputeThreads(heap), HnswSeed(state->ctx.index),
                           BulkChunkBytes(state->memory_limit)};
    const uint64 rows = state->expected = static_cast<uint64>(Max(expected, 0.0));
    state->tells = heap->rd_rel->reltuples >= kWorthNotice;
    // Without statistics the estimate goes by the size of the table, and vectors out of line mislead it.
    if (!HnswBulkFits(jobs, rows, state->memory_limit) && state->tells)
        ereport(NOTICE, (errmsg("hnsw graph of about %.0f rows does not fit into maintenance_work_mem", expected),
                         errdetail("It takes about %llu MB to build at once. It will be built in parts of up to %llu "
                                   "rows, through temporary files.",
                                   static_cast<unsigned long long>(HnswBulkMemory(jobs, rows) / (1024 * 1024)),
                                   static_cast<unsigned long long>(ExternalCapacity(jobs, state->memory_limit))),
                         errhint("A larger maintenance_work_mem makes the build faster.")));
    state->bulk_memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw bulk build", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(state->bulk_memory);
    HnswBulkInit(&state->bulk, jobs, state->memory_limit, rows);
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
    HnswBeginPhase(kHnswPhaseScan, static_cast<uint64>(Max(estimate, 0.0)));
    // In the table's order, wherever other scans are: the same table gives the same index.
    const double tuples = table_index_build_scan(heap, index, index_info, false, true, BuildRow, &state, nullptr);
    EndBulk(&state);
    HnswBeginPhase(kHnswPhaseSeeds, 0);
    HnswPlantSeeds(&state.ctx);
    // A build in memory has planted them; rows that are inserted afterwards are not many.
    if (HnswReadMeta(index).row_blocks == 0) {
        HnswBeginPhase(kHnswPhaseRows, 0);
        HnswPlantRows(&state.ctx);
    }

    HnswBeginPhase(kHnswPhaseLog, 0);
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

void HnswBeginPhase(int64 phase, uint64 rows) {
    const int params[] = {PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_CREATEIDX_TUPLES_DONE, PROGRESS_CREATEIDX_TUPLES_TOTAL};
    const int64 values[] = {phase, 0, static_cast<int64>(rows)};
    pgstat_progress_update_multi_param(3, params, values);
}

extern "C" char* hnsw_build_phase_name(int64 phase) {
    switch (phase) {
        case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
            return const_cast<char*>("initializing");
        case kHnswPhaseScan:
            return const_cast<char*>("scanning table");
        case kHnswPhaseDivide:
            return const_cast<char*>("dividing rows");
        case kHnswPhaseNumber:
            return const_cast<char*>("numbering nodes");
        case kHnswPhaseUppers:
            return const_cast<char*>("building upper layers");
        case kHnswPhaseReach:
            return const_cast<char*>("checking links");
        case kHnswPhaseSeeds:
            return const_cast<char*>("planting seeds");
        case kHnswPhaseRows:
            return const_cast<char*>("coding rows");
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

// Building an index: one row after another, unlogged, then one pass that logs the whole fork. Nobody else sees the
// index meanwhile.
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_insert.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

constexpr int64 kPhaseInsert = 2;  // PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE is 1
constexpr int64 kPhaseLog = 3;

struct BuildState {
    HnswContext ctx;
    IndexedVector value;
    double indexed;
    int64 seen;
};

void BuildRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    BuildState* state = static_cast<BuildState*>(arg);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++state->seen);
    if (isnull[0]) return;
    HnswContext* ctx = &state->ctx;
    MemoryContext old = MemoryContextSwitchTo(ctx->memory);
    if (HnswExtract(ctx->form, values[0], &state->value)) {
        HnswInsertRow(ctx, &state->value, tid);
        state->indexed += 1;
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(ctx->memory);
    ctx->arena = MakeArena(ctx->memory);
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

extern "C" IndexBuildResult* hnsw_build(Relation heap, Relation index, IndexInfo* index_info) {
    HnswWriteMeta(index, MAIN_FORKNUM, MetaFor(index));

    BuildState state;
    memset(static_cast<void*>(&state), 0, sizeof(state));
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row", ALLOCSET_DEFAULT_SIZES);
    HnswOpen(&state.ctx, index, WriteMode::kBuild, memory);
    Arena long_arena = MakeArena(CurrentMemoryContext);
    state.value.Init(&long_arena, state.ctx.form);

    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kPhaseInsert);
    BlockNumber heap_pages;
    double estimate, all_visible;
    estimate_rel_size(heap, nullptr, &heap_pages, &estimate, &all_visible);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(estimate));
    const double tuples = table_index_build_scan(heap, index, index_info, true, true, BuildRow, &state, nullptr);

    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kPhaseLog);
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
        case kPhaseInsert:
            return const_cast<char*>("inserting rows");
        case kPhaseLog:
            return const_cast<char*>("writing WAL");
        default:
            return nullptr;
    }
}

}  // namespace vecann

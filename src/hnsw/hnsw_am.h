// The access method's entry points and options.
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

// Phases of a build, as pg_stat_progress_create_index counts them; PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE is 1.
constexpr int64 kHnswPhaseScan = 2;
constexpr int64 kHnswPhaseGraph = 3;
constexpr int64 kHnswPhaseWrite = 4;
constexpr int64 kHnswPhaseInsert = 5;
constexpr int64 kHnswPhaseLog = 6;
constexpr int64 kHnswPhaseDivide = 7;
constexpr int64 kHnswPhaseNumber = 8;
constexpr int64 kHnswPhaseUppers = 9;
constexpr int64 kHnswPhaseReach = 10;
constexpr int64 kHnswPhaseSeeds = 11;

// Enters a phase of so many rows.
void HnswBeginPhase(int64 phase, uint64 rows);

// Options of CREATE INDEX ... WITH (...).
struct HnswOptionsData {
    int32 vl_len_;
    int m;
    int ef_construction;
    int payload;    // PayloadKind or -1
    int code_bits;  // 0: chosen
    int seed;
};

// Defines the options; called once from _PG_init.
void HnswInitOptions();

// Makes searches known to the custom scan; called once from _PG_init.
void HnswRegisterSearch();

// The options of an index. m and ef_construction have their defaults filled in; payload is -1 and code_bits 0 where the
// index chooses.
HnswShapeOptions HnswOptions(Relation index);

// What the random choices of a build depend on.
uint32 HnswSeed(Relation index);

// What the planner takes a search to cost.
SearchCost HnswSearchCost(const IndexOptInfo* index);

extern "C" {
IndexBuildResult* hnsw_build(Relation heap, Relation index, IndexInfo* index_info);
void hnsw_build_empty(Relation index);
bool hnsw_insert(Relation index, Datum* values, bool* isnull, ItemPointer heap_tid, Relation heap,
                 IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo* index_info);
IndexBulkDeleteResult* hnsw_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                        IndexBulkDeleteCallback callback, void* callback_state);
IndexBulkDeleteResult* hnsw_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);
void hnsw_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost, Cost* total_cost,
                        Selectivity* selectivity, double* correlation, double* pages);
bytea* hnsw_options(Datum reloptions, bool validate);
char* hnsw_build_phase_name(int64 phase);
bool hnsw_validate(Oid opclass);
void hnsw_adjust_members(Oid family, Oid opclass, List* operators, List* functions);
IndexScanDesc hnsw_begin_scan(Relation index, int nkeys, int norderbys);
void hnsw_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
bool hnsw_get_tuple(IndexScanDesc scan, ScanDirection direction);
void hnsw_end_scan(IndexScanDesc scan);
}

}  // namespace vecann

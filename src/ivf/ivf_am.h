// The entry points and options of ivfflat and ivfpq.
#pragma once

#include "ivf/ivf_walk.h"

namespace vecann {

// Phases of a build, as pg_stat_progress_create_index counts them; PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE is 1.
constexpr int64 kIvfPhaseSample = 2;
constexpr int64 kIvfPhaseTrain = 3;
constexpr int64 kIvfPhaseAssign = 4;
constexpr int64 kIvfPhaseLoad = 5;
constexpr int64 kIvfPhaseLog = 6;

// What CREATE INDEX ... WITH (...) asks for, of either access method.
struct IvfOptions {
    bool compact;  // ivfpq
    uint32 lists;  // 0: by the number of rows
    Quantizer quantizer;
    uint16 m;  // 0: by the dimensions
    uint8 bits;
    bool opq;
    bool stored;    // payloads beside the codes
    uint64 sample;  // rows to train on; 0: by the number of lists
    uint32 seed;
};
IvfOptions IvfOptionsOf(Relation index);
// So many rows, and vacuum makes lists in an index that has had nothing to learn from.
uint64 IvfRowsToLearn(const IvfOptions& options);

// Defines the options; called once from _PG_init.
void IvfInitOptions();
// Makes searches known to the custom scan; called once from _PG_init.
void IvfRegisterSearch();

// The session's settings for searches of an index; 0 probes are what the index says.
IvfSearchSettings IvfSettingsOf(const IvfMetaData& meta);

// Puts a row with this vector into the list of its nearest centroid. The caller holds no content lock.
void IvfInsertVector(const IvfContext& ctx, const IvfVector& value, const ItemPointerData& tid);

// What the planner takes a search to cost.
SearchCost IvfSearchCost(const IndexOptInfo* index);

extern "C" {
IndexBuildResult* ivf_build(Relation heap, Relation index, IndexInfo* index_info);
void ivf_build_empty(Relation index);
bool ivf_insert(Relation index, Datum* values, bool* isnull, ItemPointer heap_tid, Relation heap,
                IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo* index_info);
IndexBulkDeleteResult* ivf_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                       IndexBulkDeleteCallback callback, void* callback_state);
IndexBulkDeleteResult* ivf_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);
void ivfflat_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost, Cost* total_cost,
                           Selectivity* selectivity, double* correlation, double* pages);
void ivfpq_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost, Cost* total_cost,
                         Selectivity* selectivity, double* correlation, double* pages);
bytea* ivfflat_options(Datum reloptions, bool validate);
bytea* ivfpq_options(Datum reloptions, bool validate);
char* ivf_build_phase_name(int64 phase);
bool ivfflat_validate(Oid opclass);
bool ivfpq_validate(Oid opclass);
void ivfflat_adjust_members(Oid family, Oid opclass, List* operators, List* functions);
void ivfpq_adjust_members(Oid family, Oid opclass, List* operators, List* functions);
IndexScanDesc ivf_begin_scan(Relation index, int nkeys, int norderbys);
void ivf_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
bool ivf_get_tuple(IndexScanDesc scan, ScanDirection direction);
void ivf_end_scan(IndexScanDesc scan);
}

}  // namespace vecann

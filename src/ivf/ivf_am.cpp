// The handlers, options, settings and cost estimates of ivfflat and ivfpq.
#include "ivf/ivf_am.h"

#include "opclass/opclass_check.h"

namespace vecann {

namespace {

constexpr int kStrategies = 1;  // 1: the ordering operator
constexpr int kSupportFunctions = 1;

struct FlatOptionsData {
    int32 vl_len_;
    int lists;
    int seed;
};

relopt_kind flat_kind;

// What a row costs a search, in units of cpu_operator_cost (25 ns): finding it on its page, and so much for each
// dimension (128 dimensions: 25 ns together, 768: 75 ns).
constexpr double kRowOperators = 0.6;
constexpr double kDimensionOperators = 1.0 / 320;

}  // namespace

void IvfInitOptions() {
    flat_kind = add_reloption_kind();
    add_int_reloption(flat_kind, "lists", "Number of inverted lists", kIvfDefaultLists, 1, kIvfMaxLists,
                      AccessExclusiveLock);
    add_int_reloption(flat_kind, "seed",
                      "Of the random choices of a build: with the same, the same rows in the same "
                      "order give the same index",
                      0, 0, PG_INT32_MAX, AccessExclusiveLock);
}

IvfOptions IvfOptionsOf(Relation index) {
    IvfOptions options;
    memset(static_cast<void*>(&options), 0, sizeof(options));
    options.lists = kIvfDefaultLists;
    const FlatOptionsData* flat = reinterpret_cast<const FlatOptionsData*>(index->rd_options);
    if (flat == nullptr) return options;
    options.lists = static_cast<uint32>(flat->lists);
    options.seed = static_cast<uint32>(flat->seed);
    return options;
}

extern "C" bytea* ivfflat_options(Datum reloptions, bool validate) {
    static const relopt_parse_elt elements[] = {
        {"lists", RELOPT_TYPE_INT, offsetof(FlatOptionsData, lists)},
        {"seed", RELOPT_TYPE_INT, offsetof(FlatOptionsData, seed)},
    };
    return static_cast<bytea*>(
        build_reloptions(reloptions, validate, flat_kind, sizeof(FlatOptionsData), elements, lengthof(elements)));
}

IvfSearchSettings IvfSettingsOf(const IvfMetaData& meta) {
    const SettingsData& settings = Settings();
    const uint32 probes = static_cast<uint32>(settings.ivfflat_probes);
    return {probes, Max(probes, static_cast<uint32>(settings.ivfflat_max_probes)),
            settings.ivfflat_iterative_scan != static_cast<int>(IterativeScan::kOff)};
}

SearchCost IvfSearchCost(const IndexOptInfo* info) {
    IvfMetaData meta;
    memset(static_cast<void*>(&meta), 0, sizeof(meta));
    meta.lists = kIvfDefaultLists;
    if (!info->hypothetical) {
        Relation index = index_open(info->indexoid, NoLock);
        meta = IvfReadMeta(index);
        index_close(index, NoLock);
    }
    double random_page_cost_here;
    get_tablespace_page_costs(info->reltablespace, &random_page_cost_here, nullptr);
    const double rows = Max(info->tuples, 1.0), lists = Max<double>(meta.lists, 1.0);
    const double uncached =
        info->pages > 0 ? Max(0.0, 1.0 - static_cast<double>(effective_cache_size) / info->pages) : 0.0;
    const double row = cpu_operator_cost * (kRowOperators + kDimensionOperators * meta.dim) +
                       uncached * random_page_cost_here * info->pages / rows;
    const double probes = Min<double>(IvfSettingsOf(meta).probes, lists);
    // A centroid costs what a row costs.
    return {row, Min(rows, rows * probes / lists) + lists};
}

extern "C" void ivfflat_cost_estimate(PlannerInfo*, IndexPath* path, double, Cost* startup_cost, Cost* total_cost,
                                      Selectivity* selectivity, double* correlation, double* pages) {
    const ScanCost cost = CostOfScan(path, IvfSearchCost(path->indexinfo));
    *startup_cost = cost.startup;
    *total_cost = cost.total;
    *selectivity = cost.selectivity;
    *correlation = cost.correlation;
    *pages = cost.pages;
}

extern "C" bool ivfflat_validate(Oid opclass) {
    return IsValidVectorClass(opclass, "ivfflat");
}

extern "C" void ivfflat_adjust_members(Oid, Oid, List* operators, List* functions) {
    CheckVectorMembers(operators, functions, "ivfflat");
}

namespace {

// What both access methods have in common.
IndexAmRoutine* MakeRoutine() {
    IndexAmRoutine* am = makeNode(IndexAmRoutine);
    am->amstrategies = kStrategies;
    am->amsupport = kSupportFunctions;
    am->amcanorderbyop = true;
    am->amoptionalkey = true;
    am->amusemaintenanceworkmem = true;
    am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
    am->amkeytype = InvalidOid;
    am->ambuild = ivf_build;
    am->ambuildempty = ivf_build_empty;
    am->aminsert = ivf_insert;
    am->ambulkdelete = ivf_bulk_delete;
    am->amvacuumcleanup = ivf_vacuum_cleanup;
    am->ambuildphasename = ivf_build_phase_name;
    am->ambeginscan = ivf_begin_scan;
    am->amrescan = ivf_rescan;
    am->amgettuple = ivf_get_tuple;
    am->amendscan = ivf_end_scan;
    return am;
}

}  // namespace

}  // namespace vecann

VECANN_FUNCTION(vecann_ivfflathandler) {
    using namespace vecann;
    IndexAmRoutine* am = MakeRoutine();
    am->amcostestimate = ivfflat_cost_estimate;
    am->amoptions = ivfflat_options;
    am->amvalidate = ivfflat_validate;
    am->amadjustmembers = ivfflat_adjust_members;
    PG_RETURN_POINTER(am);
}

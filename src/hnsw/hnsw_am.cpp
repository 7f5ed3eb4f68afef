// The access method's handler, options, cost estimate and operator-class check.
#include "hnsw/hnsw_am.h"

#include "hnsw/hnsw_insert.h"
#include "opclass/opclass_check.h"
#include "pg/guc.h"

namespace vecann {

namespace {

constexpr int kStrategies = 1;  // 1: the ordering operator
constexpr int kSupportFunctions = 1;

relopt_kind option_kind;

const HnswOptionsData* OptionsOf(Relation index) {
    return reinterpret_cast<const HnswOptionsData*>(index->rd_options);
}

// What reading a slot with its neighbours' codes costs, in units of cpu_operator_cost: a microsecond (1 to 2 of a
// million x 128, where long walks meet nothing that is in the processor's caches).
constexpr double kExpansionOperators = 40;

// Slots that one search reads: ef in layer 0, and a few in each layer above.
double SlotsRead(double nodes, int ef) {
    const double layers = nodes > 1 ? log(nodes) / log(static_cast<double>(kLayerRatio)) : 0;
    return Min(nodes, static_cast<double>(ef) + 6 * layers);
}

// The names that the option `payload` takes.
relopt_enum_elt_def payload_names[] = {
    {"auto", -1},
    {"float32", static_cast<int>(PayloadKind::kFloat32)},
    {"float16", static_cast<int>(PayloadKind::kFloat16)},
    {"sq8", static_cast<int>(PayloadKind::kSq8)},
    {nullptr, 0},
};

}  // namespace

void HnswInitOptions() {
    option_kind = add_reloption_kind();
    add_int_reloption(option_kind, "m", "Neighbours a node keeps in each upper layer; twice as many in layer 0",
                      kHnswDefaultM, kHnswMinM, kHnswMaxM, AccessExclusiveLock);
    add_int_reloption(option_kind, "ef_construction", "Size of the candidate list while building",
                      kHnswDefaultEfConstruction, kHnswMinEfConstruction, kHnswMaxEfConstruction, AccessExclusiveLock);
    add_enum_reloption(option_kind, "payload", "Precision of the vectors in the index", payload_names, -1,
                       "Valid values are \"auto\", \"float32\", \"float16\" and \"sq8\".", AccessExclusiveLock);
    add_int_reloption(option_kind, "code_bits", "Bits of a dimension in the codes of neighbours; 0: chosen", 0, 0,
                      kMaxCodeBits, AccessExclusiveLock);
    add_int_reloption(option_kind, "seed",
                      "Of the random choices of a build: with the same, the same rows in the same "
                      "order give the same index",
                      0, 0, PG_INT32_MAX, AccessExclusiveLock);
}

uint32 HnswSeed(Relation index) {
    const HnswOptionsData* options = OptionsOf(index);
    return options == nullptr ? 0 : static_cast<uint32>(options->seed);
}

HnswShapeOptions HnswOptions(Relation index) {
    const HnswOptionsData* options = OptionsOf(index);
    if (options == nullptr) return {kHnswDefaultM, kHnswDefaultEfConstruction, -1, 0};
    return {options->m, options->ef_construction, options->payload, options->code_bits};
}

extern "C" bytea* hnsw_options(Datum reloptions, bool validate) {
    static const relopt_parse_elt elements[] = {
        {"m", RELOPT_TYPE_INT, offsetof(HnswOptionsData, m)},
        {"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptionsData, ef_construction)},
        {"payload", RELOPT_TYPE_ENUM, offsetof(HnswOptionsData, payload)},
        {"code_bits", RELOPT_TYPE_INT, offsetof(HnswOptionsData, code_bits)},
        {"seed", RELOPT_TYPE_INT, offsetof(HnswOptionsData, seed)},
    };
    return static_cast<bytea*>(
        build_reloptions(reloptions, validate, option_kind, sizeof(HnswOptionsData), elements, lengthof(elements)));
}

SearchCost HnswSearchCost(const IndexOptInfo* index) {
    double random_page_cost_here;
    get_tablespace_page_costs(index->reltablespace, &random_page_cost_here, nullptr);
    const double nodes = Max(index->tuples, 1.0);
    const double uncached =
        index->pages > 0 ? Max(0.0, 1.0 - static_cast<double>(effective_cache_size) / index->pages) : 0.0;
    return {cpu_tuple_cost + kExpansionOperators * cpu_operator_cost + uncached * random_page_cost_here,
            SlotsRead(nodes, Settings().hnsw_ef_search)};
}

// The whole search is start-up cost; each further row costs about one more expansion. A slot costs a page that is
// mostly in memory, a distance and the scoring of its neighbours; what effective_cache_size cannot hold is read at
// random. Heap fetches are added by the caller.
extern "C" void hnsw_cost_estimate(PlannerInfo*, IndexPath* path, double loop_count, Cost* startup_cost,
                                   Cost* total_cost, Selectivity* selectivity, double* correlation, double* pages) {
    const ScanCost cost = CostOfScan(path, HnswSearchCost(path->indexinfo));
    *startup_cost = cost.startup;
    *total_cost = cost.total;
    *selectivity = cost.selectivity;
    *correlation = cost.correlation;
    *pages = cost.pages;
}

extern "C" bool hnsw_validate(Oid opclass) {
    return IsValidVectorClass(opclass, "hnsw");
}

extern "C" void hnsw_adjust_members(Oid, Oid, List* operators, List* functions) {
    CheckVectorMembers(operators, functions, "hnsw");
}

}  // namespace vecann

VECANN_FUNCTION(vecann_hnswhandler) {
    using namespace vecann;
    IndexAmRoutine* am = makeNode(IndexAmRoutine);
    am->amstrategies = kStrategies;
    am->amsupport = kSupportFunctions;
    am->amcanorderbyop = true;
    am->amoptionalkey = true;
    am->amusemaintenanceworkmem = true;
    am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL | VACUUM_OPTION_PARALLEL_CLEANUP;
    am->amkeytype = InvalidOid;
    am->ambuild = hnsw_build;
    am->ambuildempty = hnsw_build_empty;
    am->aminsert = hnsw_insert;
    am->ambulkdelete = hnsw_bulk_delete;
    am->amvacuumcleanup = hnsw_vacuum_cleanup;
    am->amcostestimate = hnsw_cost_estimate;
    am->amoptions = hnsw_options;
    am->ambuildphasename = hnsw_build_phase_name;
    am->amvalidate = hnsw_validate;
    am->amadjustmembers = hnsw_adjust_members;
    am->ambeginscan = hnsw_begin_scan;
    am->amrescan = hnsw_rescan;
    am->amgettuple = hnsw_get_tuple;
    am->amendscan = hnsw_end_scan;
    PG_RETURN_POINTER(am);
}

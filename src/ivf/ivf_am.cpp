// The handlers, options, settings and cost estimates of ivfflat and ivfpq.
#include "ivf/ivf_am.h"

#include "ivf/ivf_codes.h"
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

struct CompactOptionsData {
    int32 vl_len_;
    int lists;
    int quantizer;  // Quantizer
    int m;
    int bits;
    bool opq;
    int sample;
    int seed;
    int rerank;  // Rerank
};

// Where the vectors are that decide among candidates.
enum class Rerank : uint8 { kHeap = 0, kStored = 1 };

// The names that the option `rerank` takes.
relopt_enum_elt_def rerank_names[] = {
    {"heap", static_cast<int>(Rerank::kHeap)},
    {"stored", static_cast<int>(Rerank::kStored)},
    {nullptr, 0},
};

relopt_kind flat_kind, compact_kind;

// The names that the option `quantizer` takes.
relopt_enum_elt_def quantizer_names[] = {
    {"auto", static_cast<int>(Quantizer::kAuto)},     {"pq", static_cast<int>(Quantizer::kPq)},
    {"rabitq", static_cast<int>(Quantizer::kRabitq)}, {"sq8", static_cast<int>(Quantizer::kSq8)},
    {"none", static_cast<int>(Quantizer::kNone)},     {nullptr, 0},
};

constexpr int kDefaultBits = 4;

constexpr const char* kSeedHelp =
    "Of the random choices of a build: with the same, the same rows in the same order give the same index";

// What a row costs a search, in units of cpu_operator_cost (25 ns): finding it on its page, and so much for each
// dimension (128 dimensions: 25 ns together, 768: 75 ns).
constexpr double kRowOperators = 0.6;
constexpr double kDimensionOperators = 1.0 / 320;
// The same for each bit, which are compared in words.
constexpr double kBitOperators = kDimensionOperators / 32;
// The same of a code: 64 sub-quantizers 4 ns.
constexpr double kCodeOperators = 0.1;
constexpr double kQuantizerOperators = 1.0 / 1000;
// Rows that a search for ten measures by stored payloads.
constexpr double kMeasured = 50;

}  // namespace

void IvfInitOptions() {
    flat_kind = add_reloption_kind();
    add_int_reloption(flat_kind, "lists", "Number of inverted lists", kIvfDefaultLists, 1, kIvfMaxLists,
                      AccessExclusiveLock);
    add_int_reloption(flat_kind, "seed", kSeedHelp, 0, 0, PG_INT32_MAX, AccessExclusiveLock);
    compact_kind = add_reloption_kind();
    add_int_reloption(compact_kind, "lists", "Number of inverted lists; 0: by the number of rows", 0, 0, kIvfMaxLists,
                      AccessExclusiveLock);
    add_enum_reloption(compact_kind, "quantizer", "What the lists keep of a vector", quantizer_names,
                       static_cast<int>(Quantizer::kAuto),
                       "Valid values are \"auto\", \"pq\", \"rabitq\", \"sq8\" and \"none\".", AccessExclusiveLock);
    add_int_reloption(compact_kind, "m", "Sub-quantizers of pq; 0: by the dimensions", 0, 0, kMostSubQuantizers,
                      AccessExclusiveLock);
    add_int_reloption(compact_kind, "bits", "Bits of a sub-quantizer of pq: 4 or 8", kDefaultBits, 4, 8,
                      AccessExclusiveLock);
    add_bool_reloption(compact_kind, "opq", "Learn a rotation for pq", false, AccessExclusiveLock);
    add_int_reloption(compact_kind, "sample", "Rows to learn from; 0: by the number of lists", 0, 0, PG_INT32_MAX,
                      AccessExclusiveLock);
    add_int_reloption(compact_kind, "seed", kSeedHelp, 0, 0, PG_INT32_MAX, AccessExclusiveLock);
    add_enum_reloption(compact_kind, "rerank", "Where the vectors are that decide among candidates", rerank_names,
                       static_cast<int>(Rerank::kHeap), "Valid values are \"heap\" and \"stored\".",
                       AccessExclusiveLock);
}

namespace {

bool IsCompact(Relation index) {
    return index->rd_indam->amoptions == ivfpq_options;
}

IvfOptions CompactOptions(const CompactOptionsData* data) {
    IvfOptions options;
    memset(static_cast<void*>(&options), 0, sizeof(options));
    options.compact = true;
    options.quantizer = Quantizer::kAuto;
    options.bits = kDefaultBits;
    if (data == nullptr) return options;
    options.lists = static_cast<uint32>(data->lists);
    options.quantizer = static_cast<Quantizer>(data->quantizer);
    options.m = static_cast<uint16>(data->m);
    options.bits = static_cast<uint8>(data->bits);
    options.opq = data->opq;
    options.sample = static_cast<uint64>(data->sample);
    options.seed = static_cast<uint32>(data->seed);
    options.stored = data->rerank == static_cast<int>(Rerank::kStored);
    if (options.stored && (options.quantizer == Quantizer::kSq8 || options.quantizer == Quantizer::kNone))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("rerank = stored needs a quantizer that keeps codes"),
                 errhint("With \"sq8\" and \"none\" the lists hold the vectors already.")));
    if (options.bits != 4 && options.bits != 8)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("bits must be 4 or 8")));
    return options;
}

}  // namespace

IvfOptions IvfOptionsOf(Relation index) {
    if (IsCompact(index)) return CompactOptions(reinterpret_cast<const CompactOptionsData*>(index->rd_options));
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

extern "C" bytea* ivfpq_options(Datum reloptions, bool validate) {
    static const relopt_parse_elt elements[] = {
        {"lists", RELOPT_TYPE_INT, offsetof(CompactOptionsData, lists)},
        {"quantizer", RELOPT_TYPE_ENUM, offsetof(CompactOptionsData, quantizer)},
        {"m", RELOPT_TYPE_INT, offsetof(CompactOptionsData, m)},
        {"bits", RELOPT_TYPE_INT, offsetof(CompactOptionsData, bits)},
        {"opq", RELOPT_TYPE_BOOL, offsetof(CompactOptionsData, opq)},
        {"sample", RELOPT_TYPE_INT, offsetof(CompactOptionsData, sample)},
        {"seed", RELOPT_TYPE_INT, offsetof(CompactOptionsData, seed)},
        {"rerank", RELOPT_TYPE_ENUM, offsetof(CompactOptionsData, rerank)},
    };
    bytea* options = static_cast<bytea*>(
        build_reloptions(reloptions, validate, compact_kind, sizeof(CompactOptionsData), elements, lengthof(elements)));
    // What does not go together is refused here, so that ALTER INDEX does it too.
    if (validate) CompactOptions(reinterpret_cast<const CompactOptionsData*>(options));
    return options;
}

namespace {

// A setting counts lists as they were learnt; vacuum may have made more of them.
uint32 ListsOf(const IvfMetaData& meta, int learnt) {
    const double lists = std::ceil(learnt * meta.lists_each());
    return static_cast<uint32>(Min(Max(lists, 1.0), static_cast<double>(kIvfMaxLists)));
}

}  // namespace

IvfSearchSettings IvfSettingsOf(const IvfMetaData& meta) {
    const SettingsData& settings = Settings();
    if (meta.compact != 0) {
        uint32 probes = Max<uint32>(meta.probes, 1);
        if (settings.ivfpq_probes > 0) probes = ListsOf(meta, settings.ivfpq_probes);
        return {probes, Max(probes, ListsOf(meta, settings.ivfpq_max_probes)),
                settings.ivfpq_iterative_scan != static_cast<int>(IterativeScan::kOff), settings.ivfpq_probes == 0};
    }
    const uint32 probes = ListsOf(meta, settings.ivfflat_probes);
    return {probes, Max(probes, ListsOf(meta, settings.ivfflat_max_probes)),
            settings.ivfflat_iterative_scan != static_cast<int>(IterativeScan::kOff), false};
}

SearchCost IvfSearchCost(const IndexOptInfo* info) {
    IvfMetaData meta;
    memset(static_cast<void*>(&meta), 0, sizeof(meta));
    meta.lists = kIvfDefaultLists;
    if (!info->hypothetical) {
        Relation index = index_open(info->indexoid, NoLock);
        // A broken index must not keep other plans from being made.
        IvfMetaData found;
        if (IvfPeekMeta(index, &found)) meta = found;
        index_close(index, NoLock);
    }
    double random_page_cost_here;
    get_tablespace_page_costs(info->reltablespace, &random_page_cost_here, nullptr);
    const double rows = Max(info->tuples, 1.0), lists = Max<double>(meta.open_lists(), 1.0);
    const double uncached =
        info->pages > 0 ? Max(0.0, 1.0 - static_cast<double>(effective_cache_size) / info->pages) : 0.0;
    const double centroid = cpu_operator_cost * (kRowOperators + kDimensionOperators * meta.dim);
    const double vector = HasWords(meta) ? cpu_operator_cost * (kRowOperators + kBitOperators * meta.dim) : centroid;
    const double code = cpu_operator_cost * (kCodeOperators + kQuantizerOperators * meta.m);
    // Settings may make operators free.
    constexpr double kLeastCost = 1.0e-10;
    const double row =
        Max((HasPayload(meta) ? vector : code) + uncached * random_page_cost_here * info->pages / rows, kLeastCost);
    const double probes = Min<double>(IvfSettingsOf(meta).probes, lists);
    const double read = Min(rows, rows * probes / lists);
    // Candidates are measured by payloads on other pages, before the executor reads what is left of them.
    const double measured = HasStored(meta) ? Min(read, kMeasured) * (vector + uncached * random_page_cost_here) : 0;
    return {row, read + (lists * centroid + measured) / row};
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

extern "C" void ivfpq_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                                    Cost* total_cost, Selectivity* selectivity, double* correlation, double* pages) {
    // Another function only so that the two access methods can be told apart by it.
    ivfflat_cost_estimate(root, path, loop_count, startup_cost, total_cost, selectivity, correlation, pages);
}

extern "C" bool ivfflat_validate(Oid opclass) {
    return IsValidVectorClass(opclass, "ivfflat");
}

extern "C" void ivfflat_adjust_members(Oid, Oid, List* operators, List* functions) {
    CheckVectorMembers(operators, functions, "ivfflat");
}

extern "C" bool ivfpq_validate(Oid opclass) {
    return IsValidVectorClass(opclass, "ivfpq");
}

extern "C" void ivfpq_adjust_members(Oid, Oid, List* operators, List* functions) {
    CheckVectorMembers(operators, functions, "ivfpq");
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

VECANN_FUNCTION(vecann_ivfpqhandler) {
    using namespace vecann;
    IndexAmRoutine* am = MakeRoutine();
    am->amcostestimate = ivfpq_cost_estimate;
    am->amoptions = ivfpq_options;
    am->amvalidate = ivfpq_validate;
    am->amadjustmembers = ivfpq_adjust_members;
    PG_RETURN_POINTER(am);
}

// Settings: definition and check hooks.
#include "pg/guc.h"

#include "kernels/kernel_table.h"

namespace vecann {

namespace {

SettingsData settings = {kDefaultEfSearch,
                         static_cast<int>(IterativeScan::kRelaxedOrder),
                         -1,
                         1.0,
                         1,
                         static_cast<int>(IterativeScan::kRelaxedOrder),
                         kMaxProbes,
                         0,
                         static_cast<int>(IterativeScan::kRelaxedOrder),
                         kMaxProbes,
                         true,
                         true,
                         true,
                         true,
                         true,
                         -1,
                         nullptr};

const config_enum_entry kIterativeScanOptions[] = {
    {"off", static_cast<int>(IterativeScan::kOff), false},
    {"relaxed_order", static_cast<int>(IterativeScan::kRelaxedOrder), false},
    {"strict_order", static_cast<int>(IterativeScan::kStrictOrder), false},
    {nullptr, 0, false},
};

const config_enum_entry kIvfIterativeScanOptions[] = {
    {"off", static_cast<int>(IterativeScan::kOff), false},
    {"relaxed_order", static_cast<int>(IterativeScan::kRelaxedOrder), false},
    {nullptr, 0, false},
};

const config_enum_entry kSimdLevelOptions[] = {
    {"auto", -1, false},
    {"baseline", static_cast<int>(SimdLevel::kBaseline), false},
    {"avx2", static_cast<int>(SimdLevel::kAvx2), false},
    {"avx512", static_cast<int>(SimdLevel::kAvx512), false},
    {nullptr, 0, false},
};

bool CheckSimdLevel(int* value, void**, GucSource) {
    if (*value < 0 || KernelTableFor(static_cast<SimdLevel>(*value)) != nullptr) return true;
    GUC_check_errdetail("This processor does not support the instruction set.");
    return false;
}

void AssignSimdLevel(int value, void*) {
    ForceSimdLevel(value < 0 ? BestSimdLevel() : static_cast<SimdLevel>(value));
}

void DefineIvfSettings() {
    DefineCustomIntVariable("ivfflat.probes", "Lists that an ivfflat search reads first.",
                            "More lists find more of the true neighbours and take longer.", &settings.ivfflat_probes, 1,
                            1, kMaxProbes, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("ivfflat.iterative_scan",
                             "What an ivfflat scan does when the query wants more rows than the first lists have.",
                             "relaxed_order goes on to further lists, whose rows come late; off stops.",
                             &settings.ivfflat_iterative_scan, static_cast<int>(IterativeScan::kRelaxedOrder),
                             kIvfIterativeScanOptions, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("ivfflat.max_probes", "Lists that an ivfflat scan reads at most.", nullptr,
                            &settings.ivfflat_max_probes, kMaxProbes, 1, kMaxProbes, PGC_USERSET, 0, nullptr, nullptr,
                            nullptr);
    DefineCustomIntVariable(
        "ivfpq.probes", "Lists that an ivfpq search reads first.",
        "More lists find more of the true neighbours and take longer; 0: as many as the index says.",
        &settings.ivfpq_probes, 0, 0, kMaxProbes, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("ivfpq.iterative_scan",
                             "What an ivfpq scan does when the query wants more rows than the first lists have.",
                             "relaxed_order goes on to further lists, whose rows come late; off stops.",
                             &settings.ivfpq_iterative_scan, static_cast<int>(IterativeScan::kRelaxedOrder),
                             kIvfIterativeScanOptions, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("ivfpq.max_probes", "Lists that an ivfpq scan reads at most.", nullptr,
                            &settings.ivfpq_max_probes, kMaxProbes, 1, kMaxProbes, PGC_USERSET, 0, nullptr, nullptr,
                            nullptr);
}

}  // namespace

const SettingsData& Settings() {
    return settings;
}

void InitSettings() {
    DefineCustomIntVariable("hnsw.ef_search", "Size of the candidate list of an hnsw search.",
                            "Larger values find more of the true neighbours and take longer.", &settings.hnsw_ef_search,
                            kDefaultEfSearch, kMinEfSearch, kMaxEfSearch, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable(
        "hnsw.iterative_scan", "What an hnsw scan does when the query wants more rows than the first search found.",
        "relaxed_order goes on and may return late rows out of order, strict_order drops those, off stops.",
        &settings.hnsw_iterative_scan, static_cast<int>(IterativeScan::kRelaxedOrder), kIterativeScanOptions,
        PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("hnsw.max_scan_tuples", "Rows an hnsw scan returns before it stops; -1 means no limit.",
                            nullptr, &settings.hnsw_max_scan_tuples, -1, -1, INT_MAX, PGC_USERSET, 0, nullptr, nullptr,
                            nullptr);
    DefineCustomRealVariable("hnsw.scan_mem_multiplier", "Memory of an hnsw scan, in multiples of work_mem.",
                             "A scan that needs more stops following the graph and goes on page by page.",
                             &settings.hnsw_scan_mem_multiplier, 1.0, 1.0, 1000.0, PGC_USERSET, 0, nullptr, nullptr,
                             nullptr);
    DefineIvfSettings();
    DefineCustomBoolVariable("vecann.enable_custom_scan", "Lets the planner use the custom scan node of vecann.",
                             "Without it, queries in the order of a distance use plain index scans.",
                             &settings.enable_custom_scan, true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("vecann.enable_bitmap_search",
                             "Lets the planner use searches among the rows of a bitmap for filtered queries.", nullptr,
                             &settings.enable_bitmap_search, true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("vecann.enable_exact_search",
                             "Lets filtered queries compute the distances of all rows of a bitmap.",
                             "Without it, searches do not switch to that at run time either.",
                             &settings.enable_exact_search, true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("vecann.enable_post_filter",
                             "Lets the planner test the conditions of filtered queries on the rows of a search.",
                             "Where no other strategy is possible this one is used all the same.",
                             &settings.enable_post_filter, true, PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("vecann.enable_row_codes",
                             "Lets exact passes of filtered queries read only rows that an index's codes leave near.",
                             "Without it, they read all rows of the bitmap.", &settings.enable_row_codes, true,
                             PGC_USERSET, GUC_EXPLAIN, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("vecann.simd_level", "Instruction set of the distance kernels (for developers).", nullptr,
                             &settings.simd_level, -1, kSimdLevelOptions, PGC_SUSET, GUC_NOT_IN_SAMPLE, CheckSimdLevel,
                             AssignSimdLevel, nullptr);
#ifdef VECANN_RACE_POINTS
    DefineCustomStringVariable("vecann.race_points", "Race points at which this session waits (test builds only).",
                               nullptr, &settings.race_points, "", PGC_USERSET, GUC_NOT_IN_SAMPLE, nullptr, nullptr,
                               nullptr);
#endif
    ReserveGucPrefix("hnsw");
    ReserveGucPrefix("ivfflat");
    ReserveGucPrefix("ivfpq");
    ReserveGucPrefix("vecann");
}

}  // namespace vecann

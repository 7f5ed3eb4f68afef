// Settings. All are read through Settings(); names, ranges and defaults stand in one table in guc.cpp, which the
// documentation is checked against.
#pragma once

#include "pg/pg.h"

namespace vecann {

enum class IterativeScan : int { kOff = 0, kRelaxedOrder = 1, kStrictOrder = 2 };

constexpr int kMinEfSearch = 1;
constexpr int kDefaultEfSearch = 40;
constexpr int kMaxEfSearch = 1000;

constexpr int kMaxProbes = 32768;

struct SettingsData {
    int hnsw_ef_search;
    int hnsw_iterative_scan;  // IterativeScan
    int hnsw_max_scan_tuples;
    double hnsw_scan_mem_multiplier;
    int ivfflat_probes;
    int ivfflat_iterative_scan;  // IterativeScan, kStrictOrder excepted
    int ivfflat_max_probes;
    int ivfpq_probes;  // 0: what the index says
    int ivfpq_iterative_scan;
    int ivfpq_max_probes;
    bool enable_custom_scan;
    bool enable_bitmap_search;
    bool enable_exact_search;
    bool enable_post_filter;
    bool enable_row_codes;
    int simd_level;     // -1: the best one
    char* race_points;  // only with VECANN_RACE_POINTS
};

const SettingsData& Settings();

// Called once from _PG_init.
void InitSettings();

}  // namespace vecann

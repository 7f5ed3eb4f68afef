// Sums of blocks without a shuffle of bytes: one look-up after another. What the other levels must agree with. Part of
// kernels_baseline.cpp.
#pragma once

#include <cstring>

#include "kernels/block_scan_impl.h"

namespace vecann {
namespace baseline {

struct Block {
    static constexpr int kAbreast = 1;
    struct Sums {
        uint16_t lanes[kBlockCodes];
    };

    template <int kCount>
    static void Add(const BlockScan& scan, int first, Sums* sums) {
        static_assert(kCount == 1);
        uint16_t* lanes = sums->lanes;
        memset(lanes, 0, sizeof(sums->lanes));
        const uint8_t* codes = scan.codes + scan.code_stride * static_cast<size_t>(first);
        for (int s = 0; s < EvenSubQuantizers(scan.m); ++s) {
            const uint8_t* levels = scan.levels + s * 16;
            const uint8_t* row = codes + s * 16;
            for (int v = 0; v < 8; ++v) {
                lanes[v] = static_cast<uint16_t>(lanes[v] + levels[row[2 * v] & 15]);
                lanes[v + 8] = static_cast<uint16_t>(lanes[v + 8] + levels[row[2 * v + 1] & 15]);
                lanes[v + 16] = static_cast<uint16_t>(lanes[v + 16] + levels[row[2 * v] >> 4]);
                lanes[v + 24] = static_cast<uint16_t>(lanes[v + 24] + levels[row[2 * v + 1] >> 4]);
            }
        }
    }
    static void Store(const Sums& sums, uint16_t* out) { memcpy(out, sums.lanes, sizeof(sums.lanes)); }
    static uint32_t Below(const Sums& sums, uint16_t most) {
        uint32_t mask = 0;
        for (int v = 0; v < kBlockCodes; ++v)
            mask |= static_cast<uint32_t>(sums.lanes[v] <= most) << v;
        return mask;
    }
    static uint32_t Estimate(const Sums& sums, const BlockEstimate& rule, const float* add, const float* scale,
                             const float* error, float* estimates) {
        uint32_t mask = 0;
        for (int v = 0; v < kBlockCodes; ++v) {
            const float value = rule.bias + rule.step * static_cast<float>(sums.lanes[v]);
            const float part = scale != nullptr ? scale[v] * value : value;
            const float estimate = (add != nullptr ? rule.base + add[v] : rule.base) + part;
            const float bound = error != nullptr ? estimate - rule.spread * error[v] : estimate;
            estimates[v] = estimate;
            mask |= static_cast<uint32_t>(!(bound > rule.limit)) << v;
        }
        return mask;
    }
};

}  // namespace baseline
}  // namespace vecann

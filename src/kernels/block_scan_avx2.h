// Sums of blocks with AVX2: a pair of sub-quantizers is one load of 32 codes and one of both tables, and two shuffles
// look up all 32. Bytes are summed in pairs as 16-bit numbers, whose low halves are mended at the end. Part of
// kernels_avx2.cpp.
#pragma once

#include <immintrin.h>

#include "kernels/block_scan_impl.h"

namespace vecann {
namespace avx2 {

struct Block {
    static constexpr int kAbreast = 2;
    struct Sums {
        __m256i low, high;  // lanes 0 to 15, 16 to 31
    };

    // `both` sums pairs of bytes, `odd` the upper ones: the even lanes and the odd ones of each half, then the halves.
    static inline __attribute__((always_inline)) __m256i Lanes(__m256i both, __m256i odd) {
        const __m256i even = _mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8));
        return _mm256_add_epi16(_mm256_permute2x128_si256(even, odd, 0x20), _mm256_permute2x128_si256(even, odd, 0x31));
    }
    template <int kCount>
    static inline __attribute__((always_inline)) void Add(const BlockScan& scan, int first, Sums* sums) {
        const __m256i nibble = _mm256_set1_epi8(15);
        const uint8_t* codes[kCount];
        __m256i both[kCount][2], odd[kCount][2];
        for (int e = 0; e < kCount; ++e) {
            codes[e] = scan.codes + scan.code_stride * static_cast<size_t>(first + e);
            both[e][0] = both[e][1] = odd[e][0] = odd[e][1] = _mm256_setzero_si256();
        }
        for (int i = 0; i < scan.m; i += 2) {
            const __m256i levels = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scan.levels + i * 16));
#pragma GCC unroll 2
            for (int e = 0; e < kCount; ++e) {
                const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes[e] + i * 16));
                const __m256i low = _mm256_shuffle_epi8(levels, _mm256_and_si256(code, nibble));
                const __m256i high = _mm256_shuffle_epi8(levels, _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble));
                both[e][0] = _mm256_add_epi16(both[e][0], low);
                odd[e][0] = _mm256_add_epi16(odd[e][0], _mm256_srli_epi16(low, 8));
                both[e][1] = _mm256_add_epi16(both[e][1], high);
                odd[e][1] = _mm256_add_epi16(odd[e][1], _mm256_srli_epi16(high, 8));
            }
        }
        for (int e = 0; e < kCount; ++e)
            sums[e] = {Lanes(both[e][0], odd[e][0]), Lanes(both[e][1], odd[e][1])};
    }
    static void Store(const Sums& sums, uint16_t* out) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums.low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), sums.high);
    }
    static uint32_t Below(const Sums& sums, uint16_t most) {
        const __m256i limit = _mm256_set1_epi16(static_cast<int16_t>(most));
        const __m256i low = _mm256_cmpeq_epi16(_mm256_min_epu16(sums.low, limit), sums.low);
        const __m256i high = _mm256_cmpeq_epi16(_mm256_min_epu16(sums.high, limit), sums.high);
        // the pack works on halves: quarters come as 0, 2, 1, 3
        const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
        return static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
    }
    static uint32_t Estimate(const Sums& sums, const BlockEstimate& rule, const float* add, const float* scale,
                             const float* error, float* estimates) {
        const __m128i quarters[4] = {_mm256_castsi256_si128(sums.low), _mm256_extracti128_si256(sums.low, 1),
                                     _mm256_castsi256_si128(sums.high), _mm256_extracti128_si256(sums.high, 1)};
        const __m256 base = _mm256_set1_ps(rule.base);
        uint32_t mask = 0;
        for (int q = 0; q < 4; ++q) {
            const __m256 sum = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(quarters[q]));
            __m256 part = _mm256_add_ps(_mm256_set1_ps(rule.bias), _mm256_mul_ps(_mm256_set1_ps(rule.step), sum));
            if (scale != nullptr) part = _mm256_mul_ps(_mm256_loadu_ps(scale + q * 8), part);
            const __m256 begin = add != nullptr ? _mm256_add_ps(base, _mm256_loadu_ps(add + q * 8)) : base;
            const __m256 estimate = _mm256_add_ps(begin, part);
            __m256 bound = estimate;
            if (error != nullptr)
                bound =
                    _mm256_sub_ps(estimate, _mm256_mul_ps(_mm256_set1_ps(rule.spread), _mm256_loadu_ps(error + q * 8)));
            _mm256_storeu_ps(estimates + q * 8, estimate);
            const __m256 kept = _mm256_cmp_ps(bound, _mm256_set1_ps(rule.limit), _CMP_NGT_UQ);
            mask |= static_cast<uint32_t>(_mm256_movemask_ps(kept)) << (q * 8);
        }
        return mask;
    }
};

}  // namespace avx2
}  // namespace vecann

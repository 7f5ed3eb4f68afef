// Sums of blocks with AVX-512: four sub-quantizers at once, otherwise as with AVX2. Part of kernels_avx512.cpp.
#pragma once

#include <immintrin.h>

#include "kernels/block_scan_impl.h"

namespace vecann {
namespace avx512 {

struct Block {
    static constexpr int kAbreast = 2;
    struct Sums {
        __m512i lanes;
    };

    static inline __attribute__((always_inline)) __m256i Lanes(__m512i both, __m512i odd) {
        const __m512i even = _mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8));
        const __m256i evens = _mm256_add_epi16(_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1));
        const __m256i odds = _mm256_add_epi16(_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1));
        return _mm256_add_epi16(_mm256_permute2x128_si256(evens, odds, 0x20),
                                _mm256_permute2x128_si256(evens, odds, 0x31));
    }
    template <int kCount>
    static inline __attribute__((always_inline)) void AddPart(__m512i levels, const __m512i* codes, __m512i (*both)[2],
                                                              __m512i (*odd)[2]) {
        const __m512i nibble = _mm512_set1_epi8(15);
#pragma GCC unroll 4
        for (int e = 0; e < kCount; ++e) {
            const __m512i low = _mm512_shuffle_epi8(levels, _mm512_and_si512(codes[e], nibble));
            const __m512i high = _mm512_shuffle_epi8(levels, _mm512_and_si512(_mm512_srli_epi16(codes[e], 4), nibble));
            both[e][0] = _mm512_add_epi16(both[e][0], low);
            odd[e][0] = _mm512_add_epi16(odd[e][0], _mm512_srli_epi16(low, 8));
            both[e][1] = _mm512_add_epi16(both[e][1], high);
            odd[e][1] = _mm512_add_epi16(odd[e][1], _mm512_srli_epi16(high, 8));
        }
    }
    template <int kCount>
    static inline __attribute__((always_inline)) void Add(const BlockScan& scan, int first, Sums* sums) {
        const uint8_t* codes[kCount];
        __m512i both[kCount][2], odd[kCount][2], code[kCount];
        for (int e = 0; e < kCount; ++e) {
            codes[e] = scan.codes + scan.code_stride * static_cast<size_t>(first + e);
            both[e][0] = both[e][1] = odd[e][0] = odd[e][1] = _mm512_setzero_si512();
        }
        const int even = EvenSubQuantizers(scan.m);
        int i = 0;
        for (; i + 4 <= even; i += 4) {
#pragma GCC unroll 4
            for (int e = 0; e < kCount; ++e)
                code[e] = _mm512_loadu_si512(codes[e] + i * 16);
            AddPart<kCount>(_mm512_loadu_si512(scan.levels + i * 16), code, both, odd);
        }
        if (i < even) {
            // half of it is zero, and so are its levels
            constexpr __mmask8 kHalf = 0x0f;
            for (int e = 0; e < kCount; ++e)
                code[e] = _mm512_maskz_loadu_epi64(kHalf, codes[e] + i * 16);
            AddPart<kCount>(_mm512_maskz_loadu_epi64(kHalf, scan.levels + i * 16), code, both, odd);
        }
        for (int e = 0; e < kCount; ++e)
            sums[e].lanes = _mm512_inserti64x4(_mm512_castsi256_si512(Lanes(both[e][0], odd[e][0])),
                                               Lanes(both[e][1], odd[e][1]), 1);
    }
    static void Store(const Sums& sums, uint16_t* out) {
        _mm512_storeu_si512(out, sums.lanes);
    }
    static uint32_t Below(const Sums& sums, uint16_t most) {
        return _mm512_cmple_epu16_mask(sums.lanes, _mm512_set1_epi16(static_cast<int16_t>(most)));
    }
    static uint32_t Estimate(const Sums& sums, const BlockEstimate& rule, const float* add, const float* scale,
                             const float* error, float* estimates) {
        const __m256i halves[2] = {_mm512_castsi512_si256(sums.lanes), _mm512_extracti64x4_epi64(sums.lanes, 1)};
        const __m512 base = _mm512_set1_ps(rule.base);
        uint32_t mask = 0;
        for (int h = 0; h < 2; ++h) {
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(halves[h]));
            __m512 part = _mm512_add_ps(_mm512_set1_ps(rule.bias), _mm512_mul_ps(_mm512_set1_ps(rule.step), sum));
            if (scale != nullptr) part = _mm512_mul_ps(_mm512_loadu_ps(scale + h * 16), part);
            const __m512 begin = add != nullptr ? _mm512_add_ps(base, _mm512_loadu_ps(add + h * 16)) : base;
            const __m512 estimate = _mm512_add_ps(begin, part);
            __m512 bound = estimate;
            if (error != nullptr)
                bound = _mm512_sub_ps(estimate,
                                      _mm512_mul_ps(_mm512_set1_ps(rule.spread), _mm512_loadu_ps(error + h * 16)));
            _mm512_storeu_ps(estimates + h * 16, estimate);
            const uint32_t kept = _mm512_cmp_ps_mask(bound, _mm512_set1_ps(rule.limit), _CMP_NGT_UQ);
            mask |= kept << (h * 16);
        }
        return mask;
    }
};

}  // namespace avx512
}  // namespace vecann

// Scores of a batch of codes; part of kernels_avx512.cpp.
//
// A word of a code is a mask over 64 bytes, the levels of the query's 64 dimensions: a masked addition sums what the
// word selects. That takes a third of the instructions of counting the bits of each pair of planes. Levels stay below
// 64, so that a byte takes four of them before it must be widened. Eight codes go abreast, their lanes summed together
// at the end.
#pragma once

#include <immintrin.h>

#include "kernels/code_kernels.h"

namespace vecann {
namespace avx512 {

constexpr int kAbreast = 8;

struct Word {
    static uint32_t Count(uint64_t x) { return static_cast<uint32_t>(_mm_popcnt_u64(x)); }
};

// Beyond so many words, which is far beyond what a table holds, bits are counted.
constexpr int kMostWords = 256;
static_assert(4 * ((1 << kQueryPlanes) - 1) <= 255);

inline __attribute__((always_inline)) uint64_t WordOf(const char* p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

// The levels of the query, a byte each, from its planes.
inline void ExpandQuery(const uint64_t* planes, int words, uint8_t* levels) {
    for (int w = 0; w < words; ++w) {
        __m512i level = _mm512_setzero_si512();
        for (int i = 0; i < kQueryPlanes; ++i)
            level =
                _mm512_mask_add_epi8(level, planes[i * words + w], level, _mm512_set1_epi8(static_cast<char>(1 << i)));
        _mm512_storeu_si512(levels + w * 64, level);
    }
}

// The sum of the levels that up to four words select, in eight lanes.
template <int kCount>
inline __attribute__((always_inline)) __m512i SumSelected(const __m512i* levels, const char* code) {
    __m512i bytes = _mm512_maskz_mov_epi8(WordOf(code), levels[0]);
#pragma GCC unroll 4
    for (int w = 1; w < kCount; ++w)
        bytes = _mm512_mask_add_epi8(bytes, WordOf(code + w * 8), bytes, levels[w]);
    return _mm512_sad_epu8(bytes, _mm512_setzero_si512());
}

// The same for a plane of any number of words.
inline __attribute__((always_inline)) __m512i SumPlane(const __m512i* levels, const char* code, int words) {
    __m512i sum = _mm512_setzero_si512();
    int w = 0;
    for (; w + 4 <= words; w += 4)
        sum = _mm512_add_epi64(sum, SumSelected<4>(levels + w, code + w * 8));
    switch (words - w) {
        case 1:
            return _mm512_add_epi64(sum, SumSelected<1>(levels + w, code + w * 8));
        case 2:
            return _mm512_add_epi64(sum, SumSelected<2>(levels + w, code + w * 8));
        case 3:
            return _mm512_add_epi64(sum, SumSelected<3>(levels + w, code + w * 8));
        default:
            return sum;
    }
}

// kWords: the words of a plane where the compiler is to know, else 0.
template <int kWords>
inline __attribute__((always_inline)) __m512i SumCode(const __m512i* levels, const char* code, int words, int bits) {
    if constexpr (kWords > 0) words = kWords;
    __m512i sum = SumPlane(levels, code + (bits - 1) * words * 8, words);
    for (int j = bits - 2; j >= 0; --j)
        sum = _mm512_add_epi64(_mm512_add_epi64(sum, sum), SumPlane(levels, code + j * words * 8, words));
    return sum;
}

// Halves the lanes of a and of b.
inline __attribute__((always_inline)) __m512i AddPairs(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
inline __attribute__((always_inline)) __m512i AddQuarters(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

// Lane n: the sum of all lanes of a[n].
inline __attribute__((always_inline)) __m512i SumLanes(const __m512i (&a)[kAbreast]) {
    const __m512i low = AddQuarters(AddPairs(a[0], a[1]), AddPairs(a[2], a[3]));
    const __m512i high = AddQuarters(AddPairs(a[4], a[5]), AddPairs(a[6], a[7]));
    return AddQuarters(low, high);
}

// Turns the plane sums of up to eight edges into estimates.
inline __attribute__((always_inline)) void Estimate(const CodeBatch& batch, int first, int count, __m512i sums,
                                                    float* estimates) {
    const __mmask16 fields[2] = {static_cast<__mmask16>(count < 4 ? (1u << (4 * count)) - 1 : 0xffff),
                                 static_cast<__mmask16>(count > 4 ? (1u << (4 * (count - 4))) - 1 : 0)};
    const CodedEdge* edges = batch.edges + first;
    const __m512i a = _mm512_maskz_loadu_epi32(fields[0], edges);
    const __m512i b = _mm512_maskz_loadu_epi32(fields[1], edges + 4);
    const __m512i field = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0, 0, 0, 0, 0, 0);
    const auto pick = [&](int k) {
        return _mm512_castsi512_si256(_mm512_permutex2var_epi32(a, _mm512_add_epi32(field, _mm512_set1_epi32(k)), b));
    };
    static_assert(offsetof(CodedEdge, level_sum) == 6 && offsetof(CodedEdge, add) == 8);
    const __m256 level_sum = _mm256_cvtepi32_ps(_mm256_srli_epi32(pick(1), 16));
    const __m256 add = _mm256_castsi256_ps(pick(2)), scale = _mm256_castsi256_ps(pick(3));
    __m256 product = _mm256_fmsub_ps(_mm256_set1_ps(batch.low), level_sum, _mm256_set1_ps(batch.half_sum));
    product = _mm256_fmadd_ps(_mm256_set1_ps(batch.step), _mm512_cvtepi64_ps(sums), product);
    const __m256 estimate = _mm256_fmadd_ps(scale, product, _mm256_add_ps(_mm256_set1_ps(batch.base), add));
    _mm256_mask_storeu_ps(estimates + first, static_cast<__mmask8>((1u << count) - 1), estimate);
}

template <int kWords, int kBits>
void ScoreCodes(const CodeBatch& batch, float* estimates) {
    const int words = kWords > 0 ? kWords : batch.words, bits = kBits > 0 ? kBits : batch.bits;
    const size_t bytes = static_cast<size_t>(bits) * static_cast<size_t>(words) * sizeof(uint64_t);
    __m512i levels[kWords > 0 ? kWords : kMostWords];
    if (batch.levels == nullptr) ExpandQuery(batch.query, words, reinterpret_cast<uint8_t*>(levels));
    for (int w = 0; batch.levels != nullptr && w < words; ++w)
        levels[w] = _mm512_loadu_si512(batch.levels + w * 64);
    const char* code = batch.codes;
    __m512i sums[kAbreast];
    int first = 0;
    for (; first + kAbreast <= batch.count; first += kAbreast) {
#pragma GCC unroll 8
        for (int e = 0; e < kAbreast; ++e) {
            sums[e] = SumCode<kWords>(levels, code, words, bits);
            code += bytes;
        }
        Estimate(batch, first, kAbreast, SumLanes(sums), estimates);
    }
    if (first == batch.count) return;
    for (__m512i& sum : sums)
        sum = _mm512_setzero_si512();
    for (int e = 0; first + e < batch.count; ++e) {
        sums[e] = SumCode<kWords>(levels, code, words, bits);
        code += bytes;
    }
    Estimate(batch, first, batch.count - first, SumLanes(sums), estimates);
}

template <int kBits>
void ScoreOfBits(const CodeBatch& batch, float* estimates) {
    switch (batch.words) {
        case 1:
            return ScoreCodes<1, kBits>(batch, estimates);
        case 2:
            return ScoreCodes<2, kBits>(batch, estimates);
        case 4:
            return ScoreCodes<4, kBits>(batch, estimates);
        case 8:
            return ScoreCodes<8, kBits>(batch, estimates);
        default:
            return ScoreCodes<0, kBits>(batch, estimates);
    }
}

inline void Score(const CodeBatch& batch, float* estimates) {
    if (batch.words > kMostWords) return ScoreByWords<Word>(batch, estimates);
    if (batch.bits == 1) return ScoreOfBits<1>(batch, estimates);
    if (batch.bits == 2) return ScoreOfBits<2>(batch, estimates);
    if (batch.bits == 4) return ScoreOfBits<4>(batch, estimates);
    ScoreCodes<0, 0>(batch, estimates);
}

}  // namespace avx512
}  // namespace vecann

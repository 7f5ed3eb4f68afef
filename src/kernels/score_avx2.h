// Scores of a batch of codes by table look-up; part of kernels_avx2.cpp.
//
// The words of a code, plane after plane, are read four to a register (a chunk); against them stand, for each of the
// six query planes, a register with that plane's words in the same lanes, split into its low and high nibbles. A
// shuffle counts the bits of each nibble and gives them their weight at once. Four codes go abreast.
#pragma once

#include <immintrin.h>

#include "kernels/code_kernels.h"

namespace vecann {
namespace avx2 {

constexpr int kAbreast = 4;
// Beyond so many chunks, which is beyond what a table usually holds, words are counted one by one.
constexpr int kMostChunks = 32;
constexpr int kHalfPlanes = kQueryPlanes / 2;

struct Word {
    static uint32_t Count(uint64_t x) { return static_cast<uint32_t>(_mm_popcnt_u64(x)); }
};

struct QueryChunk {
    __m256i low[kQueryPlanes], high[kQueryPlanes];  // nibbles
    __m256i shift;                                  // of each lane: its code plane
    __m256i lanes;                                  // all bits set where there is a word of the code
};

inline void LoadChunk(const CodeBatch& batch, int chunk, QueryChunk* q) {
    alignas(32) uint64_t plane[kQueryPlanes][4] = {}, shift[4] = {}, lanes[4] = {};
    for (int lane = 0; lane < 4; ++lane) {
        const int word = chunk * 4 + lane;
        if (word >= batch.words * batch.bits) break;
        for (int i = 0; i < kQueryPlanes; ++i)
            plane[i][lane] = batch.query[i * batch.words + word % batch.words];
        shift[lane] = static_cast<uint64_t>(word / batch.words);
        lanes[lane] = ~uint64_t{0};
    }
    const __m256i nibbles = _mm256_set1_epi8(0x0f);
    for (int i = 0; i < kQueryPlanes; ++i) {
        const __m256i x = _mm256_load_si256(reinterpret_cast<const __m256i*>(plane[i]));
        q->low[i] = _mm256_and_si256(x, nibbles);
        q->high[i] = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibbles);
    }
    q->shift = _mm256_load_si256(reinterpret_cast<const __m256i*>(shift));
    q->lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes));
}

struct Tables {
    __m256i count[kHalfPlanes];  // bits of a nibble, times 2^i

    Tables() {
        count[0] = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3,
                                    2, 3, 3, 4);
        for (int i = 1; i < kHalfPlanes; ++i)
            count[i] = _mm256_add_epi8(count[i - 1], count[i - 1]);
    }
};

// Bytes of the sum over three query planes from `first` on; at most 2 x 4 x 7.
inline __attribute__((always_inline)) __m256i CountHalf(const Tables& tables, const QueryChunk& q, int first,
                                                        __m256i low, __m256i high) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int i = 0; i < kHalfPlanes; ++i) {
        sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(tables.count[i], _mm256_and_si256(low, q.low[first + i])));
        sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(tables.count[i], _mm256_and_si256(high, q.high[first + i])));
    }
    return sum;
}

// The sum over the query planes, in each lane.
inline __attribute__((always_inline)) __m256i ChunkSums(const Tables& tables, const QueryChunk& q, __m256i x) {
    const __m256i nibbles = _mm256_set1_epi8(0x0f), zero = _mm256_setzero_si256();
    const __m256i low = _mm256_and_si256(x, nibbles), high = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibbles);
    const __m256i a = _mm256_sad_epu8(CountHalf(tables, q, 0, low, high), zero);
    const __m256i b = _mm256_sad_epu8(CountHalf(tables, q, kHalfPlanes, low, high), zero);
    return _mm256_sllv_epi64(_mm256_add_epi64(a, _mm256_slli_epi64(b, kHalfPlanes)), q.shift);
}

inline __attribute__((always_inline)) __m256i SumCode(const Tables& tables, const QueryChunk* q, int chunks,
                                                      const char* code) {
    __m256i sum = _mm256_setzero_si256();
    for (int c = 0; c + 1 < chunks; ++c) {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(code + c * 32));
        sum = _mm256_add_epi64(sum, ChunkSums(tables, q[c], x));
    }
    const QueryChunk& last = q[chunks - 1];
    const __m256i x = _mm256_maskload_epi64(reinterpret_cast<const long long*>(code + (chunks - 1) * 32), last.lanes);
    return _mm256_add_epi64(sum, ChunkSums(tables, last, x));
}

inline __attribute__((always_inline)) __m256i AddPairs(__m256i a, __m256i b) {
    return _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

// The sum of the lanes of each, as floats.
inline __attribute__((always_inline)) __m128 SumLanes(const __m256i (&a)[kAbreast]) {
    const __m256i x = AddPairs(a[0], a[1]), y = AddPairs(a[2], a[3]);
    const __m256i sums = _mm256_add_epi64(_mm256_permute2x128_si256(x, y, 0x20), _mm256_permute2x128_si256(x, y, 0x31));
    const __m256i even = _mm256_permutevar8x32_epi32(sums, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    return _mm_cvtepi32_ps(_mm256_castsi256_si128(even));
}

// The estimates of four edges.
inline __attribute__((always_inline)) __m128 Estimate(const CodeBatch& batch, const CodedEdge* const (&edges)[kAbreast],
                                                      __m128 sums) {
    __m128 row[kAbreast];
    for (int e = 0; e < kAbreast; ++e)
        row[e] = _mm_loadu_ps(reinterpret_cast<const float*>(edges[e]));
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    static_assert(offsetof(CodedEdge, level_sum) == 6 && offsetof(CodedEdge, add) == 8);
    const __m128 level_sum = _mm_cvtepi32_ps(_mm_srli_epi32(_mm_castps_si128(row[1]), 16));
    __m128 product = _mm_fmsub_ps(_mm_set1_ps(batch.low), level_sum, _mm_set1_ps(batch.half_sum));
    product = _mm_fmadd_ps(_mm_set1_ps(batch.step), sums, product);
    return _mm_fmadd_ps(row[3], product, _mm_add_ps(_mm_set1_ps(batch.base), row[2]));
}

inline void Score(const CodeBatch& batch, float* estimates) {
    const int total = batch.bits * batch.words, chunks = (total + 3) / 4;
    if (chunks > kMostChunks) return ScoreByWords<Word>(batch, estimates);
    QueryChunk q[kMostChunks];
    for (int c = 0; c < chunks; ++c)
        LoadChunk(batch, c, &q[c]);
    const Tables tables;
    const size_t bytes = static_cast<size_t>(total) * sizeof(uint64_t);
    for (int first = 0; first < batch.count; first += kAbreast) {
        const int count = batch.count - first < kAbreast ? batch.count - first : kAbreast;
        __m256i sums[kAbreast];
        const CodedEdge* edges[kAbreast];
#pragma GCC unroll 4
        for (int e = 0; e < kAbreast; ++e) {
            // the first stands in for those that the last group lacks
            const int n = e < count ? first + e : first;
            edges[e] = batch.edges + n;
            sums[e] = SumCode(tables, q, chunks, batch.codes + static_cast<size_t>(n) * bytes);
        }
        float four[kAbreast];
        _mm_storeu_ps(four, Estimate(batch, edges, SumLanes(sums)));
        if (count == kAbreast) {
            memcpy(estimates + first, four, sizeof(four));
        } else {
            memcpy(estimates + first, four, static_cast<size_t>(count) * sizeof(float));
        }
    }
}

}  // namespace avx2
}  // namespace vecann

// The AVX2 level (with FMA, F16C and POPCNT): packs of eight floats. Compiled with -mavx2 -mfma -mf16c -mpopcnt; only
// reached through the kernel table once cpuid says that this processor and operating system keep the registers. The
// library headers included here must not leave inline functions that the linker could pick for other levels: intrinsics
// only.
#include "kernels/levels.h"

#ifdef VECANN_HAVE_AVX2

#include <immintrin.h>

#include "kernels/bit_kernels.h"
#include "kernels/block_scan_avx2.h"
#include "kernels/code_kernels.h"
#include "kernels/codebook_kernels.h"
#include "kernels/dense_kernels.h"
#include "kernels/nibble_kernels.h"
#include "kernels/rotation_kernels.h"
#include "kernels/score_avx2.h"

namespace vecann {
namespace avx2 {

alignas(32) const int32_t kKeep[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct Pack {
    static constexpr size_t kWidth = 8;
    __m256 v;

    // All bits of the first count lanes.
    static __m256i Mask(size_t count) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kKeep + 8 - count));
    }
    static Pack Zero() { return {_mm256_setzero_ps()}; }
    static Pack Set(float x) { return {_mm256_set1_ps(x)}; }
    static Pack Load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static Pack Load(const Half* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
    static Pack Load(const uint8_t* p) {
        return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
    }
    static Pack LoadPart(const float* p, size_t count) { return {_mm256_maskload_ps(p, Mask(count))}; }
    static Pack LoadPart(const Half* p, size_t count) {
        // Four at a time: the last four, moved down over those that have been read.
        uint64_t words[2] = {0, 0};
        if (count >= 4) {
            memcpy(&words[0], p, sizeof(uint64_t));
            memcpy(&words[1], p + count - 4, sizeof(uint64_t));
            words[1] = count == 4 ? 0 : words[1] >> 16 * (8 - count);
        } else {
            memcpy(&words[0], p, sizeof(uint16_t));
            if (count > 1) words[0] |= static_cast<uint64_t>(p[count - 1].bits) << 16 * (count - 1);
            if (count > 2) words[0] |= static_cast<uint64_t>(p[1].bits) << 16;
        }
        return {_mm256_cvtph_ps(_mm_set_epi64x(static_cast<int64_t>(words[1]), static_cast<int64_t>(words[0])))};
    }
    static Pack LoadPart(const uint8_t* p, size_t) { return Load(p); }
    // Twice the levels are whole numbers, which a look-up gives; halving is exact.
    static void LoadNibbles(const uint8_t* code, Pack* levels) {
        const __m128i twice = _mm_setr_epi8(-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15);
        const __m128i nibbles = _mm_set1_epi8(0x0f);
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(code));
        const __m128i low = _mm_shuffle_epi8(twice, _mm_and_si128(bytes, nibbles));
        const __m128i high = _mm_shuffle_epi8(twice, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibbles));
        const __m256 half = _mm256_set1_ps(0.5f);
        const auto widen = [&](__m128i eight) {
            return Pack{_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), half)};
        };
        levels[0] = widen(low);
        levels[1] = widen(_mm_unpackhi_epi64(low, low));
        levels[2] = widen(high);
        levels[3] = widen(_mm_unpackhi_epi64(high, high));
    }
    // One by one: the instruction is twice as slow where the processor guards it against leaks.
    static Pack Gather(const float* p, const uint32_t* at) {
        return {_mm256_setr_ps(p[at[0]], p[at[1]], p[at[2]], p[at[3]], p[at[4]], p[at[5]], p[at[6]], p[at[7]])};
    }
    static Pack Keep(Pack a, size_t count) { return {_mm256_and_ps(a.v, _mm256_castsi256_ps(Mask(count)))}; }
    void Store(float* p) const { _mm256_storeu_ps(p, v); }
    static Pack Add(Pack a, Pack b) { return {_mm256_add_ps(a.v, b.v)}; }
    static Pack Sub(Pack a, Pack b) { return {_mm256_sub_ps(a.v, b.v)}; }
    static Pack Mul(Pack a, Pack b) { return {_mm256_mul_ps(a.v, b.v)}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    static Pack Abs(Pack a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
    static Pack Min(Pack a, Pack b) { return {_mm256_min_ps(a.v, b.v)}; }
    static Pack Max(Pack a, Pack b) { return {_mm256_max_ps(a.v, b.v)}; }
    // Whole numbers from 0 to 255.
    static void StoreBytes(Pack a, uint8_t* p) {
        const __m256i words = _mm256_cvttps_epi32(a.v);
        const __m128i shorts = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(shorts, shorts));
    }
    static float Least(Pack a) {
        __m128 s = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        s = _mm_min_ps(s, _mm_movehl_ps(s, s));
        return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
    }
    static uint32_t Equal(Pack a, Pack b) {
        return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)));
    }
    static Pack Truncate(Pack a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }
    static float Sum(Pack a) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
    static uint64_t Bits(Pack a, int j) {
        const __m256i k = _mm256_sll_epi32(_mm256_cvttps_epi32(a.v), _mm_cvtsi32_si128(31 - j));
        return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(k)));
    }
    // The partner plus or minus the lane itself; the product with +-1 is exact.
    template <size_t kApart>
    static Pack Butterfly(Pack a) {
        if constexpr (kApart == 1) {
            return {_mm256_fmadd_ps(a.v, _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1), _mm256_permute_ps(a.v, 0xb1))};
        } else if constexpr (kApart == 2) {
            return {_mm256_fmadd_ps(a.v, _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1), _mm256_permute_ps(a.v, 0x4e))};
        } else {
            return {
                _mm256_fmadd_ps(a.v, _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1), _mm256_permute2f128_ps(a.v, a.v, 1))};
        }
    }
};

// 256 bits, or four counts.
struct Bits {
    static constexpr size_t kBytes = 32;
    __m256i v;

    static Bits Zero() { return {_mm256_setzero_si256()}; }
    static Bits Load(const char* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
    static Bits LoadPart(const char* p, size_t count) {
        alignas(32) char part[kBytes] = {};
        memcpy(part, p, count);
        return Load(part);
    }
    static Bits And(Bits a, Bits b) { return {_mm256_and_si256(a.v, b.v)}; }
    static Bits Or(Bits a, Bits b) { return {_mm256_or_si256(a.v, b.v)}; }
    static Bits Xor(Bits a, Bits b) { return {_mm256_xor_si256(a.v, b.v)}; }
    // The ones of each half byte from a table.
    static Bits Count(Bits sums, Bits a) {
        const __m256i ones = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const __m256i low = _mm256_set1_epi8(0x0f);
        const __m256i counts =
            _mm256_add_epi8(_mm256_shuffle_epi8(ones, _mm256_and_si256(a.v, low)),
                            _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi16(a.v, 4), low)));
        return {_mm256_add_epi64(sums.v, _mm256_sad_epu8(counts, _mm256_setzero_si256()))};
    }
    static uint64_t Sum(Bits sums) {
        const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums.v), _mm256_extracti128_si256(sums.v, 1));
        return static_cast<uint64_t>(_mm_cvtsi128_si64(two)) + static_cast<uint64_t>(_mm_extract_epi64(two, 1));
    }
};

}  // namespace avx2

using avx2::Bits;
using avx2::Block;
using avx2::Pack;

const KernelTable kAvx2Kernels = {
    SimdLevel::kAvx2,
    "avx2",
    MakeDenseKernels<Pack, Float32Element>(),
    MakeDenseKernels<Pack, Float16Element>(),
    MakeBitKernels<Bits>(),
    {MakePayloadKernels<Pack, PayloadKind::kFloat32>(), MakePayloadKernels<Pack, PayloadKind::kFloat16>(),
     MakePayloadKernels<Pack, PayloadKind::kSq8>()},
    &avx2::Score,
    nullptr,
    MakeCodeKernels<Pack>(),
    &RotateRound<Pack>,
    MakeBlockKernels<Block, Pack>(),
    MakeCodebookKernels<Pack>(),
    &NibbleProducts<Pack>,
};

}  // namespace vecann

#endif

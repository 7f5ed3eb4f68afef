// The AVX-512 level (F, BW, VL, DQ and VPOPCNTDQ): packs of sixteen floats. Compiled with flags of its own
// (src/flags.mk) and reached through the kernel table only; as in kernels_avx2.cpp, intrinsics only.
#include "kernels/levels.h"

#ifdef VECANN_HAVE_AVX512

#include <immintrin.h>

#include "kernels/bit_kernels.h"
#include "kernels/block_scan_avx512.h"
#include "kernels/code_kernels.h"
#include "kernels/codebook_kernels.h"
#include "kernels/dense_kernels.h"
#include "kernels/nibble_kernels.h"
#include "kernels/rotation_kernels.h"
#include "kernels/score_avx512.h"

namespace vecann {
namespace avx512 {

struct Pack {
    static constexpr size_t kWidth = 16;
    __m512 v;

    static __mmask16 Mask(size_t count) { return static_cast<__mmask16>((1u << count) - 1); }
    static Pack Zero() { return {_mm512_setzero_ps()}; }
    static Pack Set(float x) { return {_mm512_set1_ps(x)}; }
    static Pack Load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static Pack Load(const Half* p) {
        return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
    }
    static Pack Load(const uint8_t* p) {
        return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
    }
    static Pack LoadPart(const float* p, size_t count) { return {_mm512_maskz_loadu_ps(Mask(count), p)}; }
    static Pack LoadPart(const Half* p, size_t count) {
        return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(Mask(count), p))};
    }
    static Pack LoadPart(const uint8_t* p, size_t count) {
        return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(Mask(count), p)))};
    }
    // Levels are looked up: the instruction takes the low four bits of each lane and no notice of the others.
    static void LoadNibbles(const uint8_t* code, Pack* levels) {
        const __m512 table = _mm512_setr_ps(-7.5f, -6.5f, -5.5f, -4.5f, -3.5f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f,
                                            3.5f, 4.5f, 5.5f, 6.5f, 7.5f);
        const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(code)));
        levels[0] = {_mm512_permutexvar_ps(bytes, table)};
        levels[1] = {_mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), table)};
    }
    // One by one: the instruction is twice as slow where the processor guards it against leaks.
    static Pack Gather(const float* p, const uint32_t* at) {
        const auto eight = [&](const uint32_t* i) {
            return _mm256_setr_ps(p[i[0]], p[i[1]], p[i[2]], p[i[3]], p[i[4]], p[i[5]], p[i[6]], p[i[7]]);
        };
        return {_mm512_insertf32x8(_mm512_castps256_ps512(eight(at)), eight(at + 8), 1)};
    }
    static Pack Keep(Pack a, size_t count) { return {_mm512_maskz_mov_ps(Mask(count), a.v)}; }
    void Store(float* p) const { _mm512_storeu_ps(p, v); }
    static Pack Add(Pack a, Pack b) { return {_mm512_add_ps(a.v, b.v)}; }
    static Pack Sub(Pack a, Pack b) { return {_mm512_sub_ps(a.v, b.v)}; }
    static Pack Mul(Pack a, Pack b) { return {_mm512_mul_ps(a.v, b.v)}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    static Pack Abs(Pack a) { return {_mm512_abs_ps(a.v)}; }
    static Pack Min(Pack a, Pack b) { return {_mm512_min_ps(a.v, b.v)}; }
    static Pack Max(Pack a, Pack b) { return {_mm512_max_ps(a.v, b.v)}; }
    // Whole numbers from 0 to 255.
    static void StoreBytes(Pack a, uint8_t* p) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a.v)));
    }
    static float Least(Pack a) { return _mm512_reduce_min_ps(a.v); }
    static uint32_t Equal(Pack a, Pack b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
    static Pack Truncate(Pack a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }
    static float Sum(Pack a) {
        const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
    static uint64_t Bits(Pack a, int j) {
        return _mm512_test_epi32_mask(_mm512_cvttps_epi32(a.v), _mm512_set1_epi32(1 << j));
    }
    // The partner plus or minus the lane itself.
    template <size_t kApart>
    static Pack Butterfly(Pack a) {
        __m512 other;
        __mmask16 upper;
        if constexpr (kApart == 1) {
            other = _mm512_permute_ps(a.v, 0xb1);
            upper = 0xaaaa;
        } else if constexpr (kApart == 2) {
            other = _mm512_permute_ps(a.v, 0x4e);
            upper = 0xcccc;
        } else if constexpr (kApart == 4) {
            other = _mm512_shuffle_f32x4(a.v, a.v, 0xb1);
            upper = 0xf0f0;
        } else {
            other = _mm512_shuffle_f32x4(a.v, a.v, 0x4e);
            upper = 0xff00;
        }
        return {_mm512_mask_sub_ps(_mm512_add_ps(a.v, other), upper, other, a.v)};
    }
};

// 512 bits, or eight counts.
struct Bits {
    static constexpr size_t kBytes = 64;
    __m512i v;

    static Bits Zero() { return {_mm512_setzero_si512()}; }
    static Bits Load(const char* p) { return {_mm512_loadu_si512(p)}; }
    static Bits LoadPart(const char* p, size_t count) {
        return {_mm512_maskz_loadu_epi8((static_cast<__mmask64>(1) << count) - 1, p)};
    }
    static Bits And(Bits a, Bits b) { return {_mm512_and_si512(a.v, b.v)}; }
    static Bits Or(Bits a, Bits b) { return {_mm512_or_si512(a.v, b.v)}; }
    static Bits Xor(Bits a, Bits b) { return {_mm512_xor_si512(a.v, b.v)}; }
    static Bits Count(Bits sums, Bits a) { return {_mm512_add_epi64(sums.v, _mm512_popcnt_epi64(a.v))}; }
    static uint64_t Sum(Bits sums) { return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums.v)); }
};

}  // namespace avx512

using avx512::Bits;
using avx512::Block;
using avx512::Pack;

const KernelTable kAvx512Kernels = {
    SimdLevel::kAvx512,
    "avx512",
    MakeDenseKernels<Pack, Float32Element>(),
    MakeDenseKernels<Pack, Float16Element>(),
    MakeBitKernels<Bits>(),
    {MakePayloadKernels<Pack, PayloadKind::kFloat32>(), MakePayloadKernels<Pack, PayloadKind::kFloat16>(),
     MakePayloadKernels<Pack, PayloadKind::kSq8>()},
    &avx512::Score,
    &avx512::ExpandQuery,
    MakeCodeKernels<Pack>(),
    &RotateRound<Pack>,
    MakeBlockKernels<Block, Pack>(),
    MakeCodebookKernels<Pack>(),
    &NibbleProducts<Pack>,
};

}  // namespace vecann

#endif

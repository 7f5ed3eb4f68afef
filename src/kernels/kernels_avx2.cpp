// The AVX2 level (with FMA, F16C and POPCNT): packs of eight floats. Compiled with -mavx2 -mfma -mf16c -mpopcnt; only
// reached through the kernel table once cpuid says that this processor and operating system keep the registers. The
// library headers included here must not leave inline functions that the linker could pick for other levels: intrinsics
// only.
#include "kernels/levels.h"

#ifdef VECANN_HAVE_AVX2

#include <immintrin.h>

#include "kernels/code_kernels.h"
#include "kernels/dense_kernels.h"
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
        __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        if (count > 4) x = _mm_unpacklo_epi64(x, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 4)));
        return {_mm256_cvtph_ps(x)};
    }
    static Pack LoadPart(const uint8_t* p, size_t) { return Load(p); }
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

}  // namespace avx2

using avx2::Pack;

const KernelTable kAvx2Kernels = {
    SimdLevel::kAvx2,
    "avx2",
    MakeDenseKernels<Pack, Float32Element>(),
    {MakePayloadKernels<Pack, PayloadKind::kFloat32>(), MakePayloadKernels<Pack, PayloadKind::kFloat16>(),
     MakePayloadKernels<Pack, PayloadKind::kSq8>()},
    &avx2::Score,
    nullptr,
    MakeCodeKernels<Pack>(),
    &RotateRound<Pack>,
};

}  // namespace vecann

#endif

// The AVX-512 level of the graph kernels. Compiled with -mavx512f -mfma; reached only once cpuid allows it. Includes
// nothing that leaves inline functions for other files to link with.
#if defined(__x86_64__)

#include <immintrin.h>

#include "compute/graph_kernels_impl.h"

namespace vecann {
namespace graph_avx512 {

struct Pack {
    static constexpr int kWidth = 16;
    // GCC 12 warns of uninitialised values inside the unmasked forms of some intrinsics.
    static constexpr __mmask16 kAll = 0xffff;
    __m512 v;

    static Pack Set(float x) { return {_mm512_set1_ps(x)}; }
    static Pack Load(const float* p) { return {_mm512_loadu_ps(p)}; }
    void Store(float* p) const { _mm512_storeu_ps(p, v); }
    static Pack Add(Pack a, Pack b) { return {_mm512_add_ps(a.v, b.v)}; }
    static Pack Sub(Pack a, Pack b) { return {_mm512_sub_ps(a.v, b.v)}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    static Pack Min(Pack a, Pack b) { return {_mm512_maskz_min_ps(kAll, a.v, b.v)}; }
    // count + 1 where a < b
    static Pack CountBelow(Pack count, Pack a, Pack b) {
        const __mmask16 below = _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
        return {_mm512_mask_add_ps(count.v, below, count.v, _mm512_set1_ps(1))};
    }
    uint32_t NotAbove(float bound) const { return _mm512_cmp_ps_mask(v, _mm512_set1_ps(bound), _CMP_LE_OQ); }
    float Sum() const {
        const __m512d d = _mm512_castps_pd(v);
        const __m256d low = _mm512_maskz_extractf64x4_pd(0xff, d, 0), high = _mm512_maskz_extractf64x4_pd(0xff, d, 1);
        const __m256 s8 = _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
};

}  // namespace graph_avx512

const GraphKernels kAvx512GraphKernels = MakeGraphKernels<graph_avx512::Pack>("avx512");

}  // namespace vecann

#endif

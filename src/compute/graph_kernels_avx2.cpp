// The AVX2 level of the graph kernels. Compiled with -mavx2 -mfma; reached only once cpuid allows it. Includes nothing
// that leaves inline functions for other files to link with.
#if defined(__x86_64__)

#include <immintrin.h>

#include "compute/graph_kernels_impl.h"

namespace vecann {
namespace graph_avx2 {

struct Pack {
    static constexpr int kWidth = 8;
    __m256 v;

    static Pack Set(float x) { return {_mm256_set1_ps(x)}; }
    static Pack Load(const float* p) { return {_mm256_loadu_ps(p)}; }
    void Store(float* p) const { _mm256_storeu_ps(p, v); }
    static Pack Add(Pack a, Pack b) { return {_mm256_add_ps(a.v, b.v)}; }
    static Pack Sub(Pack a, Pack b) { return {_mm256_sub_ps(a.v, b.v)}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    static Pack Min(Pack a, Pack b) { return {_mm256_min_ps(a.v, b.v)}; }
    // count + 1 where a < b
    static Pack CountBelow(Pack count, Pack a, Pack b) {
        return {_mm256_add_ps(count.v, _mm256_and_ps(_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ), _mm256_set1_ps(1)))};
    }
    uint32_t NotAbove(float bound) const {
        return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(bound), _CMP_LE_OQ)));
    }
    float Sum() const {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
};

}  // namespace graph_avx2

const GraphKernels kAvx2GraphKernels = MakeGraphKernels<graph_avx2::Pack>("avx2");

}  // namespace vecann

#endif

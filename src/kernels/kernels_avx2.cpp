// The AVX2 level (with FMA, F16C and POPCNT): packs of eight floats. Compiled with -mavx2 -mfma -mf16c -mpopcnt; only
// reached through the kernel table once cpuid says that this processor and operating system keep the registers. The
// library headers included here must not leave inline functions that the linker could pick for other levels: intrinsics
// only.
#include "kernels/levels.h"

#ifdef VECANN_HAVE_AVX2

#include <immintrin.h>

#include "kernels/dense_kernels.h"
#include "kernels/plane_kernels.h"

namespace vecann {
namespace avx2 {

struct Pack {
    static constexpr size_t kWidth = 8;
    __m256 v;

    static Pack Zero() { return {_mm256_setzero_ps()}; }
    static Pack Load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static Pack Add(Pack a, Pack b) { return {_mm256_add_ps(a.v, b.v)}; }
    static Pack Sub(Pack a, Pack b) { return {_mm256_sub_ps(a.v, b.v)}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    static Pack Abs(Pack a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
    static float Sum(Pack a) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        s = _mm_add_ss(s, _mm_movehdup_ps(s));
        return _mm_cvtss_f32(s);
    }
};

struct Word {
    static uint32_t Count(uint64_t x) { return static_cast<uint32_t>(_mm_popcnt_u64(x)); }
};

}  // namespace avx2

const KernelTable kAvx2Kernels = {SimdLevel::kAvx2, "avx2", MakeDenseKernels<avx2::Pack, Float32Element>(),
                                  &SumPlanes<avx2::Word>};

}  // namespace vecann

#endif

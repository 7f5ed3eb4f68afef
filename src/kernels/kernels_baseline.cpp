// The baseline level: plain C++ on packs of four floats, which the compiler turns into whatever the target guarantees.
#include "kernels/dense_kernels.h"
#include "kernels/levels.h"
#include "kernels/plane_kernels.h"

namespace vecann {
namespace baseline {

struct Pack {
    static constexpr size_t kWidth = 4;
    float v[kWidth];

    static Pack Zero() { return {{0, 0, 0, 0}}; }
    static Pack Load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
    template <class F>
    static Pack Each(F f) {
        Pack r;
        for (size_t i = 0; i < kWidth; ++i)
            r.v[i] = f(i);
        return r;
    }
    static Pack Add(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] + b.v[i]; });
    }
    static Pack Sub(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] - b.v[i]; });
    }
    static Pack Fma(Pack a, Pack b, Pack c) {
        return Each([&](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
    }
    static Pack Abs(Pack a) {
        return Each([&](size_t i) { return a.v[i] < 0 ? -a.v[i] : a.v[i]; });
    }
    static float Sum(Pack a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
};

struct Word {
    static uint32_t Count(uint64_t x) { return static_cast<uint32_t>(__builtin_popcountll(x)); }
};

}  // namespace baseline

const KernelTable kBaselineKernels = {SimdLevel::kBaseline, "baseline",
                                      MakeDenseKernels<baseline::Pack, Float32Element>(), &SumPlanes<baseline::Word>};

}  // namespace vecann

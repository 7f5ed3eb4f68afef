// The choice of the graph kernels, and their baseline: plain C++ on packs of four floats.
#include "compute/graph_kernels.h"

#include "compute/graph_kernels_impl.h"

namespace vecann {

namespace graph_baseline {

struct Pack {
    static constexpr int kWidth = 4;
    float v[kWidth];

    template <class F>
    static Pack Each(F f) {
        return {{f(0), f(1), f(2), f(3)}};
    }
    static Pack Set(float x) { return {{x, x, x, x}}; }
    static Pack Load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
    void Store(float* p) const {
        for (int i = 0; i < kWidth; ++i)
            p[i] = v[i];
    }
    static Pack Add(Pack a, Pack b) {
        return Each([&](int i) { return a.v[i] + b.v[i]; });
    }
    static Pack Sub(Pack a, Pack b) {
        return Each([&](int i) { return a.v[i] - b.v[i]; });
    }
    static Pack Fma(Pack a, Pack b, Pack c) {
        return Each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
    }
    static Pack Min(Pack a, Pack b) {
        return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
    }
    // count + 1 where a < b
    static Pack CountBelow(Pack count, Pack a, Pack b) {
        return Each([&](int i) { return count.v[i] + static_cast<float>(a.v[i] < b.v[i]); });
    }
    uint32_t NotAbove(float bound) const {
        uint32_t mask = 0;
        for (int i = 0; i < kWidth; ++i)
            mask |= static_cast<uint32_t>(v[i] <= bound) << i;
        return mask;
    }
    float Sum() const { return (v[0] + v[1]) + (v[2] + v[3]); }
};

}  // namespace graph_baseline

const GraphKernels kBaselineGraphKernels = MakeGraphKernels<graph_baseline::Pack>("baseline");

const GraphKernels& BestGraphKernels() {
#if defined(__x86_64__)
    // libgcc's feature bits take the operating system's consent into account.
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return kAvx512GraphKernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2GraphKernels;
#endif
    return kBaselineGraphKernels;
}

}  // namespace vecann

// The baseline level: plain C++ on packs of four floats, which the compiler turns into whatever the target guarantees.
#include "kernels/code_kernels.h"
#include "kernels/dense_kernels.h"
#include "kernels/levels.h"
#include "kernels/rotation_kernels.h"

namespace vecann {
namespace baseline {

// Exact. Shifted into float32's place the number is 2^112 too small; that holds for denormals too.
float ToFloat(Half h) {
    const uint32_t magnitude = static_cast<uint32_t>(h.bits & 0x7fff) << 13;
    float x;
    memcpy(&x, &magnitude, sizeof(x));
    x *= 0x1.0p112f;
    return (h.bits & 0x8000) != 0 ? -x : x;
}
float ToFloat(float x) {
    return x;
}
float ToFloat(uint8_t x) {
    return static_cast<float>(x);
}

struct Pack {
    static constexpr size_t kWidth = 4;
    float v[kWidth];

    template <class F>
    static Pack Each(F f) {
        Pack r;
        for (size_t i = 0; i < kWidth; ++i)
            r.v[i] = f(i);
        return r;
    }
    static Pack Zero() { return {{0, 0, 0, 0}}; }
    static Pack Set(float x) { return {{x, x, x, x}}; }
    template <class S>
    static Pack Load(const S* p) {
        return {{ToFloat(p[0]), ToFloat(p[1]), ToFloat(p[2]), ToFloat(p[3])}};
    }
    template <class S>
    static Pack LoadPart(const S* p, size_t count) {
        return Each([&](size_t i) { return i < count ? ToFloat(p[i]) : 0.0f; });
    }
    static Pack Keep(Pack a, size_t count) {
        return Each([&](size_t i) { return i < count ? a.v[i] : 0.0f; });
    }
    void Store(float* p) const { memcpy(p, v, sizeof(v)); }
    static Pack Add(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] + b.v[i]; });
    }
    static Pack Sub(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] - b.v[i]; });
    }
    static Pack Mul(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] * b.v[i]; });
    }
    static Pack Fma(Pack a, Pack b, Pack c) {
        return Each([&](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
    }
    static Pack Abs(Pack a) {
        return Each([&](size_t i) { return a.v[i] < 0 ? -a.v[i] : a.v[i]; });
    }
    static Pack Min(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
    }
    static Pack Max(Pack a, Pack b) {
        return Each([&](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
    }
    static Pack Floor(Pack a) {
        return Each([&](size_t i) { return __builtin_floorf(a.v[i]); });
    }
    static float Sum(Pack a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
    static uint64_t Bits(Pack a, int j) {
        uint64_t mask = 0;
        for (size_t i = 0; i < kWidth; ++i)
            mask |= static_cast<uint64_t>((static_cast<int>(a.v[i]) >> j) & 1) << i;
        return mask;
    }
    template <size_t kApart>
    static Pack Butterfly(Pack a) {
        return Each([&](size_t i) { return (i & kApart) == 0 ? a.v[i] + a.v[i + kApart] : a.v[i - kApart] - a.v[i]; });
    }
};

struct Word {
    static uint32_t Count(uint64_t x) {
#if defined(__x86_64__)
        // without the instruction the built-in is a library call
        x -= (x >> 1) & 0x5555555555555555;
        x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
        x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
        return static_cast<uint32_t>((x * 0x0101010101010101) >> 56);
#else
        return static_cast<uint32_t>(__builtin_popcountll(x));
#endif
    }
};

}  // namespace baseline

using baseline::Pack;

const KernelTable kBaselineKernels = {
    SimdLevel::kBaseline,
    "baseline",
    MakeDenseKernels<Pack, Float32Element>(),
    {MakePayloadKernels<Pack, float>(), MakePayloadKernels<Pack, Half>(), MakePayloadKernels<Pack, uint8_t>()},
    &ScoreByWords<baseline::Word>,
    MakeCodeKernels<Pack>(),
    &RotateRound<Pack>,
};

}  // namespace vecann

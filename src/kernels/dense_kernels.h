// Dense kernels, written once over a pack type. Each kernels_<level>.cpp defines, in its own namespace, a `Pack` of
// floats (Zero, Fma, Sub, Abs, Add, Mul, Sum, Load for each element's storage) and then instantiates MakeDenseKernels.
// Four independent accumulators hide the latency of the fused multiply-add.
#pragma once

#include <cstddef>

#include "kernels/kernel_table.h"

namespace vecann {

struct L2Step {
    template <class P>
    static P Apply(P acc, P x, P y) {
        P d = P::Sub(x, y);
        return P::Fma(d, d, acc);
    }
};
struct DotStep {
    template <class P>
    static P Apply(P acc, P x, P y) {
        return P::Fma(x, y, acc);
    }
};
struct L1Step {
    template <class P>
    static P Apply(P acc, P x, P y) {
        return P::Add(acc, P::Abs(P::Sub(x, y)));
    }
};

// Sum over i of Step(a[i], b[i]). Every step maps (0, 0) to +0, so a tail padded with zeros adds nothing.
template <class Pack, DenseElement E, class Step>
float ReducePairs(const void* va, const void* vb, size_t n) {
    using S = typename E::Storage;
    const S* a = static_cast<const S*>(va);
    const S* b = static_cast<const S*>(vb);
    constexpr size_t w = Pack::kWidth;
    Pack s0 = Pack::Zero(), s1 = Pack::Zero(), s2 = Pack::Zero(), s3 = Pack::Zero();
    size_t i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {
        s0 = Step::Apply(s0, Pack::Load(a + i), Pack::Load(b + i));
        s1 = Step::Apply(s1, Pack::Load(a + i + w), Pack::Load(b + i + w));
        s2 = Step::Apply(s2, Pack::Load(a + i + 2 * w), Pack::Load(b + i + 2 * w));
        s3 = Step::Apply(s3, Pack::Load(a + i + 3 * w), Pack::Load(b + i + 3 * w));
    }
    for (; i + w <= n; i += w)
        s0 = Step::Apply(s0, Pack::Load(a + i), Pack::Load(b + i));
    if (i < n) {
        S ta[w] = {}, tb[w] = {};
        for (size_t j = 0; i + j < n; ++j) {
            ta[j] = a[i + j];
            tb[j] = b[i + j];
        }
        s1 = Step::Apply(s1, Pack::Load(ta), Pack::Load(tb));
    }
    return Pack::Sum(Pack::Add(Pack::Add(s0, s1), Pack::Add(s2, s3)));
}

template <class Pack, DenseElement E>
CosineParts ReduceCosine(const void* va, const void* vb, size_t n) {
    using S = typename E::Storage;
    const S* a = static_cast<const S*>(va);
    const S* b = static_cast<const S*>(vb);
    constexpr size_t w = Pack::kWidth;
    Pack dot = Pack::Zero(), na = Pack::Zero(), nb = Pack::Zero();
    size_t i = 0;
    for (; i + w <= n; i += w) {
        const Pack x = Pack::Load(a + i), y = Pack::Load(b + i);
        dot = Pack::Fma(x, y, dot);
        na = Pack::Fma(x, x, na);
        nb = Pack::Fma(y, y, nb);
    }
    if (i < n) {
        S ta[w] = {}, tb[w] = {};
        for (size_t j = 0; i + j < n; ++j) {
            ta[j] = a[i + j];
            tb[j] = b[i + j];
        }
        const Pack x = Pack::Load(ta), y = Pack::Load(tb);
        dot = Pack::Fma(x, y, dot);
        na = Pack::Fma(x, x, na);
        nb = Pack::Fma(y, y, nb);
    }
    return {Pack::Sum(dot), Pack::Sum(na), Pack::Sum(nb)};
}

template <class Pack, DenseElement E>
constexpr DenseKernels MakeDenseKernels() {
    return {&ReducePairs<Pack, E, L2Step>, &ReducePairs<Pack, E, DotStep>, &ReducePairs<Pack, E, L1Step>,
            &ReduceCosine<Pack, E>};
}

}  // namespace vecann

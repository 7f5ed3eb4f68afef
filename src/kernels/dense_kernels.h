// Dense and payload kernels, written once over a pack type. Each kernels_<level>.cpp defines, in its own namespace, a
// `Pack` of floats and instantiates MakeDenseKernels and MakePayloadKernels. A Pack has: Zero, Set, Load (of float,
// Half, uint8_t), LoadPart (the first count elements, zeros for the rest; of a payload element it may read up to the
// next multiple of 8 bytes), Keep (zeros all but the first count lanes), Store, Add, Sub, Mul, Fma, Abs, Min, Max,
// Floor, Sum, Bits (bit j of each lane's integer, as a mask), Butterfly (rotation_kernels.h). Four independent
// accumulators hide the latency of the fused multiply-add.
#pragma once

#include <cstddef>
#include <cstring>

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
    if (i < n) s1 = Step::Apply(s1, Pack::LoadPart(a + i, n - i), Pack::LoadPart(b + i, n - i));
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
        const Pack x = Pack::LoadPart(a + i, n - i), y = Pack::LoadPart(b + i, n - i);
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

// What elements of a payload stand for.
template <class Pack, class S>
struct PayloadElements {
    Pack low, step;
    const S* data;

    explicit PayloadElements(const void* payload) {
        PayloadHeadData head;
        memcpy(&head, payload, sizeof(head));
        low = Pack::Set(head.low);
        step = Pack::Set(head.step);
        data = reinterpret_cast<const S*>(static_cast<const char*>(payload) + sizeof(head));
    }
    Pack Value(Pack x) const {
        if constexpr (sizeof(S) == sizeof(uint8_t)) return Pack::Fma(step, x, low);
        if constexpr (sizeof(S) == sizeof(Half)) return Pack::Mul(step, x);
        return x;
    }
    Pack Load(size_t i) const { return Value(Pack::Load(data + i)); }
    Pack LoadPart(size_t i, size_t count) const { return Pack::Keep(Value(Pack::LoadPart(data + i, count)), count); }
};

// Sum over i of Step(query[i], payload[i]). The payload is decoded first: differences of what is nearly equal would
// vanish in the rounding of an expansion into norms and products.
template <class Pack, class S, class Step>
float ReducePayload(const float* query, const void* payload, size_t n) {
    const PayloadElements<Pack, S> elements(payload);
    constexpr size_t w = Pack::kWidth;
    Pack s0 = Pack::Zero(), s1 = Pack::Zero(), s2 = Pack::Zero(), s3 = Pack::Zero();
    size_t i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {
        s0 = Step::Apply(s0, Pack::Load(query + i), elements.Load(i));
        s1 = Step::Apply(s1, Pack::Load(query + i + w), elements.Load(i + w));
        s2 = Step::Apply(s2, Pack::Load(query + i + 2 * w), elements.Load(i + 2 * w));
        s3 = Step::Apply(s3, Pack::Load(query + i + 3 * w), elements.Load(i + 3 * w));
    }
    for (; i + w <= n; i += w)
        s0 = Step::Apply(s0, Pack::Load(query + i), elements.Load(i));
    if (i < n) s1 = Step::Apply(s1, Pack::LoadPart(query + i, n - i), elements.LoadPart(i, n - i));
    return Pack::Sum(Pack::Add(Pack::Add(s0, s1), Pack::Add(s2, s3)));
}

template <class Pack, class S>
constexpr PayloadKernels MakePayloadKernels() {
    return {&ReducePayload<Pack, S, L2Step>, &ReducePayload<Pack, S, DotStep>, &ReducePayload<Pack, S, L1Step>};
}

}  // namespace vecann

// Dense and payload kernels, written once over a pack type. Each kernels_<level>.cpp defines, in its own namespace, a
// `Pack` of floats and instantiates MakeDenseKernels and MakePayloadKernels. A Pack has: Zero, Set, Load (of float,
// Half, uint8_t), LoadPart (the first count elements, zeros for the rest; of uint8_t, which only payloads have, it may
// read up to the next multiple of 8 bytes), Gather, Keep (zeros all but the first count lanes), Store, Add, Sub, Mul,
// Fma, Abs, Min, Max, Truncate, Sum, Bits (bit j of each lane's integer, as a mask), Butterfly (rotation_kernels.h).
// Four independent accumulators hide the latency of the fused multiply-add.
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

// What elements of a payload stand for: step * x + low, or what of that the kind needs.
struct PlainElements {
    using Storage = float;
    template <class Pack>
    static Pack Value(Pack x, Pack, Pack) {
        return x;
    }
};
struct UnitHalfElements {  // step = 1, as for most vectors
    using Storage = Half;
    template <class Pack>
    static Pack Value(Pack x, Pack, Pack) {
        return x;
    }
};
struct HalfElements {
    using Storage = Half;
    template <class Pack>
    static Pack Value(Pack x, Pack step, Pack) {
        return Pack::Mul(step, x);
    }
};
struct Sq8Elements {
    using Storage = uint8_t;
    template <class Pack>
    static Pack Value(Pack x, Pack step, Pack low) {
        return Pack::Fma(step, x, low);
    }
};

// Sum over i of Step(query[i], element i). The elements are decoded first: differences of what is nearly equal would
// vanish in the rounding of an expansion into norms and products.
template <class Pack, class E, class Step>
float ReduceElements(const float* query, const void* payload, size_t n) {
    using S = typename E::Storage;
    PayloadHeadData head;
    memcpy(&head, payload, sizeof(head));
    const Pack low = Pack::Set(head.low), step = Pack::Set(head.step);
    const S* elements = reinterpret_cast<const S*>(static_cast<const char*>(payload) + sizeof(head));
    const auto load = [&](size_t i) { return E::Value(Pack::Load(elements + i), step, low); };
    constexpr size_t w = Pack::kWidth;
    Pack s0 = Pack::Zero(), s1 = Pack::Zero(), s2 = Pack::Zero(), s3 = Pack::Zero();
    size_t i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {
        s0 = Step::Apply(s0, Pack::Load(query + i), load(i));
        s1 = Step::Apply(s1, Pack::Load(query + i + w), load(i + w));
        s2 = Step::Apply(s2, Pack::Load(query + i + 2 * w), load(i + 2 * w));
        s3 = Step::Apply(s3, Pack::Load(query + i + 3 * w), load(i + 3 * w));
    }
    for (; i + w <= n; i += w)
        s0 = Step::Apply(s0, Pack::Load(query + i), load(i));
    if (i < n) {
        const Pack last = Pack::Keep(E::Value(Pack::LoadPart(elements + i, n - i), step, low), n - i);
        s1 = Step::Apply(s1, Pack::LoadPart(query + i, n - i), last);
    }
    return Pack::Sum(Pack::Add(Pack::Add(s0, s1), Pack::Add(s2, s3)));
}

template <class Pack, PayloadKind kKind, class Step>
float ReducePayload(const float* query, const void* payload, size_t n) {
    if constexpr (kKind == PayloadKind::kFloat32) return ReduceElements<Pack, PlainElements, Step>(query, payload, n);
    if constexpr (kKind == PayloadKind::kSq8) return ReduceElements<Pack, Sq8Elements, Step>(query, payload, n);
    float step;
    memcpy(&step, static_cast<const char*>(payload) + offsetof(PayloadHeadData, step), sizeof(step));
    if (step == 1) return ReduceElements<Pack, UnitHalfElements, Step>(query, payload, n);
    return ReduceElements<Pack, HalfElements, Step>(query, payload, n);
}

template <class Pack, PayloadKind kKind>
constexpr PayloadKernels MakePayloadKernels() {
    return {&ReducePayload<Pack, kKind, L2Step>, &ReducePayload<Pack, kKind, DotStep>,
            &ReducePayload<Pack, kKind, L1Step>};
}

}  // namespace vecann

// Kernels over bit strings, written once over a pack of bits: each kernels_<level>.cpp defines one. It has: kBytes,
// Zero, Load, LoadPart (the first count bytes, zeros for the rest), And, Or, Xor, Count (adds the number of ones to a
// pack of sums) and Sum (of such a pack).
#pragma once

#include <cstring>

#include "kernels/kernel_table.h"

namespace vecann {

// Calls step(a, b) with each pack of both strings, the last one filled up with zeros.
template <class Bits, class Step>
inline void ForEachPair(const void* va, const void* vb, size_t bytes, Step step) {
    const char* a = static_cast<const char*>(va);
    const char* b = static_cast<const char*>(vb);
    size_t i = 0;
    for (; i + Bits::kBytes <= bytes; i += Bits::kBytes)
        step(Bits::Load(a + i), Bits::Load(b + i));
    if (i < bytes) step(Bits::LoadPart(a + i, bytes - i), Bits::LoadPart(b + i, bytes - i));
}

template <class Bits>
uint64_t CountDifferent(const void* a, const void* b, size_t bytes) {
    Bits different = Bits::Zero();
    ForEachPair<Bits>(a, b, bytes, [&](Bits x, Bits y) { different = Bits::Count(different, Bits::Xor(x, y)); });
    return Bits::Sum(different);
}

template <class Bits>
BitOverlap CountOverlap(const void* a, const void* b, size_t bytes) {
    Bits both = Bits::Zero(), either = Bits::Zero();
    ForEachPair<Bits>(a, b, bytes, [&](Bits x, Bits y) {
        both = Bits::Count(both, Bits::And(x, y));
        either = Bits::Count(either, Bits::Or(x, y));
    });
    return {Bits::Sum(both), Bits::Sum(either)};
}

template <class Bits>
constexpr BitKernels MakeBitKernels() {
    return {&CountDifferent<Bits>, &CountOverlap<Bits>};
}

}  // namespace vecann

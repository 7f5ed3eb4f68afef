// A round of the rotation (quant/rotation.h), written over a pack type. All levels add the same pairs in the same
// order, and none fuses a multiplication that rounds, so that all give the same bits.
#pragma once

#include "kernels/kernel_table.h"

namespace vecann {

template <class Pack>
float InverseRoot(int n) {
    constexpr float kRoots[] = {1.0f,  0.70710678118654752f, 0.5f,  0.35355339059327376f,
                                0.25f, 0.17677669529663688f, 0.125f};
    return kRoots[__builtin_ctz(static_cast<unsigned>(n))];
}

// In-place Walsh-Hadamard transform of n = 2^k floats, scaled to be orthogonal.
template <class Pack>
void HadamardSmall(float* x, int n) {
    for (int half = 1; half < n; half *= 2) {
        for (int i = 0; i < n; i += 2 * half) {
            for (int j = i; j < i + half; ++j) {
                const float a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
        }
    }
    const float scale = InverseRoot<Pack>(n);
    for (int i = 0; i < n; ++i)
        x[i] *= scale;
}

// The same for 64 floats, held in packs, from `load` of the place in the block to `to`. Butterfly<h> gives sums and
// differences of lanes h apart within a pack.
template <class Pack, class Load>
void Hadamard64(float* to, Load load) {
    constexpr int kPacks = static_cast<int>(64 / Pack::kWidth);
    Pack p[kPacks];
#pragma GCC unroll 16
    for (int i = 0; i < kPacks; ++i) {
        p[i] = load(static_cast<size_t>(i) * Pack::kWidth);
        p[i] = Pack::template Butterfly<2>(Pack::template Butterfly<1>(p[i]));
        if constexpr (Pack::kWidth >= 8) p[i] = Pack::template Butterfly<4>(p[i]);
        if constexpr (Pack::kWidth >= 16) p[i] = Pack::template Butterfly<8>(p[i]);
    }
#pragma GCC unroll 4
    for (int half = 1; half < kPacks; half *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < kPacks; ++i) {
            if ((i & half) != 0) continue;
            const Pack a = p[i], b = p[i + half];
            p[i] = Pack::Add(a, b);
            p[i + half] = Pack::Sub(a, b);
        }
    }
    const Pack scale = Pack::Set(0.125f);
#pragma GCC unroll 16
    for (int i = 0; i < kPacks; ++i)
        Pack::Mul(p[i], scale).Store(to + static_cast<size_t>(i) * Pack::kWidth);
}

template <class Pack>
void RotateRound(const RotationRound& round) {
    float* to = round.to;
    int at = 0;
    if (round.block == 64) {
        for (; at + 64 <= round.dim; at += 64)
            Hadamard64<Pack>(to + at, [&](size_t i) {
                const size_t place = static_cast<size_t>(at) + i;
                return Pack::Mul(Pack::Gather(round.from, round.sources + place), Pack::Load(round.signs + place));
            });
    }
    for (int i = at; i < round.dim; ++i)
        to[i] = round.from[round.sources[i]] * round.signs[i];
    if (round.block == 64) {
        float* last = to + round.dim - 64;
        if (at < round.dim) Hadamard64<Pack>(last, [&](size_t i) { return Pack::Load(last + i); });
        return;
    }
    for (; at + round.block <= round.dim; at += round.block)
        HadamardSmall<Pack>(to + at, round.block);
    if (at < round.dim) HadamardSmall<Pack>(to + round.dim - round.block, round.block);
}

}  // namespace vecann

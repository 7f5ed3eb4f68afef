// Kernels of codes of 4 bits a dimension (quant/row_code.h), written over a pack of floats. A pack has
// LoadNibbles(code, levels): what the 16 bytes of a group stand for, 32 numbers k - 7.5 in the order of the dimensions.
// Internal to src/kernels.
#pragma once

#include "kernels/code_kernels.h"

namespace vecann {

template <class Pack>
void NibbleProducts(const float* query, size_t groups, const char* const* codes, int count, float* products) {
    constexpr size_t w = Pack::kWidth, kPacks = kNibbleGroup / w;
    for (int n = 0; n < count; ++n) {
        const uint8_t* code = reinterpret_cast<const uint8_t*>(codes[n] + sizeof(RowCodeData));
        Pack sums[kPacks];
#pragma GCC unroll 8
        for (size_t p = 0; p < kPacks; ++p)
            sums[p] = Pack::Zero();
        for (size_t g = 0; g < groups; ++g) {
            Pack levels[kPacks];
            Pack::LoadNibbles(code + g * (kNibbleGroup / 2), levels);
#pragma GCC unroll 8
            for (size_t p = 0; p < kPacks; ++p)
                sums[p] = Pack::Fma(levels[p], Pack::Load(query + g * kNibbleGroup + p * w), sums[p]);
        }
#pragma GCC unroll 4
        for (size_t half = kPacks / 2; half > 0; half /= 2)
#pragma GCC unroll 4
            for (size_t p = 0; p < half; ++p)
                sums[p] = Pack::Add(sums[p], sums[p + half]);
        products[n] = Pack::Sum(sums[0]);
    }
}

// A group of 32 numbers, of which only the first n are dimensions where it is partial.
template <class Pack, bool kPartial>
void EncodeGroup(const PackedRule<Pack>& rule, float* x, size_t n, uint8_t* code) {
    constexpr size_t w = Pack::kWidth, kPacks = kNibbleGroup / w;
    Pack levels[kPacks];
#pragma GCC unroll 8
    for (size_t p = 0; p < kPacks; ++p) {
        levels[p] = rule.Levels(Pack::Load(x + p * w));
        if constexpr (kPartial) {
            const size_t left = n > p * w ? n - p * w : 0;
            levels[p] = Pack::Keep(levels[p], left < w ? left : w);
        }
        Pack::Sub(levels[p], rule.half).Store(x + p * w);
    }
    const Pack sixteen = Pack::Set(16.0f);
#pragma GCC unroll 4
    for (size_t p = 0; p < kPacks / 2; ++p)
        Pack::StoreBytes(Pack::Fma(levels[p + kPacks / 2], sixteen, levels[p]), code + p * w);
}

template <class Pack>
void EncodeNibbles(const LevelRule& rule, float* x, size_t n, uint8_t* code) {
    const PackedRule<Pack> packed(rule);
    size_t i = 0;
    for (; i + kNibbleGroup <= n; i += kNibbleGroup, code += kNibbleGroup / 2)
        EncodeGroup<Pack, false>(packed, x + i, kNibbleGroup, code);
    if (i == n) return;
    float part[kNibbleGroup] = {};
    memcpy(part, x + i, (n - i) * sizeof(float));
    EncodeGroup<Pack, true>(packed, part, n - i, code);
    memcpy(x + i, part, (n - i) * sizeof(float));
}

template <class Pack>
constexpr NibbleKernels MakeNibbleKernels() {
    return {&NibbleProducts<Pack>, &EncodeNibbles<Pack>};
}

}  // namespace vecann

// Products of a query with codes of 4 bits a dimension (quant/row_code.h), written over a pack of floats. A pack has
// LoadNibbles(code, levels): what the 16 bytes of a group stand for, 32 numbers k - 7.5 in the order of the dimensions.
// Internal to src/kernels.
#pragma once

#include "kernels/kernel_table.h"

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

}  // namespace vecann

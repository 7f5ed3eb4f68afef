// Kernels over the codewords of one sub-quantizer, over a pack of floats: the lanes are codewords. A product and the
// sum after it are rounded one by one at every level. Also the scan of 8-bit codes. Internal to src/kernels.
#pragma once

#include "kernels/block_scan.h"

namespace vecann {

constexpr float kNoDistance = __builtin_huge_valf();

template <class Pack>
inline __attribute__((always_inline)) Pack DistancesOf(const float* x, const float* codewords, int dims, int words) {
    Pack sum = Pack::Zero();
    for (int i = 0; i < dims; ++i) {
        const Pack apart = Pack::Sub(Pack::Set(x[i]), Pack::Load(codewords + i * words));
        sum = Pack::Add(sum, Pack::Mul(apart, apart));
    }
    return sum;
}

template <class Pack>
void CodewordDistances(const float* x, const float* codewords, int dims, int words, float* table) {
    constexpr int kWidth = static_cast<int>(Pack::kWidth);
    for (int j = 0; j < words; j += kWidth)
        DistancesOf<Pack>(x, codewords + j, dims, words).Store(table + j);
}

template <class Pack>
void CodewordProducts(const float* x, const float* codewords, int dims, int words, float* table) {
    constexpr int kWidth = static_cast<int>(Pack::kWidth);
    for (int j = 0; j < words; j += kWidth) {
        Pack sum = Pack::Zero();
        for (int i = 0; i < dims; ++i)
            sum = Pack::Add(sum, Pack::Mul(Pack::Set(x[i]), Pack::Load(codewords + i * words + j)));
        sum.Store(table + j);
    }
}

// Min takes its second operand where one is not a number, so that `least` never is.
template <class Pack>
int NearestCodeword(const float* x, const float* codewords, int dims, int words, float* distance) {
    constexpr int kWidth = static_cast<int>(Pack::kWidth), kMostPacks = 256 / kWidth;
    Pack distances[kMostPacks];
    Pack least = Pack::Set(kNoDistance);
    const int packs = words / kWidth;
    for (int p = 0; p < packs; ++p) {
        distances[p] = DistancesOf<Pack>(x, codewords + p * kWidth, dims, words);
        least = Pack::Min(distances[p], least);
    }
    *distance = Pack::Least(least);
    const Pack wanted = Pack::Set(*distance);
    for (int p = 0; p < packs; ++p) {
        const uint32_t equal = Pack::Equal(distances[p], wanted);
        if (equal != 0) return p * kWidth + __builtin_ctz(equal);
    }
    return 0;
}

template <class Pack>
void ValueRanges(const float* values, int m, ValueRange* ranges) {
    constexpr int kWidth = static_cast<int>(Pack::kWidth);
    for (int s = 0; s < m; ++s) {
        Pack least = Pack::Load(values + s * 16), most = least, nothing = Pack::Sub(least, least);
        for (int j = kWidth; j < 16; j += kWidth) {
            const Pack x = Pack::Load(values + s * 16 + j);
            least = Pack::Min(x, least);
            most = Pack::Max(x, most);
            nothing = Pack::Add(nothing, Pack::Sub(x, x));
        }
        const Pack minus = Pack::Sub(Pack::Zero(), most);
        ranges[s] = {Pack::Least(least), -Pack::Least(minus), Pack::Sum(nothing) == 0.0f};
    }
}

template <class Pack>
float QuantiseValues(const float* values, const ValueRange* ranges, int m, float scale, uint8_t* levels) {
    constexpr int kWidth = static_cast<int>(Pack::kWidth);
    const Pack factor = Pack::Set(scale), half = Pack::Set(0.5f), top = Pack::Set(255.0f);
    Pack lost = Pack::Zero();
    for (int s = 0; s < m; ++s) {
        const Pack least = Pack::Set(ranges[s].least);
        for (int j = s * 16; j < s * 16 + 16; j += kWidth) {
            const Pack exact = Pack::Mul(Pack::Sub(Pack::Load(values + j), least), factor);
            const Pack level = Pack::Truncate(Pack::Min(Pack::Add(exact, half), top));
            lost = Pack::Add(lost, Pack::Sub(exact, level));
            Pack::StoreBytes(level, levels + j);
        }
    }
    return Pack::Sum(lost);
}

template <class Pack>
constexpr CodebookKernels MakeCodebookKernels() {
    return {&CodewordDistances<Pack>, &CodewordProducts<Pack>, &NearestCodeword<Pack>, &ValueRanges<Pack>,
            &QuantiseValues<Pack>};
}

// Four codes abreast: the sum of one waits for its last addition.
template <class Pack>
void SumBytes(const float* tables, const uint8_t* codes, int m, size_t stride, int count, float* sums) {
    constexpr int kAbreast = 4;
    int n = 0;
    for (; n + kAbreast <= count; n += kAbreast) {
        const uint8_t* code = codes + static_cast<size_t>(n) * stride;
        float sum[kAbreast] = {};
        for (int s = 0; s < m; ++s)
            for (int e = 0; e < kAbreast; ++e)
                sum[e] += tables[s * 256 + code[static_cast<size_t>(e) * stride + static_cast<size_t>(s)]];
        for (int e = 0; e < kAbreast; ++e)
            sums[n + e] = sum[e];
    }
    for (; n < count; ++n) {
        const uint8_t* code = codes + static_cast<size_t>(n) * stride;
        float sum = 0;
        for (int s = 0; s < m; ++s)
            sum += tables[s * 256 + code[s]];
        sums[n] = sum;
    }
}

}  // namespace vecann

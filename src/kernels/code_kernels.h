// Kernels of the RaBitQ codes (quant/rabitq.h), written over a pack of floats and, for scoring, over a population
// count. Each level passes its own types, so that the instantiations are its own.
#pragma once

#include <cstring>

#include "kernels/kernel_table.h"

namespace vecann {

template <class Word>
uint32_t PlaneSum(const CodeBatch& batch, const char* code) {
    uint32_t total = 0;
    for (int j = 0; j < batch.bits; ++j) {
        uint32_t by_plane[kQueryPlanes] = {};
        for (int w = 0; w < batch.words; ++w) {
            uint64_t bits;
            memcpy(&bits, code + (static_cast<size_t>(j) * batch.words + w) * sizeof(uint64_t), sizeof(bits));
            for (int i = 0; i < kQueryPlanes; ++i)
                by_plane[i] += Word::Count(bits & batch.query[i * batch.words + w]);
        }
        for (int i = 0; i < kQueryPlanes; ++i)
            total += by_plane[i] << (i + j);
    }
    return total;
}

template <class Word>
void ScoreByWords(const CodeBatch& batch, float* estimates) {
    const size_t bytes = static_cast<size_t>(batch.bits) * static_cast<size_t>(batch.words) * sizeof(uint64_t);
    for (int n = 0; n < batch.count; ++n) {
        const CodedEdge& edge = batch.edges[n];
        const float sum = static_cast<float>(PlaneSum<Word>(batch, batch.codes + static_cast<size_t>(n) * bytes));
        const float product = batch.low * static_cast<float>(edge.level_sum) + batch.step * sum - batch.half_sum;
        estimates[n] = batch.base + edge.add + edge.scale * product;
    }
}

template <class Pack>
ResidualSums SumResidual(const float* u, const float* v, size_t n, float* r) {
    constexpr size_t w = Pack::kWidth;
    Pack norm = Pack::Zero(), u_dot_r = Pack::Zero();
    size_t i = 0;
    for (; i + w <= n; i += w) {
        const Pack x = Pack::Load(u + i), d = Pack::Sub(Pack::Load(v + i), x);
        norm = Pack::Fma(d, d, norm);
        u_dot_r = Pack::Fma(x, d, u_dot_r);
        d.Store(r + i);
    }
    if (i < n) {
        const Pack x = Pack::LoadPart(u + i, n - i), d = Pack::Sub(Pack::LoadPart(v + i, n - i), x);
        norm = Pack::Fma(d, d, norm);
        u_dot_r = Pack::Fma(x, d, u_dot_r);
        float part[w];
        d.Store(part);
        memcpy(r + i, part, (n - i) * sizeof(float));
    }
    return {Pack::Sum(norm), Pack::Sum(u_dot_r)};
}

// A LevelRule over packs.
template <class Pack>
struct PackedRule {
    Pack inverse_width, offset, top, half, zero = Pack::Zero();

    explicit PackedRule(const LevelRule& rule) {
        const float last = static_cast<float>((1 << rule.bits) - 1);
        inverse_width = Pack::Set(rule.inverse_width);
        offset = Pack::Set(rule.offset);
        top = Pack::Set(last);
        half = Pack::Set(last * 0.5f);
    }
    Pack Levels(Pack x) const {
        return Pack::Truncate(Pack::Max(zero, Pack::Min(top, Pack::Fma(x, inverse_width, offset))));
    }
};

template <class Pack>
LevelFit FitLevels(const LevelRule& rule, const float* x, size_t n) {
    constexpr size_t w = Pack::kWidth;
    const PackedRule<Pack> packed(rule);
    Pack product = Pack::Zero(), norm = Pack::Zero();
    size_t i = 0;
    for (; i + w <= n; i += w) {
        const Pack value = Pack::Load(x + i), c = Pack::Sub(packed.Levels(value), packed.half);
        product = Pack::Fma(value, c, product);
        norm = Pack::Fma(c, c, norm);
    }
    if (i < n) {
        const Pack value = Pack::LoadPart(x + i, n - i);
        const Pack c = Pack::Keep(Pack::Sub(packed.Levels(value), packed.half), n - i);
        product = Pack::Fma(value, c, product);
        norm = Pack::Fma(c, c, norm);
    }
    return {Pack::Sum(product), Pack::Sum(norm)};
}

template <class Pack, int kBits>
LevelSums EncodePlanes(const LevelRule& rule, const float* x, const float* y, size_t n, void* planes) {
    constexpr size_t w = Pack::kWidth;
    const PackedRule<Pack> packed(rule);
    const size_t words = (n + 63) / 64;
    Pack x_product = Pack::Zero(), y_product = Pack::Zero(), level_sum = Pack::Zero();
    for (size_t word = 0; word < words; ++word) {
        const size_t end = word * 64 + 64 < n ? word * 64 + 64 : n;
        uint64_t bits[kBits] = {};
        const auto add = [&](size_t i, Pack value, Pack other, Pack k) {
            const Pack c = Pack::Sub(k, packed.half);
            x_product = Pack::Fma(value, c, x_product);
            y_product = Pack::Fma(other, c, y_product);
            level_sum = Pack::Add(level_sum, k);
#pragma GCC unroll 8
            for (int j = 0; j < kBits; ++j)
                bits[j] |= Pack::Bits(k, j) << (i % 64);
        };
        size_t i = word * 64;
        for (; i + w <= end; i += w) {
            const Pack value = Pack::Load(x + i);
            add(i, value, Pack::Load(y + i), packed.Levels(value));
        }
        if (i < end) {
            const Pack value = Pack::LoadPart(x + i, end - i);
            add(i, value, Pack::LoadPart(y + i, end - i), Pack::Keep(packed.Levels(value), end - i));
        }
#pragma GCC unroll 8
        for (size_t j = 0; j < kBits; ++j)
            memcpy(static_cast<char*>(planes) + (j * words + word) * sizeof(uint64_t), &bits[j], sizeof(uint64_t));
    }
    return {Pack::Sum(x_product), Pack::Sum(y_product), Pack::Sum(level_sum)};
}

template <class Pack>
LevelSums EncodeLevels(const LevelRule& rule, const float* x, const float* y, size_t n, void* planes) {
    switch (rule.bits) {
        case 1:
            return EncodePlanes<Pack, 1>(rule, x, y, n, planes);
        case 2:
            return EncodePlanes<Pack, 2>(rule, x, y, n, planes);
        case 3:
            return EncodePlanes<Pack, 3>(rule, x, y, n, planes);
        case 4:
            return EncodePlanes<Pack, 4>(rule, x, y, n, planes);
        default:
            return EncodePlanes<Pack, kQueryPlanes>(rule, x, y, n, planes);
    }
}

template <class Pack>
Range FindRange(const float* x, size_t n) {
    constexpr size_t w = Pack::kWidth;
    Range range = {x[0], x[0], 0};
    size_t i = 0;
    if (n >= w) {
        Pack low = Pack::Load(x), high = low, sum = Pack::Zero();
        for (; i + w <= n; i += w) {
            const Pack value = Pack::Load(x + i);
            low = Pack::Min(low, value);
            high = Pack::Max(high, value);
            sum = Pack::Add(sum, value);
        }
        float lows[w], highs[w];
        low.Store(lows);
        high.Store(highs);
        for (size_t j = 0; j < w; ++j) {
            range.low = lows[j] < range.low ? lows[j] : range.low;
            range.high = highs[j] > range.high ? highs[j] : range.high;
        }
        range.sum = Pack::Sum(sum);
    }
    for (; i < n; ++i) {
        range.low = x[i] < range.low ? x[i] : range.low;
        range.high = x[i] > range.high ? x[i] : range.high;
        range.sum += x[i];
    }
    return range;
}

template <class Pack>
constexpr CodeKernels MakeCodeKernels() {
    return {&SumResidual<Pack>, &FitLevels<Pack>, &EncodeLevels<Pack>, &FindRange<Pack>};
}

}  // namespace vecann

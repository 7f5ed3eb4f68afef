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
        return Pack::Max(zero, Pack::Min(top, Pack::Floor(Pack::Fma(x, inverse_width, offset))));
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

template <class Pack>
float EncodeLevels(const LevelRule& rule, const float* x, const float* y, size_t n, void* planes) {
    constexpr size_t w = Pack::kWidth;
    const PackedRule<Pack> packed(rule);
    const size_t words = (n + 63) / 64;
    Pack product = Pack::Zero();
    for (size_t word = 0; word < words; ++word) {
        const size_t end = word * 64 + 64 < n ? word * 64 + 64 : n;
        uint64_t bits[kQueryPlanes] = {};
        for (size_t i = word * 64; i < end; i += w) {
            const size_t count = end - i < w ? end - i : w;
            const bool whole = count == w;
            const Pack k = packed.Levels(whole ? Pack::Load(x + i) : Pack::LoadPart(x + i, count));
            const Pack other = whole ? Pack::Load(y + i) : Pack::LoadPart(y + i, count);
            product = Pack::Fma(other, Pack::Sub(k, packed.half), product);
            const uint64_t kept = ~uint64_t{0} >> (64 - count);
            for (int j = 0; j < rule.bits; ++j)
                bits[j] |= (Pack::Bits(k, j) & kept) << (i % 64);
        }
        for (int j = 0; j < rule.bits; ++j)
            memcpy(static_cast<char*>(planes) + (static_cast<size_t>(j) * words + word) * sizeof(uint64_t), &bits[j],
                   sizeof(uint64_t));
    }
    return Pack::Sum(product);
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

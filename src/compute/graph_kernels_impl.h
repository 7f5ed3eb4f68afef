// The graph kernels, written once over a pack of floats; see graph_kernels.h. Included by the file of each level, whose
// pack lies in a namespace of its own, so that no two levels share an inline function.
#pragma once

#include "compute/graph_kernels.h"

namespace vecann {

template <class Pack>
float CentredRow(const float* from, const float* centre, float* to, int n) {
    constexpr int w = Pack::kWidth;
    Pack sum = Pack::Set(0);
    int i = 0;
    for (; i + w <= n; i += w) {
        const Pack x = Pack::Sub(Pack::Load(from + i), Pack::Load(centre + i));
        x.Store(to + i);
        sum = Pack::Fma(x, x, sum);
    }
    float norm = sum.Sum();
    for (; i < n; ++i) {
        to[i] = from[i] - centre[i];
        norm += to[i] * to[i];
    }
    return norm;
}

// Puts an entry into the sorted first `found` of at most k.
template <class Pack>
inline __attribute__((always_inline)) int InsertKey(NearKey* out, int found, int k, NearKey entry) {
    if (found == k && !(entry.key < out[k - 1].key)) return found;
    int at = found < k ? found++ : k - 1;
    for (; at > 0 && entry.key < out[at - 1].key; --at)
        out[at] = out[at - 1];
    out[at] = entry;
    return found;
}

// The k-th smallest of a pack, k <= kWidth: each lane counts the smaller ones, and of those with less than k the
// largest is it.
template <class Pack>
float KthOfLanes(Pack values, int k) {
    float lanes[Pack::kWidth];
    values.Store(lanes);
    Pack smaller = Pack::Set(0);
    for (int lane = 0; lane < Pack::kWidth; ++lane)
        smaller = Pack::CountBelow(smaller, Pack::Set(lanes[lane]), values);
    float kth = -__builtin_inff();
    for (uint32_t mask = smaller.NotAbove(static_cast<float>(k) - 0.5f); mask != 0; mask &= mask - 1) {
        const float x = lanes[__builtin_ctz(mask)];
        kth = x > kth ? x : kth;
    }
    return kth;
}

// A row's keys.
template <class Pack>
struct RowKeys {
    const float* products;
    const float* norms;

    Pack At(int j) const { return Pack::Fma(Pack::Load(products + j), Pack::Set(-2), Pack::Load(norms + j)); }
};

// Inserts those of the keys [begin, end) that are not above the bound.
template <class Pack>
inline __attribute__((always_inline)) int InsertRange(RowKeys<Pack> row, int begin, int end, float bound, int k,
                                                      int found, NearKey* out) {
    for (int j = begin; j < end; j += Pack::kWidth) {
        const Pack keys = row.At(j);
        uint32_t hits = keys.NotAbove(bound);
        if (hits == 0) continue;
        float lanes[Pack::kWidth];
        keys.Store(lanes);
        for (; hits != 0; hits &= hits - 1) {
            const int lane = __builtin_ctz(hits);
            if (lanes[lane] < __builtin_inff()) found = InsertKey<Pack>(out, found, k, {lanes[lane], j + lane});
        }
    }
    return found;
}

// Two passes: the k-th smallest of the lanes' minima bounds the k-th smallest of all, so that the second pass looks at
// few keys one by one.
template <class Pack>
int NearestOfRow(const float* products, const float* norms, int n, int start, int k, NearKey* out) {
    const RowKeys<Pack> row = {products, norms};
    float bound = __builtin_inff();
    if (k <= Pack::kWidth) {
        Pack least = Pack::Set(bound);
        for (int j = 0; j < n; j += Pack::kWidth)
            least = Pack::Min(row.At(j), least);
        bound = KthOfLanes(least, k);
    }
    const int found = InsertRange<Pack>(row, start, n, bound, k, 0, out);
    return InsertRange<Pack>(row, 0, start, bound, k, found, out);
}

template <class Pack>
constexpr GraphKernels MakeGraphKernels(const char* name) {
    return {name, &CentredRow<Pack>, &NearestOfRow<Pack>};
}

}  // namespace vecann

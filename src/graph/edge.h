// An edge of a graph as its source sees it: the target and the distance to it, in one word that orders by distance and
// then by id, so that sorting is total and independent of how the edges were found.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/zone.h"

namespace vecann {

constexpr uint32_t kNoNode = UINT32_MAX;

struct GraphEdge {
    uint64_t key;

    // `distance` is not negative and not NaN: such floats order as their bits do, once -0 has become +0.
    static GraphEdge Of(float distance, uint32_t id) {
        return {static_cast<uint64_t>(std::bit_cast<uint32_t>(distance + 0.0f)) << 32 | id};
    }
    float distance() const { return std::bit_cast<float>(static_cast<uint32_t>(key >> 32)); }
    uint32_t id() const { return static_cast<uint32_t>(key); }
    friend bool operator<(GraphEdge a, GraphEdge b) { return a.key < b.key; }
};

// The points a graph is built over, under squared L2. `extra`, when there is one, is a further coordinate of each
// point.
struct GraphSpace {
    const float* vectors;  // row-major
    int64_t stride;        // of a row
    int64_t dim;           // that count, the first ones of a row
    const float* extra;    // may be null
    float (*l2_squared)(const void* a, const void* b, size_t n);

    const float* Row(uint32_t i) const { return vectors + static_cast<int64_t>(i) * stride; }
    float Distance(uint32_t a, uint32_t b) const {
        const float d = l2_squared(Row(a), Row(b), static_cast<size_t>(dim));
        if (extra == nullptr) return d;
        return d + (extra[a] - extra[b]) * (extra[a] - extra[b]);
    }
};

// A directed graph of bounded degree: row i of `neighbours` holds degrees[i] targets, nearest first, then kNoNode.
struct GraphView {
    uint32_t* neighbours;
    uint16_t* degrees;
    uint32_t count;
    uint32_t max_degree;

    uint32_t* Row(uint32_t i) const { return neighbours + static_cast<int64_t>(i) * max_degree; }
};

}  // namespace vecann

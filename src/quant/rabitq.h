// RaBitQ-style codes of a neighbour v relative to a node u (Gao, Long, "RaBitQ", SIGMOD 2024, arXiv 2405.12497; several
// bits a dimension as in arXiv 2409.09913): r = R(v - u), each dimension in `bits` bits, and two floats that make the
// estimate unbiased under the random rotation R.
//
// Levels are k - (2^bits - 1) / 2 for k = 0 .. 2^bits - 1; c is the vector of levels. With s = |r|^2 / <r, c>,
// <q - u, r> ~ s (<Rq, c> - <Ru, c>). Hence, with base(q, u) the exact search distance of the node,
//     L2:             |q - v|^2 ~ |q - u|^2 + add + scale <Rq, c>,   add = |r|^2 + 2 s <Ru, c>,   scale = -2 s
//     inner product:   -<q, v>  ~  -<q, u>  + add + scale <Rq, c>,   add = s <Ru, c> - <u, v - u>, scale = -s
// Only base depends on the node and the query together; <Rq, c> is an integer sum over bit planes once Rq is quantised.
//
// A code is `bits` planes of `words` 64-bit words, plane j first the bits 2^j of all dimensions; padding bits are zero.
#pragma once

#include "core/arena.h"
#include "kernels/kernel_table.h"

namespace vecann {

constexpr int kQueryBits = kQueryPlanes;

struct CodeShape {
    int dim;
    int bits;   // 1 .. 4
    int words;  // 64-bit words of a plane

    static CodeShape Make(int dim, int bits) { return {dim, bits, (dim + 63) / 64}; }
    size_t bytes() const { return static_cast<size_t>(bits) * static_cast<size_t>(words) * sizeof(uint64_t); }
};

struct CodeFactors {
    float add;
    float scale;
    uint16_t level_sum;  // sum of k over the dimensions
};

// Encodes v relative to u. Both are rotated; `metric` is kL2 or kInnerProduct (cosine: inner product of unit vectors).
// `scratch` holds dim floats.
CodeFactors EncodeNeighbour(const CodeShape& shape, Metric metric, const float* u, const float* v, uint64_t* code,
                            float* scratch);

// A query, rotated and quantised to kQueryBits bits a dimension: Rq_i ~ low + step k_i.
struct QueryCode {
    CodeShape shape;
    uint64_t* planes;  // kQueryBits x words
    float low;
    float step;
    float sum;  // of all Rq_i

    void Init(Arena* arena, const CodeShape& code_shape);
    void Set(const float* rotated);
    // <Rq, c> from the integer sum over the planes, sum_ij 2^(i+j) popcount(query plane i & code plane j).
    float Product(uint32_t plane_sum, uint16_t level_sum) const {
        const float half = static_cast<float>((1 << shape.bits) - 1) * 0.5f;
        return low * static_cast<float>(level_sum) + step * static_cast<float>(plane_sum) - half * sum;
    }
};

}  // namespace vecann

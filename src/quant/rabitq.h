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
// Long vectors may be coded in part: c is then zero behind the first code_dim dimensions. |r|^2 is the whole one, and
// the estimate stays unbiased, because the rotation makes any part of the dimensions a random one.
//
// A code is `bits` planes of `words` 64-bit words, plane j first the bits 2^j of all dimensions; padding bits are zero.
#pragma once

#include "core/arena.h"
#include "kernels/kernel_table.h"

namespace vecann {

constexpr int kQueryBits = kQueryPlanes;

struct CodeShape {
    int dim;
    int bits;      // 1 .. 4
    int words;     // 64-bit words of a plane
    int code_dim;  // dimensions that are coded

    // Codes the first code_dim dimensions, or as many as a 16-bit sum of levels allows.
    static CodeShape Make(int dim, int bits, int code_dim) {
        const int most = UINT16_MAX / ((1 << bits) - 1);
        if (code_dim > dim) code_dim = dim;
        if (code_dim > most) code_dim = most;
        return {dim, bits, (code_dim + 63) / 64, code_dim};
    }
    size_t bytes() const { return static_cast<size_t>(bits) * static_cast<size_t>(words) * sizeof(uint64_t); }
};

// Encodes v relative to u into `code` (shape.bytes(), any alignment) and the edge's level_sum, add and scale, which are
// finite whatever the vectors. Both vectors are rotated; `metric` is kL2 or kInnerProduct (cosine: inner product of
// unit vectors). `scratch` holds dim floats.
void EncodeNeighbour(const CodeShape& shape, Metric metric, const float* u, const float* v, CodedEdge* edge, void* code,
                     float* scratch);

// A query, rotated and quantised to kQueryBits bits a dimension: Rq_i ~ low + step k_i.
struct QueryCode {
    CodeShape shape;
    uint64_t* planes;  // kQueryBits x words
    uint8_t* levels;   // the planes as numbers, where score_edges wants them; else null
    float low;
    float step;
    float half_sum;  // (2^bits - 1) / 2 times the sum of all coded Rq_i

    void Init(Arena* arena, const CodeShape& code_shape);
    void Set(const float* rotated);
    // Fills in what the batch takes from the query and the shape; edges, codes, count and base are the caller's.
    void Fill(CodeBatch* batch) const;
};

}  // namespace vecann

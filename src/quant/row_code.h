// Row codes: 4 bits a dimension of a rotated vector against one centre, with a deterministic bound of the error. Where
// the codes of rabitq.h estimate, these bound: a search that must not miss a row reads only those rows whose lower
// bound may still matter.
//
// With y = vector - centre a code stands for y^ = scale * (k - 7.5), k = 0 .. 15 for each dimension, and knows an upper
// bound of |y - y^|. The form is RowCodeData and groups of nibbles (kernels/row_code_layout.h). Levels beyond dim
// are 0; queries are padded with zeros there, so that they add nothing. A slot of zeros is "no code".
//
// All vectors are rotated alike (or none is). Instruction sets may choose different levels for a vector; the bounds
// hold for any code, whichever made it and whichever reads it.
#pragma once

#include "core/arena.h"
#include "kernels/metric.h"
#include "kernels/row_code_layout.h"

namespace vecann {

constexpr size_t RowCodeGroups(int dim) {
    return (static_cast<size_t>(dim) + kNibbleGroup - 1) / kNibbleGroup;
}
// Bytes of a code; a multiple of 4.
constexpr size_t RowCodeSize(int dim) {
    return sizeof(RowCodeData) + RowCodeGroups(dim) * (kNibbleGroup / 2);
}
// Is there a code in the slot? Any alignment.
inline bool HasRowCode(const void* code) {
    float error;
    memcpy(&error, code, sizeof(error));
    return error != 0;
}

// Encodes `rotated` against `centre` (dim numbers each) into RowCodeSize(dim) bytes of any alignment. `extra` is added
// to the error: how far, in L2 norm, `rotated` may be from the vector that the caller means. The error is always above
// zero; it is +infinity, and bounds say nothing, where a vector is not finite or its squares leave float32. `scratch`
// holds dim floats.
void EncodeRowCode(const float* rotated, const float* centre, int dim, double extra, void* out, float* scratch);

// What a code tells of query q and vector v. Let x be what the code stands for, centre + y^.
//     L2:             distance ~ |q - x|^2, and |q - v| is in   sqrt(distance) -+ error
//     inner product:  distance ~ -<q, x>,   and -<q, v> is in   distance -+ |q| error
// In both, error covers that of the code and the evaluation in floating point, roundings to float32 included; it is
// +infinity, and distance 0, where nothing is known (no code, or numbers too large).
// `norm` is an upper bound of |x|, for the inner product only; else 0.
//
// `likely` is an estimate: |q - v|^2 or -<q, v> is below it for one vector in 30,000. -infinity where nothing can be
// said, as with few dimensions. See README.md, "Likely bounds".
struct RowDistance {
    float distance;
    float error;
    float norm;
    float likely;
};

// A query against the codes of one centre.
struct RowCodeQuery {
    Metric metric;  // kL2 or kInnerProduct (cosine: inner product of unit vectors)
    int dim;
    float* values;       // q - centre (L2) or q, padded with zeros to whole groups
    double base;         // |q - centre|^2 (L2) or <q, centre>
    double inverse;      // inner product: 1 / |q|, 0 for a zero query
    double norm;         // |q - centre| (L2) or |q|
    double centre_norm;  // inner product: |centre|
    double rounding;     // what the numbers above are off by, as an L2 error
    double relative;     // of a product, relative to the norms
    double absolute;     // of a product
    double spread;       // of a likely bound: four standard deviations of a random direction's share

    // `metric_of_codes` as in `metric`.
    void Init(Arena* arena, Metric metric_of_codes, int dimensions);
    void Set(const float* rotated, const float* centre);
};

// out[i] from codes[i], a slot each, any alignment.
void RowCodeDistances(const RowCodeQuery& query, const char* const* codes, int count, RowDistance* out);

}  // namespace vecann

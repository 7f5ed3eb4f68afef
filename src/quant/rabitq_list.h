// RaBitQ codes (arXiv 2405.12497) for the lists of an IVF index: one bit a dimension of the rotated residual against
// the list's centroid. The estimate is that of rabitq.h with the centroid as node u, so one set of tables of the
// rotated query serves all lists. Four dimensions are one sub-quantizer whose codewords are the 16 patterns of signs:
// codes are packed and scanned as those of quant/pq.h, BlockEstimate with add, scale and error.
//
//     L2:             |q - v|^2 ~ base + add + scale <Rq, c>,   base = |q - centroid|^2
//     inner product:   -<q, v>  ~ base + add + scale <Rq, c>,   base = -<q, centroid>
// The truth lies below estimate - spread * error, spread = |q - centroid|, for about one code in 35 (epsilon0 = 1.9
// standard deviations of one side; the paper's choice).
#pragma once

#include "quant/pq.h"
#include "quant/rabitq.h"

namespace vecann {

constexpr float kRabitqEpsilon = 1.9f;

// Sub-quantizers of a shape of one bit.
constexpr int SignSubQuantizers(const CodeShape& shape) {
    return (shape.code_dim + 3) / 4;
}
// Bytes of a row code.
constexpr size_t SignCodeBytes(const CodeShape& shape) {
    return static_cast<size_t>(SignSubQuantizers(shape) + 1) / 2;
}

struct ListFactors {
    float add;
    float scale;
    float error;
};

// Encodes v against its centroid, both rotated; shape.bits is 1, metric kL2 or kInnerProduct. `code` has room for
// shape.bytes(), of which the first SignCodeBytes(shape) are the row code, and is aligned to 8 bytes. `scratch` holds
// dim floats. The factors are finite whatever the vectors.
void EncodeSigns(const CodeShape& shape, Metric metric, const float* centroid, const float* v, uint8_t* code,
                 ListFactors* factors, float* scratch);

// Tables of a rotated query: sums are <Rq, c>. `tables` is initialised with SignSubQuantizers(shape) and 16 codewords.
void SetSigns(const CodeShape& shape, const float* rotated, ScanTables* tables);

}  // namespace vecann

// Kernels over sparse vectors: merges of two ascending lists of indices. Sums are in double, in ascending order, so
// that there is one result whatever the instruction set; the time goes into the comparisons.
#pragma once

#include <cstdint>

#include "core/zone.h"

namespace vecann {

// Non-zero elements by strictly ascending index.
struct SparseView {
    const int32_t* indices;
    const float* values;
    int count;
};

double SparseInnerProduct(const SparseView& a, const SparseView& b);
double SparseL2Squared(const SparseView& a, const SparseView& b);
double SparseL1(const SparseView& a, const SparseView& b);
// Sum of squares.
double SparseSquaredNorm(const SparseView& a);

}  // namespace vecann

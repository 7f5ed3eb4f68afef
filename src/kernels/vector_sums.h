// Loops over float32 vectors outside searches, where compilers need no help to put elements side by side (-O3,
// src/flags.mk). The same bits on every processor.
#pragma once

#include <cstddef>

#include "core/zone.h"

namespace vecann {

// |x|, in double throughout: neither overflows nor loses digits.
double NormInDouble(const float* x, size_t n);
// out[i] = x[i] / by, rounded once from double. `out` may be x.
void DivideInDouble(const float* x, size_t n, double by, float* out);
// sum[i] += x[i] * factor
void AddScaled(const float* x, size_t n, float factor, float* sum);

}  // namespace vecann

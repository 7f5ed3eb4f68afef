// Values whose squares leave the range of float: who computes squared distances multiplies them by a power of two
// first, which rounds nothing.
#pragma once

#include "compute/tasks.h"

namespace vecann {

// The exponent of that power for values[0..n); 0 when they may stay as they are. Throws invalid_argument with `message`
// when one is infinite or not a number.
int SafeExponent(const ComputeJob* job, const float* values, int64_t n, const char* message);

// to[i] = from[i] * 2^exponent
void ScaleByPower(const float* from, float* to, int64_t n, int exponent);

}  // namespace vecann

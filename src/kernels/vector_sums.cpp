// Sums by lanes; see vector_sums.h.
#include "kernels/vector_sums.h"

#include <cmath>

namespace vecann {

double NormInDouble(const float* x, size_t n) {
    constexpr size_t kLanes = 8;
    double lanes[kLanes] = {}, sum = 0;
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (size_t j = 0; j < kLanes; ++j) {
            const double v = static_cast<double>(x[i + j]);
            lanes[j] += v * v;
        }
    for (; i < n; ++i)
        sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    for (const double lane : lanes)
        sum += lane;
    return std::sqrt(sum);
}

void DivideInDouble(const float* x, size_t n, double by, float* out) {
    for (size_t i = 0; i < n; ++i)
        out[i] = static_cast<float>(static_cast<double>(x[i]) / by);
}

void AddScaled(const float* x, size_t n, float factor, float* sum) {
    for (size_t i = 0; i < n; ++i)
        sum[i] += factor * x[i];
}

}  // namespace vecann

// The largest magnitude among many values; see value_range.h.
#include "compute/value_range.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

namespace vecann {

namespace {

constexpr int64_t kSlice = int64_t{1} << 20;
constexpr uint32_t kInfinityBits = 0x7f800000;

// The bits of the largest absolute value; as floats of one sign compare like integers, that is kInfinityBits or more if
// any value is infinite or not a number.
uint32_t LargestMagnitude(const ComputeJob* job, const float* values, int64_t n) {
    std::atomic<uint32_t> largest{0};
    ForSlices(job, n, kSlice, [&](int64_t begin, int64_t end) {
        uint32_t here = 0;
        for (int64_t i = begin; i < end; ++i)
            here = std::max(here, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
        uint32_t seen = largest.load();
        while (here > seen && !largest.compare_exchange_weak(seen, here)) {
        }
    });
    return largest.load();
}

}  // namespace

int SafeExponent(const ComputeJob* job, const float* values, int64_t n, const char* message) {
    const uint32_t largest = LargestMagnitude(job, values, n);
    if (largest >= kInfinityBits) throw std::invalid_argument(message);
    int exponent = 0;
    std::frexp(std::bit_cast<float>(largest), &exponent);
    return largest != 0 && (exponent < -30 || exponent > 50) ? -exponent : 0;
}

void ScaleByPower(const float* from, float* to, int64_t n, int exponent) {
    for (int64_t i = 0; i < n; ++i)
        to[i] = std::ldexp(from[i], exponent);
}

}  // namespace vecann

// Memory limits and samples; see training.h.
#include "compute/training.h"

#include <cmath>
#include <cstdio>

namespace vecann {

namespace {

constexpr int64_t kRowsBetweenLooks = int64_t{1} << 20;

}  // namespace

void RequireMemory(const ComputeJob* job, const char* what, double bytes) {
    if (job->memory_limit == 0 || bytes <= static_cast<double>(job->memory_limit)) return;
    char text[160];
    snprintf(text, sizeof(text), "%s needs %.0f MB of memory, and may use %.0f MB", what, std::ceil(bytes / 1048576),
             std::floor(static_cast<double>(job->memory_limit) / 1048576));
    throw OutOfMemory(text);
}

void SampleRows(const ComputeJob* job, Rng* rng, int64_t from, int64_t wanted, int32_t* rows) {
    int64_t taken = 0;
    for (int64_t row = 0; taken < wanted; ++row) {
        if (row % kRowsBetweenLooks == 0) CheckCancel(job);
        if (wanted == from || static_cast<double>(from - row) * rng->NextUnit() <= static_cast<double>(wanted - taken))
            rows[taken++] = static_cast<int32_t>(row);
    }
}

}  // namespace vecann

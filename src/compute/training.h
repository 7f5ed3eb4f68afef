// What the trainings share: the memory a job may take, and samples.
#pragma once

#include <cstdint>

#include "compute/tasks.h"
#include "core/rng.h"

namespace vecann {

// Throws OutOfMemory when `bytes` are more than the job may use. To be called before anything large is allocated.
void RequireMemory(const ComputeJob* job, const char* what, double bytes);

// `wanted` of `from` row numbers, ascending, each set equally likely (Knuth, volume 2, algorithm 3.4.2 S). All of them
// draw no random numbers.
void SampleRows(const ComputeJob* job, Rng* rng, int64_t from, int64_t wanted, int32_t* rows);

}  // namespace vecann

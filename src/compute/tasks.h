// The tasks of the compute library, and what they share: looking at `cancel`, and loops over OpenMP threads that no
// exception leaves. A task may throw; compute_main.cpp catches.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>

#include "compute/compute_abi.h"
#include "compute/job_safety.h"

#ifndef VECANN_ZONE_X
#error "zone X only"
#endif

namespace vecann {

// Thrown when job.cancel was seen.
struct Cancelled {};

// More memory than the job may use.
struct OutOfMemory : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// To be called several times a second by whatever runs long.
inline void CheckCancel(const ComputeJob* job) {
    if (job->cancel.load(std::memory_order_relaxed) != 0) throw Cancelled();
    CheckMemoryReserve();
}

// Keeps the first exception of an OpenMP region, which none may leave, to be thrown again behind it.
class RegionError {
  public:
    template <class F>
    void Guard(F body) noexcept {
        try {
            body();
        } catch (...) {
            if (!taken_.exchange(true)) error_ = std::current_exception();
        }
    }
    bool Seen() const { return taken_.load(std::memory_order_relaxed); }
    void Rethrow() {
        if (error_) std::rethrow_exception(error_);
    }

  private:
    std::atomic<bool> taken_{false};
    std::exception_ptr error_;
};

// Calls body(begin, end) for slices of [0, count) on all threads of the job, and looks at `cancel` before each. What a
// body throws ends the loop and is thrown again behind it. The slices do not depend on the number of threads.
template <class F>
void ForSlices(const ComputeJob* job, int64_t count, int64_t slice, F body) {
    RegionError error;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t begin = 0; begin < count; begin += slice) {
        if (error.Seen()) continue;
        error.Guard([&] {
            CheckCancel(job);
            body(begin, count - begin < slice ? count : begin + slice);
        });
    }
    error.Rethrow();
}

void RunKMeans(ComputeJob* job, KMeansTask* task);
void RunSelfTest(ComputeJob* job, SelfTestTask* task);
void RunGraphEncode(ComputeJob* job, GraphEncodeTask* task);
void RunNearCells(ComputeJob* job, NearCellsTask* task);
void RunPayloadEncode(ComputeJob* job, PayloadEncodeTask* task);
void RunAssign(ComputeJob* job, AssignTask* task);
void RunPqTrain(ComputeJob* job, PqTrainTask* task);
void RunOpqTrain(ComputeJob* job, OpqTrainTask* task);
void RunPqEncode(ComputeJob* job, PqEncodeTask* task);
void RunSignEncode(ComputeJob* job, SignEncodeTask* task);
void RunRotate(ComputeJob* job, RotateTask* task);
void RunRowEncode(ComputeJob* job, RowEncodeTask* task);
void RunGraphBuild(ComputeJob* job, GraphBuildTask* task);
#ifdef VECANN_RACE_POINTS
void RunSpin(ComputeJob* job, SpinTask* task);
#endif

}  // namespace vecann

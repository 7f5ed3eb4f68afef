// The library's entry points: the owner thread, and the translation of exceptions into Status. No exception leaves this
// file.
#include <omp.h>

#include <new>
#include <stdexcept>
#include <thread>

#include "compute/tasks.h"

extern "C" void openblas_set_num_threads(int);

namespace vecann {

namespace {

void RunTask(ComputeJob* job, ComputeTask task, void* argument) {
    switch (task) {
        case ComputeTask::kKMeans:
            return RunKMeans(job, static_cast<KMeansTask*>(argument));
        case ComputeTask::kSelfTest:
            return RunSelfTest(job, static_cast<SelfTestTask*>(argument));
        case ComputeTask::kGraphEncode:
            return RunGraphEncode(job, static_cast<GraphEncodeTask*>(argument));
        case ComputeTask::kGraphBuild:
            return RunGraphBuild(job, static_cast<GraphBuildTask*>(argument));
        case ComputeTask::kNearCells:
            return RunNearCells(job, static_cast<NearCellsTask*>(argument));
        case ComputeTask::kPayloadEncode:
            return RunPayloadEncode(job, static_cast<PayloadEncodeTask*>(argument));
        case ComputeTask::kAssign:
            return RunAssign(job, static_cast<AssignTask*>(argument));
        case ComputeTask::kPqTrain:
            return RunPqTrain(job, static_cast<PqTrainTask*>(argument));
        case ComputeTask::kOpqTrain:
            return RunOpqTrain(job, static_cast<OpqTrainTask*>(argument));
        case ComputeTask::kPqEncode:
            return RunPqEncode(job, static_cast<PqEncodeTask*>(argument));
        case ComputeTask::kSignEncode:
            return RunSignEncode(job, static_cast<SignEncodeTask*>(argument));
        case ComputeTask::kRotate:
            return RunRotate(job, static_cast<RotateTask*>(argument));
        case ComputeTask::kRowEncode:
            return RunRowEncode(job, static_cast<RowEncodeTask*>(argument));
        case ComputeTask::kSpin:
#ifdef VECANN_RACE_POINTS
            return RunSpin(job, static_cast<SpinTask*>(argument));
#else
            break;
#endif
    }
    throw std::invalid_argument("unknown task");
}

// The owner thread. Whatever the task throws becomes the job's status.
void OwnerMain(ComputeJob* job, ComputeTask task, void* argument) noexcept {
    Status status;
    try {
        MemoryReserve reserve;
        job->threads = StartableThreads(job->threads);
        omp_set_num_threads(job->threads);
        omp_set_max_active_levels(1);
        omp_set_dynamic(0);
        // Two levels of threads fight for the cores: PQ training took six times as long.
        openblas_set_num_threads(1);
        RunTask(job, task, argument);
        if (job->cancel.load() != 0) status.Set(StatusCode::kCancelled, "cancelled");
    } catch (const Cancelled&) {
        status.Set(StatusCode::kCancelled, "cancelled");
    } catch (const OutOfMemory& e) {
        status.Set(StatusCode::kOutOfMemory, e.what());
    } catch (const std::bad_alloc&) {
        status.Set(StatusCode::kOutOfMemory, "out of memory in a compute job");
    } catch (const std::invalid_argument& e) {
        status.Set(StatusCode::kInvalidArgument, e.what());
    } catch (const std::exception& e) {
        // what a library was doing when it was interrupted may end in an ordinary exception
        if (job->cancel.load() != 0)
            status.Set(StatusCode::kCancelled, "cancelled");
        else
            status.Set(StatusCode::kInternal, e.what());
    } catch (...) {
        status.Set(StatusCode::kInternal, "unknown exception in a compute job");
    }
    job->status = status;
    job->finished.store(1);
}

void* Start(ComputeJob* job, ComputeTask task, void* argument, Status* status) noexcept {
    try {
        return new std::thread(OwnerMain, job, task, argument);
    } catch (const std::exception&) {
        status->Set(StatusCode::kOutOfMemory, "could not start a thread");
    } catch (...) {
        status->Set(StatusCode::kInternal, "could not start a thread");
    }
    return nullptr;
}

void Join(void* handle) noexcept {
    std::thread* owner = static_cast<std::thread*>(handle);
    owner->join();
    delete owner;
}

const ComputeApi kApi = {kComputeAbiVersion, Start, Join};

}  // namespace

}  // namespace vecann

extern "C" __attribute__((visibility("default"))) const vecann::ComputeApi* vecann_compute_api(
    uint32_t version, vecann::Status* status) noexcept {
    if (version != vecann::kComputeAbiVersion) {
        status->Set(vecann::StatusCode::kUnavailable, "vecann_compute.so has another version than vecann.so");
        return nullptr;
    }
    return &vecann::kApi;
}

// What the programs that measure the compute library share: data, and running a task.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <sys/resource.h>

#include "compute/compute_abi.h"

extern "C" const vecann::ComputeApi* vecann_compute_api(uint32_t version, vecann::Status* status) noexcept;

namespace vecann {

using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Data {
    std::vector<float> rows;
    int64_t count;
    int dim;
    const float* Row(int64_t i) const { return rows.data() + i * dim; }
};

// FILE: raw float32, `dim` a row.
inline Data Load(const char* path, int dim) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error("cannot read the file");
    Data data;
    data.rows.resize(static_cast<size_t>(file.tellg()) / sizeof(float));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(data.rows.data()),
              static_cast<std::streamsize>(data.rows.size() * sizeof(float)));
    data.dim = dim;
    data.count = static_cast<int64_t>(data.rows.size()) / dim;
    return data;
}

inline double ProcessorSeconds() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

struct Cost {
    double seconds, processor;
};

// Runs a task to its end.
template <class Task>
Cost TimeTask(ComputeTask kind, Task* task, int threads) {
    ComputeJob job;
    job.threads = threads;
    Status status;
    const auto start = Clock::now();
    const double before = ProcessorSeconds();
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    api->join(api->start(&job, kind, task, &status));
    if (!job.status.ok()) throw std::runtime_error(job.status.message);
    return {SecondsSince(start), ProcessorSeconds() - before};
}

// The same; prints what it took unless `what` is null.
template <class Task>
void RunTask(const char* what, ComputeTask kind, Task* task, int threads) {
    const Cost cost = TimeTask(kind, task, threads);
    if (what != nullptr) printf("%-40s %7.2f s, processor %7.2f s\n", what, cost.seconds, cost.processor);
    fflush(stdout);
}

}  // namespace vecann

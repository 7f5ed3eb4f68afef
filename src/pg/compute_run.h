// Running a job of vecann_compute.so from a backend: rules 6, 7, 9, 10 and 11 of the architecture.
#pragma once

#include "compute/compute_abi.h"
#include "pg/pg.h"

namespace vecann {

// Threads a job may use: one for the backend and one for each parallel maintenance worker it could have; the table's
// parallel_workers option (heap may be null) wins over max_parallel_maintenance_workers, max_parallel_workers caps
// both.
int ComputeThreads(Relation heap);

struct ComputeOptions {
    int threads = 1;          // see ComputeThreads
    uint64 memory_limit = 0;  // bytes the job may take beside its input and output; 0: no limit
    // Called about fifty times a second with the job's progress counters; may raise errors.
    void (*progress)(int64 done, int64 total, void* arg) = nullptr;
    void* progress_arg = nullptr;
};

// For ComputeOptions::progress: the counters are those of pg_stat_progress_create_index.
void ReportIndexProgress(int64 done, int64 total, void* arg);

// Loads the library if need be, runs the task to its end and returns. The caller holds no buffer lock and no LWLock.
// The thread reads and writes what `argument` points to, until this function returns or raises. Cancel, terminate and
// the postmaster's death stop the job within a second; other interrupts are served meanwhile. A failure of the job is
// raised as an ERROR (53200 out of memory, 22023 bad argument, 58P01 library missing or of another version, XX000
// otherwise).
void RunCompute(ComputeTask task, void* argument, const ComputeOptions& options);

}  // namespace vecann

// Running a compute job: load the library, start the owner thread, wait on the latch, join. The thread touches nothing
// of the server. It is joined on every way out, before anything it might read is freed: that is why this is the one
// place in zone P that catches errors (with PG_ENSURE_ERROR_CLEANUP, which also covers FATAL), and it always throws
// them again.
#include "pg/compute_run.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

namespace vecann {

namespace {

constexpr long kPollMilliseconds = 20;

const ComputeApi* api = nullptr;

// Blocks every signal in this thread; threads started meanwhile inherit that.
struct SignalBlock {
    sigset_t saved;
    SignalBlock() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &saved);
    }
    void Restore() { pthread_sigmask(SIG_SETMASK, &saved, nullptr); }
};

int SqlStateOf(StatusCode code) {
    switch (code) {
        case StatusCode::kInvalidArgument:
            return ERRCODE_INVALID_PARAMETER_VALUE;
        case StatusCode::kOutOfMemory:
            return ERRCODE_OUT_OF_MEMORY;
        case StatusCode::kCancelled:
            return ERRCODE_QUERY_CANCELED;
        case StatusCode::kUnavailable:
            return ERRCODE_UNDEFINED_FILE;
        default:
            return ERRCODE_INTERNAL_ERROR;
    }
}

void RaiseStatus(const Status& status) {
    if (!status.ok()) ereport(ERROR, (errcode(SqlStateOf(status.code)), errmsg("%s", status.message)));
}

// A variable of the environment that has another value for a while; with no value, it stays as it is.
struct Variable {
    const char* name;
    bool changed;
    char* saved = nullptr;

    Variable(const char* variable, const char* value) : name(variable), changed(value != nullptr) {
        if (!changed) return;
        const char* inherited = getenv(name);
        if (inherited != nullptr) saved = pstrdup(inherited);
        setenv(name, value, 1);
    }
    void Restore() {
        if (!changed) return;
        if (saved != nullptr)
            setenv(name, saved, 1);
        else
            unsetenv(name);
    }
};

// OpenBLAS takes a processor that is newer than itself for one without AVX: 0.3.21 multiplies at a fifth of the speed
// on Emerald Rapids. So it is told what the processor can do, unless the server's environment says something.
const char* BlasCore() {
    if (getenv("OPENBLAS_CORETYPE") != nullptr) return nullptr;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return nullptr;
}

// OpenBLAS starts its threads when it is loaded, as many as a variable allows.
void* OpenLibrary(const char* path, char* error, size_t error_size) {
    Variable threads("OPENBLAS_NUM_THREADS", "1");
    Variable core("OPENBLAS_CORETYPE", BlasCore());
    SignalBlock block;
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) strlcpy(error, dlerror(), error_size);
    block.Restore();
    core.Restore();
    threads.Restore();
    return library;
}

void LoadLibrary() {
    if (api != nullptr) return;
    char error[512] = {0};
    char* path = psprintf("%s/vecann_compute%s", pkglib_path, DLSUFFIX);
    void* library = OpenLibrary(path, error, sizeof(error));
    if (library == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_FILE), errmsg("could not load library \"%s\": %s", path, error),
                 errhint("vecann_compute%s is installed beside vecann%s by \"make install\".", DLSUFFIX, DLSUFFIX)));
    ComputeApiFunction function = reinterpret_cast<ComputeApiFunction>(dlsym(library, kComputeApiSymbol));
    if (function == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                        errmsg("library \"%s\" has no function %s", path, kComputeApiSymbol)));
    Status status;
    api = function(kComputeAbiVersion, &status);
    if (api == nullptr)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", status.message),
                        errhint("Install both files of one build and start a new session.")));
}

struct RunningJob {
    ComputeJob job;
    void* handle = nullptr;  // of the owner thread; null when there is none
};

// Ends and joins the thread, if there is one.
void JoinJob(RunningJob* running) {
    if (running->handle == nullptr) return;
    running->job.cancel.store(1);
    api->join(running->handle);
    running->handle = nullptr;
}

void JoinOnError(int, Datum running) {
    JoinJob(reinterpret_cast<RunningJob*>(DatumGetPointer(running)));
}

void StartJob(RunningJob* running, ComputeTask task, void* argument) {
    Status status;
    SignalBlock block;
    running->handle = api->start(&running->job, task, argument, &status);
    block.Restore();
    RaiseStatus(status);
}

// Waits for the job to end. Asked to cancel or to terminate, it tells the job so and goes on waiting: the error is
// raised when the thread is no more. All other interrupts are served at once; a barrier, for one, holds up other
// sessions (DROP DATABASE). Returns false at once when the postmaster has died.
bool AwaitJob(RunningJob* running, const ComputeOptions& options) {
    // Short jobs are not kept waiting for the full interval.
    for (long interval = 1; running->job.finished.load() == 0; interval = Min(interval * 2, kPollMilliseconds)) {
        const int events =
            WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, interval, PG_WAIT_EXTENSION);
        if ((events & WL_POSTMASTER_DEATH) != 0) return false;
        if ((events & WL_LATCH_SET) != 0) ResetLatch(MyLatch);
        if (InterruptPending && INTERRUPTS_CAN_BE_PROCESSED()) {
            if (QueryCancelPending || ProcDiePending)
                running->job.cancel.store(1);
            else
                CHECK_FOR_INTERRUPTS();
        }
        if (options.progress != nullptr)
            options.progress(running->job.done.load(), running->job.total.load(), options.progress_arg);
    }
    return true;
}

}  // namespace

int ComputeThreads(Relation heap) {
    int workers = -1;
    // The option is -1, not absent, when the table has other options.
    if (heap != nullptr) workers = RelationGetParallelWorkers(heap, -1);
    if (workers < 0) workers = max_parallel_maintenance_workers;
    return 1 + Min(workers, max_parallel_workers);
}

void ReportIndexProgress(int64 done, int64 total, void*) {
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, total);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
}

void RunCompute(ComputeTask task, void* argument, const ComputeOptions& options) {
    LoadLibrary();
    RunningJob running;
    running.job.threads = Max(options.threads, 1);
    running.job.memory_limit = options.memory_limit;
    PG_ENSURE_ERROR_CLEANUP(JoinOnError, PointerGetDatum(&running));
    {
        StartJob(&running, task, argument);
        const bool postmaster_alive = AwaitJob(&running, options);
        JoinJob(&running);
        if (!postmaster_alive)
            ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
                            errmsg("terminating connection due to unexpected postmaster exit")));
    }
    PG_END_ENSURE_ERROR_CLEANUP(JoinOnError, PointerGetDatum(&running));
    CHECK_FOR_INTERRUPTS();
    RaiseStatus(running.job.status);
}

}  // namespace vecann

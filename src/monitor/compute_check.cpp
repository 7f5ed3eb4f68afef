// SQL functions about the compute library.
#include "pg/compute_run.h"

using namespace vecann;

// vecann_compute_check(threads int, OUT faiss_version text, OUT blas text, OUT threads_used int, OUT seconds float8)
// Loads vecann_compute.so in this session and runs its self test; threads = 0 means as many as a build may use.
VECANN_FUNCTION(vecann_compute_check) {
    int threads = PG_GETARG_INT32(0);
    const int allowed = ComputeThreads(nullptr);
    if (threads < 0) ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("threads must not be negative")));
    threads = threads == 0 ? allowed : Min(threads, allowed);

    SelfTestTask task = {};
    instr_time start, end;
    INSTR_TIME_SET_CURRENT(start);
    ComputeOptions options;
    options.threads = threads;
    RunCompute(ComputeTask::kSelfTest, &task, options);
    INSTR_TIME_SET_CURRENT(end);
    INSTR_TIME_SUBTRACT(end, start);

    TupleDesc descriptor;
    if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) elog(ERROR, "row type expected");
    Datum values[] = {CStringGetTextDatum(task.faiss_version), CStringGetTextDatum(task.blas),
                      Int32GetDatum(task.threads), Float8GetDatum(INSTR_TIME_GET_DOUBLE(end))};
    bool nulls[] = {false, false, false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

#ifdef VECANN_RACE_POINTS
// A progress callback that raises what `arg` says, once the job is under way.
static void RaiseInProgress(int64, int64, void* arg) {
    const int level = *static_cast<const int*>(arg);
    if (level != 0) ereport(level, (errmsg("raised while a job runs")));
}

// vecann_compute_spin(seconds float8, injected int, in_region bool, level int) RETURNS void: for tests. Spins, then
// throws in the job; with a level (21 is ERROR, 22 FATAL) the backend raises that while the job runs.
VECANN_FUNCTION(vecann_compute_spin) {
    SpinTask task = {PG_GETARG_FLOAT8(0), static_cast<Injected>(PG_GETARG_INT32(1)), PG_GETARG_BOOL(2)};
    int level = PG_GETARG_INT32(3);
    ComputeOptions options;
    options.threads = ComputeThreads(nullptr);
    options.progress = RaiseInProgress;
    options.progress_arg = &level;
    RunCompute(ComputeTask::kSpin, &task, options);
    PG_RETURN_VOID();
}
#endif

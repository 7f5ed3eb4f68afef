// A job that keeps all threads busy and throws what it is told to: for the tests of cancellation and of the border's
// catch clauses. Compiled into test builds only.
#ifdef VECANN_RACE_POINTS

#include <chrono>
#include <new>
#include <stdexcept>

#include "compute/tasks.h"

namespace vecann {

namespace {

void Throw(Injected what) {
    switch (what) {
        case Injected::kNothing:
            return;
        case Injected::kBadAlloc:
            throw std::bad_alloc();
        case Injected::kStdException:
            throw std::runtime_error("injected failure");
        case Injected::kUnknown:
            throw 42;
    }
}

}  // namespace

void RunSpin(ComputeJob* job, SpinTask* task) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(task->seconds);
    RegionError error;
#pragma omp parallel
    error.Guard([&] {
        while (std::chrono::steady_clock::now() < end) {
            if (job->cancel.load(std::memory_order_relaxed) != 0) throw Cancelled();
        }
        if (task->in_region) Throw(task->injected);
    });
    error.Rethrow();
    Throw(task->injected);
}

}  // namespace vecann

#endif

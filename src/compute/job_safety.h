// What keeps a failing system call in a foreign library from ending the server. FAISS allocates inside OpenMP regions,
// where a bad_alloc means abort(); libgomp calls exit() when it cannot start a thread; OpenBLAS tries for ever to map
// its buffers. Strict overcommit (vm.overcommit_memory = 2) and limits of containers bring all three about.
#pragma once

#ifndef VECANN_ZONE_X
#error "zone X only"
#endif

namespace vecann {

// A few megabytes set aside while a job runs. When an allocation fails they are given back, so that the small
// allocations of a region succeed; CheckMemoryReserve then ends the job at the next place where it may throw. One at a
// time; large allocations, which FAISS makes outside of its regions, throw bad_alloc as ever.
class MemoryReserve {
  public:
    MemoryReserve();
    ~MemoryReserve();
    MemoryReserve(const MemoryReserve&) = delete;
    MemoryReserve& operator=(const MemoryReserve&) = delete;

  private:
    void (*previous_handler_)();
};

// Throws bad_alloc when the reserve of the running job was needed.
void CheckMemoryReserve();

// How many threads, the calling one included, could a region have now? At most `wanted`, at least 1. Starts them all
// and ends them again.
int StartableThreads(int wanted);

// Throws bad_alloc unless each of `threads` threads can map the buffer that OpenBLAS takes at its first matrix product.
// To be called when the job has allocated what it needs.
void RequireBlasBuffers(int threads);

}  // namespace vecann

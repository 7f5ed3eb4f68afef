// The memory reserve and the probe for threads; see job_safety.h.
#include "compute/job_safety.h"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace vecann {

namespace {

constexpr size_t kReserveBytes = size_t{8} << 20;

// OpenBLAS 0.3.21 maps 128 MB for each thread on x86-64, of which it touches a few; the rest here is for FAISS's block
// of distances and for what malloc takes to manage it. The buffers stay mapped, so later jobs ask for more than they
// need.
constexpr size_t kBlasBufferBytes = size_t{144} << 20;

std::atomic<void*> reserve{nullptr};
std::atomic<bool> reserve_spent{false};

// Called by operator new, in any thread: returning means "try again".
void SpendReserve() {
    void* block = reserve.exchange(nullptr);
    if (block == nullptr) throw std::bad_alloc();
    munmap(block, kReserveBytes);
    reserve_spent.store(true);
}

}  // namespace

// Of its own mapping: what malloc gave might not go back to the system when it is freed.
MemoryReserve::MemoryReserve() {
    void* block = mmap(nullptr, kReserveBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw std::bad_alloc();
    reserve_spent.store(false);
    reserve.store(block);
    previous_handler_ = std::set_new_handler(SpendReserve);
}

MemoryReserve::~MemoryReserve() {
    std::set_new_handler(previous_handler_);
    void* block = reserve.exchange(nullptr);
    if (block != nullptr) munmap(block, kReserveBytes);
    reserve_spent.store(false);
}

void CheckMemoryReserve() {
    if (reserve_spent.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

int StartableThreads(int wanted) {
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    threads.reserve(static_cast<size_t>(wanted));
    try {
        while (static_cast<int>(threads.size()) + 1 < wanted)
            threads.emplace_back([&go] { go.wait(false); });
    } catch (const std::system_error&) {
        // as many as there are
    } catch (const std::bad_alloc&) {
        // the same
    }
    go.store(true);
    go.notify_all();
    for (std::thread& thread : threads)
        thread.join();
    return static_cast<int>(threads.size()) + 1;
}

void RequireBlasBuffers(int threads) {
    const size_t bytes = kBlasBufferBytes * static_cast<size_t>(threads);
    void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) throw std::bad_alloc();
    munmap(block, bytes);
}

}  // namespace vecann

// An array that ends exactly where an unreadable page begins: a kernel that reads past element n - 1 dies at once, with
// or without sanitizers. Because the end is what is aligned, the start takes every alignment that the element allows.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

namespace vecann {

template <class T>
class GuardedArray {
  public:
    explicit GuardedArray(size_t n) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t body = (n * sizeof(T) + page - 1) / page * page;
        bytes_ = body + page;
        base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED || mprotect(base_ + body, page, PROT_NONE) != 0) abort();
        data_ = reinterpret_cast<T*>(base_ + body) - n;
    }
    GuardedArray(const GuardedArray&) = delete;
    GuardedArray& operator=(const GuardedArray&) = delete;
    ~GuardedArray() { munmap(base_, bytes_); }

    T* data() { return data_; }
    T& operator[](size_t i) { return data_[i]; }

  private:
    char* base_;
    T* data_;
    size_t bytes_;
};

}  // namespace vecann

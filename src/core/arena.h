// Memory for zone K. K code never calls malloc or palloc; it takes an Arena, which P backs by a MemoryContext and unit
// tests and X back by malloc. Containers here are trivially destructible: a longjmp over them leaks nothing, because
// the context that backs the arena is reset by its owner.
//
// Contract: allocate never returns null. The P arena raises ERROR (longjmp), the malloc arena aborts the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/zone.h"

namespace vecann {

struct Arena {
    void* (*allocate)(void* ctx, size_t bytes);
    void (*release)(void* ctx, void* block);
    void* ctx;
    size_t allocated = 0;  // bytes handed out and not released by the containers below

    template <class T>
    T* Allocate(size_t n) {
        allocated += n * sizeof(T);
        return static_cast<T*>(allocate(ctx, n * sizeof(T)));
    }
    template <class T>
    void Release(T* block, size_t n) {
        if (block == nullptr) return;
        allocated -= n * sizeof(T);
        release(ctx, block);
    }
};

// A growable array of trivially copyable elements. Growth doubles; the old block is released at once.
template <class T>
struct ArenaVec {
    static_assert(std::is_trivially_copyable_v<T>);
    Arena* arena = nullptr;
    T* data = nullptr;
    size_t size = 0;
    size_t capacity = 0;

    void Init(Arena* a, size_t initial_capacity = 0) {
        arena = a;
        data = nullptr;
        size = capacity = 0;
        if (initial_capacity > 0) Reserve(initial_capacity);
    }
    void Reserve(size_t n) {
        if (n <= capacity) return;
        size_t grown = capacity * 2 > n ? capacity * 2 : n;
        T* fresh = arena->Allocate<T>(grown);
        if (size > 0) memcpy(static_cast<void*>(fresh), data, size * sizeof(T));
        arena->Release(data, capacity);
        data = fresh;
        capacity = grown;
    }
    void Push(const T& value) {
        const T copy = value;  // `value` may lie in the block that growth releases
        if (size == capacity) Reserve(size < 8 ? 16 : size + 1);
        data[size++] = copy;
    }
    T& operator[](size_t i) { return data[i]; }
    const T& operator[](size_t i) const { return data[i]; }
    T* begin() { return data; }
    T* end() { return data + size; }
    const T* begin() const { return data; }
    const T* end() const { return data + size; }
    bool empty() const { return size == 0; }
    void Clear() { size = 0; }
};

}  // namespace vecann

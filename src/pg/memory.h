// The Arena of zone P: backed by a MemoryContext, raises ERROR when memory runs out.
#pragma once

#include "core/arena.h"
#include "pg/pg.h"

namespace vecann {

// An arena over `context`, which must outlive every container on it. Blocks may exceed 1 GB.
inline Arena MakeArena(MemoryContext context) {
    Arena arena;
    arena.ctx = context;
    arena.allocate = [](void* ctx, size_t bytes) {
        return MemoryContextAllocHuge(static_cast<MemoryContext>(ctx), bytes > 0 ? bytes : 1);
    };
    arena.release = [](void*, void* block) { pfree(block); };
    return arena;
}

// palloc for an array of T in the current context.
template <class T>
T* PallocArray(size_t n) {
    return static_cast<T*>(palloc_extended(Max<size_t>(n * sizeof(T), 1), MCXT_ALLOC_HUGE));
}
template <class T>
T* PallocZeroed() {
    return static_cast<T*>(palloc0(sizeof(T)));
}

}  // namespace vecann

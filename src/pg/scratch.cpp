// The memory kept for searches; see scratch.h.
#include "pg/scratch.h"

namespace vecann {

namespace {

constexpr size_t kScratchBytes = size_t{512} * 1024;
constexpr size_t kAlignment = 64;

struct Scratch {
    char* begin;  // null before the first use
    char* next;
    MemoryContext context;  // of the arena that has it; null: free
};
Scratch scratch;

void GiveBack(void*) {
    scratch.context = nullptr;
}

void* Allocate(void*, size_t bytes) {
    const size_t room = static_cast<size_t>(scratch.begin + kScratchBytes - scratch.next);
    if (bytes > room) return MemoryContextAllocHuge(scratch.context, bytes);
    void* block = scratch.next;
    scratch.next += Min(room, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    return block;
}

void Release(void*, void* block) {
    const char* at = static_cast<const char*>(block);
    if (at < scratch.begin || at >= scratch.begin + kScratchBytes) pfree(block);
}

}  // namespace

Arena MakeScratchArena(MemoryContext context) {
    if (scratch.context != nullptr) return MakeArena(context);
    if (scratch.begin == nullptr) {
        char* memory = static_cast<char*>(MemoryContextAlloc(TopMemoryContext, kScratchBytes + kAlignment));
        scratch.begin = memory + (kAlignment - reinterpret_cast<uintptr_t>(memory) % kAlignment);
    }
    MemoryContextCallback* callback =
        static_cast<MemoryContextCallback*>(MemoryContextAlloc(context, sizeof(MemoryContextCallback)));
    callback->func = GiveBack;
    callback->arg = nullptr;
    MemoryContextRegisterResetCallback(context, callback);
    scratch.context = context;
    scratch.next = scratch.begin;
    Arena arena;
    arena.ctx = nullptr;
    arena.allocate = Allocate;
    arena.release = Release;
    return arena;
}

}  // namespace vecann

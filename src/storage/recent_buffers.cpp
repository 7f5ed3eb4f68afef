// The cache of recent buffers; see recent_buffers.h.
#include "storage/recent_buffers.h"

namespace vecann {

namespace {

// The buffer's number and nothing else: the server compares relation and block itself, and what is small stays in the
// processor's cache, of which every backend wants its share.
using RecentEntry = int32;  // 0: empty

constexpr size_t kEntries = size_t{1} << 17;
RecentEntry entries[kEntries];  // 0.5 MB; only the pages in use are ever allocated

// ReadRecentBuffer does not count a use, and a buffer without uses is soon given to another block: every so many reads
// go the long way.
constexpr uint32 kLongWay = 16;
uint32 reads;

constexpr size_t kCacheLine = 64;

RecentEntry* EntryOf(Relation rel, BlockNumber block) {
    return &entries[(block + RelFileNumberOf(rel) * 0x9E3779B9U) % kEntries];
}

}  // namespace

Buffer ReadRecentBlock(Relation rel, BlockNumber block) {
    if (RelationUsesLocalBuffers(rel)) return ReadBuffer(rel, block);
    RecentEntry* entry = EntryOf(rel, block);
    if (*entry != 0 && ++reads % kLongWay != 0 && ReadRecentMainBuffer(rel, block, *entry)) {
        pgstat_count_buffer_hit(rel);
        pgstat_count_buffer_read(rel);
        return *entry;
    }
    return *entry = ReadBuffer(rel, block);
}

void PrefetchRecent(Relation rel, BlockNumber block, size_t offset, size_t bytes) {
    const RecentEntry buffer = *EntryOf(rel, block);
    if (buffer <= 0) return;
    // Whatever stands there by now, reading ahead does no harm.
    // Besides the part itself: the buffer's descriptor, which pinning and locking write, and both ends of the page,
    // which are checked first.
    __builtin_prefetch(GetBufferDescriptor(static_cast<uint32>(buffer - 1)), 1);
    const char* page = static_cast<const char*>(BufferGetBlock(buffer));
    __builtin_prefetch(page);
    __builtin_prefetch(page + BLCKSZ - 1);
    for (size_t i = 0; i < bytes; i += kCacheLine)
        __builtin_prefetch(page + offset + i, 0, 1);
}

void NoteRecent(Relation rel, BlockNumber block, Buffer buffer) {
    if (buffer > 0) *EntryOf(rel, block) = buffer;
}

void PrefetchRows(Relation table, const ItemPointerData* tids, int n) {
    const auto page_of = [&](int i) {
        const RecentEntry buffer = *EntryOf(table, ItemPointerGetBlockNumber(&tids[i]));
        return buffer > 0 ? static_cast<char*>(BufferGetBlock(buffer)) : nullptr;
    };
    for (int i = 0; i < n; ++i) {
        char* page = page_of(i);
        if (page == nullptr) continue;
        __builtin_prefetch(GetBufferDescriptor(static_cast<uint32>(*EntryOf(table, ItemPointerGetBlockNumber(&tids[i])) - 1)), 1);
        __builtin_prefetch(page);
        __builtin_prefetch(PageGetItemId(page, ItemPointerGetOffsetNumber(&tids[i])));
    }
    // Nothing is pinned: what a line pointer says may be wrong by now, and is good enough for this.
    for (int i = 0; i < n; ++i) {
        char* page = page_of(i);
        if (page == nullptr) continue;
        __builtin_prefetch(page + ItemIdGetOffset(PageGetItemId(page, ItemPointerGetOffsetNumber(&tids[i]))));
    }
}

}  // namespace vecann

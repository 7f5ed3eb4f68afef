// The cache of recent buffers; see recent_buffers.h.
#include "pg/recent_buffers.h"

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
// Of a row that is asked for from memory: an inline vector of 200 dimensions and what stands before it.
constexpr size_t kMostOfRow = 1024;

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

void PrefetchBlock(Relation rel, BlockNumber block) {
    const RecentEntry buffer = *EntryOf(rel, block);
    // Looked at without a pin, which is good enough for advice.
    if (buffer > 0 && IsBufferOf(buffer, rel, block)) return;
    PrefetchBuffer(rel, MAIN_FORKNUM, block);
}

void NoteRecent(Relation rel, BlockNumber block, Buffer buffer) {
    if (buffer > 0) *EntryOf(rel, block) = buffer;
}

void PrefetchRows(Relation table, const ItemPointerData* tids, int n) {
    const auto buffer_of = [&](const ItemPointerData& tid) {
        const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&tid);
        if (offset == InvalidOffsetNumber || offset > MaxHeapTuplesPerPage) return RecentEntry{0};
        return *EntryOf(table, ItemPointerGetBlockNumberNoCheck(&tid));
    };
    for (int i = 0; i < n; ++i) {
        const RecentEntry buffer = buffer_of(tids[i]);
        if (buffer <= 0) continue;
        __builtin_prefetch(GetBufferDescriptor(static_cast<uint32>(buffer - 1)), 1);
        const Page page = static_cast<Page>(BufferGetBlock(buffer));
        __builtin_prefetch(page);
        __builtin_prefetch(PageGetItemId(page, ItemPointerGetOffsetNumberNoCheck(&tids[i])));
    }
    // Nothing is pinned: what a line pointer says may be wrong by now, and is good enough for this.
    for (int i = 0; i < n; ++i) {
        const RecentEntry buffer = buffer_of(tids[i]);
        if (buffer <= 0) continue;
        const Page page = static_cast<Page>(BufferGetBlock(buffer));
        const ItemIdData line = *PageGetItemId(page, ItemPointerGetOffsetNumberNoCheck(&tids[i]));
        const size_t begin = line.lp_off, end = Min<size_t>(begin + Min<size_t>(line.lp_len, kMostOfRow), BLCKSZ);
        for (size_t at = begin; at < end; at += kCacheLine)
            __builtin_prefetch(static_cast<char*>(page) + at);
    }
}

void PinRecentRow(IndexFetchTableData* fetch, BlockNumber block) {
    const Relation table = fetch->rel;
    if (table->rd_tableam != GetHeapamTableAmRoutine() || RelationUsesLocalBuffers(table)) return;
    IndexFetchHeapData* heap = reinterpret_cast<IndexFetchHeapData*>(fetch);
    if (BufferIsValid(heap->xs_cbuf) && BufferGetBlockNumber(heap->xs_cbuf) == block) return;
    const RecentEntry buffer = *EntryOf(table, block);
    if (buffer == 0 || ++reads % kLongWay == 0 || !ReadRecentMainBuffer(table, block, buffer)) return;
    pgstat_count_buffer_hit(table);
    pgstat_count_buffer_read(table);
    if (BufferIsValid(heap->xs_cbuf)) ReleaseBuffer(heap->xs_cbuf);
    heap->xs_cbuf = buffer;
    // As the server does for a page that it has not read just before.
    heap_page_prune_opt(table, buffer);
}

}  // namespace vecann

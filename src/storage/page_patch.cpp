// PagePatch: generic WAL records from changes that are known.
//
// The server's format (access/transam/generic_xlog.c): the data of a page are fragments {offset, length: 16 bits each;
// bytes}. Replay copies them to the page and zeroes the hole. It has been that since generic WAL exists (9.6).
#include "storage/page_patch.h"

#include "pg/memory.h"

namespace vecann {

namespace {

constexpr size_t kFragmentHeader = 2 * sizeof(uint16);

// The first place from `at` on where the two differ, `bytes` if there is none.
size_t FirstDifference(const char* a, const char* b, size_t at, size_t bytes) {
    for (uint64 x, y; at + sizeof(x) <= bytes; at += sizeof(x)) {
        memcpy(&x, a + at, sizeof(x));
        memcpy(&y, b + at, sizeof(y));
        if (x != y) break;
    }
    while (at < bytes && a[at] == b[at])
        ++at;
    return at;
}

char* AddFragment(size_t offset, const char* from, size_t bytes, char* out) {
    const uint16 header[2] = {static_cast<uint16>(offset), static_cast<uint16>(bytes)};
    memcpy(out, header, kFragmentHeader);
    memcpy(out + kFragmentHeader, from, bytes);
    return out + kFragmentHeader + bytes;
}

// Adds what differs. Fragments with no more than a header's bytes between them are one: so all of them together take
// at most one header more than the bytes that they may change.
char* AddDifferences(const char* now, const char* then, size_t offset, size_t bytes, char* out) {
    for (size_t begin = 0;;) {
        begin = FirstDifference(now, then, begin, bytes);
        if (begin == bytes) return out;
        size_t end = begin + 1;
        for (size_t at = end; at < bytes && at - end <= kFragmentHeader; ++at)
            if (now[at] != then[at]) end = at + 1;
        out = AddFragment(offset + begin, then + begin, end - begin, out);
        begin = end;
    }
}

}  // namespace

int PagePatch::PageOf(Buffer buffer) {
    for (int i = 0; i < pages_; ++i)
        if (buffers_[i] == buffer) return i;
    if (pages_ == MAX_GENERIC_XLOG_PAGES) elog(ERROR, "a page patch holds at most four pages");
    buffers_[pages_] = buffer;
    return pages_++;
}

void PagePatch::Put(Buffer buffer, void* to, const void* from, size_t bytes) {
    if (count_ == kMaxRegions) elog(ERROR, "a page patch holds at most %d regions", kMaxRegions);
    const size_t offset = static_cast<size_t>(static_cast<char*>(to) - static_cast<char*>(BufferGetPage(buffer)));
    Assert(offset + bytes <= BLCKSZ);
    regions_[count_++] = {PageOf(buffer), offset, bytes, static_cast<const char*>(from), false};
    bytes_ += bytes + kFragmentHeader;
}

void* PagePatch::Edit(Buffer buffer, void* at, size_t bytes) {
    char* copy = PallocArray<char>(bytes);
    memcpy(copy, at, bytes);
    Put(buffer, at, copy, bytes);
    regions_[count_ - 1].owned = true;
    return copy;
}

char* PagePatch::AddFragments(int page, char* out) const {
    const char* now = static_cast<const char*>(BufferGetPage(buffers_[page]));
    for (int i = 0; i < count_; ++i) {
        const Region& region = regions_[i];
        if (region.page == page)
            out = AddDifferences(now + region.offset, region.from, region.offset, region.bytes, out);
    }
    return out;
}

void PagePatch::Commit() {
    if (count_ == 0) return;
    char* fragments[MAX_GENERIC_XLOG_PAGES + 1] = {};
    if (logged_) {
        fragments[0] = PallocArray<char>(bytes_);
        for (int page = 0; page < pages_; ++page)
            fragments[page + 1] = AddFragments(page, fragments[page]);
    }
    START_CRIT_SECTION();
    for (int i = 0; i < count_; ++i) {
        const Region& region = regions_[i];
        memcpy(static_cast<char*>(BufferGetPage(buffers_[region.page])) + region.offset, region.from, region.bytes);
    }
    for (int page = 0; page < pages_; ++page)
        MarkBufferDirty(buffers_[page]);
    if (logged_) {
        XLogBeginInsert();
        for (int page = 0; page < pages_; ++page) {
            const uint8 id = static_cast<uint8>(page);
            XLogRegisterBuffer(id, buffers_[page], REGBUF_STANDARD);
            const uint32 length = static_cast<uint32>(fragments[page + 1] - fragments[page]);
            if (length > 0) XLogRegisterBufData(id, fragments[page], length);
        }
        const XLogRecPtr lsn = XLogInsert(RM_GENERIC_ID, 0);
        for (int page = 0; page < pages_; ++page)
            PageSetLSN(BufferGetPage(buffers_[page]), lsn);
    }
    END_CRIT_SECTION();
    if (logged_) pfree(fragments[0]);
    for (int i = 0; i < count_; ++i)
        if (regions_[i].owned) pfree(const_cast<char*>(regions_[i].from));
    count_ = pages_ = 0;
}

}  // namespace vecann

// Page layout common to all access methods: the special area, slotted pages, checked reads. See README.md.
//
// Invariants: every initialised page carries PageOpaqueData with our page id and format version; pd_lower of a slotted
// page stands behind its last slot, or before the first on a fresh page that has not been put on its free list yet.
#pragma once

#include "pg/pg.h"

namespace vecann {

// Grows with every incompatible change of any on-disk struct; 0.x releases refuse other versions with a REINDEX hint.
constexpr uint16 kFormatVersion = 8;
constexpr uint16 kPageId = 0xFA01;
constexpr BlockNumber kMetaBlock = 0;

enum class PageKind : uint16 {
    kMeta = 1,
    kNode = 2,
    kUpper = 3,
    kTid = 4,
    kPart = 5,
    kSeed = 6,
    kIvfDirectory = 7,
    kIvfTape = 8,
    kIvfList = 9,
    kIvfPart = 10,
    kRowCode = 11,
    kRowMap = 12,
    kRowCentre = 13,
};

constexpr uint16 kPageListed = 0x0001;  // the page is on the free list of its kind

struct PageOpaqueData {
    BlockNumber next;  // next page of the free list when kPageListed
    uint16 kind;       // PageKind
    uint16 flags;
    uint16 format_version;
    uint16 page_id;
};
static_assert(sizeof(PageOpaqueData) == 12 && std::is_trivially_copyable_v<PageOpaqueData>);

// Offset of the first byte of page contents, and the bytes available there.
constexpr size_t kPageContents = MAXALIGN(SizeOfPageHeaderData);
constexpr size_t kPageRoom = BLCKSZ - kPageContents - MAXALIGN(sizeof(PageOpaqueData));

inline PageOpaqueData* OpaqueOf(Page page) {
    return reinterpret_cast<PageOpaqueData*>(PageGetSpecialPointer(page));
}
inline char* ContentsOf(Page page) {
    return reinterpret_cast<char*>(page) + kPageContents;
}

// Formats a page of `kind` with `content_bytes` of zeroed contents below pd_lower.
void InitPage(Page page, PageKind kind, size_t content_bytes);

// Is it a place where a row can be? On a damaged page it may not be, and the server takes what an index gives it for
// sound. A vacuum passes over such a row, and the verifier tells of it.
inline bool IsRowPlace(const ItemPointerData& tid) {
    return ItemPointerGetOffsetNumberNoCheck(&tid) != InvalidOffsetNumber;
}
// Raises ERRCODE_INDEX_CORRUPTED where it is not.
void RaiseBadTid(Relation index);
inline void CheckTid(Relation index, const ItemPointerData& tid) {
    if (unlikely(!IsRowPlace(tid))) RaiseBadTid(index);
}

// Raises ERRCODE_INDEX_CORRUPTED unless the page is an initialised one of ours of this kind.
void CheckPageSlowly(Relation rel, Page page, BlockNumber block, PageKind kind);
inline void CheckPage(Relation rel, Page page, BlockNumber block, PageKind kind) {
    // The special area is where it always is, or the page is none of ours.
    const PageOpaqueData* opaque = reinterpret_cast<const PageOpaqueData*>(reinterpret_cast<const char*>(page) +
                                                                           BLCKSZ - MAXALIGN(sizeof(PageOpaqueData)));
    if (likely(reinterpret_cast<PageHeader>(page)->pd_special == BLCKSZ - MAXALIGN(sizeof(PageOpaqueData)) &&
               opaque->page_id == kPageId && opaque->format_version == kFormatVersion &&
               opaque->kind == static_cast<uint16>(kind)))
        return;
    CheckPageSlowly(rel, page, block, kind);
}

// Is it an initialised page of ours of this kind? For readers that walk all pages and pass over the others.
// Raises when the page is initialised but not ours or of another format.
bool IsPageOfKind(Relation rel, Page page, BlockNumber block, PageKind kind);

// The number of a relation's blocks as this backend has seen it last, without a system call: there may be more by now.
inline BlockNumber BlocksSeen(Relation rel) {
    const BlockNumber seen = RelationGetSmgr(rel)->smgr_cached_nblocks[MAIN_FORKNUM];
    return seen != InvalidBlockNumber ? seen : RelationGetNumberOfBlocks(rel);
}

// Reads a block into a buffer. Raises ERRCODE_INDEX_CORRUPTED when the relation has no such block: then the caller
// followed a broken link.
Buffer ReadLinkedBuffer(Relation rel, BlockNumber block, BufferAccessStrategy strategy);

// A pinned and content-locked page. The destructor releases both on the normal path only: on ERROR, longjmp passes over
// it and transaction abort releases them (rule 4).
class LockedPage {
  public:
    // `mode` is BUFFER_LOCK_SHARE or BUFFER_LOCK_EXCLUSIVE. With `strategy`, reads through that ring.
    LockedPage(Relation rel, BlockNumber block, int mode, BufferAccessStrategy strategy = nullptr)
        : rel_(rel), block_(block), buffer_(ReadLinkedBuffer(rel, block, strategy)) {
        LockBuffer(buffer_, mode);
    }
    // Takes over a buffer that is pinned and locked, or will be before use; or holds nothing (InvalidBuffer).
    LockedPage(Relation rel, Buffer buffer)
        : rel_(rel),
          block_(buffer != InvalidBuffer ? BufferGetBlockNumber(buffer) : InvalidBlockNumber),
          buffer_(buffer) {}
    LockedPage(const LockedPage&) = delete;
    LockedPage& operator=(const LockedPage&) = delete;
    ~LockedPage() { Release(); }

    void Release() {
        if (buffer_ == InvalidBuffer) return;
        UnlockReleaseBuffer(buffer_);
        buffer_ = InvalidBuffer;
    }
    Page page() const { return BufferGetPage(buffer_); }
    Buffer buffer() const { return buffer_; }
    BlockNumber block() const { return block_; }
    void Check(PageKind kind) const { CheckPage(rel_, page(), block_, kind); }
    bool Is(PageKind kind) const { return IsPageOfKind(rel_, page(), block_, kind); }

  private:
    Relation rel_;
    BlockNumber block_;
    Buffer buffer_;
};

// Two pages locked exclusively in ascending block order, whatever their roles. They may be one and the same.
class LockedPair {
  public:
    LockedPair(Relation rel, BlockNumber a, BlockNumber b)
        : low_(rel, ReadLinkedBuffer(rel, Min(a, b), nullptr)),
          high_(rel, a == b ? InvalidBuffer : ReadLinkedBuffer(rel, Max(a, b), nullptr)),
          a_is_low_(a <= b),
          same_(a == b) {
        // Both are in memory before the first lock is taken: no lock is held across a read.
        LockBuffer(low_.buffer(), BUFFER_LOCK_EXCLUSIVE);
        if (!same_) LockBuffer(high_.buffer(), BUFFER_LOCK_EXCLUSIVE);
    }

    const LockedPage& a() const { return same_ || a_is_low_ ? low_ : high_; }
    const LockedPage& b() const { return same_ || !a_is_low_ ? low_ : high_; }

  private:
    LockedPage low_;
    LockedPage high_;
    bool a_is_low_;
    bool same_;
};

// Up to four pages locked exclusively in ascending block order.
class LockedSet {
  public:
    static constexpr int kMost = 4;

    // blocks[0..n) ascend, without repeats; n is 1 .. kMost.
    LockedSet(Relation rel, const BlockNumber* blocks, int n, BufferAccessStrategy strategy)
        : pages_{LockedPage(rel, Pin(rel, blocks, n, 0, strategy)), LockedPage(rel, Pin(rel, blocks, n, 1, strategy)),
                 LockedPage(rel, Pin(rel, blocks, n, 2, strategy)), LockedPage(rel, Pin(rel, blocks, n, 3, strategy))} {
        // All are in memory before the first lock is taken.
        for (int i = 0; i < n; ++i)
            LockBuffer(pages_[i].buffer(), BUFFER_LOCK_EXCLUSIVE);
    }

    const LockedPage& operator[](int i) const { return pages_[i]; }

  private:
    static Buffer Pin(Relation rel, const BlockNumber* blocks, int n, int i, BufferAccessStrategy strategy) {
        return i < n ? ReadLinkedBuffer(rel, blocks[i], strategy) : InvalidBuffer;
    }

    LockedPage pages_[kMost];
};

}  // namespace vecann

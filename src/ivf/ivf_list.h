// Lists: an open index, reading the directory and the pages of a list, putting a row into a list. See README.md,
// "Insert".
#pragma once

#include "ivf/ivf_page.h"
#include "pg/memory.h"
#include "planner/vector_search.h"

namespace vecann {

// An index at work. Plain data.
struct IvfContext {
    Relation index;
    IvfMetaData meta;
    const OpClassDesc* desc;
    BufferAccessStrategy strategy;  // null: none
    Snapshot snapshot;              // of a scan; null otherwise
    SearchCounts counts;
};

void IvfOpen(IvfContext* ctx, Relation index);

// A row as a list holds it.
struct RowImage {
    ItemPointerData tid;
    const char* entry;   // payload or row code
    const char* stored;  // the payload beside a code; null: none
    float factors[3];    // meta.factors of them
};

// Whoever puts a row into the index holds this lock in share mode, from before it reads the meta page until the row is
// in; vacuum takes it exclusively. A tuple's, which no index has otherwise: PostgreSQL 15 and 16 allow no other lock
// beside one of a page, but for the relation's extension.
void IvfLockStructure(Relation index, LOCKMODE mode);
void IvfUnlockStructure(Relation index, LOCKMODE mode);

ListEntryData IvfReadEntry(const IvfContext& ctx, uint32 list);
// Raises ERRCODE_INDEX_CORRUPTED: a link leads where no page of the list is.
[[noreturn]] void IvfRaiseBroken(const IvfContext& ctx, BlockNumber block);

// Counts the pages of a chain on the way along it: one that bites its tail has no end.
struct ChainGuard {
    uint64 pages;

    void Step(const IvfContext& ctx, BlockNumber block) {
        // Other processes may add pages.
        if (++pages > BlocksSeen(ctx.index) && pages > RelationGetNumberOfBlocks(ctx.index)) IvfRaiseBroken(ctx, block);
    }
};

// Takes a page off the free list for a list that nobody else reads or writes, and says on it that it belongs to that.
// It keeps its generation, epoch and part pages. InvalidBlockNumber: none is free.
BlockNumber IvfTakeFreePage(const IvfContext& ctx, uint32 list);
// Puts a free page at the head of a list, unless somebody has changed the entry since `seen`.
void IvfAddPage(const IvfContext& ctx, uint32 list, const ListEntryData& seen);
// Puts a row into a list. The caller holds no lock. Cancellable.
void IvfPutRow(const IvfContext& ctx, uint32 list, const RowImage& row);

// Writes an entry to a slot of a page that is being filled, or of a copy of one; not the live bit, nor what of a long
// entry stands in parts.
void IvfFillSlot(const IvfMetaData& meta, const ListView& view, int slot, const RowImage& row);

// The part of a long entry that part `number` holds: bytes [begin, end).
struct PartRange {
    size_t begin, end;
};
PartRange IvfPartRange(const IvfMetaData& meta, int number);

// Copies the parts of a long entry behind its head. The caller holds no lock, and looks at the head's epoch again
// afterwards.
void IvfReadParts(const IvfContext& ctx, const BlockNumber* parts, char* entry);

// The bytes of a payload beside a code that its piece `number` holds.
struct StoredPiece {
    size_t begin, bytes;
};
inline StoredPiece StoredPieceOf(const IvfMetaData& meta, int number) {
    const size_t begin = static_cast<size_t>(number) * kStoredRoom;
    return {begin, Min(StoredBytes(meta) - begin, kStoredRoom)};
}

// Copies the payload beside the code in a slot to `payload`; false when it is not the row's any more. `block` is its
// part page where that holds whole payloads, else the list page. The caller holds no lock.
bool IvfReadStored(const IvfContext& ctx, BlockNumber block, int slot, const ItemPointerData& tid, char* payload);

// Raises ERRCODE_T_R_SERIALIZATION_FAILURE when the index has another structure than the one that was opened. For those
// who find pages gone: on a standby, where nothing keeps vacuum from using pages again that old searches may read.
void IvfCheckStructure(const IvfContext& ctx);
// Does a link of `list` lead to this page still? The caller holds a content lock on it.
bool IvfLeadsTo(const IvfContext& ctx, const LockedPage& page, uint32 list, const PageLink& link);

}  // namespace vecann

// Heap TIDs of a node: reading, appending, vacuuming. Locks: one page, or the node's page and one tid page in ascending
// block order.
#include "hnsw/hnsw_tids.h"

#include <algorithm>

#include "pg/race_point.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

// Vacuum rarely unlinks the segment a reader stands on; this many restarts in a row mean a broken chain.
constexpr int kMaxChainRestarts = 1000;

[[noreturn]] void RaiseBrokenChain(const HnswContext& ctx, uint32 node) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("index \"%s\" has a broken TID chain at slot %d of block %u",
                           RelationGetRelationName(ctx.index), SlotOfId(ctx.meta, node), BlockOfId(ctx.meta, node)),
                    errhint("Please REINDEX it.")));
    pg_unreachable();
}

SlotView NodeOn(const HnswContext& ctx, Page page, uint32 node) {
    return SlotAt(ctx.meta, page, SlotOfId(ctx.meta, node));
}

bool IsLiveNode(const SlotView& slot, uint32 generation) {
    return slot.state() == SlotState::kLive && slot.header->generation == generation;
}

void PushRows(const TidEntryData* tids, int count, bool in_line, bool skip_killed, ArenaVec<NodeRow>* rows) {
    for (int i = 0; i < count; ++i)
        if (!skip_killed || (tids[i].flags & kTidKilled) == 0) rows->Push({tids[i].tid, in_line});
}

// No chain is longer: a longer walk goes in circles.
uint64 MostSegments(const HnswContext& ctx) {
    return static_cast<uint64>(RelationGetNumberOfBlocks(ctx.index)) * kSegmentsPerPage;
}

// Walks a chain; false when a segment on it has another owner by now.
bool ReadChain(const HnswContext& ctx, uint32 node, uint32 generation, uint32 segment, ArenaVec<NodeRow>* rows) {
    if (segment == kInvalidId) return true;
    uint64 steps = 0;
    const uint64 max_steps = MostSegments(ctx);
    while (segment != kInvalidId) {
        CHECK_FOR_INTERRUPTS();
        if (++steps > max_steps) RaiseBrokenChain(ctx, node);
        LockedPage page(ctx.index, BlockOfSegment(segment), BUFFER_LOCK_SHARE, ctx.strategy);
        page.Check(PageKind::kTid);
        CheckOldSnapshot(ctx.snapshot, ctx.index, page.page());
        const TidSegmentData* s = SegmentAt(page.page(), SlotOfSegment(segment));
        if (s->in_use == 0 || s->owner != node || s->owner_generation != generation) return false;
        if (s->count > kSegmentTids) RaiseBrokenChain(ctx, node);
        PushRows(s->tids, s->count, false, false, rows);
        segment = s->next;
    }
    return true;
}

bool TidLess(const NodeRow& a, const NodeRow& b) {
    return ItemPointerCompare(const_cast<ItemPointer>(&a.tid), const_cast<ItemPointer>(&b.tid)) < 0;
}

// In the order of the table, without repeats.
void SortRows(ArenaVec<NodeRow>* rows) {
    std::sort(rows->begin(), rows->end(), TidLess);
    NodeRow* end = std::unique(rows->begin(), rows->end(),
                               [](const NodeRow& a, const NodeRow& b) { return !TidLess(a, b) && !TidLess(b, a); });
    rows->size = static_cast<size_t>(end - rows->begin());
}

TidEntryData MakeEntry(const NewRow& row) {
    TidEntryData entry;
    entry.tid = row.tid;
    entry.flags = 0;
    return entry;
}

// Is this row's value another than that of the node's first row, and is this news?
bool Mixes(const SlotHeaderData& header, const NewRow& row) {
    return header.hash != row.hash && header.mixed == 0;
}

// Appends to the first segment of the chain if it is still that and has room.
bool AppendToSegment(const HnswContext& ctx, uint32 node, uint32 generation, uint32 segment, const NewRow& row) {
    LockedPair pair(ctx.index, BlockOfId(ctx.meta, node), BlockOfSegment(segment));
    const SlotView slot = NodeOn(ctx, pair.a().page(), node);
    if (!IsLiveNode(slot, generation) || slot.header->tid_chain != segment) return false;
    pair.b().Check(PageKind::kTid);
    if (SegmentAt(pair.b().page(), SlotOfSegment(segment))->count >= kSegmentTids) return false;
    PagePatch patch(ctx.index, ctx.mode);
    TidSegmentData* s = patch.Edit(pair.b().buffer(), SegmentAt(pair.b().page(), SlotOfSegment(segment)));
    s->tids[s->count++] = MakeEntry(row);
    if (Mixes(*slot.header, row)) *patch.Edit(pair.a().buffer(), &slot.header->mixed) = 1;
    patch.Commit();
    return true;
}

// Puts a new segment with one TID in front of the chain if its head is still `head`.
bool PrependSegment(const HnswContext& ctx, uint32 node, uint32 generation, uint32 head, const NewRow& row) {
    const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kTid));
    HnswCheckIdRange(ctx.index, block, kSegmentsPerPage);
    LockedPair pair(ctx.index, BlockOfId(ctx.meta, node), block);
    const SlotView slot = NodeOn(ctx, pair.a().page(), node);
    if (!IsLiveNode(slot, generation) || slot.header->tid_chain != head) return false;
    pair.b().Check(PageKind::kTid);
    const int free_slot = HnswFindFreeSlot(ctx.meta, pair.b().page(), PageKind::kTid);
    if (free_slot < 0) return false;
    PagePatch patch(ctx.index, ctx.mode);
    SlotHeaderData* header = patch.Edit(pair.a().buffer(), slot.header);
    TidSegmentData* s = patch.Edit(pair.b().buffer(), SegmentAt(pair.b().page(), free_slot));
    s->owner = node;
    s->owner_generation = generation;
    s->next = head;
    s->count = 1;
    s->in_use = 1;
    s->tids[0] = MakeEntry(row);
    if (Mixes(*header, row)) header->mixed = 1;
    header->tid_chain = block * kSegmentsPerPage + static_cast<uint32>(free_slot);
    patch.Commit();
    return true;
}

// Takes an empty segment out of the chain and frees it. False when the chain changed since the caller looked: then it
// stays and the next vacuum takes it out. `previous` is the segment before it, or kInvalidId when the node points to
// it.
bool UnlinkSegment(const HnswContext& ctx, uint32 node, uint32 previous, uint32 segment) {
    const bool first = previous == kInvalidId;
    {
        LockedPair pair(ctx.index, first ? BlockOfId(ctx.meta, node) : BlockOfSegment(previous),
                        BlockOfSegment(segment));
        const TidSegmentData* s = SegmentAt(pair.b().page(), SlotOfSegment(segment));
        if (s->count != 0) return false;
        if (first && NodeOn(ctx, pair.a().page(), node).header->tid_chain != segment) return false;
        PageTxn txn(ctx.index, ctx.mode);
        Page before = txn.Register(pair.a().buffer());
        TidSegmentData* gone = SegmentAt(txn.Register(pair.b().buffer()), SlotOfSegment(segment));
        if (first)
            NodeOn(ctx, before, node).header->tid_chain = gone->next;
        else
            SegmentAt(before, SlotOfSegment(previous))->next = gone->next;
        memset(static_cast<void*>(gone), 0, sizeof(*gone));
        txn.Commit();
    }
    ListPage(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kTid), BlockOfSegment(segment));
    return true;
}

}  // namespace

bool HnswReadRows(const HnswContext& ctx, uint32 node, uint32 generation, bool skip_killed, ArenaVec<NodeRow>* rows,
                  uint32* tid_epoch) {
    for (int attempt = 0;; ++attempt) {
        CHECK_FOR_INTERRUPTS();
        if (attempt == kMaxChainRestarts) RaiseBrokenChain(ctx, node);
        rows->Clear();
        uint32 chain;
        {
            LockedPage page(ctx.index, BlockOfId(ctx.meta, node), BUFFER_LOCK_SHARE, ctx.strategy);
            CheckOldSnapshot(ctx.snapshot, ctx.index, page.page());
            const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, node);
            if (!IsLiveNode(slot, generation)) return false;
            PushRows(slot.tids, slot.header->tid_count, true, skip_killed, rows);
            chain = slot.header->tid_chain;
            *tid_epoch = slot.header->tid_epoch;
        }
        if (ReadChain(ctx, node, generation, chain, rows)) break;
    }
    SortRows(rows);
    return true;
}

void HnswRowsOf(const FoundSlot& slot, bool skip_killed, ArenaVec<NodeRow>* rows) {
    rows->Clear();
    PushRows(slot.tids, slot.tid_count, true, skip_killed, rows);
    SortRows(rows);
}

bool HnswAppendTid(const HnswContext& ctx, uint32 node, uint32 generation, const NewRow& row) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        uint32 chain;
        {
            LockedPage page(ctx.index, BlockOfId(ctx.meta, node), BUFFER_LOCK_EXCLUSIVE);
            const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, node);
            if (!IsLiveNode(slot, generation)) return false;
            if (memcmp(slot.payload, row.payload, SlotPayloadBytes(ctx.meta, row.payload)) != 0) return false;
            if (slot.header->tid_count < kHnswInlineTids) {
                PagePatch patch(ctx.index, ctx.mode);
                uint16* count = patch.Edit(page.buffer(), &slot.header->tid_count);
                *patch.Edit(page.buffer(), &slot.tids[*count]) = MakeEntry(row);
                if (Mixes(*slot.header, row)) *patch.Edit(page.buffer(), &slot.header->mixed) = 1;
                ++*count;
                patch.Commit();
                return true;
            }
            chain = slot.header->tid_chain;
        }
        if (chain != kInvalidId && AppendToSegment(ctx, node, generation, chain, row)) return true;
        if (PrependSegment(ctx, node, generation, chain, row)) return true;
    }
}

uint16 HnswDeadTids(const TidEntryData* tids, int count, TidVacuum* vacuum) {
    uint16 dead = 0;
    for (int i = 0; i < count; ++i) {
        ItemPointerData tid = tids[i].tid;
        if (IsRowPlace(tid) && vacuum->callback(&tid, vacuum->callback_state)) {
            dead |= static_cast<uint16>(1 << i);
            vacuum->removed += 1;
        } else {
            vacuum->kept += 1;
        }
    }
    return dead;
}

void HnswRemoveTids(TidEntryData* tids, uint16* count, uint16 dead) {
    uint16 kept = 0;
    for (int i = 0; i < *count; ++i)
        if ((dead & (1 << i)) == 0) tids[kept++] = tids[i];
    memset(static_cast<void*>(tids + kept), 0, (*count - kept) * sizeof(TidEntryData));
    *count = kept;
}

void HnswVacuumChain(const HnswContext& ctx, uint32 node, TidVacuum* vacuum) {
    uint32 previous = kInvalidId, segment;
    {
        LockedPage page(ctx.index, BlockOfId(ctx.meta, node), BUFFER_LOCK_SHARE, ctx.strategy);
        segment = NodeOn(ctx, page.page(), node).header->tid_chain;
    }
    const uint64 max_steps = MostSegments(ctx);
    for (uint64 steps = 0; segment != kInvalidId; ++steps) {
        vacuum_delay_point();
        uint32 next;
        bool empty;
        {
            LockedPage page(ctx.index, BlockOfSegment(segment), BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
            page.Check(PageKind::kTid);
            const TidSegmentData* s = SegmentAt(page.page(), SlotOfSegment(segment));
            if (s->in_use == 0 || s->owner != node || s->count > kSegmentTids || steps > max_steps)
                RaiseBrokenChain(ctx, node);
            next = s->next;
            const uint16 dead = HnswDeadTids(s->tids, s->count, vacuum);
            empty = s->count == static_cast<uint16>(__builtin_popcount(dead));
            if (dead != 0) {
                PageTxn txn(ctx.index, ctx.mode);
                TidSegmentData* edit = SegmentAt(txn.Register(page.buffer()), SlotOfSegment(segment));
                HnswRemoveTids(edit->tids, &edit->count, dead);
                txn.Commit();
            }
        }
        if (empty) VECANN_RACE_POINT("hnsw-vacuum-before-unlink");
        if (!empty || !UnlinkSegment(ctx, node, previous, segment)) previous = segment;
        segment = next;
    }
}

}  // namespace vecann

// Putting rows into lists; see ivf_list.h. Locks: one page, or a page and the one that it is linked to or bound to, or
// those of its payload, in ascending order; the head of a long entry by a heavyweight lock, never waited for, while its
// parts are written; that of the structure by the caller.
#include "ivf/ivf_list.h"

#include "pg/race_point.h"
#include "quant/pq.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

enum class Put : uint8 { kDone, kFull, kGone };

int FreeSlot(const IvfMetaData& meta, const ListView& view) {
    for (int word = 0; word < LiveWords(meta); ++word) {
        if (view.live[word] == 0xFFFFFFFF) continue;
        const int slot = word * 32 + __builtin_ctz(~view.live[word]);
        return slot < meta.slots ? slot : -1;
    }
    return -1;
}

// Writes one row to a slot of a locked page: entry, factors, TID, live bit.
void PatchSlot(const IvfMetaData& meta, const LockedPage& page, int slot, const RowImage& row, PagePatch* record) {
    const ListView view = ListOf(meta, page.page());
    PagePatch& patch = *record;
    ++patch.Edit(page.buffer(), view.header)->live;
    *patch.Edit(page.buffer(), view.live + slot / 32) |= 1U << (slot % 32);
    patch.Put(page.buffer(), view.tids + slot, &row.tid, sizeof(row.tid));
    for (int f = 0; f < meta.factors; ++f)
        patch.Put(page.buffer(), view.factors + f * meta.slots + slot, &row.factors[f], sizeof(float));
    if (HasBlocks(meta)) {
        const size_t bytes = BlockBytes(meta.m);
        uint8* block = static_cast<uint8*>(
            patch.Edit(page.buffer(), view.data + static_cast<size_t>(slot / kBlockCodes) * bytes, bytes));
        PackLane(meta.m, reinterpret_cast<const uint8*>(row.entry), slot % kBlockCodes, block);
    } else {
        patch.Put(page.buffer(), view.data + static_cast<size_t>(slot) * meta.entry_size, row.entry, HeadBytes(meta));
    }
}

// The same, in a record of its own.
void WriteSlot(const IvfContext& ctx, const LockedPage& page, int slot, const RowImage& row) {
    PagePatch patch(ctx.index, WriteMode::kLogged);
    PatchSlot(ctx.meta, page, slot, row, &patch);
    patch.Commit();
}

Put TryPage(const IvfContext& ctx, uint32 list, const RowImage& row, PageLink* link) {
    LockedPage page(ctx.index, link->block, BUFFER_LOCK_EXCLUSIVE);
    if (!IvfLeadsTo(ctx, page, list, *link)) return Put::kGone;
    const ListView view = ListOf(ctx.meta, page.page());
    const int slot = FreeSlot(ctx.meta, view);
    if (slot >= 0) {
        WriteSlot(ctx, page, slot, row);
        return Put::kDone;
    }
    *link = view.next();
    return Put::kFull;
}

// ---- part pages ------------------------------------------------------------------

// Gives a head its part page `number`, unless somebody else has.
BlockNumber BindPart(const IvfContext& ctx, BlockNumber head, int number) {
    for (;;) {
        const BlockNumber fresh = PageWithFreeSlot(ctx.index, WriteMode::kLogged, IvfPartPages());
        LockedPair pair(ctx.index, head, fresh);
        const BlockNumber bound = ListOf(ctx.meta, pair.a().page()).parts[number];
        if (bound != 0) return bound;
        if (PartOf(pair.b().page())->head != 0) continue;
        PagePatch patch(ctx.index, WriteMode::kLogged);
        patch.Edit(pair.b().buffer(), PartOf(pair.b().page()))->head = head;
        *patch.Edit(pair.a().buffer(), ListOf(ctx.meta, pair.a().page()).parts + number) = fresh;
        patch.Commit();
        return fresh;
    }
}

// The pages that a row is written to, in the order in which they are locked.
struct RowPages {
    BlockNumber blocks[1 + kMostStoredEach];
    int count;

    void Add(BlockNumber block) {
        int at = count++;
        for (; at > 0 && blocks[at - 1] > block; --at)
            blocks[at] = blocks[at - 1];
        blocks[at] = block;
    }
    int Find(BlockNumber block) const {
        int at = 0;
        while (at < count - 1 && blocks[at] != block)
            ++at;
        return at;
    }
};

// Writes a row and the payload beside its code, in one record. False when the slot has been taken meanwhile, or the
// page has left the list.
bool WriteStored(const IvfContext& ctx, uint32 list, const PageLink& link, int slot, const BlockNumber* parts,
                 const RowImage& row) {
    const IvfMetaData& meta = ctx.meta;
    RowPages pages = {{link.block}, 1};
    for (int i = 0; i < meta.stored_each; ++i)
        pages.Add(parts[i]);
    LockedSet set(ctx.index, pages.blocks, pages.count, ctx.strategy);
    const LockedPage& head = set[pages.Find(link.block)];
    if (!IvfLeadsTo(ctx, head, list, link) || ListOf(meta, head.page()).IsLive(slot)) return false;
    PagePatch patch(ctx.index, WriteMode::kLogged);
    PatchSlot(meta, head, slot, row, &patch);
    const StoredHeadData stored = {row.tid, 0};
    for (int i = 0; i < meta.stored_each; ++i) {
        const LockedPage& part = set[pages.Find(parts[i])];
        part.Check(PageKind::kIvfPart);
        if (PartOf(part.page())->head != link.block)
            ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                            errmsg("block %u of index \"%s\" does not belong to block %u", part.block(),
                                   RelationGetRelationName(ctx.index), link.block),
                            errhint("Please REINDEX it.")));
        const StoredPiece piece = StoredPieceOf(meta, i);
        char* at = PartBytes(part.page()) + StoredPlaceOf(meta, slot).offset;
        patch.Put(part.buffer(), at, &stored, sizeof(stored));
        patch.Put(part.buffer(), at + sizeof(stored), row.stored + piece.begin, piece.bytes);
    }
    patch.Commit();
    return true;
}

// Puts a row whose payload stands beside its code into a page of its list.
Put TryStored(const IvfContext& ctx, uint32 list, const RowImage& row, PageLink* link) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        BlockNumber parts[kMostStoredEach];
        int slot;
        {
            LockedPage page(ctx.index, link->block, BUFFER_LOCK_SHARE);
            if (!IvfLeadsTo(ctx, page, list, *link)) return Put::kGone;
            const ListView view = ListOf(ctx.meta, page.page());
            slot = FreeSlot(ctx.meta, view);
            if (slot < 0) {
                *link = view.next();
                return Put::kFull;
            }
            memcpy(parts, view.parts + StoredPlaceOf(ctx.meta, slot).part, ctx.meta.stored_each * sizeof(BlockNumber));
        }
        for (int i = 0; i < ctx.meta.stored_each; ++i)
            if (parts[i] == 0) parts[i] = BindPart(ctx, link->block, StoredPlaceOf(ctx.meta, slot).part + i);
        VECANN_RACE_POINT("ivf-insert-before-stored");
        if (WriteStored(ctx, list, *link, slot, parts, row)) return Put::kDone;
    }
}

// ---- long entries ----------------------------------------------------------------

void WriteParts(const IvfContext& ctx, BlockNumber head, const BlockNumber* parts, const char* entry) {
    for (int i = 0; i < ctx.meta.parts; ++i) {
        CHECK_FOR_INTERRUPTS();
        const BlockNumber block = parts[i] != 0 ? parts[i] : BindPart(ctx, head, i);
        const PartRange range = IvfPartRange(ctx.meta, i);
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kIvfPart);
        PagePatch patch(ctx.index, WriteMode::kLogged);
        patch.Put(page.buffer(), PartBytes(page.page()), entry + range.begin, range.end - range.begin);
        patch.Commit();
    }
}

// With the heavyweight lock on the head held: looks at it, writes the parts, then the head.
Put TryHeldLong(const IvfContext& ctx, uint32 list, const RowImage& row, PageLink* link) {
    BlockNumber parts[kIvfMostParts];
    {
        LockedPage page(ctx.index, link->block, BUFFER_LOCK_SHARE);
        if (!IvfLeadsTo(ctx, page, list, *link)) return Put::kGone;
        const ListView view = ListOf(ctx.meta, page.page());
        if (view.header->live > 0) {
            *link = view.next();
            return Put::kFull;
        }
        memcpy(parts, view.parts, sizeof(parts));
    }
    WriteParts(ctx, link->block, parts, row.entry);
    VECANN_RACE_POINT("ivf-insert-before-head");
    LockedPage page(ctx.index, link->block, BUFFER_LOCK_EXCLUSIVE);
    // Vacuum may have taken the page out of the list.
    if (!IvfLeadsTo(ctx, page, list, *link)) return Put::kGone;
    WriteSlot(ctx, page, 0, row);
    return Put::kDone;
}

Put TryLong(const IvfContext& ctx, uint32 list, const RowImage& row, PageLink* link) {
    PageLink next;
    int live;
    {
        // Most pages are full.
        LockedPage page(ctx.index, link->block, BUFFER_LOCK_SHARE);
        if (!IvfLeadsTo(ctx, page, list, *link)) return Put::kGone;
        const ListView view = ListOf(ctx.meta, page.page());
        next = view.next();
        live = view.header->live;
    }
    const BlockNumber block = link->block;
    if (live > 0 || !ConditionalLockPage(ctx.index, block, ExclusiveLock)) {
        *link = next;
        return Put::kFull;
    }
    const Put put = TryHeldLong(ctx, list, row, link);
    UnlockPage(ctx.index, block, ExclusiveLock);
    return put;
}

// ---- pages of a list -------------------------------------------------------------

void MoveHint(const IvfContext& ctx, uint32 list, const PageLink& from, const PageLink& to) {
    LockedPage page(ctx.index, DirectoryBlock(ctx.meta, list), BUFFER_LOCK_EXCLUSIVE);
    ListEntryData* entry = EntryOf(page.page(), list);
    if (!SameLink(entry->hint, from)) return;
    PagePatch patch(ctx.index, WriteMode::kLogged);
    patch.Edit(page.buffer(), entry)->hint = to;
    patch.Commit();
}

// Vacuum has taken the page out that the hint names, and may have been interrupted before it named another one.
void ResetHint(const IvfContext& ctx, uint32 list, const PageLink& from) {
    LockedPage page(ctx.index, DirectoryBlock(ctx.meta, list), BUFFER_LOCK_EXCLUSIVE);
    ListEntryData* entry = EntryOf(page.page(), list);
    if (!SameLink(entry->hint, from)) return;
    PagePatch patch(ctx.index, WriteMode::kLogged);
    ListEntryData* edit = patch.Edit(page.buffer(), entry);
    edit->hint = edit->head;
    edit->alone = 0;
    patch.Commit();
}

}  // namespace

void IvfOpen(IvfContext* ctx, Relation index) {
    memset(static_cast<void*>(ctx), 0, sizeof(*ctx));
    ctx->index = index;
    ctx->meta = IvfReadMeta(index);
    ctx->desc = OpClassOf(index);
    if (HasWords(ctx->meta) != (ctx->desc->words != nullptr))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" was built for another operator class", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
}

namespace {

ItemPointerData StructureLock() {
    ItemPointerData tid;
    ItemPointerSet(&tid, kMetaBlock, FirstOffsetNumber);
    return tid;
}

}  // namespace

void IvfLockStructure(Relation index, LOCKMODE mode) {
    ItemPointerData tid = StructureLock();
    LockTuple(index, &tid, mode);
}

void IvfUnlockStructure(Relation index, LOCKMODE mode) {
    ItemPointerData tid = StructureLock();
    UnlockTuple(index, &tid, mode);
}

bool IvfLeadsTo(const IvfContext& ctx, const LockedPage& page, uint32 list, const PageLink& link) {
    page.Check(PageKind::kIvfList);
    const ListPageData* header = ListOf(ctx.meta, page.page()).header;
    return header->owner == list + 1 && header->generation == link.generation &&
           header->structure == static_cast<uint16>(ctx.meta.structure);
}

void IvfCheckStructure(const IvfContext& ctx) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_SHARE);
    page.Check(PageKind::kMeta);
    if (IvfMetaOf(page.page())->stamp == ctx.meta.stamp) return;
    IvfRaiseReplaced(ctx.index);
}

ListEntryData IvfReadEntry(const IvfContext& ctx, uint32 list) {
    const BlockNumber block = DirectoryBlock(ctx.meta, list);
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE);
        if (page.Is(PageKind::kIvfDirectory)) {
            CheckOldSnapshot(ctx.snapshot, ctx.index, page.page());
            return *EntryOf(page.page(), list);
        }
    }
    IvfCheckStructure(ctx);
    IvfRaiseBroken(ctx, block);
}

void IvfRaiseBroken(const IvfContext& ctx, BlockNumber block) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("a list of index \"%s\" breaks at block %u", RelationGetRelationName(ctx.index), block),
                    errhint("Please REINDEX it.")));
}

PartRange IvfPartRange(const IvfMetaData& meta, int number) {
    const size_t begin = HeadBytes(meta) + static_cast<size_t>(number) * kPartRoom;
    return {begin, Min<size_t>(begin + kPartRoom, meta.entry_size)};
}

void IvfReadParts(const IvfContext& ctx, const BlockNumber* parts, char* entry) {
    for (int i = 0; i < ctx.meta.parts; ++i) {
        const PartRange range = IvfPartRange(ctx.meta, i);
        LockedPage page(ctx.index, parts[i], BUFFER_LOCK_SHARE, ctx.strategy);
        page.Check(PageKind::kIvfPart);
        memcpy(entry + range.begin, PartBytes(page.page()), range.end - range.begin);
    }
}

bool IvfReadStored(const IvfContext& ctx, BlockNumber block, int slot, const ItemPointerData& tid, char* payload) {
    const IvfMetaData& meta = ctx.meta;
    const StoredPlace place = StoredPlaceOf(meta, slot);
    BlockNumber parts[kMostStoredEach] = {block};
    if (meta.stored_on_page == 0) {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        page.Check(PageKind::kIvfList);
        memcpy(parts, ListOf(meta, page.page()).parts + place.part, meta.stored_each * sizeof(BlockNumber));
    }
    for (int i = 0; i < meta.stored_each; ++i) {
        LockedPage page(ctx.index, parts[i], BUFFER_LOCK_SHARE, ctx.strategy);
        page.Check(PageKind::kIvfPart);
        const char* at = PartBytes(page.page()) + place.offset;
        StoredHeadData head;
        memcpy(static_cast<void*>(&head), at, sizeof(head));
        if (!ItemPointerEquals(&head.tid, const_cast<ItemPointer>(&tid))) return false;
        const StoredPiece piece = StoredPieceOf(meta, i);
        memcpy(payload + piece.begin, at + sizeof(head), piece.bytes);
    }
    return true;
}

void IvfFillSlot(const IvfMetaData& meta, const ListView& view, int slot, const RowImage& row) {
    view.tids[slot] = row.tid;
    for (int f = 0; f < meta.factors; ++f)
        view.factors[f * meta.slots + slot] = row.factors[f];
    if (HasBlocks(meta))
        PackLane(meta.m, reinterpret_cast<const uint8*>(row.entry), slot % kBlockCodes,
                 reinterpret_cast<uint8*>(view.data) + static_cast<size_t>(slot / kBlockCodes) * BlockBytes(meta.m));
    else
        memcpy(view.data + static_cast<size_t>(slot) * meta.entry_size, row.entry, HeadBytes(meta));
}

BlockNumber IvfTakeFreePage(const IvfContext& ctx, uint32 list) {
    const int free_list = IvfListPages(ctx.meta).list;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        const BlockNumber head = IvfReadMeta(ctx.index).header.free_head[free_list];
        if (head == InvalidBlockNumber) return head;
        LockedPair pair(ctx.index, kMetaBlock, head);
        pair.b().Check(PageKind::kIvfList);
        const Page page = pair.b().page();
        if (MetaHeaderOf(pair.a().page())->free_head[free_list] != head) continue;
        ListPageData* header = ListOf(ctx.meta, page).header;
        const bool free = header->owner == 0;
        PagePatch patch(ctx.index, WriteMode::kLogged);
        PageOpaqueData* opaque = patch.Edit(pair.b().buffer(), OpaqueOf(page));
        *patch.Edit(pair.a().buffer(), &MetaHeaderOf(pair.a().page())->free_head[free_list]) = opaque->next;
        opaque->next = InvalidBlockNumber;
        opaque->flags &= static_cast<uint16>(~kPageListed);
        // Inserts that have seen it on the free list look at this before they take it.
        if (free) patch.Edit(pair.b().buffer(), header)->owner = list + 1;
        patch.Commit();
        if (free) return head;
    }
}

void IvfAddPage(const IvfContext& ctx, uint32 list, const ListEntryData& seen) {
    const FreeListKind pages = IvfListPages(ctx.meta);
    const BlockNumber fresh = PageWithFreeSlot(ctx.index, WriteMode::kLogged, pages);
    LockedPair pair(ctx.index, DirectoryBlock(ctx.meta, list), fresh);
    ListEntryData* entry = EntryOf(pair.a().page(), list);
    const ListView view = ListOf(ctx.meta, pair.b().page());
    if (view.header->owner != 0 || !SameLink(entry->head, seen.head) || !SameLink(entry->hint, seen.hint)) return;
    PagePatch patch(ctx.index, WriteMode::kLogged);
    ListPageData* header = patch.Edit(pair.b().buffer(), view.header);
    header->owner = list + 1;
    header->next = entry->head.block;
    header->next_generation = entry->head.generation;
    header->live = 0;
    header->structure = static_cast<uint16>(ctx.meta.structure);
    ListEntryData* edit = patch.Edit(pair.a().buffer(), entry);
    edit->head = edit->hint = {fresh, header->generation};
    edit->alone = 1;
    patch.Commit();
}

void IvfPutRow(const IvfContext& ctx, uint32 list, const RowImage& row) {
    PageLink gone = {InvalidBlockNumber, 0};
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        const ListEntryData entry = IvfReadEntry(ctx, list);
        PageLink at = entry.hint;
        Put put = Put::kFull;
        ChainGuard guard = {0};
        while (put == Put::kFull && at.block != InvalidBlockNumber) {
            CHECK_FOR_INTERRUPTS();
            guard.Step(ctx, at.block);
            put = ctx.meta.parts > 0    ? TryLong(ctx, list, row, &at)
                  : HasStored(ctx.meta) ? TryStored(ctx, list, row, &at)
                                        : TryPage(ctx, list, row, &at);
            if (put == Put::kFull && entry.alone != 0) break;
        }
        if (put == Put::kDone) {
            if (!SameLink(at, entry.hint)) MoveHint(ctx, list, entry.hint, at);
            return;
        }
        if (put == Put::kFull) IvfAddPage(ctx, list, entry);
        if (put != Put::kGone) continue;
        // A chain leads to a page only as long as that is in it; but a hint may lead to one that has gone.
        const bool chained = !SameLink(at, entry.hint) || SameLink(at, entry.head);
        if (chained && SameLink(at, gone)) IvfRaiseBroken(ctx, at.block);
        gone = at;
        if (SameLink(at, entry.hint)) ResetHint(ctx, list, entry.hint);
    }
}

}  // namespace vecann

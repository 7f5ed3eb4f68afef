// Taking back pages of another structure than that of the meta page: of the one before, once no transaction can be
// reading it, and of one that was never finished. See README.md, "Structures".
//
// Locks: one page, or the meta page and another. Nobody else changes the pages that this is about: inserts and vacuum
// know their structure by the meta page.
#include "core/bit_set.h"
#include "ivf/ivf_relearn.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

// Makes a page a free one of the current structure, without contents: what puts it on its list takes them in.
void Clean(const IvfContext& ctx, Page page, bool is_list) {
    const uint32 generation = is_list ? ListOf(ctx.meta, page).header->generation + 1 : 0;
    InitPage(page, PageKind::kIvfList, sizeof(ListPageData));
    ListPageData* header = ListOf(ctx.meta, page).header;
    header->generation = generation;
    header->structure = static_cast<uint16>(ctx.meta.structure);
}

// ---- the other free list ---------------------------------------------------------

BlockNumber OtherHead(const IvfContext& ctx, int other) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_SHARE);
    page.Check(PageKind::kMeta);
    return MetaHeaderOf(page.page())->free_head[other];
}

// Takes the first page off the free list of the other structure and cleans it.
void CleanListed(const IvfContext& ctx, int other, BlockNumber block) {
    LockedPair pair(ctx.index, kMetaBlock, block);
    pair.b().Check(PageKind::kIvfList);
    const PageOpaqueData opaque = *OpaqueOf(pair.b().page());
    if ((opaque.flags & kPageListed) == 0)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("a free list of index \"%s\" leads to block %u, which is on none",
                               RelationGetRelationName(ctx.index), block),
                        errhint("Please REINDEX it.")));
    PageTxn txn(ctx.index, WriteMode::kLogged);
    MetaHeaderOf(txn.Register(pair.a().buffer()))->free_head[other] = opaque.next;
    Clean(ctx, txn.RegisterNew(pair.b().buffer()), true);
    txn.Commit();
}

void EmptyOtherList(const IvfContext& ctx) {
    const int other = IvfListPagesOf(ctx.meta.structure + 1);
    for (BlockNumber head; (head = OtherHead(ctx, other)) != InvalidBlockNumber;) {
        vacuum_delay_point();
        CleanListed(ctx, other, head);
        ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), head);
    }
}

// ---- every page ------------------------------------------------------------------

enum class Found : uint8 { kInUse, kNew, kStray, kClosed, kPart };

Found Look(const IvfContext& ctx, const BitSet& closed, BlockNumber block) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    if (PageIsNew(page.page())) return Found::kNew;
    if (page.Is(PageKind::kIvfPart)) return PartOf(page.page())->head != 0 ? Found::kPart : Found::kInUse;
    if (page.Is(PageKind::kIvfList)) {
        const ListPageData* header = ListOf(ctx.meta, page.page()).header;
        const bool listed = (OpaqueOf(page.page())->flags & kPageListed) != 0;
        const bool fresh = reinterpret_cast<PageHeader>(page.page())->pd_lower == kPageContents;
        if (fresh) return Found::kInUse;
        if (header->structure == static_cast<uint16>(ctx.meta.structure)) {
            const bool open = header->owner <= ctx.meta.lists && !closed.Has(header->owner - 1);
            return header->owner == 0 || open ? Found::kInUse : Found::kClosed;
        }
        return header->owner == 0 && listed ? Found::kInUse : Found::kStray;
    }
    const bool first = ctx.meta.structure > 0 && block < BehindFirstTapes(ctx.meta);
    return first || page.Is(IvfKindByPlace(ctx.meta, block)) ? Found::kInUse : Found::kStray;
}

// Takes a page back whose list is closed, or was never finished. Its part pages stay with it.
void FreePage(const IvfContext& ctx, BlockNumber block) {
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        const ListView view = ListOf(ctx.meta, page.page());
        PagePatch patch(ctx.index, WriteMode::kLogged);
        ListPageData* header = patch.Edit(page.buffer(), view.header);
        header->owner = 0;
        ++header->generation;
        ++header->epoch;
        header->live = 0;
        const size_t bytes = static_cast<size_t>(LiveWords(ctx.meta)) * sizeof(uint32);
        memset(patch.Edit(page.buffer(), view.live, bytes), 0, bytes);
        patch.Commit();
    }
    ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), block);
}

void TakeBack(const IvfContext& ctx, BlockNumber block) {
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        PageTxn txn(ctx.index, WriteMode::kLogged);
        Clean(ctx, txn.RegisterNew(page.buffer()), page.Is(PageKind::kIvfList));
        txn.Commit();
    }
    ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), block);
}

// ---- parts -----------------------------------------------------------------------

// Does the list page that a part says it belongs to have it? They are bound in one record.
bool IsBound(const IvfContext& ctx, BlockNumber head, BlockNumber part) {
    if (head >= RelationGetNumberOfBlocks(ctx.index)) return false;
    LockedPage page(ctx.index, head, BUFFER_LOCK_SHARE, ctx.strategy);
    if (!page.Is(PageKind::kIvfList)) return false;
    const ListView view = ListOf(ctx.meta, page.page());
    if (view.header->structure != static_cast<uint16>(ctx.meta.structure)) return false;
    const BlockNumber *begin = view.parts, *end = begin + PartPointers(ctx.meta);
    return std::find(begin, end, part) != end;
}

void TakeBackPart(const IvfContext& ctx, BlockNumber block) {
    BlockNumber head;
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        head = PartOf(page.page())->head;
    }
    if (IsBound(ctx, head, block)) return;
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        PagePatch patch(ctx.index, WriteMode::kLogged);
        patch.Edit(page.buffer(), PartOf(page.page()))->head = 0;
        patch.Commit();
    }
    ListPage(ctx.index, WriteMode::kLogged, IvfPartPages(), block);
}

void ClearFlag(const IvfContext& ctx) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PagePatch patch(ctx.index, WriteMode::kLogged);
    *patch.Edit(page.buffer(), &IvfMetaOf(page.page())->strays) = 0;
    patch.Commit();
}

}  // namespace

bool IvfHasOldReaders(const IvfContext& ctx) {
    return ctx.meta.strays != 0 && ctx.meta.retired != 0 &&
           !GlobalVisCheckRemovableFullXid(nullptr, FullTransactionIdFromU64(ctx.meta.retired));
}

void IvfFindClosed(const IvfContext& ctx, Arena* arena, BitSet* closed) {
    closed->Init(arena, ctx.meta.lists);
    for (uint32 list = 0; list < ctx.meta.lists && ctx.meta.closed > 0;) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(ctx.index, DirectoryBlock(ctx.meta, list), BUFFER_LOCK_SHARE);
        page.Check(PageKind::kIvfDirectory);
        const uint32 end = Min(ctx.meta.lists, (list / kEntriesPerPage + 1) * kEntriesPerPage);
        for (; list < end; ++list)
            if (EntryOf(page.page(), list)->alone == kListClosed) closed->Add(list);
    }
}

bool IvfRecycle(const IvfContext& ctx) {
    if (ctx.meta.strays == 0) return true;
    if (IvfHasOldReaders(ctx)) return false;
    EmptyOtherList(ctx);
    Arena arena = MakeArena(CurrentMemoryContext);
    BitSet closed;
    IvfFindClosed(ctx, &arena, &closed);
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    BitSet parts;
    parts.Init(&arena, blocks);
    bool any_part = false;
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        switch (Look(ctx, closed, block)) {
            case Found::kInUse:
                break;
            case Found::kNew:
                FormatIfNew(ctx.index, IvfListPages(ctx.meta), block);
                ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), block);
                break;
            case Found::kStray:
                TakeBack(ctx, block);
                break;
            case Found::kClosed:
                FreePage(ctx, block);
                break;
            case Found::kPart:
                parts.Add(block);
                any_part = true;
                break;
        }
    }
    // Their heads are cleaned by now.
    for (BlockNumber block = kMetaBlock + 1; any_part && block < blocks; ++block) {
        vacuum_delay_point();
        if (parts.Has(block)) TakeBackPart(ctx, block);
    }
    ClearFlag(ctx);
    return true;
}

}  // namespace vecann

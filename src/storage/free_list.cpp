// Lists of pages with free slots. Lock order: meta page (block 0), then the listed page.
#include "storage/free_list.h"

#include "storage/page_patch.h"

namespace vecann {

namespace {

// Takes the head off the list if it is still `block` and full. The caller holds no lock.
void Unlist(Relation rel, WriteMode mode, const FreeListKind& list, BlockNumber block) {
    LockedPair pair(rel, kMetaBlock, block);
    const LockedPage &meta = pair.a(), &page = pair.b();
    if (MetaHeaderOf(meta.page())->free_head[list.list] != block) return;
    if (list.has_free_slot(page.page(), list.arg)) return;
    PagePatch patch(rel, mode);
    PageOpaqueData* opaque = patch.Edit(page.buffer(), OpaqueOf(page.page()));
    *patch.Edit(meta.buffer(), &MetaHeaderOf(meta.page())->free_head[list.list]) = opaque->next;
    opaque->next = InvalidBlockNumber;
    opaque->flags &= static_cast<uint16>(~kPageListed);
    patch.Commit();
}

// Formats a page, without contents: the record has an image of the page, which leaves out what is behind pd_lower. The
// contents are zeros; what puts the page on its list takes them in.
void Format(Relation rel, WriteMode mode, const FreeListKind& list, const LockedPage& page) {
    PageTxn txn(rel, mode);
    InitPage(txn.RegisterNew(page.buffer()), list.kind, 0);
    txn.Commit();
}

// Adds a formatted page to the relation. The new page is not on any list yet.
BlockNumber AddPage(Relation rel, WriteMode mode, const FreeListKind& list) {
    LockedPage page(rel, ExtendRelationLocked(rel, MAIN_FORKNUM));
    Format(rel, mode, list, page);
    return page.block();
}

}  // namespace

BlockNumber PageWithFreeSlot(Relation rel, WriteMode mode, const FreeListKind& list) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        BlockNumber head;
        {
            LockedPage meta(rel, kMetaBlock, BUFFER_LOCK_SHARE);
            meta.Check(PageKind::kMeta);
            head = MetaHeaderOf(meta.page())->free_head[list.list];
        }
        if (head == InvalidBlockNumber) {
            ListPage(rel, mode, list, AddPage(rel, mode, list));
            continue;
        }
        bool has_free;
        {
            LockedPage page(rel, head, BUFFER_LOCK_SHARE);
            page.Check(list.kind);
            has_free = list.has_free_slot(page.page(), list.arg);
        }
        if (has_free) return head;
        Unlist(rel, mode, list, head);
    }
}

void ListPage(Relation rel, WriteMode mode, const FreeListKind& list, BlockNumber block) {
    LockedPair pair(rel, kMetaBlock, block);
    const LockedPage &meta = pair.a(), &page = pair.b();
    page.Check(list.kind);
    if ((OpaqueOf(page.page())->flags & kPageListed) != 0) return;
    PagePatch patch(rel, mode);
    BlockNumber* head = patch.Edit(meta.buffer(), &MetaHeaderOf(meta.page())->free_head[list.list]);
    PageOpaqueData* opaque = patch.Edit(page.buffer(), OpaqueOf(page.page()));
    *patch.Edit(page.buffer(), &reinterpret_cast<PageHeader>(page.page())->pd_lower) =
        static_cast<LocationIndex>(kPageContents + list.content_bytes);
    opaque->next = *head;
    opaque->flags |= kPageListed;
    *head = block;
    patch.Commit();
}

void FormatIfNew(Relation rel, const FreeListKind& list, BlockNumber block) {
    LockedPage page(rel, block, BUFFER_LOCK_EXCLUSIVE);
    if (PageIsNew(page.page())) Format(rel, WriteMode::kLogged, list, page);
}

}  // namespace vecann

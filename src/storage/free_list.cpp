// Lists of pages with free slots. Lock order: meta page (block 0), then the listed page.
#include "storage/free_list.h"

namespace vecann {

namespace {

// Takes the head off the list if it is still `block` and full. The caller holds no lock.
void Unlist(Relation rel, WriteMode mode, const FreeListKind& list, BlockNumber block) {
    LockedPair pair(rel, kMetaBlock, block);
    const LockedPage &meta = pair.a(), &page = pair.b();
    if (MetaHeaderOf(meta.page())->free_head[list.list] != block) return;
    if (list.has_free_slot(page.page(), list.arg)) return;
    PageTxn txn(rel, mode);
    MetaHeaderData* header = MetaHeaderOf(txn.Register(meta.buffer()));
    PageOpaqueData* opaque = OpaqueOf(txn.Register(page.buffer()));
    header->free_head[list.list] = opaque->next;
    opaque->next = InvalidBlockNumber;
    opaque->flags &= static_cast<uint16>(~kPageListed);
    txn.Commit();
}

// Adds a formatted page to the relation. The new page is not on any list yet.
BlockNumber AddPage(Relation rel, WriteMode mode, const FreeListKind& list) {
    LockedPage page(rel, ExtendRelationLocked(rel, MAIN_FORKNUM));
    PageTxn txn(rel, mode);
    InitPage(txn.RegisterNew(page.buffer()), list.kind, list.content_bytes);
    txn.Commit();
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
    PageTxn txn(rel, mode);
    MetaHeaderData* header = MetaHeaderOf(txn.Register(meta.buffer()));
    PageOpaqueData* opaque = OpaqueOf(txn.Register(page.buffer()));
    opaque->next = header->free_head[list.list];
    opaque->flags |= kPageListed;
    header->free_head[list.list] = block;
    txn.Commit();
}

void FormatIfNew(Relation rel, const FreeListKind& list, BlockNumber block) {
    LockedPage page(rel, block, BUFFER_LOCK_EXCLUSIVE);
    if (!PageIsNew(page.page())) return;
    PageTxn txn(rel, WriteMode::kLogged);
    InitPage(txn.RegisterNew(page.buffer()), list.kind, list.content_bytes);
    txn.Commit();
}

}  // namespace vecann

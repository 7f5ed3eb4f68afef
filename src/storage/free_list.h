// Lists of pages with free slots, one per page kind. See README.md.
#pragma once

#include "storage/meta_page.h"
#include "storage/page_txn.h"

namespace vecann {

struct FreeListKind {
    int list;              // index into MetaHeaderData.free_head
    PageKind kind;         // pages on this list
    size_t content_bytes;  // contents of a fresh page, zeroed (so a zeroed slot must mean a free one)
    bool (*has_free_slot)(Page page, const void* arg);
    const void* arg;
};

// A page that had a free slot a moment ago; the caller locks it, looks again, and calls again if it is gone. Adds a
// page to the relation when the list is empty. Holds no lock before or after. Cancellable.
BlockNumber PageWithFreeSlot(Relation rel, WriteMode mode, const FreeListKind& list);

// Puts a page on its list unless it is there, and takes its contents in, if it is fresh (pd_lower). The caller holds no
// lock.
void ListPage(Relation rel, WriteMode mode, const FreeListKind& list, BlockNumber block);

// Formats a page that a crash left all zeros. The caller holds no lock; does nothing when it is formatted.
void FormatIfNew(Relation rel, const FreeListKind& list, BlockNumber block);

}  // namespace vecann

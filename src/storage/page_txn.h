// PageTxn: changes up to four pages atomically, logged (generic WAL) or as part of a build. See README.md.
//
// Use: lock the buffers exclusively in ascending block order; Register each; edit the returned pages; Commit; unlock.
// Between Start and Commit nothing may be expected to raise.
#pragma once

#include "storage/page.h"

namespace vecann {

enum class WriteMode : uint8 {
    kLogged,  // edits a copy; Commit writes WAL (if the relation needs it) and applies it
    kBuild,   // edits in place; the build logs the whole fork at its end
};

class PageTxn {
  public:
    PageTxn(Relation rel, WriteMode mode) : state_(mode == WriteMode::kLogged ? GenericXLogStart(rel) : nullptr) {}
    PageTxn(const PageTxn&) = delete;
    PageTxn& operator=(const PageTxn&) = delete;
    // Leaving without Commit drops the edits of a logged transaction.
    ~PageTxn() {
        if (state_ != nullptr) GenericXLogAbort(state_);
    }

    // Registers a buffer that the caller has pinned and exclusively locked; returns the page to edit.
    Page Register(Buffer buffer) { return Add(buffer, 0); }
    // The same for a page that will be formatted from scratch.
    Page RegisterNew(Buffer buffer) { return Add(buffer, GENERIC_XLOG_FULL_IMAGE); }

    void Commit() {
        if (state_ != nullptr) {
            GenericXLogFinish(state_);
            state_ = nullptr;
        } else {
            for (int i = 0; i < count_; ++i)
                MarkBufferDirty(buffers_[i]);
        }
        count_ = 0;
    }

  private:
    Page Add(Buffer buffer, int flags) {
        if (count_ >= MAX_GENERIC_XLOG_PAGES) elog(ERROR, "a page transaction holds at most four pages");
        buffers_[count_++] = buffer;
        return state_ != nullptr ? GenericXLogRegisterBuffer(state_, buffer, flags) : BufferGetPage(buffer);
    }

    GenericXLogState* state_;
    Buffer buffers_[MAX_GENERIC_XLOG_PAGES];
    int count_ = 0;
};

}  // namespace vecann

// PagePatch: changes a few bytes of up to four pages atomically, logged or as part of a build. See README.md.
//
// Where PageTxn copies whole pages and has the server compare them byte by byte, a patch knows what it changes: it
// costs what its bytes cost. Its records are generic WAL too, replayed by the server's own code.
//
// Use: lock the buffers exclusively in ascending block order; Put or Edit; Commit; unlock. Until Commit nothing has
// changed: a patch that is not committed is forgotten.
#pragma once

#include "storage/page_txn.h"

namespace vecann {

class PagePatch {
  public:
    PagePatch(Relation rel, WriteMode mode) : logged_(mode == WriteMode::kLogged && RelationNeedsWAL(rel)) {}
    PagePatch(const PagePatch&) = delete;
    PagePatch& operator=(const PagePatch&) = delete;

    static constexpr int kMaxRegions = 32;

    // Commit writes `bytes` from `from`, which stays as it is until then, to `to`, a place on the buffer's page.
    // Regions of a patch do not overlap.
    void Put(Buffer buffer, void* to, const void* from, size_t bytes);
    // A copy of so many bytes to edit, which Commit writes back.
    void* Edit(Buffer buffer, void* at, size_t bytes);
    template <class T>
    T* Edit(Buffer buffer, T* at) {
        return static_cast<T*>(Edit(buffer, at, sizeof(T)));
    }

    void Commit();

  private:
    struct Region {
        int page;  // index into buffers_
        size_t offset;
        size_t bytes;
        const char* from;
        bool owned;  // `from` is freed by Commit
    };

    int PageOf(Buffer buffer);
    char* AddFragments(int page, char* out) const;

    bool logged_;
    int pages_ = 0;
    int count_ = 0;
    size_t bytes_ = 0;
    Buffer buffers_[MAX_GENERIC_XLOG_PAGES];
    Region regions_[kMaxRegions];
};

static_assert(std::is_trivially_destructible_v<PagePatch>);

}  // namespace vecann

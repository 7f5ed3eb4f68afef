// The part of the meta page (block 0) that all access methods share. The access method's own data follows it.
#pragma once

#include "storage/page.h"

namespace vecann {

constexpr uint32 kMetaMagic = 0x564D4554;  // "VMET"
constexpr int kFreeListSlots = 4;

enum class AccessMethod : uint16 { kHnsw = 1, kIvf = 2 };

struct MetaHeaderData {
    uint32 magic;
    uint16 access_method;  // AccessMethod
    uint16 reserved;
    BlockNumber free_head[kFreeListSlots];  // heads of the free lists; the access method says which is which
};
static_assert(sizeof(MetaHeaderData) == 24);

inline MetaHeaderData* MetaHeaderOf(Page page) {
    return reinterpret_cast<MetaHeaderData*>(ContentsOf(page));
}

// Fills the header of a freshly formatted meta page.
inline void InitMetaHeader(Page page, AccessMethod am) {
    MetaHeaderData* header = MetaHeaderOf(page);
    header->magic = kMetaMagic;
    header->access_method = static_cast<uint16>(am);
    header->reserved = 0;
    for (BlockNumber& head : header->free_head)
        head = InvalidBlockNumber;
}

// Writes the meta page of a fresh index as block 0 of `fork`; logged itself when the fork is INIT_FORKNUM. `meta`
// begins with a MetaHeaderData, which is filled here.
void WriteMetaPage(Relation index, ForkNumber fork, AccessMethod am, const void* meta, size_t bytes);

}  // namespace vecann

// Layout of hnsw: sizes, the meta page, free slots.
#include "hnsw/hnsw_page.h"

namespace vecann {

namespace {

size_t SlotSize(int m, size_t payload, bool node) {
    const size_t edges = static_cast<size_t>(node ? 2 * m : m) * sizeof(EdgeData);
    const size_t tids = node ? kHnswInlineTids * sizeof(TidEntryData) : 0;
    return TYPEALIGN(4, sizeof(SlotHeaderData) + tids + edges + payload);
}

// Do the sizes follow from each other? Whoever reads slots by them then stays on the page.
bool AreSoundSizes(const HnswMetaData& meta) {
    if (meta.m < kHnswMinM || meta.m > kHnswMaxM) return false;
    const size_t node = SlotSize(meta.m, meta.payload_size, true), upper = SlotSize(meta.m, meta.payload_size, false);
    return node <= kPageRoom && meta.node_slot_size == node && meta.upper_slot_size == upper &&
           meta.node_slots == kPageRoom / node && meta.upper_slots == kPageRoom / upper &&
           meta.ids_per_block == Max(meta.node_slots, meta.upper_slots);
}

bool NodePageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kNode) >= 0;
}
bool UpperPageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kUpper) >= 0;
}
bool TidPageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kTid) >= 0;
}

}  // namespace

int HnswMaxDimensions(const OpClassDesc& desc, int m) {
    int low = 0, high = desc.max_dimensions;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (SlotSize(m, desc.payload_size(middle), true) <= kPageRoom)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

HnswMetaData HnswMakeMeta(const OpClassDesc& desc, int dim, int m, int ef_construction) {
    const int max_dim = HnswMaxDimensions(desc, m);
    if (dim > max_dim)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for hnsw index with m = %d", max_dim, m)));
    HnswMetaData meta;
    memset(&meta, 0, sizeof(meta));
    const size_t payload = desc.payload_size(dim);
    const size_t node = SlotSize(m, payload, true), upper = SlotSize(m, payload, false);
    meta.dim = static_cast<uint16>(dim);
    meta.m = static_cast<uint16>(m);
    meta.ef_construction = static_cast<uint16>(ef_construction);
    meta.element = static_cast<uint8>(desc.element);
    meta.metric = static_cast<uint8>(desc.metric);
    meta.node_slot_size = static_cast<uint16>(node);
    meta.upper_slot_size = static_cast<uint16>(upper);
    meta.payload_size = static_cast<uint16>(payload);
    meta.node_slots = static_cast<uint16>(kPageRoom / node);
    meta.upper_slots = static_cast<uint16>(kPageRoom / upper);
    meta.ids_per_block = Max(meta.node_slots, meta.upper_slots);
    meta.entry = kInvalidId;
    return meta;
}

void HnswWriteMeta(Relation index, ForkNumber fork, const HnswMetaData& meta) {
    LockedPage page(index, ExtendRelationLocked(index, fork));
    if (page.block() != kMetaBlock) elog(ERROR, "index \"%s\" is not empty", RelationGetRelationName(index));
    START_CRIT_SECTION();
    InitPage(page.page(), PageKind::kMeta, sizeof(HnswMetaData));
    *HnswMetaOf(page.page()) = meta;
    InitMetaHeader(page.page(), AccessMethod::kHnsw);
    MarkBufferDirty(page.buffer());
    // Generic WAL logs nothing for an unlogged relation, but its init fork must survive a crash.
    if (fork == INIT_FORKNUM) log_newpage_buffer(page.buffer(), true);
    END_CRIT_SECTION();
}

HnswMetaData HnswReadMeta(Relation index) {
    LockedPage page(index, kMetaBlock, BUFFER_LOCK_SHARE);
    page.Check(PageKind::kMeta);
    const HnswMetaData meta = *HnswMetaOf(page.page());
    if (meta.header.magic != kMetaMagic || meta.header.access_method != static_cast<uint16>(AccessMethod::kHnsw) ||
        !AreSoundSizes(meta))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" is not an hnsw index", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    return meta;
}

SlotView HnswCheckedSlot(const HnswMetaData& meta, Relation index, const LockedPage& page, PageKind kind, uint32 id) {
    page.Check(kind);
    const int at = SlotOfId(meta, id);
    if (at >= SlotsOfKind(meta, kind))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" has a link to slot %d of block %u, which does not exist",
                               RelationGetRelationName(index), at, page.block()),
                        errhint("Please REINDEX it.")));
    const SlotView slot = SlotAt(meta, page.page(), kind, at);
    if (!IsSoundSlot(meta, kind, *slot.header))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("slot %d of block %u of index \"%s\" has a broken header", at, page.block(),
                               RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    return slot;
}

FreeListKind HnswFreeList(const HnswMetaData& meta, PageKind kind) {
    switch (kind) {
        case PageKind::kNode:
            return {kNodeList, kind, static_cast<size_t>(meta.node_slots) * meta.node_slot_size, NodePageHasFree,
                    &meta};
        case PageKind::kUpper:
            return {kUpperList, kind, static_cast<size_t>(meta.upper_slots) * meta.upper_slot_size, UpperPageHasFree,
                    &meta};
        default:
            return {kTidList, PageKind::kTid, kSegmentsPerPage * sizeof(TidSegmentData), TidPageHasFree, &meta};
    }
}

void HnswCheckIdRange(Relation index, BlockNumber block, int per_block) {
    if ((static_cast<uint64>(block) + 1) * static_cast<uint64>(per_block) >= kInvalidId)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("hnsw index \"%s\" has reached its maximum size", RelationGetRelationName(index))));
}

int HnswFindFreeSlot(const HnswMetaData& meta, Page page, PageKind kind) {
    if (kind == PageKind::kTid) {
        for (int i = 0; i < kSegmentsPerPage; ++i)
            if (SegmentAt(page, i)->in_use == 0) return i;
        return -1;
    }
    for (int i = 0; i < SlotsOfKind(meta, kind); ++i)
        if (SlotAt(meta, page, kind, i).state() == SlotState::kFree) return i;
    return -1;
}

}  // namespace vecann

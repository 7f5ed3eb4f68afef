// Parts of payloads; see hnsw_parts.h. Locks: one part page at a time, with no slot's page held.
#include "hnsw/hnsw_parts.h"

#include "pg/race_point.h"

namespace vecann {

namespace {

// Where the elements of a part begin in a whole payload, and how many bytes they take, with those that fill up the
// last.
size_t OffsetOfPart(const VectorForm& form, const HnswMetaData& meta, int number) {
    return sizeof(PayloadHeadData) + static_cast<size_t>(PartBegin(meta, number)) * PayloadElementSize(form.payload);
}
size_t BytesOfPart(const VectorForm& form, const HnswMetaData& meta, int number) {
    return PayloadSize(form.payload, PartDims(meta, number)) - sizeof(PayloadHeadData);
}

// A part was not what its slot said. If the slot is still the same, it never was.
void CheckSlotIsGone(HnswContext* ctx, const SlotParts& parts, int number) {
    LockedPage page(ctx->index, BlockOfId(ctx->meta, parts.slot), BUFFER_LOCK_SHARE, ctx->strategy);
    ++ctx->counts.pages;
    const SlotView slot = HnswCheckedSlot(ctx->meta, ctx->index, page, parts.kind, parts.slot);
    if (slot.state() == SlotState::kFree || slot.header->generation != parts.generation) return;
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("slot %d of block %u of index \"%s\" has lost part %d of its vector",
                           SlotOfId(ctx->meta, parts.slot), page.block(), RelationGetRelationName(ctx->index), number),
                    errhint("Please REINDEX it.")));
}

// Reads one part; false when it is not what the slot said.
bool ReadPart(HnswContext* ctx, const SlotParts& parts, int number, const IndexedVector* query, float* distance,
              void* payload) {
    const HnswMetaData& meta = ctx->meta;
    const PartRefData& ref = parts.refs[number];
    LockedPage page(ctx->index, BlockOfPart(meta, ref.id), BUFFER_LOCK_SHARE, ctx->strategy);
    ++ctx->counts.pages;
    page.Check(PageKind::kPart);
    CheckOldSnapshot(ctx->snapshot, ctx->index, page.page());
    PartHeaderData* part = PartAt(meta, page.page(), PlaceOfPart(meta, ref.id));
    if (!HnswIsPartOf(parts.head, ref, number, part)) return false;
    const PayloadHeadData* head = PayloadOfPart(part);
    if (query != nullptr)
        *distance += HnswDistance(ctx->form, query->vector + PartBegin(meta, number), head, PartDims(meta, number));
    if (payload != nullptr) HnswCopyPart(ctx->form, meta, number, part, payload);
    return true;
}

}  // namespace

bool HnswIsPartOf(const PayloadHeadData& head, const PartRefData& ref, int number, PartHeaderData* part) {
    // Bit by bit: a broken head may hold what equals nothing.
    const void* of_part = PayloadOfPart(part);
    const void* of_slot = &head;
    return part->in_use != 0 && part->generation == ref.generation && part->number == number &&
           memcmp(of_part, of_slot, sizeof(PayloadHeadData)) == 0;
}

bool HnswReadParts(HnswContext* ctx, const SlotParts& parts, const IndexedVector* query, float* distance,
                   void* payload) {
    if (ctx->meta.part_count > 0) VECANN_RACE_POINT("hnsw-before-parts");
    for (int i = 0; i < ctx->meta.part_count; ++i) {
        if (ReadPart(ctx, parts, i, query, distance, payload)) continue;
        CheckSlotIsGone(ctx, parts, i);
        return false;
    }
    // Infinities of both signs.
    if (query != nullptr && *distance != *distance) *distance = get_float4_infinity();
    return true;
}

bool HnswAddPartDistances(HnswContext* ctx, uint32 id, PageKind kind, uint32 generation, const IndexedVector& query,
                          float* distance) {
    SlotParts parts;
    {
        LockedPage page(ctx->index, BlockOfId(ctx->meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
        ++ctx->counts.pages;
        const SlotView slot = HnswCheckedSlot(ctx->meta, ctx->index, page, kind, id);
        if (slot.state() == SlotState::kFree || slot.header->generation != generation) return false;
        HnswCopyParts(ctx->meta, id, kind, slot, &parts);
    }
    return HnswReadParts(ctx, parts, &query, distance, nullptr);
}

void HnswFillPart(const VectorForm& form, const HnswMetaData& meta, const void* payload, int number,
                  PartHeaderData* part) {
    part->number = static_cast<uint16>(number);
    part->in_use = 1;
    PayloadHeadData* head = PayloadOfPart(part);
    memcpy(static_cast<void*>(head), payload, sizeof(*head));
    memcpy(static_cast<void*>(head + 1), static_cast<const char*>(payload) + OffsetOfPart(form, meta, number),
           BytesOfPart(form, meta, number));
}

void HnswCopyPart(const VectorForm& form, const HnswMetaData& meta, int number, PartHeaderData* part, void* payload) {
    memcpy(static_cast<char*>(payload) + OffsetOfPart(form, meta, number), PayloadOfPart(part) + 1,
           BytesOfPart(form, meta, number));
}

void HnswWriteParts(const HnswContext& ctx, const void* payload, PartRefData* refs) {
    for (int i = 0; i < ctx.meta.part_count;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kPart));
        HnswCheckIdRange(ctx.index, block, ctx.meta.parts);
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kPart);
        const int place = HnswFindFreeSlot(ctx.meta, page.page(), PageKind::kPart);
        if (place < 0) continue;
        PageTxn txn(ctx.index, ctx.mode);
        PartHeaderData* part = PartAt(ctx.meta, txn.Register(page.buffer()), place);
        HnswFillPart(ctx.form, ctx.meta, payload, i, part);
        refs[i] = {block * ctx.meta.parts + static_cast<uint32>(place), part->generation};
        txn.Commit();
        ++i;
    }
}

void HnswFreePart(const HnswContext& ctx, const PartRefData& ref) {
    const BlockNumber block = BlockOfPart(ctx.meta, ref.id);
    bool listed;
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        page.Check(PageKind::kPart);
        const int place = PlaceOfPart(ctx.meta, ref.id);
        const PartHeaderData* part = PartAt(ctx.meta, page.page(), place);
        if (part->in_use == 0 || part->generation != ref.generation) return;
        PageTxn txn(ctx.index, ctx.mode);
        PartHeaderData* edit = PartAt(ctx.meta, txn.Register(page.buffer()), place);
        *edit = {ref.generation + 1, 0, 0};
        txn.Commit();
        listed = (OpaqueOf(page.page())->flags & kPageListed) != 0;
    }
    if (!listed) ListPage(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kPart), block);
}

}  // namespace vecann

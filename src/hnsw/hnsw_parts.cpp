// Parts of payloads; see hnsw_parts.h. Locks: one part page at a time, with no slot's page held.
#include "hnsw/hnsw_parts.h"

#include "pg/race_point.h"

namespace vecann {

namespace {

// Where the elements of a part begin in a whole payload, and how many bytes they take, with those that fill up the
// last.
size_t OffsetOfPart(const HnswMetaData& meta, int number) {
    const PayloadKind kind = static_cast<PayloadKind>(meta.payload);
    return sizeof(PayloadHeadData) + static_cast<size_t>(PartBegin(meta, number)) * PayloadElementSize(kind);
}
size_t BytesOfPart(const HnswMetaData& meta, const void* head, int number) {
    const PayloadKind kind = static_cast<PayloadKind>(meta.payload);
    return PayloadSize(kind, PartDims(meta, head, number)) - sizeof(PayloadHeadData);
}

PartRefData* NextOf(PartHeaderData* part) {
    return reinterpret_cast<PartRefData*>(PayloadOfPart(part) + 1);
}
char* ElementsOfPart(const HnswMetaData& meta, PartHeaderData* part) {
    return reinterpret_cast<char*>(HasWords(meta) ? static_cast<void*>(NextOf(part) + 1) : PayloadOfPart(part) + 1);
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
        *distance +=
            HnswDistance(ctx->form, query->vector + PartBegin(meta, number), head, PartDims(meta, head, number));
    if (payload != nullptr) HnswCopyPart(meta, number, part, payload);
    return true;
}

// Completes words in the form's scratch; returns the number of the part that is not what it should be, or -1. The next
// part is mostly on the page that is locked.
int ReadChain(HnswContext* ctx, const SlotParts& parts) {
    const HnswMetaData& meta = ctx->meta;
    PartRefData ref = parts.refs[0];
    for (int number = 0; number < parts.count;) {
        CHECK_FOR_INTERRUPTS();
        if (ref.id == kInvalidId) return number;
        const BlockNumber block = BlockOfPart(meta, ref.id);
        LockedPage page(ctx->index, block, BUFFER_LOCK_SHARE, ctx->strategy);
        ++ctx->counts.pages;
        page.Check(PageKind::kPart);
        CheckOldSnapshot(ctx->snapshot, ctx->index, page.page());
        for (; number < parts.count && ref.id != kInvalidId && BlockOfPart(meta, ref.id) == block; ++number) {
            PartHeaderData* part = PartAt(meta, page.page(), PlaceOfPart(meta, ref.id));
            if (!HnswIsPartOf(parts.head, ref, number, part)) return number;
            HnswCopyPart(meta, number, part, ctx->form.scratch);
            ref = *NextOf(part);
        }
    }
    return -1;
}

}  // namespace

bool HnswIsPartOf(const PayloadHeadData& head, const PartRefData& ref, int number, PartHeaderData* part) {
    // Bit by bit: a broken head may hold what equals nothing.
    const void* of_part = PayloadOfPart(part);
    const void* of_slot = &head;
    return part->in_use != 0 && part->generation == ref.generation && part->number == number &&
           memcmp(of_part, of_slot, sizeof(PayloadHeadData)) == 0;
}

namespace {

// HnswReadParts for words, of which what stands in the slot is in the form's scratch.
bool ReadWords(HnswContext* ctx, const SlotParts& parts, const IndexedVector* query, float* distance, void* payload) {
    const VectorForm& form = ctx->form;
    const int wrong = ReadChain(ctx, parts);
    if (wrong >= 0) {
        CheckSlotIsGone(ctx, parts, wrong);
        return false;
    }
    // Otherwise the distance came with the slot.
    if (query != nullptr && parts.count > 0) *distance += form.between(query->payload, form.scratch, 0);
    if (payload != nullptr && payload != form.scratch)
        memcpy(payload, form.scratch, HnswPayloadBytes(form, form.scratch));
    return true;
}

}  // namespace

bool HnswReadParts(HnswContext* ctx, const SlotParts& parts, const IndexedVector* query, float* distance,
                   void* payload) {
    if (parts.count > 0) VECANN_RACE_POINT("hnsw-before-parts");
    if (ctx->form.words) return ReadWords(ctx, parts, query, distance, payload);
    for (int i = 0; i < parts.count; ++i) {
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
        HnswCopyParts(*ctx, id, kind, slot, &parts);
    }
    return HnswReadParts(ctx, parts, &query, distance, nullptr);
}

void HnswFillPart(const HnswMetaData& meta, const void* payload, int number, const PartRefData& next,
                  PartHeaderData* part) {
    part->number = static_cast<uint16>(number);
    part->in_use = 1;
    memcpy(static_cast<void*>(PayloadOfPart(part)), payload, sizeof(PayloadHeadData));
    if (HasWords(meta)) *NextOf(part) = next;
    memcpy(ElementsOfPart(meta, part), static_cast<const char*>(payload) + OffsetOfPart(meta, number),
           BytesOfPart(meta, payload, number));
}

PartRefData HnswNextPart(const HnswMetaData& meta, PartHeaderData* part) {
    return HasWords(meta) ? *NextOf(part) : kNoPart;
}

void HnswCopyPart(const HnswMetaData& meta, int number, PartHeaderData* part, void* payload) {
    memcpy(static_cast<char*>(payload) + OffsetOfPart(meta, number), ElementsOfPart(meta, part),
           BytesOfPart(meta, payload, number));
}

void HnswWriteParts(const HnswContext& ctx, const void* payload, PartRefData* refs) {
    const HnswMetaData& meta = ctx.meta;
    if (HasWords(meta)) refs[0] = kNoPart;
    PartRefData next = kNoPart;
    for (int number = PartsOf(meta, payload) - 1; number >= 0;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(meta, PageKind::kPart));
        HnswCheckIdRange(ctx.index, block, meta.parts);
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kPart);
        if (HnswFindFreeSlot(meta, page.page(), PageKind::kPart) < 0) continue;
        PageTxn txn(ctx.index, ctx.mode);
        const Page edit = txn.Register(page.buffer());
        int place;
        while (number >= 0 && (place = HnswFindFreeSlot(meta, edit, PageKind::kPart)) >= 0) {
            PartHeaderData* part = PartAt(meta, edit, place);
            HnswFillPart(meta, payload, number, next, part);
            next = {block * meta.parts + static_cast<uint32>(place), part->generation};
            refs[HasWords(meta) ? 0 : number] = next;
            --number;
        }
        txn.Commit();
    }
}

bool HnswStepChain(const HnswContext& ctx, PartRefData* ref) {
    LockedPage page(ctx.index, BlockOfPart(ctx.meta, ref->id), BUFFER_LOCK_SHARE, ctx.strategy);
    page.Check(PageKind::kPart);
    PartHeaderData* part = PartAt(ctx.meta, page.page(), PlaceOfPart(ctx.meta, ref->id));
    if (part->in_use == 0 || part->generation != ref->generation) return false;
    *ref = HnswNextPart(ctx.meta, part);
    return true;
}

void HnswFreePart(const HnswContext& ctx, PartRefData ref) {
    while (ref.id != kInvalidId) {
        vacuum_delay_point();
        const BlockNumber block = BlockOfPart(ctx.meta, ref.id);
        bool listed;
        {
            LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
            page.Check(PageKind::kPart);
            const int place = PlaceOfPart(ctx.meta, ref.id);
            PartHeaderData* part = PartAt(ctx.meta, page.page(), place);
            if (part->in_use == 0 || part->generation != ref.generation) return;
            const uint32 generation = ref.generation + 1;
            ref = HnswNextPart(ctx.meta, part);
            PageTxn txn(ctx.index, ctx.mode);
            *PartAt(ctx.meta, txn.Register(page.buffer()), place) = {generation, 0, 0};
            txn.Commit();
            listed = (OpaqueOf(page.page())->flags & kPageListed) != 0;
        }
        if (!listed) ListPage(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kPart), block);
    }
}

}  // namespace vecann

// Layout of ivf: sizes, the meta page, free pages, tapes.
#include "ivf/ivf_page.h"

#include "storage/page_txn.h"

#include "ivf/ivf_codes.h"
#include "quant/payload.h"

namespace vecann {

namespace {

constexpr size_t kBlockRows = 32;

bool ListPageIsFree(Page page, const void*) {
    return reinterpret_cast<ListPageData*>(ContentsOf(page))->owner == 0;
}
bool PartPageIsFree(Page page, const void*) {
    return PartOf(page)->head == 0;
}

// Sets the places for `slots` rows whose entries take `data` bytes together.
void SetPlaces(IvfMetaData* meta, size_t slots, size_t data) {
    const size_t parts = static_cast<size_t>(PartPointers(*meta)) * sizeof(BlockNumber);
    const size_t live = sizeof(ListPageData) + parts, factors = live + (slots + 31) / 32 * sizeof(uint32);
    const size_t data_at = MAXALIGN(factors + slots * meta->factors * sizeof(float));
    meta->slots = static_cast<uint16>(slots);
    meta->live_at = static_cast<uint16>(live);
    meta->factors_at = static_cast<uint16>(factors);
    meta->data_at = static_cast<uint16>(data_at);
    const size_t tids_at = SHORTALIGN(data_at + data);
    meta->tids_at = static_cast<uint16>(tids_at);
    meta->content_bytes = static_cast<uint32>(MAXALIGN(tids_at + slots * sizeof(ItemPointerData)));
}

// How payloads beside codes stand in part pages.
void LayOutStored(IvfMetaData* meta) {
    meta->stored_on_page = meta->stored_each = 0;
    if (!HasStored(*meta)) return;
    const size_t bytes = StoredBytes(*meta);
    meta->stored_on_page = static_cast<uint16>(kPartRoom / (bytes + sizeof(StoredHeadData)));
    meta->stored_each = static_cast<uint16>((bytes + kStoredRoom - 1) / kStoredRoom);
}

void SetSlots(IvfMetaData* meta, size_t slots) {
    const size_t on_page = Max<size_t>(meta->stored_on_page, 1);
    meta->stored_pages = static_cast<uint16>((slots + on_page - 1) / on_page * meta->stored_each);
    SetPlaces(meta, slots, slots * meta->entry_size);
}

}  // namespace

size_t IvfPayloadSize(const IvfMetaData& meta) {
    constexpr int kWordBits = 64;
    return PayloadSize(PayloadOf(meta), HasWords(meta) ? (meta.dim + kWordBits - 1) / kWordBits : meta.dim);
}

void IvfLayOut(IvfMetaData* meta) {
    const size_t unit = HasBlocks(*meta) ? kBlockRows : 1;
    meta->parts = meta->stored_pages = 0;
    LayOutStored(meta);
    size_t slots = kPageRoom / (meta->entry_size + sizeof(ItemPointerData)) / unit * unit;
    for (; slots > 0; slots -= unit) {
        SetSlots(meta, slots);
        if (meta->content_bytes <= kPageRoom) return;
    }
    if (HasBlocks(*meta)) elog(ERROR, "a block of codes does not fit a page");
    meta->parts = 1;  // for the head's own bytes
    SetPlaces(meta, 1, 0);
    const size_t head = (kPageRoom - meta->content_bytes) & ~size_t{15};
    meta->parts = static_cast<uint16>((meta->entry_size - head + kPartRoom - 1) / kPartRoom);
    SetPlaces(meta, 1, head);
}

bool AreSoundSizes(const IvfMetaData& meta) {
    // Arithmetic over a codebook divides by the number of sub-quantizers.
    if ((meta.codebook != 0) != (meta.quantizer == static_cast<uint8>(Quantizer::kPq))) return false;
    if (meta.closed >= meta.lists || meta.learnt_lists > static_cast<uint32>(kIvfMaxLists)) return false;
    if (meta.dim < 1 || meta.slots < 1 || meta.lists < 1 || meta.parts > kIvfMostParts || meta.entry_size < 1 ||
        meta.quantizer > static_cast<uint8>(Quantizer::kRabitq) || meta.lists > kIvfMaxLists)
        return false;
    if (HasPayload(meta)) {
        if (meta.factors != 0 || meta.entry_size != IvfPayloadSize(meta) || HasStored(meta)) return false;
    } else if (HasWords(meta) || meta.m < 1 || meta.stored > static_cast<uint16>(PayloadKind::kSq8) + 1 ||
               (HasBlocks(meta) && meta.m > kIvfMostBlockQuantizers) || meta.factors != IvfCodeFactors(meta) ||
               meta.entry_size != IvfCodeBytes(meta)) {
        return false;
    }
    IvfMetaData expected = meta;
    IvfLayOut(&expected);
    if (expected.stored_each > kMostStoredEach || expected.stored_pages != meta.stored_pages ||
        expected.stored_on_page != meta.stored_on_page || expected.stored_each != meta.stored_each)
        return false;
    return expected.slots == meta.slots && expected.parts == meta.parts && expected.tids_at == meta.tids_at &&
           expected.data_at == meta.data_at && expected.factors_at == meta.factors_at &&
           expected.live_at == meta.live_at && expected.content_bytes == meta.content_bytes;
}

void IvfWriteMeta(Relation index, ForkNumber fork, const IvfMetaData& meta) {
    WriteMetaPage(index, fork, AccessMethod::kIvf, &meta, sizeof(meta));
}

bool IvfPeekMeta(Relation index, IvfMetaData* meta) {
    if (RelationGetNumberOfBlocks(index) <= kMetaBlock) return false;
    LockedPage page(index, kMetaBlock, BUFFER_LOCK_SHARE);
    if (PageIsNew(page.page()) || PageGetSpecialSize(page.page()) != MAXALIGN(sizeof(PageOpaqueData))) return false;
    const PageOpaqueData& opaque = *OpaqueOf(page.page());
    if (opaque.page_id != kPageId || opaque.format_version != kFormatVersion ||
        opaque.kind != static_cast<uint16>(PageKind::kMeta))
        return false;
    *meta = *IvfMetaOf(page.page());
    return AreSoundSizes(*meta);
}

IvfMetaData IvfReadMeta(Relation index) {
    LockedPage page(index, kMetaBlock, BUFFER_LOCK_SHARE);
    page.Check(PageKind::kMeta);
    const IvfMetaData meta = *IvfMetaOf(page.page());
    if (meta.header.magic != kMetaMagic || meta.header.access_method != static_cast<uint16>(AccessMethod::kIvf) ||
        !AreSoundSizes(meta))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" is not an ivfflat or ivfpq index", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    return meta;
}

FreeListKind IvfListPages(const IvfMetaData& meta) {
    return {IvfListPagesOf(meta.structure), PageKind::kIvfList, meta.content_bytes, ListPageIsFree, nullptr};
}

FreeListKind IvfPartPages() {
    return {kPartPages, PageKind::kIvfPart, kPageRoom, PartPageIsFree, nullptr};
}

// ---- tapes -----------------------------------------------------------------------

BlockNumber IvfBehindTapes(const IvfMetaData& meta) {
    BlockNumber end = meta.centroids + CentroidTape(meta).Blocks(meta.lists);
    if (meta.codebook != 0) end = Max(end, meta.codebook + CodebookTape(meta).Blocks(meta.m));
    if (meta.matrix != 0) end = Max(end, meta.matrix + Tape{meta.matrix, meta.dim}.Blocks(meta.dim));
    return end;
}

PageKind IvfKindByPlace(const IvfMetaData& meta, BlockNumber block) {
    const auto within = [block](BlockNumber first, BlockNumber count) {
        return first != 0 && block >= first && block - first < count;
    };
    if (within(meta.directory, (meta.lists + kEntriesPerPage - 1) / kEntriesPerPage)) return PageKind::kIvfDirectory;
    if (within(meta.centroids, CentroidTape(meta).Blocks(meta.lists)) ||
        within(meta.codebook, meta.codebook != 0 ? CodebookTape(meta).Blocks(meta.m) : 0) ||
        within(meta.matrix, Tape{meta.matrix, meta.dim}.Blocks(meta.dim)))
        return PageKind::kIvfTape;
    return PageKind::kIvfList;
}

Buffer NewPages::Take() {
    if (next == InvalidBlockNumber) return ExtendRelationLocked(index, fork);
    Buffer buffer = ReadBufferExtended(index, fork, next++, RBM_NORMAL, nullptr);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    return buffer;
}

void NewPages::Write(Buffer buffer, PageKind kind, const void* contents, size_t bytes) const {
    const Page page = BufferGetPage(buffer);
    // A page that is used again may be on a free list still: it leaves that when it has come to the head and is full.
    PageOpaqueData before = {InvalidBlockNumber, 0, 0, 0, 0};
    if (!PageIsNew(page)) before = *OpaqueOf(page);
    START_CRIT_SECTION();
    InitPage(page, kind, bytes);
    OpaqueOf(page)->next = before.next;
    OpaqueOf(page)->flags = before.flags;
    memcpy(ContentsOf(page), contents, bytes);
    MarkBufferDirty(buffer);
    if (logged) log_newpage_buffer(buffer, true);
    END_CRIT_SECTION();
}

void WriteTape(NewPages* pages, const Tape& tape, const float* numbers, uint64 records) {
    const size_t per_page = static_cast<size_t>(tape.per_page()), floats = static_cast<size_t>(tape.floats);
    const uint64 total = records * floats;
    for (uint64 at = 0; at < total;) {
        CHECK_FOR_INTERRUPTS();
        // To the end of the page's records, or of the record.
        uint64 count = per_page > 0 ? per_page * floats : Min<uint64>(kTapeFloats, floats - at % floats);
        count = Min(count, total - at);
        LockedPage page(pages->index, pages->Take());
        pages->Write(page.buffer(), PageKind::kIvfTape, numbers + at, count * sizeof(float));
        at += count;
    }
}

namespace {

// On a standby nothing keeps vacuum from using the pages of a tape again that a search is about to read.
void CheckTape(Relation index, const LockedPage& page) {
    if (RecoveryInProgress() && !page.Is(PageKind::kIvfTape)) IvfRaiseReplaced(index);
    page.Check(PageKind::kIvfTape);
}

}  // namespace

void IvfRaiseReplaced(Relation index) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("index \"%s\" was built anew by VACUUM, and the pages of the old one are in use again",
                           RelationGetRelationName(index)),
                    errhint("Run the query again.")));
}

void ReadTapeRecord(Relation index, const Tape& tape, uint64 record, float* out) {
    const uint64 per_page = static_cast<uint64>(tape.per_page());
    const size_t floats = static_cast<size_t>(tape.floats);
    if (per_page > 0) {
        LockedPage page(index, tape.first + static_cast<BlockNumber>(record / per_page), BUFFER_LOCK_SHARE);
        CheckTape(index, page);
        memcpy(out, ContentsOf(page.page()) + record % per_page * floats * sizeof(float), floats * sizeof(float));
        return;
    }
    const BlockNumber begin = tape.first + static_cast<BlockNumber>(record * static_cast<uint64>(tape.pages_each()));
    for (size_t at = 0; at < floats; at += kTapeFloats) {
        LockedPage page(index, begin + static_cast<BlockNumber>(at / kTapeFloats), BUFFER_LOCK_SHARE);
        CheckTape(index, page);
        memcpy(out + at, ContentsOf(page.page()), Min<size_t>(kTapeFloats, floats - at) * sizeof(float));
    }
}

void ForTapeRecords(Relation index, const Tape& tape, uint64 records,
                    void (*visit)(void* arg, uint64 record, const float* numbers), void* arg) {
    const uint64 per_page = static_cast<uint64>(tape.per_page());
    const size_t floats = static_cast<size_t>(tape.floats);
    if (per_page == 0) {
        float* numbers = static_cast<float*>(palloc(floats * sizeof(float)));
        for (uint64 record = 0; record < records; ++record) {
            CHECK_FOR_INTERRUPTS();
            ReadTapeRecord(index, tape, record, numbers);
            visit(arg, record, numbers);
        }
        pfree(numbers);
        return;
    }
    for (uint64 record = 0; record < records;) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(index, tape.first + static_cast<BlockNumber>(record / per_page), BUFFER_LOCK_SHARE);
        CheckTape(index, page);
        const float* numbers = reinterpret_cast<const float*>(ContentsOf(page.page()));
        const uint64 end = Min(record + per_page, records);
        for (; record < end; ++record, numbers += floats)
            visit(arg, record, numbers);
    }
}

}  // namespace vecann

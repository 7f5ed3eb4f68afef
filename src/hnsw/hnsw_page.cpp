// Layout of hnsw: sizes, the meta page, free slots.
#include "hnsw/hnsw_page.h"

namespace vecann {

namespace {

constexpr size_t kFixedSlotBytes = sizeof(SlotHeaderData) + kHnswInlineTids * sizeof(TidEntryData);

// More dimensions of a residual than these add little to an estimate: after the rotation any of them is as good as any
// other (README.md, "Layout"). Down to the lower number they are given up where that puts one more slot on a page.
constexpr int kMaxCodeDimensions = 1024;
constexpr int kMinCodeDimensions = 512;
constexpr int kWordDimensions = 64;

// One bit a dimension says enough where there are many of them; the fewer there are, the more bits it takes. A word of
// a code holds 64 dimensions, so few dimensions have bits to spare.
constexpr int kFourBitDimensions = 32;
constexpr int kTwoBitDimensions = 256;

// Of the 2 m neighbours wished for, a page layout must leave room for this share.
constexpr double kLeastDegree = 0.6875;

// With fewer neighbours the payload is split rather, and a second page read for each node: on 3,000 vectors of some
// 6,900 dimensions recall@10 at ef_search 40 was .90 with 8 of them, .96 with 12, .99 with 24 and split.
constexpr int kLeastEdges = 12;

int ChooseCodeBits(int dim) {
    return dim <= kFourBitDimensions ? 4 : dim < kTwoBitDimensions ? 2 : 1;
}

// Parts end where the kernels' loops do.
constexpr int kPartUnit = 16;

// A slot holds at least so many dimensions itself.
constexpr int kLeastHeadDimensions = 64;

// Of words of varying length a slot holds so many, and the rest is cut in parts of which a page holds so many
// (README.md, "Words").
constexpr int kVaryingHeadWords = 128;
constexpr int kVaryingParts = 8;

size_t EdgeBytes(const HnswMetaData& meta) {
    return sizeof(EdgeData) + meta.code_size;
}

PayloadKind PayloadOf(const HnswMetaData& meta) {
    return static_cast<PayloadKind>(meta.payload);
}

size_t SlotBytes(const HnswMetaData& meta) {
    return kFixedSlotBytes + meta.part_count * sizeof(PartRefData) + meta.payload_size +
           meta.max_edges * EdgeBytes(meta);
}
// What stands in a part beside its elements.
size_t PartOverhead(const HnswMetaData& meta) {
    return sizeof(PartHeaderData) + sizeof(PayloadHeadData) + (HasWords(meta) ? sizeof(PartRefData) : 0);
}
size_t PartBytes(const HnswMetaData& meta) {
    return PartOverhead(meta) + PayloadSize(PayloadOf(meta), meta.part_dim) - sizeof(PayloadHeadData);
}

// Edges of a slot when a page holds `slots` of them; negative when not even the vector fits.
int EdgesThatFit(const HnswMetaData& meta, int slots) {
    const int room = static_cast<int>(kPageRoom / static_cast<size_t>(slots)) & ~7;
    const int left = room - static_cast<int>(kFixedSlotBytes + meta.part_count * sizeof(PartRefData) +
                                             PayloadSize(PayloadOf(meta), meta.head_dim));
    return left < 0 ? -1 : left / static_cast<int>(EdgeBytes(meta));
}

void SetCodeDimensions(HnswMetaData* meta, int code_dim) {
    meta->code_dim = static_cast<uint16>(code_dim);
    meta->code_size = static_cast<uint16>(HnswCodeShape(*meta).bytes());
}

int EdgesWished(const HnswMetaData& meta) {
    return 2 * meta.m;
}
int LeastEdges(const HnswMetaData& meta) {
    return static_cast<int>(std::ceil(kLeastDegree * EdgesWished(meta)));
}

// Do all dimensions fit a slot?
bool FitsSlot(const HnswMetaData& meta) {
    return EdgesThatFit(meta, 1) >= Min(kLeastEdges, EdgesWished(meta));
}

// Sets max_edges and the sizes that follow, for `slots` on a page.
void SetSizes(HnswMetaData* meta, int slots) {
    meta->max_edges = static_cast<uint16>(Max(Min(EdgesWished(*meta), EdgesThatFit(*meta, slots)), 0));
    meta->slots = static_cast<uint16>(slots);
    meta->payload_size = static_cast<uint16>(PayloadSize(PayloadOf(*meta), meta->head_dim));
    meta->slot_size = static_cast<uint16>(SlotBytes(*meta));
}

// The slots of a page that leave each enough of the edges wished for.
int SlotsThatFit(const HnswMetaData& meta) {
    int slots = 1;
    while (EdgesThatFit(meta, slots + 1) >= LeastEdges(meta))
        ++slots;
    return slots;
}

// As many slots to a page as there can be, then codes of as many dimensions.
void ChooseSlots(HnswMetaData* meta) {
    const int full = meta->code_dim;
    int slots = SlotsThatFit(*meta), code_dim = full;
    for (int tried = (full - 1) / kWordDimensions * kWordDimensions; tried >= kMinCodeDimensions;
         tried -= kWordDimensions) {
        SetCodeDimensions(meta, tried);
        if (SlotsThatFit(*meta) <= slots) continue;
        slots = SlotsThatFit(*meta);
        code_dim = tried;
    }
    SetCodeDimensions(meta, code_dim);
    SetSizes(meta, slots);
}

// Splits the payload: `slots` to a page, each with room for `edges`, the dimensions for which there is no room then in
// `count` parts. False when that does not fit.
bool Split(HnswMetaData* meta, int count, int slots, int edges) {
    const size_t element = PayloadElementSize(PayloadOf(*meta));
    const int refs = HasWords(*meta) ? 1 : count;
    const int room = static_cast<int>(kPageRoom / static_cast<size_t>(slots)) & ~7;
    const int left = room - static_cast<int>(kFixedSlotBytes + static_cast<size_t>(refs) * sizeof(PartRefData) +
                                             sizeof(PayloadHeadData) + static_cast<size_t>(edges) * EdgeBytes(*meta));
    const int most = Min(left / static_cast<int>(element), meta->elements - 1) / kPartUnit * kPartUnit;
    if (left < 0 || most < kLeastHeadDimensions) return false;
    const int unit = count * kPartUnit;
    meta->head_dim = static_cast<uint16>(most);
    meta->part_count = static_cast<uint16>(refs);
    meta->part_dim = static_cast<uint16>((meta->elements - most + unit - 1) / unit * kPartUnit);
    if (PartBytes(*meta) > kPageRoom) return false;
    meta->part_size = static_cast<uint16>(PartBytes(*meta));
    meta->parts = static_cast<uint16>(kPageRoom / PartBytes(*meta));
    SetSizes(meta, slots);
    return true;
}

double PagesPerNode(const HnswMetaData& meta) {
    const int parts = (meta.elements - meta.head_dim + meta.part_dim - 1) / meta.part_dim;
    return 1.0 / meta.slots + static_cast<double>(parts) / meta.parts;
}

// As few parts as possible, which a search reads one by one; then as few pages as possible.
void ChooseParts(HnswMetaData* meta) {
    HnswMetaData least_head = *meta;
    least_head.head_dim = kLeastHeadDimensions;
    least_head.part_count = kMaxParts;
    const int wish = EdgesWished(*meta), least = Min(LeastEdges(*meta), EdgesThatFit(least_head, 1));
    HnswMetaData best = *meta;
    for (int count = 1; best.part_count == 0 && count <= kMaxParts; ++count) {
        for (int slots = 1; EdgesThatFit(least_head, slots) >= least; ++slots) {
            for (const int edges : {wish, least}) {
                HnswMetaData split = *meta;
                if (!Split(&split, count, slots, edges)) continue;
                if (best.part_count == 0 || PagesPerNode(split) < PagesPerNode(best)) best = split;
            }
        }
    }
    *meta = best;
}

// A slot takes what it can of values of varying length; the sizes of the rest are fixed.
void ChooseVarying(HnswMetaData* meta) {
    meta->head_dim = static_cast<uint16>(Min<int>(meta->elements, kVaryingHeadWords));
    if (meta->head_dim < meta->elements) {
        meta->part_count = 1;
        const size_t size = kPageRoom / kVaryingParts & ~size_t{7};
        meta->part_dim = static_cast<uint16>((size - PartOverhead(*meta)) / sizeof(uint64));
        meta->part_size = static_cast<uint16>(PartBytes(*meta));
        meta->parts = static_cast<uint16>(kPageRoom / PartBytes(*meta));
    }
    ChooseSlots(meta);
}

bool AreSoundParts(const HnswMetaData& meta) {
    if (meta.part_count == 0) return meta.head_dim == meta.elements;
    if (meta.part_count > kMaxParts || meta.part_dim == 0 || meta.parts == 0 || meta.head_dim >= meta.elements)
        return false;
    if (meta.part_size != PartBytes(meta) || meta.parts != kPageRoom / meta.part_size) return false;
    if (HasWords(meta)) return meta.part_count == 1;
    const int begin = PartBegin(meta, meta.part_count - 1), last = Min<int>(meta.part_dim, meta.elements - begin);
    return last > 0 && begin + last == meta.elements && meta.head_dim % kPartUnit == 0 &&
           meta.part_dim % kPartUnit == 0;
}

// Do the sizes follow from each other? Whoever reads slots by them then stays on the page.
bool AreSoundSizes(const HnswMetaData& meta) {
    if (meta.m < kHnswMinM || meta.m > kHnswMaxM || meta.dim == 0 || meta.slots == 0) return false;
    if (meta.payload > static_cast<uint8>(PayloadKind::kWords) || meta.code_bits > kMaxCodeBits) return false;
    if (meta.elements == 0 || meta.elements > kMostElements) return false;
    if (HasWords(meta) ? meta.code_bits > 0 : meta.elements != meta.dim) return false;
    if (meta.max_edges == 0 || meta.max_edges > 2 * meta.m) return false;
    if (!AreSoundParts(meta) || meta.payload_size != PayloadSize(PayloadOf(meta), meta.head_dim)) return false;
    if (meta.code_bits > 0 && (meta.code_dim == 0 || meta.code_dim > meta.dim)) return false;
    if (meta.code_size != HnswCodeShape(meta).bytes()) return false;
    return meta.slot_size == SlotBytes(meta) && static_cast<size_t>(meta.slots) * meta.slot_size <= kPageRoom;
}

bool SlotPageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kNode) >= 0;
}
bool TidPageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kTid) >= 0;
}

bool PartPageHasFree(Page page, const void* arg) {
    return HnswFindFreeSlot(*static_cast<const HnswMetaData*>(arg), page, PageKind::kPart) >= 0;
}

}  // namespace

CodeShape HnswCodeShape(const HnswMetaData& meta) {
    if (meta.code_bits == 0) return {meta.elements, 0, 0, 0};
    return CodeShape::Make(meta.elements, meta.code_bits, meta.code_dim);
}

namespace {

// Everything but R, the slots of a page and the parts.
HnswMetaData MakeVectorForm(const OpClassDesc& desc, int dim, const HnswShapeOptions& options) {
    HnswMetaData meta;
    memset(&meta, 0, sizeof(meta));
    meta.dim = static_cast<uint32>(dim);
    meta.elements = static_cast<uint16>(desc.words != nullptr ? desc.words->most_words(dim) : dim);
    meta.m = static_cast<uint16>(options.m);
    meta.ef_construction = static_cast<uint16>(options.ef_construction);
    meta.element = static_cast<uint8>(desc.element);
    meta.metric = static_cast<uint8>(desc.metric);
    meta.entry = kInvalidId;
    const PayloadKind payload = desc.words != nullptr ? PayloadKind::kWords
                                : options.payload < 0 ? PayloadKind::kSq8
                                                      : static_cast<PayloadKind>(options.payload);
    meta.payload = static_cast<uint8>(payload);
    meta.head_dim = meta.elements;
    if (desc.words == nullptr && MetricHasCodes(desc.metric)) {
        meta.code_bits = static_cast<uint8>(options.code_bits > 0 ? options.code_bits : ChooseCodeBits(dim));
        meta.code_dim = static_cast<uint16>(Min(dim, kMaxCodeDimensions));
    }
    meta.code_size = static_cast<uint16>(HnswCodeShape(meta).bytes());
    return meta;
}

}  // namespace

HnswMetaData HnswMakeMeta(const OpClassDesc& desc, int dim, const HnswShapeOptions& options) {
    if (dim > desc.max_dimensions)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for hnsw index", desc.max_dimensions)));
    if (desc.words != nullptr && (options.payload >= 0 || options.code_bits > 0))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("operator class \"%s\" has no options payload and code_bits", desc.name),
                        errdetail("It keeps values as they are.")));
    HnswMetaData meta = MakeVectorForm(desc, dim, options);
    if (desc.words != nullptr && desc.words->varying)
        ChooseVarying(&meta);
    else if (FitsSlot(meta))
        ChooseSlots(&meta);
    else
        ChooseParts(&meta);
    return meta;
}

void HnswWriteMeta(Relation index, ForkNumber fork, const HnswMetaData& meta) {
    WriteMetaPage(index, fork, AccessMethod::kHnsw, &meta, sizeof(meta));
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
    const SlotView slot = SlotAt(meta, page.page(), at);
    if (!IsSoundSlot(meta, kind, *slot.header) || !IsSoundLength(meta, slot.payload))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("slot %d of block %u of index \"%s\" has a broken header", at, page.block(),
                               RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    return slot;
}

FreeListKind HnswFreeList(const HnswMetaData& meta, PageKind kind) {
    if (kind == PageKind::kTid)
        return {kTidList, kind, kSegmentsPerPage * sizeof(TidSegmentData), TidPageHasFree, &meta};
    if (kind == PageKind::kPart)
        return {kPartList, kind, static_cast<size_t>(meta.parts) * meta.part_size, PartPageHasFree, &meta};
    return {kind == PageKind::kNode ? kNodeList : kUpperList, kind, static_cast<size_t>(meta.slots) * meta.slot_size,
            SlotPageHasFree, &meta};
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
    if (kind == PageKind::kPart) {
        for (int i = 0; i < meta.parts; ++i)
            if (PartAt(meta, page, i)->in_use == 0) return i;
        return -1;
    }
    for (int i = 0; i < meta.slots; ++i)
        if (SlotAt(meta, page, i).state() == SlotState::kFree) return i;
    return -1;
}

}  // namespace vecann

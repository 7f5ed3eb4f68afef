// The verifier's first pass: the meta page, the form of every page and slot, the free lists. Locks: one page at a time,
// share, for a copy.
#include "hnsw/hnsw_verify.h"

#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_seeds.h"
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

void SlotProblem(HnswVerifier* v, uint32 id, const char* format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    VerifyProblem(v->report, "block %u slot %d: %s", BlockOfId(v->meta, id), SlotOfId(v->meta, id), text);
}

void CopyIndexPage(const HnswVerifier& v, BlockNumber block, BufferAccessStrategy strategy, PGAlignedBlock* copy) {
    LockedPage page(v.index, block, BUFFER_LOCK_SHARE, strategy);
    memcpy(copy->data, page.page(), BLCKSZ);
}

SlotView CopySlot(const HnswVerifier& v, uint32 id, PageKind kind, PGAlignedBlock* copy) {
    CopyIndexPage(v, BlockOfId(v.meta, id), nullptr, copy);
    return SlotAt(v.meta, PageOf(copy), SlotOfId(v.meta, id));
}

void CheckPayload(HnswVerifier* v, uint32 id, const void* payload) {
    if (v->form.words) {
        const WordsHeadData& words = *static_cast<const WordsHeadData*>(payload);
        if (words.error != kExactPayload || words.reserved != 0 || !v->desc->words->sound(words, v->form.dim))
            SlotProblem(v, id, "its words are no value of the type");
        return;
    }
    // An exact payload is the vector itself, which is finite though its rotation may overflow.
    const bool exact = v->form.may_be_exact && HnswIsExact(payload);
    if (exact)
        DecodePayload(v->form.payload, payload, v->form.dim, v->vector);
    else
        HnswDecode(v->form, payload, v->vector);
    double norm = 0;
    for (int i = 0; i < v->meta.elements; ++i) {
        if (!std::isfinite(v->vector[i])) {
            SlotProblem(v, id, "its vector holds NaN or infinity");
            return;
        }
        norm += static_cast<double>(v->vector[i]) * static_cast<double>(v->vector[i]);
    }
    const double error = static_cast<double>(static_cast<const PayloadHeadData*>(payload)->error);
    if (exact) return;
    if (!(error >= 0)) {
        SlotProblem(v, id, "its vector has the error %g", error);
        return;
    }
    // Rounding, at 16,000 dimensions, is below the tolerance.
    constexpr double kTolerance = 2e-3;
    if (v->desc->unit_norm && !(std::fabs(std::sqrt(norm) - 1) <= kTolerance + error))
        SlotProblem(v, id, "its vector has the squared norm %g where 1 is expected", norm);
}

namespace {

bool IsZero(const void* data, size_t bytes) {
    const char* at = static_cast<const char*>(data);
    for (size_t i = 0; i < bytes; ++i)
        if (at[i] != 0) return false;
    return true;
}

// ---- pages ---------------------------------------------------------------------

// Checks what all our pages have in common. False when the special area cannot be believed.
bool CheckPageFrame(HnswVerifier* v, BlockNumber block, Page page) {
    const PageHeader header = reinterpret_cast<PageHeader>(page);
    if (header->pd_special != BLCKSZ - MAXALIGN(sizeof(PageOpaqueData)) || PageGetPageSize(page) != BLCKSZ ||
        OpaqueOf(page)->page_id != kPageId) {
        BlockProblem(v->report, block, "is not a vecann page");
        return false;
    }
    const PageOpaqueData* opaque = OpaqueOf(page);
    if (opaque->format_version != kFormatVersion) {
        BlockProblem(v->report, block, "has format version %u where %u is expected", opaque->format_version,
                     kFormatVersion);
        return false;
    }
    if (header->pd_upper != header->pd_special)
        BlockProblem(v->report, block, "has its upper pointer at %u", header->pd_upper);
    if ((opaque->flags & ~kPageListed) != 0) BlockProblem(v->report, block, "has unknown flags %x", opaque->flags);
    return true;
}

// A fresh page has no contents until it is put on its free list.
bool IsFresh(Page page) {
    return reinterpret_cast<PageHeader>(page)->pd_lower == kPageContents &&
           (OpaqueOf(page)->flags & kPageListed) == 0 && IsZero(ContentsOf(page), kPageRoom);
}

void CheckContentSize(HnswVerifier* v, BlockNumber block, Page page, size_t expected) {
    const unsigned lower = reinterpret_cast<PageHeader>(page)->pd_lower;
    if (lower != kPageContents + expected && !IsFresh(page))
        BlockProblem(v->report, block, "has its lower pointer at %u where %zu is expected", lower,
                     kPageContents + expected);
}

bool SameSizes(const HnswMetaData& a, const HnswMetaData& b) {
    return a.slots == b.slots && a.slot_size == b.slot_size && a.max_edges == b.max_edges &&
           a.code_bits == b.code_bits && a.code_dim == b.code_dim && a.payload_size == b.payload_size &&
           a.code_size == b.code_size && a.elements == b.elements && a.head_dim == b.head_dim &&
           a.part_count == b.part_count && a.part_dim == b.part_dim && a.part_size == b.part_size && a.parts == b.parts;
}

// Reads the meta page into v->meta. False when the rest of the index cannot be understood.
bool VerifyMeta(HnswVerifier* v) {
    if (v->blocks == 0) {
        VerifyProblem(v->report, "the index has no pages");
        return false;
    }
    PGAlignedBlock copy;
    CopyIndexPage(*v, kMetaBlock, nullptr, &copy);
    const Page page = PageOf(&copy);
    if (PageIsNew(page)) {
        BlockProblem(v->report, kMetaBlock, "the meta page is empty");
        return false;
    }
    if (!CheckPageFrame(v, kMetaBlock, page)) return false;
    const HnswMetaData meta = *HnswMetaOf(page);
    if (OpaqueOf(page)->kind != static_cast<uint16>(PageKind::kMeta) || meta.header.magic != kMetaMagic ||
        meta.header.access_method != static_cast<uint16>(AccessMethod::kHnsw)) {
        BlockProblem(v->report, kMetaBlock, "is not the meta page of an hnsw index");
        return false;
    }
    CheckContentSize(v, kMetaBlock, page, sizeof(HnswMetaData));
    if (meta.element != static_cast<uint8>(v->desc->element) || meta.metric != static_cast<uint8>(v->desc->metric)) {
        BlockProblem(v->report, kMetaBlock, "the index was built for another operator class");
        return false;
    }
    const int dim = IndexDimensions(v->index);
    if (meta.dim != static_cast<uint32>(dim) || meta.m < kHnswMinM || meta.m > kHnswMaxM) {
        BlockProblem(v->report, kMetaBlock, "%u dimensions and m = %u do not fit the indexed column", meta.dim, meta.m);
        return false;
    }
    if (meta.payload > static_cast<uint8>(PayloadKind::kWords) || HasWords(meta) != (v->desc->words != nullptr) ||
        meta.code_bits > kMaxCodeBits) {
        BlockProblem(v->report, kMetaBlock, "has payload %u and %u code bits", meta.payload, meta.code_bits);
        return false;
    }
    if (meta.ef_construction < kHnswMinEfConstruction || meta.ef_construction > kHnswMaxEfConstruction)
        BlockProblem(v->report, kMetaBlock, "ef_construction is %u", meta.ef_construction);
    const bool words = HasWords(meta);
    const HnswShapeOptions shape = {meta.m, meta.ef_construction, words ? -1 : meta.payload,
                                    words ? 0 : meta.code_bits};
    if (!SameSizes(meta, HnswMakeMeta(*v->desc, dim, shape))) {
        BlockProblem(v->report, kMetaBlock, "slot sizes do not follow from %u dimensions and m = %u", meta.dim, meta.m);
        return false;
    }
    v->meta = meta;
    return true;
}

// ---- slots ---------------------------------------------------------------------

// Vacuum leaves nothing in the header of a free slot but its generation, and so does a fresh page.
void CheckFreeSlot(HnswVerifier* v, uint32 id, const SlotHeaderData& header) {
    SlotHeaderData rest = header;
    rest.generation = 0;
    if (!IsZero(&rest, sizeof(rest))) SlotProblem(v, id, "is free but its header is not empty");
    ++v->report->free_slots;
}

bool CheckSlotHeader(HnswVerifier* v, uint32 id, PageKind kind, const SlotHeaderData& header) {
    const bool node = kind == PageKind::kNode;
    const int64 before = v->report->problem_count;
    if (header.state != static_cast<uint8>(SlotState::kLive) && header.state != static_cast<uint8>(SlotState::kDeleted))
        SlotProblem(v, id, "has state %u", header.state);
    if (node ? header.level != 0 : (header.level < 1 || header.level > kHnswMaxLevel))
        SlotProblem(v, id, "has level %u on a page of kind %s", header.level, node ? "node" : "upper");
    if (header.edge_count > v->meta.max_edges)
        SlotProblem(v, id, "has %u edges where %u are the most", header.edge_count, v->meta.max_edges);
    if (header.tid_count > (node ? kHnswInlineTids : 0)) SlotProblem(v, id, "has %u inline rows", header.tid_count);
    if (node && header.down != kInvalidId) SlotProblem(v, id, "is a node with a link down");
    if (!node && header.tid_chain != kInvalidId) SlotProblem(v, id, "is an upper slot with a chain of rows");
    return v->report->problem_count == before;
}

// The factors of codes must be numbers, or the search could not order its neighbours.
void CheckFactors(HnswVerifier* v, uint32 id, const SlotView& slot) {
    for (int i = 0; i < slot.header->edge_count; ++i)
        if (!std::isfinite(slot.edges[i].add) || !std::isfinite(slot.edges[i].scale))
            SlotProblem(v, id, "the code of edge %d has a factor that is no number", i);
}

void SurveySlot(HnswVerifier* v, uint32 id, PageKind kind, const SlotView& slot) {
    const SlotHeaderData& header = *slot.header;
    SlotBrief brief;
    memset(static_cast<void*>(&brief), 0, sizeof(brief));
    brief.generation = static_cast<uint8>(header.generation & 0xFF);
    if (header.state == static_cast<uint8>(SlotState::kFree)) {
        CheckFreeSlot(v, id, header);
        v->slot[id] = brief;
        return;
    }
    brief.broken = !CheckSlotHeader(v, id, kind, header);
    if (!IsSoundLength(v->meta, slot.payload)) {
        SlotProblem(v, id, "has %u words where %u are the most", WordCountOf(slot.payload), v->meta.elements);
        brief.broken = true;
    }
    brief.state = Min<uint8>(header.state, static_cast<uint8>(SlotState::kDeleted));
    brief.level = Min<uint8>(header.level, kHnswMaxLevel + 1);
    v->slot[id] = brief;
    if (brief.broken) return;
    if (v->meta.part_count == 0) CheckPayload(v, id, slot.payload);
    CheckFactors(v, id, slot);
    if (slot.state() == SlotState::kDeleted)
        ++v->report->deleted_slots;
    else
        ++(kind == PageKind::kNode ? v->report->nodes : v->report->upper_slots);
    v->tid_estimate += header.tid_count;
}

void SurveySegment(HnswVerifier* v, BlockNumber block, int at, const TidSegmentData& segment) {
    if (segment.in_use == 0) {
        if (!IsZero(&segment, sizeof(segment))) BlockProblem(v->report, block, "segment %d is free but not empty", at);
        return;
    }
    if (segment.in_use != 1) BlockProblem(v->report, block, "segment %d has the in-use mark %u", at, segment.in_use);
    if (segment.count > kSegmentTids)
        BlockProblem(v->report, block, "segment %d has %u rows where %d are the most", at, segment.count, kSegmentTids);
    v->tid_estimate += Min<uint16>(segment.count, kSegmentTids);
}

void SurveyPage(HnswVerifier* v, BlockNumber block, Page page) {
    BlockBrief* brief = &v->block[block];
    // A crash after the relation was extended leaves an empty page, which vacuum takes into use.
    if (PageIsNew(page) || !CheckPageFrame(v, block, page)) return;
    const PageOpaqueData* opaque = OpaqueOf(page);
    const PageKind kind = static_cast<PageKind>(opaque->kind);
    const bool seeds = kind == PageKind::kSeed && HnswSeedCapacity(v->meta) > 0;
    const bool rows = kind >= PageKind::kRowCode && kind <= PageKind::kRowCentre && HnswSuitsRows(v->meta);
    const bool known = rows || kind == PageKind::kNode || kind == PageKind::kUpper || kind == PageKind::kTid || seeds ||
                       (kind == PageKind::kPart && v->meta.part_count > 0);
    if (!known) {
        BlockProblem(v->report, block, "has page kind %u", opaque->kind);
        return;
    }
    brief->kind = opaque->kind;
    brief->flags = opaque->flags;
    brief->next = opaque->next;
    if (rows) {
        CheckContentSize(v, block, page, HnswRowPageBytes(v->meta, kind));
        return;
    }
    CheckContentSize(v, block, page, seeds ? HnswSeedBytes(v->meta) : HnswFreeList(v->meta, kind).content_bytes);
    if (seeds) {
        SurveySeeds(v, block, page);
        return;
    }
    if (kind == PageKind::kTid) {
        for (int i = 0; i < kSegmentsPerPage; ++i)
            SurveySegment(v, block, i, *SegmentAt(page, i));
        return;
    }
    if (kind == PageKind::kPart) {
        for (int i = 0; i < v->meta.parts; ++i)
            SurveyPart(v, block, i, *PartAt(v->meta, page, i));
        return;
    }
    for (int i = 0; i < v->meta.slots; ++i)
        SurveySlot(v, IdOf(v->meta, block, i), kind, SlotAt(v->meta, page, i));
}

// Looks at every page once; ids of more than 32 bits are not looked at.
void Survey(HnswVerifier* v) {
    const BlockNumber most = kInvalidId / v->meta.slots;
    if (v->blocks > most) {
        VerifyProblem(v->report, "the index has %u pages where %u are the most", v->blocks, most);
        v->blocks = most;
    }
    const size_t ids = static_cast<size_t>(v->blocks) * v->meta.slots;
    v->block.Init(&v->arena, v->blocks);
    v->block.size = v->blocks;
    memset(static_cast<void*>(v->block.data), 0, v->block.size * sizeof(BlockBrief));
    v->slot.Init(&v->arena, ids);
    v->slot.size = ids;
    memset(static_cast<void*>(v->slot.data), 0, ids * sizeof(SlotBrief));
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        CopyIndexPage(*v, block, v->strategy, &copy);
        SurveyPage(v, block, PageOf(&copy));
    }
}

// ---- free lists ------------------------------------------------------------------

// Walks one list; `on_list` takes the pages it meets.
void WalkFreeList(HnswVerifier* v, PageKind kind, BlockNumber head, BitSet* on_list) {
    BlockNumber from = kMetaBlock;
    for (BlockNumber block = head; block != InvalidBlockNumber; from = block, block = v->block[block].next) {
        CHECK_FOR_INTERRUPTS();
        if (block >= v->blocks || v->block[block].kind != static_cast<uint16>(kind)) {
            BlockProblem(v->report, from, "the free list leads to block %u, which is not a page of kind %u", block,
                         static_cast<unsigned>(kind));
            return;
        }
        if (!on_list->Add(block)) {
            BlockProblem(v->report, from, "the free list leads to block %u a second time", block);
            return;
        }
        if ((v->block[block].flags & kPageListed) == 0)
            BlockProblem(v->report, block, "is on a free list but not flagged so");
    }
}

void VerifyFreeLists(HnswVerifier* v) {
    BitSet on_list;
    on_list.Init(&v->arena, v->blocks);
    const BlockNumber* heads = v->meta.header.free_head;
    WalkFreeList(v, PageKind::kNode, heads[kNodeList], &on_list);
    WalkFreeList(v, PageKind::kUpper, heads[kUpperList], &on_list);
    WalkFreeList(v, PageKind::kTid, heads[kTidList], &on_list);
    static_assert(kPartList == kFreeListSlots - 1);
    if (v->meta.part_count > 0)
        WalkFreeList(v, PageKind::kPart, heads[kPartList], &on_list);
    else if (heads[kPartList] != InvalidBlockNumber)
        BlockProblem(v->report, kMetaBlock, "free list %d is not in use but has a head", kPartList);
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        const BlockBrief& brief = v->block[block];
        if (brief.kind == 0 || on_list.Has(block)) continue;
        if ((brief.flags & kPageListed) != 0)
            BlockProblem(v->report, block, "is flagged as listed but on no free list");
        if ((brief.flags & kPageListed) == 0 && brief.next != InvalidBlockNumber)
            BlockProblem(v->report, block, "is on no free list but has a next page");
    }
}

}  // namespace

void HnswVerify(Relation heap, Relation index, Snapshot snapshot, VerifyReport* report) {
    HnswVerifier v;
    memset(static_cast<void*>(&v), 0, sizeof(v));
    v.heap = heap;
    v.index = index;
    v.snapshot = snapshot;
    v.report = report;
    v.desc = OpClassOf(index);
    v.arena = MakeArena(CurrentMemoryContext);
    v.strategy = GetAccessStrategy(BAS_BULKREAD);
    v.blocks = RelationGetNumberOfBlocks(index);
    if (!VerifyMeta(&v)) return;
    v.form = HnswVectorForm(v.meta, v.desc);
    v.vector = v.arena.Allocate<float>(v.meta.elements);
    v.payload = v.arena.Allocate<char>(2 * v.form.payload_size);
    report->max_edges = v.meta.max_edges;
    Survey(&v);
    VerifyFreeLists(&v);
    VerifySeeds(&v);
    VerifyRowMap(&v);
    VerifyEntryPoint(&v);
    VerifyGraph(&v);
    CountUnreachable(&v);
    VerifyHeapToIndex(&v);
    VerifyIndexToHeap(&v);
    // An insert that failed before its last step may leave nodes without an entry point; one that succeeded may not.
    if (v.meta.entry == kInvalidId && v.visible_rows > 0)
        BlockProblem(v.report, kMetaBlock, "the entry point is missing");
    FreeAccessStrategy(v.strategy);
}

}  // namespace vecann

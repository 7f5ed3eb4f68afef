// Reading the graph: probes, descent, beam search in one layer. Locks: one page at a time, share, for one slot's read.
#include "hnsw/hnsw_search.h"

#include "hnsw/hnsw_admission.h"
#include "hnsw/hnsw_parts.h"
#include "pg/recent_buffers.h"

namespace vecann {

namespace {

// The entry point is replaced before its slot is freed, so one retry is the rule; this many mean a corrupted index.
constexpr int kMaxDescentRetries = 1000;

// Slots that are likely to be read next: how many are asked for from memory ahead, and how much of each. The rest of a
// slot comes in sequence, which the processor sees by itself.
constexpr int kSlotsAhead = 2;
constexpr size_t kBytesAhead = 4096;

// After a page that had to be read from the disk, so many expansions ask the disk for so many pages ahead.
constexpr int kColdExpansions = 8;
constexpr int kPagesAhead = 8;

SlotView CheckedSlot(HnswContext* ctx, const LockedPage& page, PageKind kind, uint32 id) {
    ++ctx->counts.pages;
    CheckOldSnapshot(ctx->snapshot, ctx->index, page.page());
    return HnswCheckedSlot(ctx->meta, ctx->index, page, kind, id);
}

bool HasRows(const SlotView& slot) {
    if (slot.header->tid_chain != kInvalidId) return true;
    for (int i = 0; i < slot.header->tid_count; ++i)
        if ((slot.tids[i].flags & kTidKilled) == 0) return true;
    return false;
}

void CopyEdges(const HnswMetaData& meta, const SlotView& slot, EdgeCopy* out) {
    out->count = slot.header->edge_count;
    const size_t n = static_cast<size_t>(out->count);
    memcpy(static_cast<void*>(out->edges), slot.edges, n * sizeof(EdgeData));
    memcpy(out->codes, slot.codes, n * meta.code_size);
}

// Copies the payload of a locked slot; the lock is given back before its parts are read. False when it is gone by then.
bool CopyPayload(HnswContext* ctx, uint32 id, PageKind kind, const SlotView& slot, LockedPage* page, void* payload) {
    memcpy(payload, slot.payload, SlotPayloadBytes(ctx->meta, slot.payload));
    if (ctx->meta.part_count == 0) return true;
    SlotParts parts;
    HnswCopyParts(*ctx, id, kind, slot, &parts);
    page->Release();
    return HnswReadParts(ctx, parts, nullptr, nullptr, payload);
}

}  // namespace

void HnswOpen(HnswContext* ctx, Relation index, WriteMode mode, MemoryContext memory) {
    ctx->index = index;
    ctx->meta = HnswReadMeta(index);
    ctx->desc = OpClassOf(index);
    if (static_cast<uint8>(ctx->desc->metric) != ctx->meta.metric ||
        static_cast<uint8>(ctx->desc->element) != ctx->meta.element ||
        HasWords(ctx->meta) != (ctx->desc->words != nullptr))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" was built for another operator class", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    ctx->form = HnswVectorForm(ctx->meta, ctx->desc);
    ctx->mode = mode;
    ctx->memory = memory;
    ctx->arena = MakeArena(memory);
    ctx->strategy = nullptr;
    ctx->snapshot = nullptr;
    ctx->asks_ahead = get_tablespace_io_concurrency(index->rd_rel->reltablespace) > 0;
    ctx->descent_ef = kMaxDescentEf;
    memset(&ctx->counts, 0, sizeof(ctx->counts));
}

uint64 HnswIdSpace(const HnswContext& ctx) {
    return static_cast<uint64>(RelationGetNumberOfBlocks(ctx.index)) * ctx.meta.slots;
}

bool HnswProbe(HnswContext* ctx, uint32 id, PageKind kind, int generation, ProbedSlot* out, void* payload) {
    LockedPage page(ctx->index, BlockOfId(ctx->meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
    const SlotView slot = CheckedSlot(ctx, page, kind, id);
    if (slot.state() == SlotState::kFree) return false;
    if (generation != kAnyGeneration && static_cast<int>(slot.header->generation & 0xFF) != generation) return false;
    out->generation = slot.header->generation;
    out->up = slot.header->up;
    out->down = slot.header->down;
    out->state = slot.state();
    out->level = slot.header->level;
    return payload == nullptr || CopyPayload(ctx, id, kind, slot, &page, payload);
}

void EdgeCopy::Init(Arena* arena, const HnswMetaData& meta) {
    edges = arena->Allocate<EdgeData>(meta.max_edges);
    codes = arena->Allocate<char>(static_cast<size_t>(meta.max_edges) * meta.code_size + 1);
    count = 0;
}

bool HnswReadEdges(HnswContext* ctx, uint32 id, PageKind kind, uint32 generation, EdgeCopy* out, void* payload) {
    LockedPage page(ctx->index, BlockOfId(ctx->meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
    const SlotView slot = CheckedSlot(ctx, page, kind, id);
    if (slot.state() == SlotState::kFree || slot.header->generation != generation) return false;
    CopyEdges(ctx->meta, slot, out);
    return payload == nullptr || CopyPayload(ctx, id, kind, slot, &page, payload);
}

// ---- one layer -------------------------------------------------------------------

void LayerSearch::Init(HnswContext* context, const IndexedVector* prepared, int at_level, uint32 ef) {
    ctx = context;
    query = prepared;
    level = at_level;
    rule = LiveRule::kNotDeleted;
    keep_payloads = keep_exact = false;
    spare = nullptr;
    sought = nullptr;
    met = false;
    cold_reads = 0;
    next_asked = 0;
    std::fill(asked, asked + kAsked, kInvalidId);
    admission = nullptr;
    hint_count = 0;
    Arena* arena = &context->arena;
    beam.Init(arena, ef);
    // The upper layers are small whatever the id space is.
    const uint64 ids_seen = static_cast<uint64>(BlocksSeen(context->index)) * context->meta.slots;
    visited.Init(arena, level == 0 ? ids_seen : kInvalidId);
    found.Init(arena, static_cast<size_t>(ef) + ef / 2 + 8);
    const size_t n = context->meta.max_edges;
    estimates = arena->Allocate<float>(n);
    ids = arena->Allocate<uint32>(n);
    generations = arena->Allocate<uint8>(n);
}

bool LayerSearch::Start(uint32 id) {
    visited.Add(id);
    const int n = ReadSlot(id);
    if (n >= 0) OfferNeighbours(n);
    return n >= 0;
}

bool LayerSearch::NextToRead(uint32* id) {
    if (admission == nullptr) return beam.NextToExpand(id);
    if (admission->Enough(beam.Frontier())) return false;
    if (beam.NextToExpand(id)) return true;
    // The pool is full of nodes that count, and more are needed.
    beam.Widen(beam.capacity());
    return beam.NextToExpand(id);
}

// Was the slot just read offered for what is not there any more?
bool LayerSearch::IsAstray(const FoundSlot& slot) {
    for (int i = 0; i < hint_count; ++i) {
        if (hints[i].id != slot.id) continue;
        const uint8 generation = hints[i].generation;
        hints[i] = hints[--hint_count];
        return generation != static_cast<uint8>(slot.generation & 0xFF);
    }
    return false;
}

bool LayerSearch::Settle(size_t memory_limit) {
    met = false;
    uint32 id;
    while (NextToRead(&id)) {
        CHECK_FOR_INTERRUPTS();
        const int n = ReadSlot(id);
        const bool refused = n >= 0 && admission != nullptr && !admission->Admit(found[found.size - 1]);
        // A slot that is gone, or does not count, gives its place to another.
        if (n < 0 || IsAstray(found[found.size - 1]) || refused || !found[found.size - 1].live) beam.MarkDead();
        if (n >= 0) OfferNeighbours(n);
        if (sought != nullptr && n >= 0) {
            const FoundSlot& slot = found[found.size - 1];
            met = slot.live && HnswSamePayload(ctx->form, slot.payload, sought);
            if (met) return true;
        }
        if (refused) Forget();
        if (memory_limit > 0 && ctx->arena.allocated > memory_limit) return false;
    }
    // Admission ends a search for want of memory, too.
    return memory_limit == 0 || ctx->arena.allocated <= memory_limit;
}

// Takes back the slot found last.
void LayerSearch::Forget() {
    TakeBack(found[--found.size].payload);
}

void LayerSearch::TakeBack(const void* payload) {
    char* copy = static_cast<char*>(const_cast<void*>(payload));
    if (copy != nullptr && ctx->form.words)
        ctx->arena.Release(copy, HnswPayloadBytes(ctx->form, copy));
    else if (spare == nullptr)
        spare = copy;
    else
        ctx->arena.Release(copy, ctx->form.payload_size);
}

void HnswFill(const HnswContext& ctx, uint32 id, const SlotView& slot, const IndexedVector* query, FoundSlot* out) {
    const SlotHeaderData& header = *slot.header;
    out->distance = query != nullptr ? HnswDistance(ctx.form, *query, slot.payload) : 0;
    out->error = PayloadErrorOf(*ctx.form.desc, ctx.form.payload, ctx.form.dim, slot.payload);
    out->id = id;
    out->generation = header.generation;
    out->up = header.up;
    out->down = header.down;
    out->tid_chain = header.tid_chain;
    out->tid_epoch = header.tid_epoch;
    out->tid_count = header.tid_count;
    out->live = slot.state() == SlotState::kLive;
    out->mixed = header.mixed != 0;
    memcpy(static_cast<void*>(out->tids), slot.tids, sizeof(out->tids));
    out->payload = nullptr;
}

// Room for the payload of the next slot, should it be kept. Words, of any length, get theirs when they have been read.
void* LayerSearch::SpareCopy() {
    if (ctx->form.words) return nullptr;
    if (spare == nullptr && (keep_payloads || (keep_exact && ctx->form.may_be_exact)))
        spare = ctx->arena.Allocate<char>(ctx->form.payload_size);
    return spare;
}

int LayerSearch::ReadSlot(uint32 id) {
    const HnswMetaData& meta = ctx->meta;
    found.Reserve(found.size + 1);  // no allocation under the lock
    void* copy = SpareCopy();
    const int64 reads_before = pgBufferUsage.shared_blks_read;
    LockedPage page(ctx->index, BlockOfId(meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
    if (unlikely(pgBufferUsage.shared_blks_read != reads_before) && ctx->asks_ahead) cold_reads = kColdExpansions;
    const SlotView slot = CheckedSlot(ctx, page, KindOfLevel(level), id);
    const SlotHeaderData& header = *slot.header;
    if (slot.state() == SlotState::kFree || header.level != level) return -1;
    ++ctx->counts.expanded;
    ++ctx->counts.exact_distances;
    FoundSlot* out = &found[found.size++];
    HnswFill(*ctx, id, slot, query, out);
    if (rule == LiveRule::kWithRows && level == 0 && !HasRows(slot)) out->live = false;
    if (!keep_payloads && !out->error.exact) copy = nullptr;
    if (copy != nullptr) {
        memcpy(copy, slot.payload, meta.payload_size);
        spare = nullptr;
    }
    out->payload = copy;
    const int n = header.edge_count;
    for (int i = 0; i < n; ++i)
        ids[i] = slot.edges[i].id;
    if (!ctx->form.has_codes()) {
        for (int i = 0; i < n; ++i)
            generations[i] = slot.edges[i].generation;
    } else {
        CodeBatch batch;
        query->code.Fill(&batch);
        batch.edges = slot.edges;
        batch.codes = slot.codes;
        batch.count = n;
        batch.base = out->distance;
        Kernels().score_edges(batch, estimates);
    }
    if (likely(meta.part_count == 0 && !ctx->form.words)) return n;
    SlotParts parts;
    HnswCopyParts(*ctx, id, KindOfLevel(level), slot, &parts);
    page.Release();
    return AddParts(parts, n, copy) ? n : -1;
}

bool LayerSearch::AddParts(const SlotParts& parts, int count, void* copy) {
    const HnswMetaData& meta = ctx->meta;
    for (int i = 0; cold_reads > 0 && i < Min<int>(meta.part_count, parts.count); ++i)
        PrefetchBuffer(ctx->index, MAIN_FORKNUM, BlockOfPart(meta, parts.refs[i].id));
    float rest = 0;
    if (!HnswReadParts(ctx, parts, query, &rest, copy)) {
        --found.size;
        return false;
    }
    FoundSlot& slot = found[found.size - 1];
    if (ctx->form.words && (keep_payloads || keep_exact))
        slot.payload = HnswKeepVector(ctx->form, &ctx->arena, ctx->form.scratch);
    slot.distance += rest;
    if (slot.distance != slot.distance) slot.distance = get_float4_infinity();
    // Estimates are the node's own distance and something.
    if (ctx->form.has_codes())
        for (int i = 0; i < count; ++i)
            estimates[i] += rest;
    return true;
}

void LayerSearch::OfferNeighbours(int count) {
    if (ctx->form.has_codes())
        OfferScored(count);
    else
        OfferProbed(count);
    ReadAhead();
}

// Has this slot not been asked for just now?
bool LayerSearch::IsNews(uint32 id) {
    for (const uint32 other : asked)
        if (other == id) return false;
    asked[next_asked++ % kAsked] = id;
    return true;
}

// Asks for what will probably be read next: from memory into the processor's cache, and from the disk as long as the
// search meets pages that are not in shared buffers.
void LayerSearch::ReadAhead() {
    uint32 next[kPagesAhead];
    const bool cold = cold_reads > 0;
    const int ahead = beam.PeekNext(next, cold ? kPagesAhead : kSlotsAhead);
    const HnswMetaData& meta = ctx->meta;
    for (int i = 0; i < ahead; ++i) {
        const BlockNumber block = BlockOfId(meta, next[i]);
        if (cold)
            PrefetchBuffer(ctx->index, MAIN_FORKNUM, block);
        else if (IsNews(next[i]))
            PrefetchRecent(ctx->index, block,
                           kPageContents + static_cast<size_t>(SlotOfId(meta, next[i])) * meta.slot_size,
                           Min<size_t>(meta.slot_size, kBytesAhead));
    }
    if (cold) --cold_reads;
}

void LayerSearch::BeginCold() {
    if (!ctx->asks_ahead) return;
    cold_reads = kColdExpansions;
    ReadAhead();
}

void LayerSearch::OfferScored(int count) {
    ctx->counts.codes += static_cast<uint64>(count);
    size_t fresh = 0;
    for (int i = 0; i < count; ++i) {
        // An estimate from a broken code could be no number, which nothing can order.
        const float estimate = likely(estimates[i] == estimates[i]) ? estimates[i] : get_float4_infinity();
        const uint32 id = ids[i];
        estimates[fresh] = estimate;
        ids[fresh] = id;
        fresh += visited.Add(id) ? 1 : 0;
    }
    beam.OfferAll(estimates, ids, fresh);
}

// Without codes every neighbour is read for its distance.
void LayerSearch::OfferProbed(int count) {
    for (int i = 0; i < count; ++i) {
        if (visited.Contains(ids[i])) continue;
        float distance;
        SlotParts parts;
        {
            LockedPage page(ctx->index, BlockOfId(ctx->meta, ids[i]), BUFFER_LOCK_SHARE, ctx->strategy);
            const SlotView slot = CheckedSlot(ctx, page, KindOfLevel(level), ids[i]);
            if (slot.state() == SlotState::kFree ||
                static_cast<uint8>(slot.header->generation & 0xFF) != generations[i])
                continue;
            distance = HnswDistance(ctx->form, *query, slot.payload);
            parts.count = PartsOf(ctx->meta, slot.payload);
            if (parts.count > 0) HnswCopyParts(*ctx, ids[i], KindOfLevel(level), slot, &parts);
        }
        if (parts.count > 0 && !HnswReadParts(ctx, parts, query, &distance, nullptr)) continue;
        ++ctx->counts.exact_distances;
        Offer(distance, ids[i]);
    }
}

const FoundSlot* LayerSearch::Nearest() const {
    const FoundSlot* nearest = nullptr;
    for (const FoundSlot& slot : found)
        if (nearest == nullptr || slot.distance < nearest->distance) nearest = &slot;
    return nearest;
}

// ---- descent ---------------------------------------------------------------------

bool HnswEnter(LayerSearch* search, const Entrance& entrance) {
    if (!search->Start(entrance.id)) return false;
    // A slot that was recycled meanwhile may stand for a node that nothing links to yet.
    const FoundSlot& start = search->found[0];
    return entrance.above != kInvalidId ? start.up == entrance.above : start.generation == entrance.generation;
}

bool HnswStepDown(const LayerSearch& search, Entrance* out) {
    const FoundSlot* nearest = search.Nearest();
    if (nearest == nullptr || nearest->down == kInvalidId) return false;
    *out = {search.level - 1, nearest->down, nearest->id, 0};
    return true;
}

void HnswCountAttempt(const HnswContext& ctx, int* attempts) {
    CHECK_FOR_INTERRUPTS();
    if (++*attempts <= kMaxDescentRetries) return;
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("the entry point of index \"%s\" cannot be reached", RelationGetRelationName(ctx.index)),
                    errhint("Please REINDEX it.")));
}

bool HnswDescend(HnswContext* ctx, const IndexedVector& query, int level, Entrance* out) {
    for (int attempts = 0;;) {
        HnswCountAttempt(*ctx, &attempts);
        ctx->meta = HnswReadMeta(ctx->index);
        ++ctx->counts.pages;
        if (ctx->meta.entry == kInvalidId) return false;
        *out = {ctx->meta.entry_level, ctx->meta.entry, kInvalidId, ctx->meta.entry_generation};
        bool lost = false;
        while (out->level > level && !lost) {
            LayerSearch search;
            // The thin layers far up need no wide beam.
            search.Init(ctx, &query, out->level, Max<uint32>(ctx->descent_ef >> (2 * (out->level - 1)), 4));
            lost = !HnswEnter(&search, *out) || !search.Settle(0) || !HnswStepDown(search, out);
        }
        if (!lost) return true;
    }
}

}  // namespace vecann

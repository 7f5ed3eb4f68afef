// Reading the graph: probes, descent, beam search in one layer. Locks: one page at a time, share, for one slot's read.
#include "hnsw/hnsw_search.h"

namespace vecann {

namespace {

// The entry point is replaced before its slot is freed, so one retry is the rule; this many mean a corrupted index.
constexpr int kMaxDescentRetries = 1000;

SlotView CheckedSlot(const HnswContext& ctx, const LockedPage& page, PageKind kind, uint32 id) {
    CheckOldSnapshot(ctx.snapshot, ctx.index, page.page());
    return HnswCheckedSlot(ctx.meta, ctx.index, page, kind, id);
}

bool HasRows(const SlotView& slot) {
    if (slot.tids == nullptr || slot.header->tid_chain != kInvalidId) return true;
    for (int i = 0; i < slot.header->tid_count; ++i)
        if ((slot.tids[i].flags & kTidKilled) == 0) return true;
    return false;
}

// Moves *at to the nearest slot that greedy steps reach in one layer. False when *at is gone.
bool GreedyWalk(const HnswContext& ctx, const void* query, PageKind kind, EdgeData* edges, BeamEntry* at) {
    for (bool improved = true; improved;) {
        CHECK_FOR_INTERRUPTS();
        improved = false;
        const int n = HnswReadEdges(ctx, at->id, kind, at->generation, edges);
        if (n < 0) return false;
        for (int i = 0; i < n; ++i) {
            ProbedSlot slot;
            if (!HnswProbe(ctx, edges[i].id, kind, edges[i].generation, query, &slot)) continue;
            if (!(slot.distance < at->distance)) continue;  // NaN, in a broken payload, is not nearer
            *at = {slot.distance, edges[i].id, slot.generation, slot.state == SlotState::kLive, false};
            improved = true;
        }
    }
    return true;
}

// One attempt at a descent; false when a slot on the way was recycled.
bool TryDescend(const HnswContext& ctx, const void* query, int target, EdgeData* edges, BeamEntry* at) {
    int level = ctx.meta.entry_level;
    ProbedSlot slot;
    if (!HnswProbe(ctx, ctx.meta.entry, KindOfLevel(level), kAnyGeneration, query, &slot)) return false;
    if (slot.generation != ctx.meta.entry_generation || slot.level != level) return false;
    *at = {slot.distance, ctx.meta.entry, slot.generation, slot.state == SlotState::kLive, false};
    for (; level > target; --level) {
        if (!GreedyWalk(ctx, query, PageKind::kUpper, edges, at)) return false;
        if (!HnswProbe(ctx, at->id, PageKind::kUpper, kAnyGeneration, nullptr, &slot)) return false;
        if (slot.generation != at->generation) return false;
        const uint32 down = slot.down;
        if (!HnswProbe(ctx, down, KindOfLevel(level - 1), kAnyGeneration, query, &slot)) return false;
        if (slot.level != level - 1) return false;
        *at = {slot.distance, down, slot.generation, slot.state == SlotState::kLive, false};
    }
    return true;
}

}  // namespace

void HnswOpen(HnswContext* ctx, Relation index, WriteMode mode, MemoryContext memory) {
    ctx->index = index;
    ctx->meta = HnswReadMeta(index);
    ctx->desc = OpClassOf(index);
    if (static_cast<uint8>(ctx->desc->metric) != ctx->meta.metric ||
        static_cast<uint8>(ctx->desc->element) != ctx->meta.element)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" was built for another operator class", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    if (ctx->desc->payload_size(ctx->meta.dim) != ctx->meta.payload_size)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("the meta page of index \"%s\" contradicts itself", RelationGetRelationName(index)),
                        errhint("Please REINDEX it.")));
    ctx->distance = ctx->desc->distance();
    ctx->mode = mode;
    ctx->memory = memory;
    ctx->arena = MakeArena(memory);
    ctx->strategy = nullptr;
    ctx->snapshot = nullptr;
}

uint64 HnswIdSpace(const HnswContext& ctx) {
    return static_cast<uint64>(RelationGetNumberOfBlocks(ctx.index)) * ctx.meta.ids_per_block;
}

bool HnswProbe(const HnswContext& ctx, uint32 id, PageKind kind, int generation, const void* query, ProbedSlot* out) {
    LockedPage page(ctx.index, BlockOfId(ctx.meta, id), BUFFER_LOCK_SHARE, ctx.strategy);
    const SlotView slot = CheckedSlot(ctx, page, kind, id);
    if (slot.state() == SlotState::kFree) return false;
    if (generation != kAnyGeneration && generation != static_cast<int>(slot.header->generation & 0xFF)) return false;
    out->distance = query != nullptr ? ctx.distance(query, slot.payload, ctx.meta.dim) : 0;
    out->generation = slot.header->generation;
    out->up = slot.header->up;
    out->down = slot.header->down;
    out->state = slot.state();
    out->level = slot.header->level;
    out->has_rows = HasRows(slot);
    if (out->payload != nullptr) memcpy(out->payload, slot.payload, ctx.meta.payload_size);
    return true;
}

int HnswReadEdges(const HnswContext& ctx, uint32 id, PageKind kind, uint32 generation, EdgeData* edges) {
    LockedPage page(ctx.index, BlockOfId(ctx.meta, id), BUFFER_LOCK_SHARE, ctx.strategy);
    const SlotView slot = CheckedSlot(ctx, page, kind, id);
    if (slot.state() == SlotState::kFree || slot.header->generation != generation) return -1;
    const int n = slot.header->edge_count;
    memcpy(edges, slot.edges, static_cast<size_t>(n) * sizeof(EdgeData));
    return n;
}

bool HnswDescend(HnswContext* ctx, const void* query, int* level, BeamEntry* at) {
    EdgeData* edges = ctx->arena.Allocate<EdgeData>(static_cast<size_t>(MaxEdges(ctx->meta, 0)));
    for (int attempt = 0; attempt < kMaxDescentRetries; ++attempt) {
        CHECK_FOR_INTERRUPTS();
        ctx->meta = HnswReadMeta(ctx->index);
        if (ctx->meta.entry == kInvalidId) return false;
        const int target = Min<int>(*level, ctx->meta.entry_level);
        if (TryDescend(*ctx, query, target, edges, at)) {
            *level = target;
            return true;
        }
    }
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("the entry point of index \"%s\" cannot be reached", RelationGetRelationName(ctx->index)),
                    errhint("Please REINDEX it.")));
    pg_unreachable();
}

void LayerSearch::Init(HnswContext* context, const void* query_payload, int level, uint32 ef, LiveRule live_rule,
                       bool resumable) {
    ctx = context;
    query = query_payload;
    kind = KindOfLevel(level);
    rule = live_rule;
    beam.Init(&context->arena, ef, resumable);
    visited.Init(&context->arena, HnswIdSpace(*context));
    edges = context->arena.Allocate<EdgeData>(static_cast<size_t>(MaxEdges(context->meta, level)));
    expanded = distances = 0;
}

bool LayerSearch::Seed(const BeamEntry& entry) {
    ProbedSlot slot;
    if (!HnswProbe(*ctx, entry.id, kind, kAnyGeneration, query, &slot)) return false;
    if (slot.generation != entry.generation) return false;
    if (visited.Add(entry.id)) beam.Offer({slot.distance, entry.id, slot.generation, IsLive(slot), false});
    return true;
}

bool LayerSearch::IsLive(const ProbedSlot& slot) const {
    return slot.state == SlotState::kLive && (rule == LiveRule::kNotDeleted || slot.has_rows);
}

bool LayerSearch::Settle(size_t memory_limit) {
    while (const BeamEntry* next = beam.NextToExpand()) {
        CHECK_FOR_INTERRUPTS();
        Expand(*next);
        if (memory_limit > 0 && ctx->arena.allocated > memory_limit) return false;
    }
    return true;
}

void LayerSearch::Expand(const BeamEntry& entry) {
    const int n = HnswReadEdges(*ctx, entry.id, kind, entry.generation, edges);
    ++expanded;
    for (int i = 0; i < n; ++i) {
        if (visited.Contains(edges[i].id)) continue;
        ProbedSlot slot;
        // A stale edge does not mark its target as seen: the slot's present occupant may be met by another way.
        if (!HnswProbe(*ctx, edges[i].id, kind, edges[i].generation, query, &slot)) continue;
        visited.Add(edges[i].id);
        ++distances;
        beam.Offer({slot.distance, edges[i].id, slot.generation, IsLive(slot), false});
    }
}

}  // namespace vecann

// Writing the graph: choosing neighbours and adding edges. Locks: one page at a time; what was read before the
// exclusive lock is compared again under it.
#include "hnsw/hnsw_link.h"

#include "pg/race_point.h"

namespace vecann {

namespace {

bool Contains(const EdgeData* edges, int n, uint32 id) {
    for (int i = 0; i < n; ++i)
        if (edges[i].id == id) return true;
    return false;
}

EdgeData MakeEdge(uint32 id, uint32 generation) {
    return {id, static_cast<uint8>(generation & 0xFF), {0, 0, 0}};
}

bool IsLiveSlot(const SlotView& slot, uint32 generation) {
    return slot.state() == SlotState::kLive && slot.header->generation == generation;
}

void WriteEdges(const SlotView& slot, const EdgeData* edges, int n) {
    const int old = slot.header->edge_count;
    memcpy(slot.edges, edges, static_cast<size_t>(n) * sizeof(EdgeData));
    if (old > n) memset(static_cast<void*>(slot.edges + n), 0, static_cast<size_t>(old - n) * sizeof(EdgeData));
    slot.header->edge_count = static_cast<uint16>(n);
}

enum class Append { kDone, kFull, kGone };

// Appends the edge when there is room. On kFull, copies the edges and payload of `from`.
Append AppendEdge(const HnswContext& ctx, int level, const LinkEnd& from, const EdgeData& edge, EdgeData* copy,
                  void* payload) {
    const PageKind kind = KindOfLevel(level);
    LockedPage page(ctx.index, BlockOfId(ctx.meta, from.id), BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
    const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, kind, from.id);
    if (!IsLiveSlot(slot, from.generation)) return Append::kGone;
    const int n = slot.header->edge_count;
    if (Contains(slot.edges, n, edge.id)) return Append::kDone;
    if (n < MaxEdges(ctx.meta, level)) {
        PageTxn txn(ctx.index, ctx.mode);
        const SlotView edit = SlotAt(ctx.meta, txn.Register(page.buffer()), kind, SlotOfId(ctx.meta, from.id));
        edit.edges[n] = edge;
        edit.header->edge_count = static_cast<uint16>(n + 1);
        txn.Commit();
        return Append::kDone;
    }
    memcpy(copy, slot.edges, static_cast<size_t>(n) * sizeof(EdgeData));
    memcpy(payload, slot.payload, ctx.meta.payload_size);
    return Append::kFull;
}

}  // namespace

EdgeList HnswMakeEdgeList(HnswContext* ctx) {
    const size_t room = static_cast<size_t>(MaxEdges(ctx->meta, 0)) + 1;
    return {ctx->arena.Allocate<EdgeData>(room), ctx->arena.Allocate<uint32>(room), 0};
}

void CandidateSet::Init(HnswContext* context, const void* payload, int level) {
    ctx = context;
    query = payload;
    kind = KindOfLevel(level);
    spare = nullptr;
    items.Init(&context->arena, 64);
}

void CandidateSet::AddSlot(uint32 id, int generation, bool any_state) {
    if (spare == nullptr) spare = ctx->arena.Allocate<char>(ctx->meta.payload_size);
    ProbedSlot slot;
    slot.payload = spare;
    if (!HnswProbe(*ctx, id, kind, generation, query, &slot)) return;
    if (slot.state != SlotState::kLive && !any_state) return;
    items.Push({slot.distance, id, slot.generation, spare});
    spare = nullptr;
}

void CandidateSet::AddBeam(const Beam& beam, uint32 self) {
    for (const BeamEntry& entry : beam) {
        CHECK_FOR_INTERRUPTS();
        if (entry.live && entry.id != self) AddSlot(entry.id, static_cast<int>(entry.generation & 0xFF), false);
    }
}

bool CandidateSet::Has(uint32 id) const {
    for (const Candidate& item : items)
        if (item.id == id) return true;
    return false;
}

void CandidateSet::AddKnown(uint32 id, uint32 generation, const void* payload) {
    items.Push({ctx->distance(query, payload, ctx->meta.dim), id, generation, payload});
}

void CandidateSet::Choose(int max, int refill, EdgeList* out) {
    const size_t n = SelectNeighbours(items.data, items.size, static_cast<size_t>(max), static_cast<size_t>(refill),
                                      ctx->distance, ctx->meta.dim);
    out->count = static_cast<int>(n);
    for (size_t i = 0; i < n; ++i) {
        out->edges[i] = MakeEdge(items[i].id, items[i].generation);
        out->generations[i] = items[i].generation;
    }
}

void HnswChooseFromBeam(HnswContext* ctx, const LayerSearch& search, int level, EdgeList* out) {
    CandidateSet candidates;
    candidates.Init(ctx, search.query, level);
    candidates.AddBeam(search.beam, kInvalidId);
    candidates.Choose(ctx->meta.m, ctx->meta.m, out);
}

void HnswAddBackEdge(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& to, bool must_accept) {
    const int max = MaxEdges(ctx->meta, level);
    EdgeData* old = ctx->arena.Allocate<EdgeData>(static_cast<size_t>(max));
    void* payload = ctx->arena.Allocate<char>(ctx->meta.payload_size);
    EdgeList chosen = HnswMakeEdgeList(ctx);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (AppendEdge(*ctx, level, from, MakeEdge(to.id, to.generation), old, payload) != Append::kFull) return;
        CandidateSet candidates;
        candidates.Init(ctx, payload, level);
        candidates.AddKnown(to.id, to.generation, to.payload);
        for (int i = 0; i < max; ++i)
            candidates.AddSlot(old[i].id, old[i].generation, true);
        candidates.Choose(max, max, &chosen);
        if (!Contains(chosen.edges, chosen.count, to.id)) {
            if (!must_accept) return;
            if (chosen.count == max) --chosen.count;
            chosen.generations[chosen.count] = to.generation;
            chosen.edges[chosen.count++] = MakeEdge(to.id, to.generation);
        }
        VECANN_RACE_POINT("hnsw-link-before-replace");
        if (HnswReplaceEdges(*ctx, level, from, old, max, chosen)) return;
    }
}

bool HnswReplaceEdges(const HnswContext& ctx, int level, const LinkEnd& end, const EdgeData* old, int old_count,
                      const EdgeList& edges) {
    const PageKind kind = KindOfLevel(level);
    LockedPage page(ctx.index, BlockOfId(ctx.meta, end.id), BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
    const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, kind, end.id);
    if (!IsLiveSlot(slot, end.generation) || slot.header->edge_count != old_count) return false;
    if (memcmp(slot.edges, old, static_cast<size_t>(old_count) * sizeof(EdgeData)) != 0) return false;
    PageTxn txn(ctx.index, ctx.mode);
    WriteEdges(SlotAt(ctx.meta, txn.Register(page.buffer()), kind, SlotOfId(ctx.meta, end.id)), edges.edges,
               edges.count);
    txn.Commit();
    return true;
}

void HnswAddBackEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges) {
    for (int i = 0; i < edges.count; ++i)
        HnswAddBackEdge(ctx, level, {edges.edges[i].id, edges.generations[i], nullptr}, slot, i == 0);
}

bool HnswRelinkSlot(HnswContext* ctx, int level, const LinkEnd& slot) {
    const PageKind kind = KindOfLevel(level);
    EdgeData* old = ctx->arena.Allocate<EdgeData>(static_cast<size_t>(MaxEdges(ctx->meta, level)));
    EdgeList chosen = HnswMakeEdgeList(ctx);
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        const int old_count = HnswReadEdges(*ctx, slot.id, kind, slot.generation, old);
        BeamEntry start;
        int reached = level;
        if (old_count < 0 || !HnswDescend(ctx, slot.payload, &reached, &start)) return false;
        if (reached != level) return false;
        LayerSearch search;
        search.Init(ctx, slot.payload, level, ctx->meta.ef_construction, LiveRule::kNotDeleted, false);
        if (!search.Seed(start)) continue;
        search.Settle(0);
        CandidateSet candidates;
        candidates.Init(ctx, slot.payload, level);
        candidates.AddBeam(search.beam, slot.id);
        for (int i = 0; i < old_count; ++i)
            if (!candidates.Has(old[i].id)) candidates.AddSlot(old[i].id, old[i].generation, false);
        candidates.Choose(MaxEdges(ctx->meta, level), ctx->meta.m, &chosen);
        if (chosen.count == 0) return false;
        if (HnswReplaceEdges(*ctx, level, slot, old, old_count, chosen)) break;
        ProbedSlot now;
        if (!HnswProbe(*ctx, slot.id, kind, static_cast<int>(slot.generation & 0xFF), nullptr, &now) ||
            now.state != SlotState::kLive)
            return false;
    }
    HnswAddBackEdges(ctx, level, slot, chosen);
    return true;
}

}  // namespace vecann

// Who holds a slot under inner product; see README.md, "Holders". Locks: one page at a time, share, for a copy.
#include "hnsw/hnsw_link.h"

namespace vecann {

namespace {

// Of a list, one in so many edges may be held: the others are chosen for the searches' sake.
constexpr int kHeldPart = 4;

// Steps down, at most: each is to a list with room or to the nearest that a full one holds.
constexpr int kMostSteps = 100;

// The squared L2 distance of two vectors, less what is the same for all `b`, by inner products alone.
float Apart(const VectorForm& form, const void* a, const void* b) {
    const size_t n = static_cast<size_t>(form.dim);
    return 2 * form.between(a, b, n) - form.between(b, b, n);
}

struct Holder {
    LinkEnd end;
    float apart;
};

void TakeNearer(HnswContext* ctx, const LinkEnd& slot, const LinkEnd& end, Holder* nearest) {
    const float apart = Apart(ctx->form, slot.vector, end.vector);
    if (nearest->end.vector == nullptr || apart < nearest->apart) *nearest = {end, apart};
}

// Takes what an edge leads to if it is live and nearer.
void TakeTarget(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeData& edge, Holder* nearest) {
    char* payload = HnswPayloadRoom(ctx);
    ProbedSlot target;
    if (edge.id == slot.id || !HnswProbe(ctx, edge.id, KindOfLevel(level), edge.generation, &target, payload)) return;
    if (target.state != SlotState::kLive) return;
    TakeNearer(ctx, slot, {edge.id, target.generation, HnswKeepVector(ctx->form, &ctx->arena, payload)}, nearest);
}

}  // namespace

bool HnswFindHolder(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges, LinkEnd* holder) {
    Holder at = {{kInvalidId, 0, nullptr}, 0};
    for (int i = 0; i < edges.count; ++i) {
        // What the slot holds itself is no holder for it.
        if (edges.edges[i].held != 0) continue;
        if (edges.vectors[i] != nullptr)
            TakeNearer(ctx, slot, {edges.edges[i].id, edges.generations[i], edges.vectors[i]}, &at);
        else
            TakeTarget(ctx, level, slot, edges.edges[i], &at);
    }
    if (at.end.vector == nullptr) return false;
    EdgeCopy list;
    list.Init(&ctx->arena, ctx->meta);
    const int most = Max(ctx->meta.max_edges / kHeldPart, 1);
    for (int step = 0; step < kMostSteps; ++step) {
        CHECK_FOR_INTERRUPTS();
        if (!HnswReadEdges(ctx, at.end.id, KindOfLevel(level), at.end.generation, &list)) break;
        int held = 0;
        for (int i = 0; i < list.count; ++i)
            held += list.edges[i].held != 0 && list.edges[i].id != slot.id ? 1 : 0;
        if (held < most) break;
        Holder next = {{kInvalidId, 0, nullptr}, 0};
        for (int i = 0; i < list.count; ++i)
            if (list.edges[i].held != 0) TakeTarget(ctx, level, slot, list.edges[i], &next);
        if (next.end.vector == nullptr) break;
        at = next;
    }
    *holder = at.end;
    return true;
}

}  // namespace vecann

// Writing the graph: choosing neighbours and adding edges. Locks: one page at a time; what was read before the
// exclusive lock is compared again under it.
#include "hnsw/hnsw_link.h"

#include <algorithm>

#include "storage/page_patch.h"

namespace vecann {

namespace {

// Writes the edges of a slot: those that stood there stay where they are, the others fill the gaps.
void WriteEdges(const HnswMetaData& meta, const SlotView& slot, const EdgeList& list) {
    const size_t code_size = meta.code_size;
    bool placed[2 * kHnswMaxM + 1] = {};
    int n = slot.header->edge_count;
    bool stays[2 * kHnswMaxM + 1] = {};
    for (int i = 0; i < n; ++i) {
        const int at = HnswEdgeTo(list.edges, list.count, slot.edges[i].id);
        if (at < 0 || list.edges[at].generation != slot.edges[i].generation) continue;
        stays[i] = placed[at] = true;
    }
    auto put = [&](int to, const EdgeData& edge, const char* code) {
        slot.edges[to] = edge;
        memcpy(slot.codes + static_cast<size_t>(to) * code_size, code, code_size);
    };
    int next = 0;
    const int count = list.count;
    for (int i = 0; i < count; ++i) {
        if (i < n && stays[i]) continue;
        while (next < count && placed[next])
            ++next;
        if (next < count) {
            put(i, list.edges[next], list.codes + static_cast<size_t>(next) * code_size);
            placed[next] = true;
            continue;
        }
        // The list has become shorter: what stays comes down from behind.
        while (n > i && !stays[n - 1])
            --n;
        put(i, slot.edges[n - 1], slot.codes + static_cast<size_t>(n - 1) * code_size);
        stays[--n] = false;
    }
    slot.header->edge_count = static_cast<uint16>(count);
}

}  // namespace

void HnswEncodeEdge(HnswContext* ctx, const void* from, const LinkEnd& to, int at, EdgeList* out) {
    EdgeData* edge = &out->edges[at];
    memset(static_cast<void*>(edge), 0, sizeof(*edge));
    const VectorForm& form = ctx->form;
    if (form.has_codes()) {
        float* scratch = ctx->arena.Allocate<float>(static_cast<size_t>(form.dim));
        EncodeNeighbour(form.shape, form.code_metric(), static_cast<const float*>(from),
                        static_cast<const float*>(to.vector), edge,
                        out->codes + static_cast<size_t>(at) * ctx->meta.code_size, scratch);
        ctx->arena.Release(scratch, static_cast<size_t>(form.dim));
    }
    // In place of a code, for the next choice.
    if (form.words) edge->add = Min(form.between(from, to.vector, 0), std::numeric_limits<float>::max());
    edge->id = to.id;
    edge->generation = static_cast<uint8>(to.generation & 0xFF);
    out->generations[at] = to.generation;
    out->vectors[at] = to.vector;
}

EdgeList HnswMakeEdgeList(HnswContext* ctx) {
    const size_t room = static_cast<size_t>(ctx->meta.max_edges) + 1;
    return {ctx->arena.Allocate<EdgeData>(room), ctx->arena.Allocate<char>(room * ctx->meta.code_size + 1),
            ctx->arena.Allocate<uint32>(room), ctx->arena.Allocate<const void*>(room), 0};
}

void CandidateSet::Init(HnswContext* context, const void* chooser, int level) {
    ctx = context;
    vector = chooser;
    kind = KindOfLevel(level);
    payload = HnswPayloadRoom(context);
    items.Init(&context->arena, 64);
}

void CandidateSet::AddSlot(uint32 id, int generation, bool any_state) {
    ProbedSlot slot;
    if (!HnswProbe(ctx, id, kind, generation, &slot, payload)) return;
    if (slot.state == SlotState::kLive || any_state)
        AddKnown(id, slot.generation, HnswKeepVector(ctx->form, &ctx->arena, payload));
}

void CandidateSet::AddFound(LayerSearch* search, size_t max, uint32 self) {
    ArenaVec<FoundSlot>& found = search->found;
    std::sort(found.begin(), found.end(), [](const FoundSlot& a, const FoundSlot& b) {
        return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
    });
    for (const FoundSlot& slot : found) {
        if (items.size == max) break;
        if (!slot.live || slot.id == self) continue;
        // Words are vectors as they are, and their distances what the search has computed.
        if (ctx->form.words)
            items.Push({slot.distance, slot.id, slot.generation, slot.payload});
        else
            AddKnown(slot.id, slot.generation, HnswKeepVector(ctx->form, &ctx->arena, slot.payload));
    }
}

bool CandidateSet::Has(uint32 id) const {
    for (const Candidate& item : items)
        if (item.id == id) return true;
    return false;
}

void CandidateSet::AddKnown(uint32 id, uint32 generation, const void* known) {
    items.Push({ctx->form.between(vector, known, static_cast<size_t>(ctx->form.dim)), id, generation, known});
}

size_t CandidateSet::TakeHeld(const EdgeCopy& old) {
    size_t held = 0;
    for (int e = 0; e < old.count; ++e) {
        if (old.edges[e].held == 0) continue;
        for (size_t i = held; i < items.size; ++i)
            if (items[i].id == old.edges[e].id && (items[i].generation & 0xFF) == old.edges[e].generation) {
                std::swap(items[i], items[held++]);
                break;
            }
    }
    return held;
}

void CandidateSet::Choose(int max, int refill, const EdgeCopy* old, EdgeList* out) {
    const size_t held = old != nullptr ? Min(TakeHeld(*old), static_cast<size_t>(max)) : 0;
    const size_t n = held + SelectNeighbours(items.data + held, items.size - held, static_cast<size_t>(max) - held,
                                             static_cast<size_t>(refill) - Min(held, static_cast<size_t>(refill)),
                                             ctx->form.between, static_cast<size_t>(ctx->form.dim));
    const size_t code_size = ctx->meta.code_size;
    out->count = static_cast<int>(n);
    for (int i = 0; i < out->count; ++i) {
        const Candidate& item = items[static_cast<size_t>(i)];
        const LinkEnd to = {item.id, item.generation, item.payload};
        const int known = old != nullptr ? HnswEdgeTo(old->edges, old->count, to.id) : -1;
        if (known < 0 || old->edges[known].generation != static_cast<uint8>(to.generation & 0xFF)) {
            HnswEncodeEdge(ctx, vector, to, i, out);
            continue;
        }
        out->edges[i] = old->edges[known];
        memcpy(out->codes + static_cast<size_t>(i) * code_size, old->codes + static_cast<size_t>(known) * code_size,
               code_size);
        out->generations[i] = to.generation;
        out->vectors[i] = to.vector;
    }
}

void HnswChooseFromSearch(LayerSearch* search, EdgeList* out) {
    HnswContext* ctx = search->ctx;
    CandidateSet candidates;
    candidates.Init(ctx, HnswVectorOf(ctx->form, *search->query), search->level);
    candidates.AddFound(search, ctx->meta.ef_construction, kInvalidId);
    candidates.Choose(ctx->meta.max_edges, HnswLeastEdges(ctx->meta), nullptr, out);
}

bool HnswHasEdges(const SlotView& slot, const EdgeCopy& old) {
    return slot.header->edge_count == old.count &&
           memcmp(slot.edges, old.edges, static_cast<size_t>(old.count) * sizeof(EdgeData)) == 0;
}

void HnswPutEdges(const HnswMetaData& meta, PagePatch* patch, Buffer buffer, const SlotView& slot,
                  const EdgeList& edges) {
    const size_t room = static_cast<size_t>(Max<int>(slot.header->edge_count, edges.count));
    SlotView copy = slot;
    copy.header = patch->Edit(buffer, slot.header);
    copy.edges = static_cast<EdgeData*>(patch->Edit(buffer, slot.edges, room * sizeof(EdgeData)));
    copy.codes = static_cast<char*>(patch->Edit(buffer, slot.codes, room * meta.code_size));
    WriteEdges(meta, copy, edges);
}

bool HnswReplaceEdges(HnswContext* ctx, int level, const LinkEnd& end, const EdgeCopy& old, const EdgeList& edges) {
    LockedPage page(ctx->index, BlockOfId(ctx->meta, end.id), BUFFER_LOCK_EXCLUSIVE, ctx->strategy);
    const SlotView slot = HnswCheckedSlot(ctx->meta, ctx->index, page, KindOfLevel(level), end.id);
    if (!HnswIsLiveSlot(slot, end.generation) || !HnswHasEdges(slot, old)) return false;
    PagePatch patch(ctx->index, ctx->mode);
    HnswPutEdges(ctx->meta, &patch, page.buffer(), slot, edges);
    patch.Commit();
    return true;
}

namespace {

// The edges of a list that lead to one of `ids`.
EdgeList EdgesTo(HnswContext* ctx, const EdgeList& all, const VisitedSet& ids) {
    EdgeList some = HnswMakeEdgeList(ctx);
    for (int i = 0; i < all.count; ++i) {
        if (!ids.Contains(all.edges[i].id)) continue;
        some.edges[some.count] = all.edges[i];
        some.vectors[some.count] = all.vectors[i];
        some.generations[some.count++] = all.generations[i];
    }
    return some;
}

}  // namespace

bool HnswRelinkSlot(HnswContext* ctx, int level, const LinkEnd& slot) {
    const PageKind kind = KindOfLevel(level);
    IndexedVector query;
    query.Init(&ctx->arena, ctx->form);
    HnswSetVector(ctx->form, slot.vector, &query);
    HnswPrepareQuery(ctx->form, &query);
    EdgeCopy old;
    old.Init(&ctx->arena, ctx->meta);
    EdgeList chosen = HnswMakeEdgeList(ctx);
    VisitedSet within_reach;
    for (int attempts = 0;;) {
        HnswCountAttempt(*ctx, &attempts);
        if (!HnswReadEdges(ctx, slot.id, kind, slot.generation, &old)) return false;
        Entrance start;
        if (!HnswDescend(ctx, query, level, &start) || start.level != level) return false;
        LayerSearch search;
        search.Init(ctx, &query, level, ctx->meta.ef_construction);
        search.keep_payloads = true;
        if (!HnswEnter(&search, start)) continue;
        search.Settle(0);
        CandidateSet candidates;
        candidates.Init(ctx, slot.vector, level);
        candidates.AddFound(&search, ctx->meta.ef_construction, slot.id);
        within_reach.Init(&ctx->arena, kInvalidId);
        for (const Candidate& item : candidates.items)
            within_reach.Add(item.id);
        for (int i = 0; i < old.count; ++i)
            if (!candidates.Has(old.edges[i].id)) candidates.AddSlot(old.edges[i].id, old.edges[i].generation, false);
        candidates.Choose(ctx->meta.max_edges, Min(ctx->meta.m, ctx->meta.max_edges), &old, &chosen);
        if (chosen.count == 0) return false;
        if (HnswReplaceEdges(ctx, level, slot, old, chosen)) break;
        ProbedSlot now;
        if (!HnswProbe(ctx, slot.id, kind, static_cast<int>(slot.generation & 0xFF), &now) ||
            now.state != SlotState::kLive)
            return false;
    }
    // An edge back is certain from one of those that the search has come to: what the slot pointed to before may be out
    // of reach as it is.
    const EdgeList reached = EdgesTo(ctx, chosen, within_reach);
    HnswAddBackEdges(ctx, level, slot, reached.count > 0 ? reached : chosen, true);
    return true;
}

}  // namespace vecann

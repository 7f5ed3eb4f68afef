// Writing the graph: choosing neighbours, adding back edges, replacing edge lists. See README.md, "Insert".
//
// The caller holds the insert lock (an insert), or is the vacuum after its barrier, or builds; and no content lock.
#pragma once

#include "graph/select_neighbours.h"
#include "hnsw/hnsw_search.h"
#include "storage/page_patch.h"

namespace vecann {

// The edges a slot shall have, with room for max_edges + 1.
struct EdgeList {
    EdgeData* edges;
    char* codes;
    uint32* generations;   // full generation of each target
    const void** vectors;  // of each target (HnswVectorOf); null where not known
    int count;
};

EdgeList HnswMakeEdgeList(HnswContext* ctx);

// Candidates with their vectors, gathered one by one. Memory lives in ctx->memory.
struct CandidateSet {
    HnswContext* ctx;
    const void* vector;  // of the slot that chooses
    PageKind kind;
    char* payload;  // scratch
    ArenaVec<Candidate> items;

    void Init(HnswContext* context, const void* chooser, int level);
    // Reads a slot and takes it as a candidate when it is live (or, with `any_state`, deleted). Knows no repeats: the
    // caller offers each id once. `generation`: low 8 bits or kAnyGeneration.
    void AddSlot(uint32 id, int generation, bool any_state);
    // The nearest `max` live slots that a search found and kept the payloads of, without `self` (kInvalidId: none).
    void AddFound(LayerSearch* search, size_t max, uint32 self);
    bool Has(uint32 id) const;
    // A candidate whose vector the caller keeps alive.
    void AddKnown(uint32 id, uint32 generation, const void* known);
    // Chooses at most `max`, refilled to `refill`, and encodes them; codes of edges that are in `old` (may be null)
    // are taken over. Those that are held there are chosen for certain, and come first.
    void Choose(int max, int refill, const EdgeCopy* old, EdgeList* out);

  private:
    // Moves the candidates that are held in `old` to the front; returns how many.
    size_t TakeHeld(const EdgeCopy& old);
};

static_assert(std::is_trivially_destructible_v<CandidateSet> && std::is_trivially_destructible_v<EdgeList>);

constexpr int kLeastFilled = 4;

// A list is filled up to so many from the nearest that the choice has refused: half of m. With m, an insert took half
// as much WAL and time again, and searches found no more (README.md, "Insert").
inline int HnswLeastEdges(const HnswMetaData& meta) {
    // By inner product few lead to a short vector anyway.
    const bool uneven = static_cast<Metric>(meta.metric) == Metric::kInnerProduct;
    const int least = uneven ? meta.m : Max((meta.m + 1) / 2, Min<int>(meta.m, kLeastFilled));
    return Min<int>(least, meta.max_edges);
}

// Chooses neighbours for the query among what a settled search found.
void HnswChooseFromSearch(LayerSearch* search, EdgeList* out);

struct LinkEnd {
    uint32 id;
    uint32 generation;
    const void* vector;  // null when not known
};

// Makes edge `at` of a list, with its code as seen from the vector `from`.
void HnswEncodeEdge(HnswContext* ctx, const void* from, const LinkEnd& to, int at, EdgeList* out);

// The place of the edge to `id` among edges[0..n), -1 when there is none.
inline int HnswEdgeTo(const EdgeData* edges, int n, uint32 id) {
    for (int i = 0; i < n; ++i)
        if (edges[i].id == id) return i;
    return -1;
}

inline bool HnswIsLiveSlot(const SlotView& slot, uint32 generation) {
    return slot.state() == SlotState::kLive && slot.header->generation == generation;
}

// Has a locked slot exactly the edges `old`?
bool HnswHasEdges(const SlotView& slot, const EdgeCopy& old);

// Has a patch write an edge list to a locked slot. Edges that were there keep their places, so that the record is
// short; what stands behind the last edge is nobody's.
void HnswPutEdges(const HnswMetaData& meta, PagePatch* patch, Buffer buffer, const SlotView& slot,
                  const EdgeList& edges);

// Writes an edge list if the slot is still live, of this generation, and has exactly the edges `old`; false otherwise.
bool HnswReplaceEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeCopy& old, const EdgeList& edges);

// Adds the back edges of a slot that has just been given `edges` (hnsw_back_edges.cpp). A target that is full chooses
// again among its neighbours and the slot; the nearest target must accept: there the slot takes the place of the
// farthest if it was not chosen. Targets that are no longer live are left alone; if the nearest is such, the next one
// must accept. Under inner product, and with `hold`, it is not the nearest target that must accept, but a holder
// (hnsw_hold.cpp). Cancellable.
void HnswAddBackEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges, bool hold);

// Are the index's slots held by edges that no other takes the place of?
inline bool HnswHolds(const HnswMetaData& meta) {
    return static_cast<Metric>(meta.metric) == Metric::kInnerProduct;
}

// Whose edge to `slot` shall be held: begins at those that it has been linked with. False when there is nobody.
bool HnswFindHolder(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges, LinkEnd* holder);

// Gives `from` an edge to `slot` that is held, unless that is deleted.
void HnswHold(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& slot);

// Searches new neighbours for an existing slot in its layer from the entry point, chooses among them and its present
// ones, and links both ways. For slots that have lost their links. True when it has neighbours afterwards; false, and
// nothing done, when the search met nothing live, or the slot is gone, or the graph has no such layer. Refreshes
// ctx->meta.
bool HnswRelinkSlot(HnswContext* ctx, int level, const LinkEnd& slot);

}  // namespace vecann

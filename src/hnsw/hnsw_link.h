// Writing the graph: choosing neighbours, adding back edges, replacing edge lists. See README.md, "Insert".
//
// The caller holds the insert lock (an insert), or is the vacuum after its barrier, or builds; and no content lock.
#pragma once

#include "graph/select_neighbours.h"
#include "hnsw/hnsw_search.h"

namespace vecann {

// The edges a slot shall have, with room for MaxEdges of its layer.
struct EdgeList {
    EdgeData* edges;
    uint32* generations;  // full generation of each target
    int count;
};

EdgeList HnswMakeEdgeList(HnswContext* ctx);

// Candidates with their payloads, gathered one by one. Memory lives in ctx->memory.
struct CandidateSet {
    HnswContext* ctx;
    const void* query;  // payload of the slot that chooses
    PageKind kind;
    char* spare;  // room for a payload, not taken yet
    ArenaVec<Candidate> items;

    void Init(HnswContext* context, const void* payload, int level);
    // Reads a slot and takes it as a candidate when it is live (or, with `any_state`, deleted). Knows no repeats: the
    // caller offers each id once. `generation`: low 8 bits or kAnyGeneration.
    void AddSlot(uint32 id, int generation, bool any_state);
    // The live entries of a settled beam, without `self` (kInvalidId: nothing is left out).
    void AddBeam(const Beam& beam, uint32 self);
    bool Has(uint32 id) const;
    // A candidate whose payload the caller keeps alive.
    void AddKnown(uint32 id, uint32 generation, const void* payload);
    // Chooses at most `max`, refilled to `refill`.
    void Choose(int max, int refill, EdgeList* out);
};

static_assert(std::is_trivially_destructible_v<CandidateSet> && std::is_trivially_destructible_v<EdgeList>);

// Chooses neighbours for the query among the live entries of a settled beam.
void HnswChooseFromBeam(HnswContext* ctx, const LayerSearch& search, int level, EdgeList* out);

struct LinkEnd {
    uint32 id;
    uint32 generation;
    const void* payload;  // null when not needed
};

// Adds the edge from -> to. When `from` is full it chooses again among its neighbours and `to`; with `must_accept`,
// `to` takes the place of the farthest if it was not chosen. Does nothing when `from` is no longer live. Cancellable.
void HnswAddBackEdge(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& to, bool must_accept);

// Writes an edge list if the slot is still live, of this generation, and has exactly the edges `old`; false otherwise.
bool HnswReplaceEdges(const HnswContext& ctx, int level, const LinkEnd& slot, const EdgeData* old, int old_count,
                      const EdgeList& edges);

// Adds the back edges of a slot that has just been given `edges`: every target is asked, the nearest must accept.
void HnswAddBackEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges);

// Searches new neighbours for an existing slot in its layer from the entry point, chooses among them and its present
// ones, and links both ways. For slots that have lost their links. True when it has neighbours afterwards; false, and
// nothing done, when the search met nothing live, or the slot is gone, or the graph has no such layer. Refreshes
// ctx->meta.
bool HnswRelinkSlot(HnswContext* ctx, int level, const LinkEnd& slot);

}  // namespace vecann

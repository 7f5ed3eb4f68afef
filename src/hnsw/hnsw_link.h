// Writing the graph: choosing neighbours, adding back edges, replacing edge lists. See README.md, "Insert".
//
// The caller holds the insert lock (an insert), or is the vacuum after its barrier, or builds; and no content lock.
#pragma once

#include "graph/select_neighbours.h"
#include "hnsw/hnsw_search.h"

namespace vecann {

// The edges a slot shall have, with room for max_edges + 1.
struct EdgeList {
    EdgeData* edges;
    char* codes;
    uint32* generations;    // full generation of each target
    const float** vectors;  // of each target; null where not known
    int count;
};

EdgeList HnswMakeEdgeList(HnswContext* ctx);

// Candidates with their vectors, gathered one by one. Memory lives in ctx->memory.
struct CandidateSet {
    HnswContext* ctx;
    const float* vector;  // of the slot that chooses
    PageKind kind;
    char* payload;  // scratch
    ArenaVec<Candidate> items;

    void Init(HnswContext* context, const float* chooser, int level);
    // Reads a slot and takes it as a candidate when it is live (or, with `any_state`, deleted). Knows no repeats: the
    // caller offers each id once. `generation`: low 8 bits or kAnyGeneration.
    void AddSlot(uint32 id, int generation, bool any_state);
    // The nearest `max` live slots that a search found and kept the payloads of, without `self` (kInvalidId: none).
    void AddFound(LayerSearch* search, size_t max, uint32 self);
    bool Has(uint32 id) const;
    // A candidate whose vector the caller keeps alive.
    void AddKnown(uint32 id, uint32 generation, const float* known);
    // Chooses at most `max`, refilled to `refill`, and encodes them; codes of edges that are in `old` (may be null)
    // are taken over.
    void Choose(int max, int refill, const EdgeCopy* old, EdgeList* out);
};

static_assert(std::is_trivially_destructible_v<CandidateSet> && std::is_trivially_destructible_v<EdgeList>);

// Chooses neighbours for the query among what a settled search found.
void HnswChooseFromSearch(LayerSearch* search, EdgeList* out);

struct LinkEnd {
    uint32 id;
    uint32 generation;
    const float* vector;  // null when not known
};

// Adds the edge from -> to. When `from` is full it chooses again among its neighbours and `to`; with `must_accept`,
// `to` takes the place of the farthest if it was not chosen. Does nothing when `from` is no longer live. Cancellable.
void HnswAddBackEdge(HnswContext* ctx, int level, const LinkEnd& from, const LinkEnd& to, bool must_accept);

// Writes an edge list if the slot is still live, of this generation, and has exactly the edges `old`; false otherwise.
// Edges that were there keep their places, so that the record is short.
bool HnswReplaceEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeCopy& old, const EdgeList& edges);

// Adds the back edges of a slot that has just been given `edges`: every target is asked, the nearest must accept.
void HnswAddBackEdges(HnswContext* ctx, int level, const LinkEnd& slot, const EdgeList& edges);

// Searches new neighbours for an existing slot in its layer from the entry point, chooses among them and its present
// ones, and links both ways. For slots that have lost their links. True when it has neighbours afterwards; false, and
// nothing done, when the search met nothing live, or the slot is gone, or the graph has no such layer. Refreshes
// ctx->meta.
bool HnswRelinkSlot(HnswContext* ctx, int level, const LinkEnd& slot);

}  // namespace vecann

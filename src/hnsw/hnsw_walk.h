// A walk over an index in the order of the distance to a query: a resumable beam, then a sweep over the slots the beam
// did not reach. What amgettuple and the custom scan have in common. See README.md, "Search".
//
// Holds no lock or pin between calls. Trivially destructible; its memory is one context, reset by each start.
#pragma once

#include "hnsw/hnsw_admission.h"
#include "pg/guc.h"
#include "planner/vector_search.h"

namespace vecann {

enum class WalkPhase : uint8 {
    kStart,
    kBeam,   // rows come from what the settled beam has expanded
    kDrain,  // out of memory for more: rows come from what the beam knows
    kSweep,  // page by page over the slots not seen
    kDone,
};

// A node whose distance is known.
struct ScoredNode {
    OrderBounds bounds;  // of the operator's result
    FoundSlot slot;
};
static_assert(std::is_trivially_copyable_v<ScoredNode>);

// An entry of the index for a row, as it was when it was read.
struct RowEntry {
    ItemPointerData tid;
    bool in_line;
    uint32 node;
    uint32 generation;
    uint32 tid_epoch;
};

constexpr int kMaxKilled = 64;

struct HnswWalk {
    MemoryContext memory;
    HnswContext ctx;
    LayerSearch search;
    const SearchFilter* filter;  // null: none
    Admission admission;         // with a filter
    uint32 held;                 // so many results wait until the beam has gone on
    WalkPhase phase;
    IterativeScan mode;  // in force when the walk began
    uint32 ef;           // the same of hnsw.ef_search, or half as many again as the rows wanted
    uint32 wanted;       // rows that the first beam is to find; 0: not known, the beam goes on before it is used up
    uint32 taken;        // nodes
    bool first_beam;     // it is to find the rows wanted, and has not been widened
    bool keep_exact;     // remember payloads that are the values
    bool ignore_killed;  // entries flagged as killed are dead to the snapshot
    bool from_seeds;     // it has not been down the layers
    bool ordered;        // there is a query vector with meaningful distances
    double unordered_value;
    IndexedVector query;
    ArenaVec<ScoredNode> results;  // expanded and not taken yet: a heap, nearest on top
    double last_value;
    double highest_upper;  // of the nodes taken

    // the node taken last, by HnswWalkNext
    ArenaVec<NodeRow> rows;
    const void* payload;  // of the node; null unless it is exact and kept
    bool mixed;           // its rows may differ in their values
    RowEntry entry;       // of its rows, but for tid and in_line
    OrderBounds bounds;   // what is still to come is no nearer than the lower one
    bool recheck;         // only the rows' exact distances tell their places
    bool last_wanted;     // no more rows are wanted: what may come behind comes late
    bool apart;           // its place in the order is certain: what is still to come is no nearer than the upper bound

    // the sweep
    BlockNumber next_block;
    BlockNumber end_block;
    ArenaVec<ScoredNode> swept;
    size_t next_swept;

    RowEntry killed[kMaxKilled];
    int killed_count;

    bool gave_up() const { return filter != nullptr && admission.gave_up(); }
    bool strict() const { return mode == IterativeScan::kStrictOrder && ordered; }
};
static_assert(std::is_trivially_destructible_v<HnswWalk>);

// Sets a zeroed walk up; its memory goes below the current context.
void HnswWalkInit(HnswWalk* walk);

// Forgets all that a start has set; the next one may be for another query.
void HnswWalkReset(HnswWalk* walk, Relation index);

// Begins a walk that has been reset, up to the first settled beam. The caller is in the walk's memory context.
void HnswWalkStart(HnswWalk* walk, const SearchQuery& query);

// Takes the next node that has rows to return; false at the end. The caller is in the walk's memory context.
bool HnswWalkNext(HnswWalk* walk);

// Remembers that a row is dead to every snapshot, for its entry to be flagged.
void HnswWalkKill(HnswWalk* walk, const RowEntry& entry);

// Gives all memory back; the walk is zeroed memory again.
void HnswWalkEnd(HnswWalk* walk);

}  // namespace vecann

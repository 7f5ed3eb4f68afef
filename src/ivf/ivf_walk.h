// A walk over an ivf index in the order of the distance to a query: list by list, the nearest rows of some lists at a
// time. What amgettuple and the custom scan have in common. See README.md, "Search".
//
// Holds no lock or pin between calls. Trivially destructible; its memory is one context, reset by each start.
#pragma once

#include "ivf/ivf_codes.h"
#include "ivf/ivf_vector.h"
#include "pg/guc.h"
#include "planner/vector_search.h"

namespace vecann {

// A row that a search has met.
struct Hit {
    float distance;  // search distance, or its estimate by a code
    float error;     // of the payload; of a code: how much nearer the row may be
    float norm;      // of the vector at most, for inner products of payloads
    ItemPointerData tid;
    uint16 slot;
    BlockNumber block;  // its page; of a code with a stored payload the part page, where that holds whole payloads
};
static_assert(sizeof(Hit) == 24);

// A hit with the bounds of the operator's result.
struct BoundedHit {
    OrderBounds bounds;
    Hit hit;
    bool exact;  // the index holds the numbers of the value itself
};

// How a search of one of the two access methods goes on.
struct IvfSearchSettings {
    uint32 probes;
    uint32 max_probes;
    bool iterative;
    bool widens;  // probes are for ten rows, and grow with the rows that are wanted
};

struct IvfWalk {
    MemoryContext memory;
    IvfContext ctx;
    Arena arena;
    const SearchFilter* filter;  // null: none
    Gathering gathering;         // with a filter
    uint64 members;              // rows of the filter met in the batch
    IvfSearchSettings settings;
    bool started;
    bool done;
    bool gave_up;
    bool ordered;  // there is a query vector with meaningful distances
    double unordered_value;
    IvfVector query;
    PayloadQuery payloads;
    CodeQuery codes;
    bool measures;   // codes are followed by stored payloads
    char* entry;     // a long entry, or a payload
    float* numbers;  // of an exact one
    Datum restored;  // the same as a value

    ArenaVec<RankedList> lists;  // not searched yet: a heap, nearest on top
    uint32 probed;
    ArenaVec<RankedList> batch;  // whose rows are coming

    // Of the batch, the nearest `most` rows behind `after` are kept in a round.
    size_t first_round;  // `most` of the first one
    size_t room;         // `most` at most
    size_t most;
    bool has_after;
    Hit after;                  // the last one kept by the rounds before
    float limit;                // rows at this distance or farther need not be kept
    bool dropped;               // some were not
    float largest_error;        // of all met in the batch
    float largest_norm;         // the same
    double rest;                // no row of the batch that was not kept is nearer
    ArenaVec<Hit> hits;         // being gathered
    ArenaVec<BoundedHit> kept;  // a heap, nearest on top
    Hit taken;                  // from there last
    bool has_taken;
    ArenaVec<BoundedHit> measured;  // by stored payloads: a heap, nearest on top

    bool has_farthest;
    Hit farthest;     // of those of the batch that were taken from those kept
    uint64 handed;    // rows handed out
    uint64 widen_at;  // so many, and more lists join the batch
    // handed out last
    BoundedHit last;
    bool has_last;
    bool apart;      // its place in the order is certain
    double settled;  // no row of the batch that is still to come is nearer
};
static_assert(std::is_trivially_destructible_v<IvfWalk>);

// Sets a zeroed walk up; its memory goes below the current context.
void IvfWalkInit(IvfWalk* walk);
// Forgets all that a start has set; the next one may be for another query.
void IvfWalkReset(IvfWalk* walk, Relation index);
// Begins a walk that has been reset. The caller is in the walk's memory context.
void IvfWalkStart(IvfWalk* walk, const SearchQuery& query);
// Takes the next row, into `last`; false at the end. The caller is in the walk's memory context.
bool IvfWalkNext(IvfWalk* walk);
// The indexed value of the row handed out last, when that is exact and still where it was; 0 otherwise. It stays until
// the next call.
Datum IvfWalkValue(IvfWalk* walk);
// Gives all memory back; the walk is zeroed memory again.
void IvfWalkEnd(IvfWalk* walk);

}  // namespace vecann

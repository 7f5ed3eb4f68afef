// The heap TIDs of a node: two inline, the rest in a chain of segments on tid pages. See README.md, "Layout".
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

// A row to be added to a node.
struct NewRow {
    ItemPointerData tid;
    const void* payload;
    uint32 hash;  // of its value
};

struct NodeRow {
    ItemPointerData tid;
    bool in_line;  // stands in the node, so it can be flagged as killed
};

// Collects the TIDs of a node, sorted and without repeats, and its tid_epoch. With `skip_killed`, leaves out the
// flagged ones. False (and no rows) when the slot's generation is no longer `generation`. The caller holds no lock.
bool HnswReadRows(const HnswContext& ctx, uint32 node, uint32 generation, bool skip_killed, ArenaVec<NodeRow>* rows,
                  uint32* tid_epoch);

// The same for a slot without a chain, from what a search has copied. Rows that vacuum has removed since are no danger:
// a row that took such a TID was inserted after the scan's snapshot.
void HnswRowsOf(const FoundSlot& slot, bool skip_killed, ArenaVec<NodeRow>* rows);

// Adds a TID to a live node whose payload equals `payload`. False when the node is not that any more. The caller holds
// the insert lock (or builds) and no content lock.
bool HnswAppendTid(const HnswContext& ctx, uint32 node, uint32 generation, const NewRow& row);

struct TidVacuum {
    IndexBulkDeleteCallback callback;
    void* callback_state;
    double kept;
    double removed;
};

// Asks the callback about each of `count` (<= 16) entries, once; bit i is set when entry i is dead.
uint16 HnswDeadTids(const TidEntryData* tids, int count, TidVacuum* vacuum);

// Removes the entries of `dead`, closing the gaps.
void HnswRemoveTids(TidEntryData* tids, uint16* count, uint16 dead);

// Vacuums the chain of a node: removes dead TIDs, unlinks and frees empty segments. The caller is the vacuum and holds
// no content lock.
void HnswVacuumChain(const HnswContext& ctx, uint32 node, TidVacuum* vacuum);

}  // namespace vecann

// Which nodes count in a filtered search, and when it has seen enough of them. See README.md, "Filters".
//
// The search walks through every node and admits those with a row of the filter. Holds no lock between calls.
#pragma once

#include "hnsw/hnsw_tids.h"
#include "planner/vector_search.h"

namespace vecann {

class Admission {
  public:
    // For a beam of `ef` places; the filter outlives it.
    void Init(HnswContext* ctx, const SearchFilter* filter, uint32 ef, bool skip_killed, size_t memory_limit);

    // Has the node, expanded just now, a row of the filter? Counts it. The caller holds no lock.
    bool Admit(const FoundSlot& slot);
    // Keeps the rows of the filter.
    void KeepMembers(ArenaVec<NodeRow>* rows);

    // May the search stop, when the nearest node that it has not expanded is as far as this? True as well when it gives
    // up.
    bool Enough(float frontier);
    bool gave_up() const { return gave_up_; }
    bool may_give_up() const { return filter_->most_nodes > 0; }
    void GiveUp() { gave_up_ = true; }

    // After a search has stopped: how many of `waiting` nodes must not be returned before it has gone on.
    uint32 Held(uint32 waiting) const;
    // Begins anew for the nodes that come after those returned; `waiting` are known already.
    template <class Nodes>
    void NextRound(const Nodes& waiting) {
        gathering_.NextRound();
        stopped_early_ = false;
        nearest_.Clear();
        for (const auto& node : waiting)
            Keep(node.slot.distance);
    }

  private:
    // Has it read as many nodes as it may, or can it not be through before, by the rate of members so far?
    bool IsHopeless() const;
    void Keep(float distance);
    bool HasMember(const FoundSlot& slot);
    bool IsMember(const ItemPointerData& tid);

    HnswContext* ctx_;
    const SearchFilter* filter_;
    uint32 ef_;
    size_t memory_limit_;
    bool skip_killed_;
    bool gave_up_;
    bool stopped_early_;
    Gathering gathering_;      // of nodes
    ArenaVec<float> nearest_;  // of those admitted, ascending, at most ef_
    ArenaVec<NodeRow> rows_;   // of a chain
};
static_assert(std::is_trivially_destructible_v<Admission>);

}  // namespace vecann

// Robust prune; see robust_prune.h.
#include "graph/robust_prune.h"

#include <algorithm>

namespace vecann {

bool Falls(const GraphSpace& space, float margin, const GraphEdge* kept, size_t n, GraphEdge candidate) {
    for (size_t i = 0; i < n; ++i)
        if (margin * space.Distance(kept[i].id(), candidate.id()) < candidate.distance()) return true;
    return false;
}

size_t RobustPrune(const GraphSpace& space, const PruneRule& rule, GraphEdge* candidates, size_t n) {
    GraphEdge fallen[kMaxPruneCandidates];
    size_t kept = 0, fell = 0, seen = 0;
    for (; seen < n && kept < rule.max; ++seen) {
        const GraphEdge candidate = candidates[seen];
        if (Falls(space, rule.margin, candidates, kept, candidate))
            fallen[fell++] = candidate;
        else
            candidates[kept++] = candidate;
    }
    // What was not looked at lies behind and is farther than all of these.
    std::copy_n(fallen, fell, candidates + kept);
    return kept;
}

}  // namespace vecann

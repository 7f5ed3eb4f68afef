// Robust prune; see robust_prune.h.
#include "graph/robust_prune.h"

namespace vecann {

size_t RobustPrune(const GraphSpace& space, const PruneRule& rule, GraphEdge* candidates, size_t n) {
    bool keep[kMaxPruneCandidates];
    uint32_t kept[kMaxPruneCandidates];
    size_t chosen = 0, seen = 0;
    for (; seen < n && chosen < rule.max; ++seen) {
        const float limit = candidates[seen].distance();
        const uint32_t id = candidates[seen].id();
        bool occluded = false;
        for (size_t j = 0; j < chosen && !occluded; ++j)
            occluded = rule.margin * space.Distance(kept[j], id) < limit;
        keep[seen] = !occluded;
        if (!occluded) kept[chosen++] = id;
    }
    for (size_t i = 0; i < seen && chosen < rule.refill; ++i) {
        if (keep[i]) continue;
        keep[i] = true;
        ++chosen;
    }
    size_t out = 0;
    for (size_t i = 0; i < seen; ++i)
        if (keep[i]) candidates[out++] = candidates[i];
    return out;
}

}  // namespace vecann

// Robust prune (Vamana's rule, Subramanya et al. 2019): a candidate falls when a kept one is nearer to it, by a margin,
// than the node is. It leaves edges in different directions, some of them long.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/edge.h"

namespace vecann {

constexpr size_t kMaxPruneCandidates = 256;

struct PruneRule {
    float margin;     // a candidate falls when margin x its squared distance to a kept one is below that to the node
    uint32_t max;     // keep at most that many
    uint32_t refill;  // with fewer kept, the nearest of the fallen come back; at most max
};

// Prunes candidates[0..n), which are sorted and have different ids, n <= kMaxPruneCandidates. The kept ones move to the
// front, sorted; returns how many.
size_t RobustPrune(const GraphSpace& space, const PruneRule& rule, GraphEdge* candidates, size_t n);

}  // namespace vecann

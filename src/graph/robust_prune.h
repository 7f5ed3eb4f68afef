// Robust prune (Vamana's rule, Subramanya et al. 2019): a candidate falls when a kept one is nearer to it, by a margin,
// than the node is. It leaves edges in different directions, some of them long.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/edge.h"

namespace vecann {

constexpr size_t kMaxPruneCandidates = 256;

struct PruneRule {
    float margin;  // a candidate falls when margin x its squared distance to a kept one is below that to the node
    uint32_t max;  // keep at most that many
};

// Does a point at this distance from the node fall because of one of kept[0..n)?
bool Falls(const GraphSpace& space, float margin, const GraphEdge* kept, size_t n, GraphEdge candidate);

// Prunes candidates[0..n), which are sorted and have different ids, n <= kMaxPruneCandidates. The kept ones move to the
// front and the others behind them, both sorted. Returns how many were kept.
size_t RobustPrune(const GraphSpace& space, const PruneRule& rule, GraphEdge* candidates, size_t n);

}  // namespace vecann

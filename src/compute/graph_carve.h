// The first phase of a graph build: carving the points into overlapping leaves of near ones.
#pragma once

#include <vector>

#include "compute/graph_parts.h"

namespace vecann {

constexpr int kLeafPoints = 512;  // at most

struct LeafSet {
    std::vector<uint32_t> members;      // of all leaves, one after another, ascending and different in each
    std::vector<int64_t> begins = {0};  // where each leaf begins, and the end
    int64_t count() const { return static_cast<int64_t>(begins.size()) - 1; }
};

struct CarvePlan {
    std::vector<uint32_t> ids;  // of the points, ascending
    uint64_t seed;
    int fanout;      // each point goes to so many of its nearest leaders at first, and to two further down, then to one
    int64_t weight;  // of the progress
};

// Each of the points is in one leaf or more; near leaves stand near each other.
LeafSet Carve(ComputeJob* job, const GraphSpace& space, CarvePlan plan, PhaseProgress* progress);

}  // namespace vecann

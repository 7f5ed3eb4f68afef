// The last phase of a graph build: every node can be reached from the entry.
#pragma once

#include "compute/graph_parts.h"

namespace vecann {

// Gives each node that cannot be reached from `entry` an edge from a near one that can, in a free place or in that of
// the farthest edge without which its target is still reached. Returns how many edges it made.
uint32_t MakeReachable(ComputeJob* job, const GraphSpace& space, const GraphView& graph, uint32_t entry);

}  // namespace vecann

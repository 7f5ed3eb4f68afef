// Which nodes of a directed graph can be reached from one node, and along which tree.
#pragma once

#include "graph/edge.h"

namespace vecann {

// A breadth-first walk. `parent` and `queue` are arrays of the caller's, one element a node. Nodes that were not
// reached have the parent kNoNode; the first has itself. Edges along the tree are what an edit of the graph must leave
// alone; all others may be taken away, and a new edge from a reached node to one that was not is taken in with Add().
struct ReachTree {
    uint32_t* parent;
    uint32_t* queue;
    uint32_t head = 0, tail = 0;

    void Start(uint32_t count, uint32_t from);
    bool Reached(uint32_t node) const { return parent[node] != kNoNode; }
    void Add(uint32_t from, uint32_t to) {
        parent[to] = from;
        queue[tail++] = to;
    }
    // Expands at most `steps` nodes; false when none is left.
    bool Advance(const GraphView& graph, uint32_t steps);
};

}  // namespace vecann

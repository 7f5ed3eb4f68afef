// Reachability; see reach.h.
#include "graph/reach.h"

#include <algorithm>

namespace vecann {

void ReachTree::Start(uint32_t count, uint32_t from) {
    std::fill_n(parent, count, kNoNode);
    head = tail = 0;
    Add(from, from);
}

bool ReachTree::Advance(const GraphView& graph, uint32_t steps) {
    constexpr uint32_t kAhead = 8;
    for (; head < tail && steps > 0; ++head, --steps) {
        if (head + kAhead < tail) __builtin_prefetch(graph.Row(queue[head + kAhead]));
        const uint32_t node = queue[head];
        const uint32_t* row = graph.Row(node);
        for (uint32_t i = 0; i < graph.degrees[node]; ++i)
            if (!Reached(row[i])) Add(node, row[i]);
    }
    return head < tail;
}

}  // namespace vecann

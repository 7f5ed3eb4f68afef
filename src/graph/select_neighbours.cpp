// Choosing neighbours; see select_neighbours.h.
#include "graph/select_neighbours.h"

#include <algorithm>

namespace vecann {

namespace {

bool Nearer(const Candidate& a, const Candidate& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

}  // namespace

size_t SelectNeighbours(Candidate* candidates, size_t n, size_t max, size_t refill, CandidateDistance distance,
                        size_t dim) {
    std::sort(candidates, candidates + n, Nearer);
    size_t chosen = 0;
    for (size_t i = 0; i < n && chosen < max; ++i) {
        bool occluded = false;
        for (size_t j = 0; j < chosen && !occluded; ++j)
            occluded = distance(candidates[i].payload, candidates[j].payload, dim) < candidates[i].distance;
        if (occluded) continue;
        // Keep the order of the refused: rotate the chosen one in behind the others.
        std::rotate(candidates + chosen, candidates + i, candidates + i + 1);
        ++chosen;
    }
    // Behind the chosen, the refused stand nearest first.
    if (chosen < refill) chosen = std::min({n, refill, max});
    std::sort(candidates, candidates + chosen, Nearer);
    return chosen;
}

}  // namespace vecann

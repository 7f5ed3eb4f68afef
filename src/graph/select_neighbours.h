// Choosing a node's neighbours among candidates: the heuristic of HNSW (Malkov, Yashunin, arXiv 1603.09320, algorithm
// 4), which is the pruning rule of relative-neighbourhood graphs, then a refill from the nearest that it refused.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/zone.h"

namespace vecann {

struct Candidate {
    float distance;  // to the node that chooses
    uint32_t id;
    uint32_t generation;
    const void* payload;
};

// Distance between two payloads of dim elements.
using CandidateDistance = float (*)(const void* a, const void* b, size_t dim);

// Sorts candidates[0..n) by distance and moves the chosen ones to the front, nearest first; returns how many (<= max).
// A candidate is refused when a chosen one is nearer to it than the choosing node is; refused ones fill up to `refill`.
size_t SelectNeighbours(Candidate* candidates, size_t n, size_t max, size_t refill, CandidateDistance distance,
                        size_t dim);

}  // namespace vecann

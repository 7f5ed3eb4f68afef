// A fixed pseudo-random rotation of R^dim: rounds of random signs, a random permutation and Hadamard transforms of
// blocks. It spreads the energy of a vector evenly over the dimensions, which is what the codes of rabitq.h need. It is
// determined by dim alone, so nothing of it is stored; it preserves inner products up to float32 rounding.
// Every instruction set gives the same bits.
//
// Blocks are 64 wide; where dim is no multiple, the last block overlaps the one before, which keeps the map orthogonal
// without padding the vector.
#pragma once

#include "core/arena.h"

namespace vecann {

constexpr int kRotationRounds = 3;

struct Rotation {
    int dim;
    int block;          // width of a Hadamard block: a power of two <= 64
    float* signs;       // kRotationRounds x dim, each +1 or -1
    uint32_t* sources;  // kRotationRounds x dim: position i of a round takes from sources[i]

    void Init(Arena* arena, int dimensions);
    // out = R in; both hold dim floats and may not overlap; scratch holds dim floats.
    void Apply(const float* in, float* out, float* scratch) const;
};

}  // namespace vecann

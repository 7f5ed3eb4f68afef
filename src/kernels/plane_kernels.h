// Bit-plane products, written over a population count. Each level passes its own `Word` type, so that the instantiation
// is its own; levels with wide population counts have their own routine.
#pragma once

#include <cstring>

#include "kernels/kernel_table.h"

namespace vecann {

template <class Word>
void SumPlanes(const PlaneBatch& batch, uint32_t* sums) {
    for (int n = 0; n < batch.count; ++n) {
        const char* code = batch.codes + static_cast<size_t>(n) * batch.stride;
        uint32_t total = 0;
        for (int j = 0; j < batch.bits; ++j) {
            uint32_t by_plane[kQueryPlanes] = {};
            for (int w = 0; w < batch.words; ++w) {
                uint64_t bits;
                memcpy(&bits, code + (static_cast<size_t>(j) * batch.words + w) * sizeof(uint64_t), sizeof(bits));
                for (int i = 0; i < kQueryPlanes; ++i)
                    by_plane[i] += Word::Count(bits & batch.query[i * batch.words + w]);
            }
            for (int i = 0; i < kQueryPlanes; ++i)
                total += by_plane[i] << (i + j);
        }
        sums[n] = total;
    }
}

}  // namespace vecann

// The inner loops of a graph build beside the matrix product: one table per instruction set, as in src/kernels.
#pragma once

#include <cstdint>

namespace vecann {

// Rows of products and their norms are padded to a multiple of this, the norms with infinity.
constexpr int kRowPad = 16;
constexpr int PaddedRow(int n) {
    return (n + kRowPad - 1) / kRowPad * kRowPad;
}

struct NearKey {
    float key;
    int32_t index;
};

struct GraphKernels {
    const char* name;
    // to = from - centre; returns the squared length of `to`.
    float (*centred_row)(const float* from, const float* centre, float* to, int n);
    // The k smallest of norms[j] - 2 products[j] for j < n, ascending; of equal ones those first that follow `start`, a
    // multiple of kRowPad below n, and at the end those before it. Returns how many there are. That is the order of the
    // squared distances from the row's point, which are larger by its own norm. A product of minus infinity leaves its
    // j out.
    int (*nearest_of_row)(const float* products, const float* norms, int n, int start, int k, NearKey* out);
};

// The best table this processor can run.
const GraphKernels& BestGraphKernels();

extern const GraphKernels kBaselineGraphKernels;
#if defined(__x86_64__)
extern const GraphKernels kAvx2GraphKernels;
extern const GraphKernels kAvx512GraphKernels;
#endif

}  // namespace vecann

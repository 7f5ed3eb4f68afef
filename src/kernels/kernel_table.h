// The kernel table: one set of function pointers per instruction-set level, chosen once when the module loads.
//
// Every kernel takes n elements (n >= 0), reads exactly n from each array, needs the alignment of one element, and sums
// in float32. Levels differ in the order of summation only; tests compare each level with the baseline.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/metric.h"

namespace vecann {

enum class SimdLevel : int { kBaseline = 0, kAvx2 = 1 };
constexpr int kSimdLevels = 2;

struct CosineParts {
    float dot;
    float norm_a;  // sum of squares of a
    float norm_b;  // sum of squares of b
};

// Kernels over two dense vectors of one element kind.
struct DenseKernels {
    float (*l2_squared)(const void* a, const void* b, size_t n);     // sum (a-b)^2
    float (*inner_product)(const void* a, const void* b, size_t n);  // sum a*b
    float (*l1)(const void* a, const void* b, size_t n);             // sum |a-b|
    CosineParts (*cosine)(const void* a, const void* b, size_t n);   // dot and both squared norms in one pass
};

constexpr int kQueryPlanes = 6;  // bits of a quantised query

// A batch of bit-plane codes to be summed against one query (quant/rabitq.h says what the planes mean).
struct PlaneBatch {
    const uint64_t* query;  // kQueryPlanes x words
    const char* codes;      // `count` codes of bits x words 64-bit words, `stride` bytes apart, any alignment
    size_t stride;
    int count;
    int words;
    int bits;
};

// sums[n] = sum over i, j of 2^(i+j) popcount(query plane i & plane j of code n).
using PlaneSums = void (*)(const PlaneBatch& batch, uint32_t* sums);

struct KernelTable {
    SimdLevel level;
    const char* name;
    DenseKernels float32;
    PlaneSums plane_sums;
};

// The table of a level; nullptr when it was not compiled in or this processor lacks it.
const KernelTable* KernelTableFor(SimdLevel level);
// The best table this processor can run (cpuid and XGETBV).
SimdLevel BestSimdLevel();
// The table in force. Starts as the best one.
const KernelTable& Kernels();
// Forces a level; false (and no change) when it is not available.
bool ForceSimdLevel(SimdLevel level);

}  // namespace vecann

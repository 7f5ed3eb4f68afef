// The kernel table: one set of function pointers per instruction-set level, chosen once when the module loads.
//
// Every kernel takes n elements (n >= 0), reads exactly n from each array, needs the alignment of one element, and sums
// in float32. Levels differ in the order of summation only; tests compare each level with the baseline. What decides
// whether two vectors are the same one, the rotation, gives the same bits at every level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_scan.h"
#include "kernels/metric.h"
#include "kernels/payload_layout.h"
#include "kernels/row_code_layout.h"

namespace vecann {

enum class SimdLevel : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };
constexpr int kSimdLevels = 3;

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

// Ones that two bit strings have in common, and that at least one of them has.
struct BitOverlap {
    uint64_t both;
    uint64_t either;
};

// Kernels over two bit strings of whole bytes.
struct BitKernels {
    uint64_t (*hamming)(const void* a, const void* b, size_t bytes);  // bits that differ
    BitOverlap (*overlap)(const void* a, const void* b, size_t bytes);
};

// Kernels over a query of n float32 and a payload of as many elements (quant/payload.h; aligned to 4 bytes).
struct PayloadKernels {
    float (*l2_squared)(const float* query, const void* payload, size_t n);
    float (*inner_product)(const float* query, const void* payload, size_t n);
    float (*l1)(const float* query, const void* payload, size_t n);
};

constexpr int kQueryPlanes = 6;  // bits of a quantised query

// One neighbour of a node: also the on-disk form. quant/rabitq.h says what the last three fields are.
struct CodedEdge {
    uint32_t id;
    uint8_t generation;
    uint8_t held;  // 1: no other edge takes its place (hnsw README, "Holders")
    uint16_t level_sum;
    float add;
    float scale;
};
static_assert(sizeof(CodedEdge) == 16 && offsetof(CodedEdge, level_sum) == 6 && offsetof(CodedEdge, add) == 8 &&
              offsetof(CodedEdge, scale) == 12);

// A node's neighbours to be scored against one query (quant/rabitq.h says what the planes mean).
struct CodeBatch {
    const uint64_t* query;  // kQueryPlanes x words
    int words;              // 64-bit words of a plane
    int bits;               // planes of a code, 1 .. 4
    float low;              // <Rq, c> = low * level_sum + step * plane_sum - half_sum
    float step;
    float half_sum;
    const CodedEdge* edges;  // count
    const char* codes;       // count codes of bits x words words each, contiguous, any alignment
    int count;
    float base;  // the search distance of the node itself
    // The query's planes as a number for each of 64 words dimensions, as ExpandLevels makes them; null: not at hand.
    const uint8_t* levels;
};

// estimates[n] = base + add + scale * <Rq, c> of edge n, where plane_sum is the sum over query plane i and code plane j
// of 2^(i+j) popcount(query plane i & code plane j).
using ScoreEdges = void (*)(const CodeBatch& batch, float* estimates);

// Levels k_i = floor(x_i * inverse_width + offset), clamped to 0 .. 2^bits - 1.
struct LevelRule {
    float inverse_width;
    float offset;
    int bits;  // 1 .. 4, or kQueryPlanes
};
struct LevelFit {
    float product;  // <x, c>, c_i = k_i - (2^bits - 1) / 2
    float norm;     // |c|^2
};
struct LevelSums {
    float x_product;  // <x, c>
    float y_product;  // <y, c>
    float level_sum;  // of the k_i
};
struct ResidualSums {
    float norm;     // |v - u|^2
    float u_dot_r;  // <u, v - u>
};
struct Range {
    float low, high, sum;
};

// The parts of encoding (quant/rabitq.cpp puts them together).
// From kQueryPlanes planes of `words` words each to numbers, one for each bit place.
using ExpandLevels = void (*)(const uint64_t* planes, int words, uint8_t* levels);

struct CodeKernels {
    // r = v - u
    ResidualSums (*residual)(const float* u, const float* v, size_t n, float* r);
    LevelFit (*fit)(const LevelRule& rule, const float* x, size_t n);
    // Writes the levels of x as bit planes, each of ceil(n / 64) words, padding bits zero.
    LevelSums (*encode)(const LevelRule& rule, const float* x, const float* y, size_t n, void* planes);
    // n >= 1
    Range (*range)(const float* x, size_t n);
};

// One round of a rotation: to[i] = signs[i] * from[sources[i]], then an orthogonal Walsh-Hadamard transform of each
// block, the last one overlapping the one before where dim is no multiple of block. The same bits at every level.
struct RotationRound {
    const float* from;
    float* to;  // overlaps nothing
    const uint32_t* sources;
    const float* signs;
    int dim;
    int block;  // a power of two, at most 64 and at most dim
};

// products[n] = <query, levels of row code n> of `count` row codes; the query has 32 x groups numbers. Summed in 32
// lanes, one group after another, the lanes then pairwise: no sum is rounded more than groups + 6 times.
using NibbleProductsOf = void (*)(const float* query, size_t groups, const char* const* codes, int count,
                                  float* products);

struct KernelTable {
    SimdLevel level;
    const char* name;
    DenseKernels float32;
    DenseKernels float16;
    BitKernels bit;
    PayloadKernels payload[kPayloadKinds];  // by PayloadKind
    ScoreEdges score_edges;
    ExpandLevels expand_levels;  // null: score_edges has no use for them
    CodeKernels code;
    void (*rotate)(const RotationRound& round);
    BlockKernels block;
    CodebookKernels codebook;
    NibbleProductsOf nibble_products;
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

// Scans of blocks of 32 codes of 4-bit sub-quantizers: what the kernels take and give. quant/pq.h packs the blocks and
// makes the tables.
//
// A block is 16 bytes for each of m sub-quantizers, m rounded up to an even number. Sub-quantizers 2p and 2p + 1 share
// 32 bytes, the first 16 those of 2p. Code v of the block has its codeword in byte (v' < 8 ? 2v' : 2(v' - 8) + 1) of
// the 16, v' = v & 15: in the low nibble where v < 16, in the high one otherwise. So a shuffle of bytes looks 16 codes
// up at once, and the even and the odd bytes of the results are the sums' lanes in order.
//
// All sums are integers modulo 2^16, and the floats behind them are computed in one order without fused multiply-adds:
// every level gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/zone.h"

namespace vecann {

constexpr int kBlockCodes = 32;

constexpr int EvenSubQuantizers(int m) {
    return (m + 1) & ~1;
}
constexpr size_t BlockBytes(int m) {
    return static_cast<size_t>(16) * static_cast<size_t>(EvenSubQuantizers(m));
}

// Blocks to be scanned, contiguous or with something between them (code_stride). They and the tables need no alignment.
struct BlockScan {
    const uint8_t* levels;  // EvenSubQuantizers(m) x 16: what a codeword adds to the sum; zeros for the one that pads
    const uint8_t* codes;   // of the first block
    int m;
    int blocks;
    size_t code_stride;  // bytes from a block's codes to the next one's; at least BlockBytes(m)
};

// Turns the sums into distances: of code v of a block,
//     estimate = (base + add[v]) + scale[v] * (bias + step * sum),   bound = estimate - spread * error[v].
// Each of the three arrays holds 32 floats of a block; null stands for add 0, scale 1, error 0.
struct BlockEstimate {
    const float* add;
    const float* scale;
    const float* error;
    size_t factor_stride;  // bytes from a block's factors to the next one's, the same in the three arrays
    float bias;            // the tables' (ScanTables)
    float step;
    float base;    // the centroid's own part, for instance |q - c|^2
    float spread;  // what errors are relative to: |q - c|
    float limit;   // a code survives unless bound > limit
};

// sums[32 b + v] for all codes of all blocks.
using ScanSums = void (*)(const BlockScan& scan, uint16_t* sums);
// The same; bit v of masks[b] says that sum <= limit (none where limit is negative).
using ScanBelow = void (*)(const BlockScan& scan, int limit, uint16_t* sums, uint32_t* masks);
// estimates[32 b + v] of all codes; bit v of masks[b]: it survives.
using ScanEstimates = void (*)(const BlockScan& scan, const BlockEstimate& rule, float* estimates, uint32_t* masks);

// Codes of 8-bit sub-quantizers, one after another, m bytes each and `stride` bytes apart:
// sums[n] = sum over s of tables[256 s + codes[n * stride + s]], for n < count.
using ScanBytes = void (*)(const float* tables, const uint8_t* codes, int m, size_t stride, int count, float* sums);

// What one sub-quantizer's 16 values span.
struct ValueRange {
    float least;
    float most;
    bool finite;  // all of them
};

struct BlockKernels {
    ScanSums sums;
    ScanBelow below;
    ScanEstimates estimates;
    ScanBytes bytes;
};

// One sub-quantizer's codewords, transposed: codewords[words * i + j] is coordinate i < dims of codeword j. `words` is
// 16 or 256. Sums run over i in order, so that what is encoded does not depend on the level.
struct CodebookKernels {
    void (*distances)(const float* x, const float* codewords, int dims, int words, float* table);  // |x - c_j|^2
    void (*products)(const float* x, const float* codewords, int dims, int words, float* table);   // <x, c_j>
    // The nearest codeword, the first of equals; 0 where no distance is finite. Gives the squared distance.
    int (*nearest)(const float* x, const float* codewords, int dims, int words, float* distance);
    // The ranges of m times 16 values.
    void (*ranges)(const float* values, int m, ValueRange* ranges);
    // levels = (values - least) * scale + 0.5, cut at 255 and to whole numbers. Returns the sum of what rounding takes
    // away, whose last bits depend on the level.
    float (*quantise)(const float* values, const ValueRange* ranges, int m, float scale, uint8_t* levels);
};

}  // namespace vecann

// The scans of blocks, over a level's Block: how it sums some blocks at once and what it makes of their sums. Internal
// to src/kernels.
#pragma once

#include "kernels/block_scan.h"
#include "kernels/codebook_kernels.h"

namespace vecann {

// Calls use(block, sums) for all blocks, Block::kAbreast at once while there are as many: tables are loaded once for
// them.
template <class Block, class Use>
inline __attribute__((always_inline)) void ForBlocks(const BlockScan& scan, Use use) {
    typename Block::Sums sums[Block::kAbreast];
    int b = 0;
    for (; b + Block::kAbreast <= scan.blocks; b += Block::kAbreast) {
        Block::template Add<Block::kAbreast>(scan, b, sums);
        for (int e = 0; e < Block::kAbreast; ++e)
            use(b + e, sums[e]);
    }
    for (; b < scan.blocks; ++b) {
        Block::template Add<1>(scan, b, sums);
        use(b, sums[0]);
    }
}

template <class Block>
void BlockSums(const BlockScan& scan, uint16_t* sums) {
    ForBlocks<Block>(scan, [&](int b, const typename Block::Sums& s) { Block::Store(s, sums + b * kBlockCodes); });
}

template <class Block>
void BlocksBelow(const BlockScan& scan, int limit, uint16_t* sums, uint32_t* masks) {
    const uint16_t most = static_cast<uint16_t>(limit < 0 ? 0 : limit > UINT16_MAX ? UINT16_MAX : limit);
    const uint32_t keep = limit < 0 ? 0 : ~uint32_t{0};
    ForBlocks<Block>(scan, [&](int b, const typename Block::Sums& s) {
        Block::Store(s, sums + b * kBlockCodes);
        masks[b] = Block::Below(s, most) & keep;
    });
}

inline __attribute__((always_inline)) const float* FactorsOf(const float* first, size_t stride, int block) {
    if (first == nullptr) return nullptr;
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(first) + stride * static_cast<size_t>(block));
}

template <class Block>
void BlockEstimates(const BlockScan& scan, const BlockEstimate& rule, float* estimates, uint32_t* masks) {
    ForBlocks<Block>(scan, [&](int b, const typename Block::Sums& s) {
        masks[b] = Block::Estimate(s, rule, FactorsOf(rule.add, rule.factor_stride, b),
                                   FactorsOf(rule.scale, rule.factor_stride, b),
                                   FactorsOf(rule.error, rule.factor_stride, b), estimates + b * kBlockCodes);
    });
}

template <class Block, class Pack>
constexpr BlockKernels MakeBlockKernels() {
    return {&BlockSums<Block>, &BlocksBelow<Block>, &BlockEstimates<Block>, &SumBytes<Pack>};
}

}  // namespace vecann

// Unit tests of the kernels of the codes: scores of batches at every level against sums bit by bit, for all shapes, on
// codes that end where readable memory ends.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "guarded_array.h"
#include "kernels/kernel_table.h"

namespace vecann {
namespace {

uint64_t WordAt(const char* p, size_t i) {
    uint64_t word;
    memcpy(&word, p + i * sizeof(word), sizeof(word));
    return word;
}

uint32_t TruePlaneSum(const CodeBatch& batch, const char* code) {
    uint32_t sum = 0;
    for (int j = 0; j < batch.bits; ++j)
        for (int w = 0; w < batch.words; ++w)
            for (int i = 0; i < kQueryPlanes; ++i)
                sum += static_cast<uint32_t>(__builtin_popcountll(
                           WordAt(code, static_cast<size_t>(j * batch.words + w)) & batch.query[i * batch.words + w]))
                       << (i + j);
    return sum;
}

void CheckBatch(const CodeBatch& batch, float* estimates) {
    for (int level = 0; level < kSimdLevels; ++level) {
        const KernelTable* table = KernelTableFor(static_cast<SimdLevel>(level));
        if (table == nullptr) continue;
        table->score_edges(batch, estimates);
        for (int n = 0; n < batch.count; ++n) {
            const CodedEdge& edge = batch.edges[n];
            const char* code = batch.codes + static_cast<size_t>(n * batch.bits * batch.words) * sizeof(uint64_t);
            const double sum = TruePlaneSum(batch, code);
            const double a = static_cast<double>(batch.low) * edge.level_sum, b = batch.step * sum;
            const double truth = batch.base + edge.add + edge.scale * (a + b - batch.half_sum);
            const double size = std::fabs(batch.base) + std::fabs(edge.add) +
                                std::fabs(edge.scale) * (std::fabs(a) + std::fabs(b) + std::fabs(batch.half_sum));
            ASSERT_NEAR(estimates[n], truth, 1e-6 * size) << table->name << " words " << batch.words << " bits "
                                                          << batch.bits << " edge " << n << " of " << batch.count;
        }
    }
}

TEST(ScoreEdgesTest, EveryLevelAgreesWithBitByBit) {
    std::mt19937_64 random(9);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const int words :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 65, 128, 250})
        for (const int bits : {1, 2, 3, 4})
            for (const int count : {0, 1, 2, 3, 7, 8, 9, 16, 31, 33}) {
                const size_t code_words = static_cast<size_t>(words * bits);
                GuardedArray<uint64_t> query(static_cast<size_t>(kQueryPlanes * words));
                GuardedArray<char> codes(code_words * 8 * static_cast<size_t>(count));
                GuardedArray<CodedEdge> edges(static_cast<size_t>(count));
                GuardedArray<float> estimates(static_cast<size_t>(count));
                // now and then everything is set, which makes the largest sums
                const bool full = count == 7;
                for (int i = 0; i < kQueryPlanes * words; ++i)
                    query[static_cast<size_t>(i)] = full ? ~uint64_t{0} : random();
                for (size_t i = 0; i < code_words * 8 * static_cast<size_t>(count); ++i)
                    codes[i] = full ? '\xff' : static_cast<char>(random());
                for (int i = 0; i < count; ++i)
                    edges[static_cast<size_t>(i)] = {static_cast<uint32_t>(random()),
                                                     255,
                                                     255,
                                                     static_cast<uint16_t>(random()),
                                                     uniform(random),
                                                     uniform(random)};
                const CodeBatch batch = {query.data(),    words,        bits,         uniform(random), uniform(random),
                                         uniform(random), edges.data(), codes.data(), count,           uniform(random)};
                CheckBatch(batch, estimates.data());
            }
}

TEST(ScoreEdgesTest, CodesNeedNoAlignment) {
    std::mt19937_64 random(10);
    for (const int words : {1, 2, 12, 13, 40})
        for (const int bits : {1, 2, 4})
            for (int shift = 0; shift < 8; ++shift) {
                constexpr int kCount = 5;
                std::vector<uint64_t> query(static_cast<size_t>(kQueryPlanes * words)),
                    codes(static_cast<size_t>(words * bits * kCount + 1));
                for (uint64_t& w : query)
                    w = random();
                for (uint64_t& w : codes)
                    w = random();
                CodedEdge edges[kCount] = {};
                for (CodedEdge& edge : edges)
                    edge = {0, 0, 0, 100, 1, -0.5f};
                float estimates[kCount];
                CheckBatch({query.data(), words, bits, 0.25f, 0.5f, 3, edges,
                            reinterpret_cast<const char*>(codes.data()) + shift, kCount, 2},
                           estimates);
            }
}

}  // namespace
}  // namespace vecann

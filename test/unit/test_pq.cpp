// Unit tests of product quantization and of sign codes for lists: codes against brute force, blocks, tables and their
// bound, every instruction set against plain sums bit for bit on arrays that end where readable memory ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "compute/task_arena.h"
#include "guarded_array.h"
#include "kernels/kernel_table.h"
#include "quant/pq.h"
#include "quant/rabitq_list.h"
#include "quant/rotation.h"

namespace vecann {
namespace {

using Vector = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

std::vector<const KernelTable*> Levels() {
    std::vector<const KernelTable*> levels;
    for (int level = 0; level < kSimdLevels; ++level)
        if (const KernelTable* table = KernelTableFor(static_cast<SimdLevel>(level))) levels.push_back(table);
    return levels;
}

// Runs body with each level in force, the best one last.
template <class F>
void AtEveryLevel(F body) {
    for (const KernelTable* table : Levels()) {
        ASSERT_TRUE(ForceSimdLevel(table->level));
        body(table->name);
    }
}

Vector Normal(std::mt19937* random, size_t n) {
    std::normal_distribution<float> normal;
    Vector v(n);
    for (float& x : v)
        x = normal(*random);
    return v;
}

// As a training leaves it: zeros behind the end of a shorter run.
Vector RandomCodebook(const PqShape& shape, std::mt19937* random) {
    Vector codebook = Normal(random, shape.codebook_floats());
    for (int s = 0; s < shape.m; ++s)
        for (int i = shape.run(s); i < shape.sub_dim(); ++i)
            for (int j = 0; j < shape.codewords(); ++j)
                codebook[shape.part_floats() * s + static_cast<size_t>(i * shape.codewords() + j)] = 0;
    return codebook;
}

int WordAt(const PqShape& shape, const std::vector<uint8_t>& code, int s) {
    return shape.bits == 8 ? code[s] : (code[s / 2] >> (4 * (s & 1))) & 15;
}

float Codeword(const PqShape& shape, const Vector& codebook, int s, int j, int i) {
    return codebook[shape.part_floats() * s + static_cast<size_t>(i * shape.codewords() + j)];
}

const PqShape kShapes[] = {{1, 1, 4},   {1, 1, 8},   {2, 2, 4},   {3, 2, 4},    {7, 3, 8},   {10, 7, 4},
                           {64, 16, 4}, {100, 9, 8}, {100, 9, 4}, {128, 32, 4}, {97, 24, 8}, {300, 150, 4}};

TEST(PqTest, RunsCoverTheDimensions) {
    for (const PqShape& shape : kShapes) {
        ASSERT_TRUE(shape.Legal());
        EXPECT_EQ(shape.first(0), 0);
        EXPECT_EQ(shape.first(shape.m), shape.dim);
        for (int s = 0; s < shape.m; ++s) {
            EXPECT_LE(shape.run(s), shape.sub_dim());
            EXPECT_GE(shape.run(s), shape.sub_dim() - 1);
            EXPECT_GE(shape.run(s), 1);
        }
    }
    for (const PqShape& shape : {PqShape{0, 1, 4}, PqShape{4, 0, 4}, PqShape{4, 5, 4}, PqShape{4, 2, 6},
                                 PqShape{8192, kMostSubQuantizers + 1, 4}})
        EXPECT_FALSE(shape.Legal());
}

TEST(PqTest, EncodesAsBruteForceAtEveryLevel) {
    for (const PqShape& shape : kShapes) {
        std::mt19937 random(static_cast<uint32_t>(shape.dim));
        const Vector codebook = RandomCodebook(shape, &random);
        for (int n = 0; n < 20; ++n) {
            const Vector x = Normal(&random, static_cast<size_t>(shape.dim));
            std::vector<uint8_t> first;
            AtEveryLevel([&](const char* name) {
                std::vector<uint8_t> code(shape.code_bytes(), 0xff);
                const float error = EncodePq(shape, codebook.data(), x.data(), code.data());
                Vector decoded(x.size());
                DecodePq(shape, codebook.data(), code.data(), decoded.data());
                double true_error = 0;
                for (int s = 0; s < shape.m; ++s) {
                    double best = HUGE_VAL, own = 0;
                    for (int j = 0; j < shape.codewords(); ++j) {
                        double distance = 0;
                        for (int i = 0; i < shape.run(s); ++i)
                            distance += std::pow(double{x[shape.first(s) + i]} - Codeword(shape, codebook, s, j, i), 2);
                        best = std::min(best, distance);
                        if (j == WordAt(shape, code, s)) own = distance;
                    }
                    ASSERT_NEAR(own, best, 1e-5) << name;
                    for (int i = 0; i < shape.run(s); ++i)
                        ASSERT_EQ(decoded[shape.first(s) + i], Codeword(shape, codebook, s, WordAt(shape, code, s), i));
                    true_error += own;
                }
                EXPECT_NEAR(error, true_error, 1e-4 * (1 + true_error));
                if (first.empty()) first = code;
                EXPECT_EQ(code, first) << name;
            });
        }
    }
}

TEST(PqTest, NearestCodewordOfAnything) {
    std::mt19937 random(2);
    for (const int words : {16, 256})
        for (const int dims : {1, 2, 4, 7, 16}) {
            GuardedArray<float> codewords(static_cast<size_t>(dims * words)), x(static_cast<size_t>(dims));
            for (int trial = 0; trial < 40; ++trial) {
                // few values, so that there are ties
                for (int i = 0; i < dims * words; ++i)
                    codewords[static_cast<size_t>(i)] = static_cast<float>(random() % 5);
                for (int i = 0; i < dims; ++i)
                    x[static_cast<size_t>(i)] = static_cast<float>(random() % 5);
                if (trial == 0) x[0] = kNan;
                if (trial == 1) x[0] = -kInf;
                if (trial == 2) x[0] = FLT_MAX;
                int wanted = 0;
                double best = HUGE_VAL;
                for (int j = 0; j < words; ++j) {
                    double distance = 0;
                    for (int i = 0; i < dims; ++i)
                        distance += std::pow(double{x[i]} - codewords[static_cast<size_t>(i * words + j)], 2);
                    if (trial > 2 && distance < best) {
                        best = distance;
                        wanted = j;
                    }
                }
                for (const KernelTable* table : Levels()) {
                    float distance = -1;
                    ASSERT_EQ(table->codebook.nearest(x.data(), codewords.data(), dims, words, &distance), wanted)
                        << table->name << " trial " << trial;
                    ASSERT_EQ(distance, static_cast<float>(best)) << table->name;
                }
            }
        }
}

TEST(PqTest, TablesAreTheSameAtEveryLevel) {
    std::mt19937 random(4);
    for (const int words : {16, 256})
        for (const int dims : {1, 3, 4, 9}) {
            const Vector codewords = Normal(&random, static_cast<size_t>(dims * words));
            const Vector x = Normal(&random, static_cast<size_t>(dims));
            Vector distances, products;
            for (const KernelTable* table : Levels()) {
                GuardedArray<float> d(static_cast<size_t>(words)), p(static_cast<size_t>(words));
                table->codebook.distances(x.data(), codewords.data(), dims, words, d.data());
                table->codebook.products(x.data(), codewords.data(), dims, words, p.data());
                if (distances.empty()) {
                    distances.assign(d.data(), d.data() + words);
                    products.assign(p.data(), p.data() + words);
                }
                EXPECT_EQ(memcmp(distances.data(), d.data(), sizeof(float) * static_cast<size_t>(words)), 0);
                EXPECT_EQ(memcmp(products.data(), p.data(), sizeof(float) * static_cast<size_t>(words)), 0);
            }
            for (int j = 0; j < words; ++j) {
                double distance = 0, product = 0;
                for (int i = 0; i < dims; ++i) {
                    const double c = codewords[static_cast<size_t>(i * words + j)];
                    distance += (x[i] - c) * (x[i] - c);
                    product += x[i] * c;
                }
                EXPECT_NEAR(distances[j], distance, 1e-5 * (1 + distance));
                EXPECT_NEAR(products[j], product, 1e-5 * (1 + dims));
            }
        }
}

TEST(BlockTest, LanesStandWhereTheFormatSays) {
    // sub-quantizer 3 of a block: the second half of the second pair
    const uint8_t code[] = {0x00, 0x70};
    for (const auto& [lane, byte, shift] :
         {std::tuple{0, 0, 0}, {7, 14, 0}, {8, 1, 0}, {15, 15, 0}, {16, 0, 4}, {23, 14, 4}, {24, 1, 4}, {31, 15, 4}}) {
        uint8_t block[64] = {};
        PackLane(4, code, lane, block);
        for (int i = 0; i < 64; ++i)
            EXPECT_EQ(block[i], i == 48 + byte ? 7 << shift : 0) << lane;
    }
    EXPECT_EQ(BlockBytes(32), 512u);
    EXPECT_EQ(BlockBytes(3), 64u);
}

TEST(BlockTest, PackUnpackClear) {
    std::mt19937 random(6);
    for (const int m : {1, 2, 3, 4, 5, 31, 32, 192}) {
        const size_t bytes = static_cast<size_t>(m + 1) / 2;
        std::vector<std::vector<uint8_t>> codes(kBlockCodes, std::vector<uint8_t>(bytes));
        std::vector<uint8_t> rows;
        for (auto& code : codes) {
            for (uint8_t& byte : code)
                byte = static_cast<uint8_t>(random());
            if (m % 2 == 1) code.back() &= 15;
            rows.insert(rows.end(), code.begin(), code.end());
            rows.push_back(0xee);  // rows may have something between them
        }
        GuardedArray<uint8_t> block(BlockBytes(m)), packed(BlockBytes(m));
        for (size_t i = 0; i < BlockBytes(m); ++i)
            block[i] = static_cast<uint8_t>(random());
        for (int lane = kBlockCodes - 1; lane >= 0; --lane)
            PackLane(m, codes[lane].data(), lane, block.data());
        PackBlock(m, rows.data(), bytes + 1, kBlockCodes, packed.data());
        EXPECT_EQ(memcmp(block.data(), packed.data(), BlockBytes(m)), 0) << m;
        const auto check = [&] {
            for (int lane = 0; lane < kBlockCodes; ++lane) {
                std::vector<uint8_t> code(bytes, 0xff);
                UnpackLane(m, block.data(), lane, code.data());
                ASSERT_EQ(code, codes[lane]) << m << " lane " << lane;
            }
        };
        check();
        for (const int lane : {0, 5, 15, 16, 31}) {
            ClearLane(m, lane, block.data());
            codes[lane].assign(bytes, 0);
            check();
        }
        PackBlock(m, rows.data(), bytes + 1, 3, packed.data());
        for (int lane = 0; lane < kBlockCodes; ++lane) {
            std::vector<uint8_t> code(bytes, 0xff);
            UnpackLane(m, packed.data(), lane, code.data());
            EXPECT_EQ(code, lane < 3 ? std::vector<uint8_t>(rows.begin() + lane * (bytes + 1),
                                                            rows.begin() + lane * (bytes + 1) + bytes)
                                     : std::vector<uint8_t>(bytes, 0));
        }
    }
}

// What a block's codes sum up to, from the format alone.
std::vector<uint16_t> TrueSums(const BlockScan& scan) {
    std::vector<uint16_t> sums;
    std::vector<uint8_t> code(static_cast<size_t>(scan.m + 1) / 2);
    for (int b = 0; b < scan.blocks; ++b)
        for (int lane = 0; lane < kBlockCodes; ++lane) {
            UnpackLane(scan.m, scan.codes + scan.code_stride * b, lane, code.data());
            uint32_t sum = 0;
            for (int s = 0; s < scan.m; ++s)
                sum += scan.levels[s * 16 + ((code[s / 2] >> (4 * (s & 1))) & 15)];
            sums.push_back(static_cast<uint16_t>(sum));
        }
    return sums;
}

// The very operations of the rule, one after another.
float TrueEstimate(const BlockEstimate& rule, size_t at, uint16_t sum, float* bound) {
    volatile float value = rule.step * static_cast<float>(sum);
    value = rule.bias + value;
    if (rule.scale != nullptr) value = rule.scale[at] * value;
    volatile float estimate = rule.base;
    if (rule.add != nullptr) estimate = estimate + rule.add[at];
    estimate = estimate + value;
    volatile float error = rule.error != nullptr ? rule.spread * rule.error[at] : 0.0f;
    *bound = estimate - error;
    return estimate;
}

void CheckScan(const BlockScan& scan, BlockEstimate rule, const std::vector<uint16_t>& truth) {
    const size_t codes = static_cast<size_t>(scan.blocks) * kBlockCodes;
    GuardedArray<uint16_t> sums(codes);
    GuardedArray<float> estimates(codes);
    GuardedArray<uint32_t> masks(static_cast<size_t>(scan.blocks));
    const auto bit = [&](size_t v) { return (masks[v / kBlockCodes] >> (v % kBlockCodes) & 1) != 0; };
    for (const KernelTable* table : Levels()) {
        table->block.sums(scan, sums.data());
        for (size_t v = 0; v < codes; ++v)
            ASSERT_EQ(sums[v], truth[v]) << table->name << " m " << scan.m << " code " << v;
        for (const int limit : {-1, 0, 1, static_cast<int>(truth.empty() ? 0 : truth[codes / 2]), 65535, 70000}) {
            memset(sums.data(), 0xee, codes * sizeof(uint16_t));
            table->block.below(scan, limit, sums.data(), masks.data());
            for (size_t v = 0; v < codes; ++v) {
                ASSERT_EQ(sums[v], truth[v]);
                ASSERT_EQ(bit(v), truth[v] <= limit) << table->name << " limit " << limit;
            }
        }
        for (int has = 0; has < 8; ++has) {
            BlockEstimate some = rule;
            if ((has & 1) == 0) some.add = nullptr;
            if ((has & 2) == 0) some.scale = nullptr;
            if ((has & 4) == 0) some.error = nullptr;
            table->block.estimates(scan, some, estimates.data(), masks.data());
            for (size_t v = 0; v < codes; ++v) {
                float bound;
                const size_t at = v / kBlockCodes * (rule.factor_stride / sizeof(float)) + v % kBlockCodes;
                const float truly = TrueEstimate(some, at, truth[v], &bound);
                ASSERT_EQ(std::bit_cast<uint32_t>(estimates[v]), std::bit_cast<uint32_t>(truly)) << table->name;
                ASSERT_EQ(bit(v), !(bound > some.limit)) << table->name;
            }
        }
    }
}

TEST(BlockTest, EveryLevelScansAlike) {
    std::mt19937 random(8);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const int m : {1, 2, 3, 4, 5, 6, 7, 8, 25, 32, 33, 63, 192, 257, 300})
        for (const int blocks : {0, 1, 2, 3, 4, 5, 9})
            for (const size_t gap : {size_t{0}, size_t{3}}) {
                const size_t stride = BlockBytes(m) + gap;
                const size_t bytes = blocks == 0 ? 0 : stride * static_cast<size_t>(blocks) - gap;
                GuardedArray<uint8_t> codes(bytes), levels(static_cast<size_t>(EvenSubQuantizers(m)) * 16);
                for (size_t i = 0; i < bytes; ++i)
                    codes[i] = static_cast<uint8_t>(random());
                for (int i = 0; i < EvenSubQuantizers(m) * 16; ++i)
                    levels[static_cast<size_t>(i)] = static_cast<uint8_t>(blocks == 2 ? 255 : random());
                for (int i = m * 16; i < EvenSubQuantizers(m) * 16; ++i)
                    levels[static_cast<size_t>(i)] = 0;
                const BlockScan scan = {levels.data(), codes.data(), m, blocks, stride};
                const size_t factors = static_cast<size_t>(blocks) * (kBlockCodes + gap) - (blocks == 0 ? 0 : gap);
                GuardedArray<float> add(factors), scale(factors), error(factors);
                for (size_t i = 0; i < factors; ++i) {
                    add[i] = uniform(random);
                    scale[i] = uniform(random);
                    error[i] = i % 17 == 5 ? kNan : i % 19 == 3 ? kInf : std::fabs(uniform(random));
                }
                const BlockEstimate rule = {add.data(),      scale.data(),
                                            error.data(),    (kBlockCodes + gap) * sizeof(float),
                                            uniform(random), 1e-4f * uniform(random),
                                            uniform(random), uniform(random),
                                            uniform(random)};
                CheckScan(scan, rule, TrueSums(scan));
            }
}

TEST(BlockTest, EveryLevelSumsBytesAlike) {
    std::mt19937 random(9);
    for (const int m : {1, 2, 3, 8, 17, 32, 96})
        for (const int count : {0, 1, 3, 4, 5, 32, 33}) {
            const size_t stride = static_cast<size_t>(m) + static_cast<size_t>(m % 3);
            const size_t bytes = count == 0 ? 0 : stride * static_cast<size_t>(count - 1) + static_cast<size_t>(m);
            GuardedArray<uint8_t> codes(bytes);
            for (size_t i = 0; i < bytes; ++i)
                codes[i] = static_cast<uint8_t>(random());
            const Vector tables = Normal(&random, static_cast<size_t>(m) * 256);
            for (const KernelTable* table : Levels()) {
                GuardedArray<float> sums(static_cast<size_t>(count));
                table->block.bytes(tables.data(), codes.data(), m, stride, count, sums.data());
                for (int n = 0; n < count; ++n) {
                    float sum = 0;
                    for (int s = 0; s < m; ++s)
                        sum += tables[static_cast<size_t>(s * 256 + codes[static_cast<size_t>(n) * stride + s])];
                    ASSERT_EQ(sums[n], sum) << table->name;
                }
            }
        }
}

TEST(TablesTest, SumsStayWithinTheBound) {
    TaskArena memory;
    std::mt19937 random(10);
    for (const PqShape& shape :
         {PqShape{1, 1, 4}, PqShape{10, 7, 4}, PqShape{128, 32, 4}, PqShape{1200, 1200, 4}, PqShape{4096, 4096, 4}}) {
        const Vector codebook = RandomCodebook(shape, &random);
        ScanTables tables;
        tables.Init(&memory.arena, shape.m, 16);
        for (int trial = 0; trial < 3; ++trial) {
            const Vector q = Normal(&random, static_cast<size_t>(shape.dim));
            if (trial == 0)
                SetDistances(shape, codebook.data(), q.data(), &tables);
            else
                SetProducts(shape, codebook.data(), q.data(), trial == 1 ? -1.0f : -2.0f, &tables);
            uint32_t most = 0;
            double worst = 0, squares = 0;
            constexpr int kCodes = 200;
            for (int s = 0; s < shape.m; ++s)
                most += *std::max_element(tables.levels + s * 16, tables.levels + s * 16 + 16);
            EXPECT_LE(most, 65535u);
            for (int n = 0; n < kCodes; ++n) {
                double value = 0;
                int sum = 0;
                for (int s = 0; s < shape.m; ++s) {
                    const int j = static_cast<int>(random() % 16);
                    value += tables.values[s * 16 + j];
                    sum += tables.levels[s * 16 + j];
                }
                const double off = std::fabs(value - (tables.bias + double{tables.step} * sum));
                worst = std::max(worst, off);
                squares += off * off;
                // a limit never cuts off what lies below it
                const float limit = static_cast<float>(value);
                EXPECT_GE(tables.SumLimit(limit, tables.worst * 1.001f + 1e-4f), sum);
            }
            EXPECT_LE(worst, tables.worst * 1.001 + 1e-4) << shape.m;
            EXPECT_LE(std::sqrt(squares / kCodes), 1.5 * tables.worst / std::sqrt(3.0 * shape.m) + 1e-4) << shape.m;
        }
    }
}

TEST(TablesTest, DistancesAndProductsAreThoseOfDecodedCodes) {
    TaskArena memory;
    std::mt19937 random(12);
    for (const PqShape& shape : kShapes) {
        const Vector codebook = RandomCodebook(shape, &random);
        const size_t dim = static_cast<size_t>(shape.dim);
        const Vector q = Normal(&random, dim), centroid = Normal(&random, dim), v = Normal(&random, dim);
        ScanTables distances, products;
        distances.Init(&memory.arena, shape.m, shape.codewords());
        products.Init(&memory.arena, shape.m, shape.codewords());
        SetDistances(shape, codebook.data(), q.data(), &distances);
        SetProducts(shape, codebook.data(), q.data(), -2, &products);
        Vector residual(dim), decoded(dim);
        for (size_t i = 0; i < dim; ++i)
            residual[i] = v[i] - centroid[i];
        std::vector<uint8_t> code(shape.code_bytes());
        EncodePq(shape, codebook.data(), residual.data(), code.data());
        DecodePq(shape, codebook.data(), code.data(), decoded.data());
        double to_code = 0, to_vector = 0, to_centroid = 0, distance_sum = 0, product_sum = 0;
        for (size_t i = 0; i < dim; ++i) {
            to_code += std::pow(double{q[i]} - decoded[i], 2);
            to_vector += std::pow(double{q[i]} - centroid[i] - decoded[i], 2);
            to_centroid += std::pow(double{q[i]} - centroid[i], 2);
        }
        for (int s = 0; s < shape.m; ++s) {
            distance_sum += distances.values[s * shape.codewords() + WordAt(shape, code, s)];
            product_sum += products.values[s * shape.codewords() + WordAt(shape, code, s)];
        }
        EXPECT_NEAR(distance_sum, to_code, 1e-4 * (1 + to_code));
        EXPECT_NEAR(to_centroid + PqAdd(shape.dim, centroid.data(), decoded.data()) + product_sum, to_vector,
                    1e-4 * (1 + to_vector));
    }
}

TEST(TablesTest, LimitsAndOddValues) {
    TaskArena memory;
    ScanTables tables;
    tables.Init(&memory.arena, 3, 16);
    // all alike: nothing to tell codes apart
    std::fill(tables.values, tables.values + 48, 2.5f);
    tables.Quantise();
    EXPECT_EQ(tables.step, 0);
    EXPECT_EQ(tables.bias, 7.5f);
    EXPECT_EQ(tables.SumLimit(7.0f, 0), -1);
    EXPECT_EQ(tables.SumLimit(7.5f, 0), 65535);
    EXPECT_EQ(tables.SumLimit(kNan, 0), -1);
    tables.values[7] = 12.5f;
    tables.Quantise();
    EXPECT_EQ(tables.levels[7], 255);
    EXPECT_NEAR(tables.bias, 7.5f, 1e-5);
    EXPECT_EQ(tables.SumLimit(7.5f, 1e-3f), 0);
    EXPECT_EQ(tables.SumLimit(kInf, 0), 65535);
    EXPECT_NEAR(tables.SumLimit(12.5f, 0), 127, 1);
    for (const float odd : {kNan, kInf, -kInf}) {
        tables.values[20] = odd;
        tables.Quantise();
        EXPECT_EQ(tables.step, 0);
        for (int i = 0; i < 64; ++i)
            EXPECT_EQ(tables.levels[i], 0);
    }
    tables.values[20] = FLT_MAX;
    tables.values[21] = -FLT_MAX;
    tables.Quantise();
    EXPECT_EQ(tables.bias, 0);
    EXPECT_EQ(tables.step, 0);
}

struct SignErrors {
    double bias = 0, deviation = 0, outside = 0;
};

// Estimates of sign codes by blocks against the true distances, in units of the error that was foretold.
SignErrors MeasureSigns(int dim, Metric metric) {
    TaskArena memory;
    std::mt19937 random(static_cast<uint32_t>(dim));
    const CodeShape shape = CodeShape::Make(dim, 1, dim);
    const size_t n = static_cast<size_t>(dim);
    const int m = SignSubQuantizers(shape);
    Rotation rotation;
    rotation.Init(&memory.arena, dim);
    const auto rotated = [&](Vector v) {
        Vector out(n), scratch(n);
        rotation.Apply(v.data(), out.data(), scratch.data());
        return out;
    };
    const Vector centroid = rotated(Normal(&random, n));
    ScanTables tables;
    tables.Init(&memory.arena, m, 16);
    SignErrors errors;
    constexpr int kQueries = 60;
    for (int trial = 0; trial < kQueries; ++trial) {
        const Vector q = rotated(Normal(&random, n));
        SetSigns(shape, q.data(), &tables);
        std::vector<uint8_t> block(BlockBytes(m));
        Vector add(kBlockCodes), scale(kBlockCodes), error(kBlockCodes), truth(kBlockCodes);
        for (int lane = 0; lane < kBlockCodes; ++lane) {
            const Vector v = rotated(Normal(&random, n));
            alignas(8) uint8_t code[1024];
            Vector scratch(n);
            ListFactors factors;
            EncodeSigns(shape, metric, centroid.data(), v.data(), code, &factors, scratch.data());
            PackLane(m, code, lane, block.data());
            add[lane] = factors.add;
            scale[lane] = factors.scale;
            error[lane] = factors.error;
            double sum = 0;
            for (size_t i = 0; i < n; ++i)
                sum += metric == Metric::kL2 ? std::pow(double{q[i]} - v[i], 2) : -double{q[i]} * v[i];
            truth[lane] = static_cast<float>(sum);
        }
        double base = 0, spread = 0;
        for (size_t i = 0; i < n; ++i) {
            spread += std::pow(double{q[i]} - centroid[i], 2);
            base -= double{q[i]} * centroid[i];
        }
        BlockScan scan = {nullptr, block.data(), 0, 1, block.size()};
        BlockEstimate rule = {add.data(),
                              scale.data(),
                              error.data(),
                              0,
                              0,
                              0,
                              static_cast<float>(metric == Metric::kL2 ? spread : base),
                              static_cast<float>(std::sqrt(spread)),
                              kInf};
        tables.Fill(&scan, &rule);
        float estimates[kBlockCodes];
        uint32_t mask;
        Kernels().block.estimates(scan, rule, estimates, &mask);
        for (int lane = 0; lane < kBlockCodes; ++lane) {
            const double unit = rule.spread * error[lane] / kRabitqEpsilon;
            const double off = (estimates[lane] - truth[lane]) / unit;
            errors.bias += off / (kQueries * kBlockCodes);
            errors.deviation += off * off / (kQueries * kBlockCodes);
            errors.outside += (off > kRabitqEpsilon) / double{kQueries * kBlockCodes};
        }
    }
    errors.deviation = std::sqrt(errors.deviation);
    return errors;
}

TEST(SignCodesTest, EstimatesWithinTheirError) {
    for (const int dim : {64, 97, 128, 768})
        for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
            const SignErrors errors = MeasureSigns(dim, metric);
            EXPECT_NEAR(errors.bias, 0, 0.12) << dim;
            // the factor is the sine between q - centroid and v - centroid, which is that of 60 degrees here
            EXPECT_NEAR(errors.deviation, std::sqrt(0.75), 0.1) << dim;
            EXPECT_LT(errors.outside, 0.03) << dim;
            EXPECT_GT(errors.outside, 0.001) << dim;
        }
}

TEST(SignCodesTest, OddVectors) {
    for (const int dim : {1, 3, 4, 5, 128}) {
        const CodeShape shape = CodeShape::Make(dim, 1, dim);
        const size_t n = static_cast<size_t>(dim);
        for (const Metric metric : {Metric::kL2, Metric::kInnerProduct})
            for (const float scale : {0.0f, 1e-38f, 1e-20f, 1.0f, 1e18f, 3e38f}) {
                Vector centroid(n, 1.0f), v(n, 1.0f), scratch(n);
                v[0] += scale;
                alignas(8) uint8_t code[1024];
                ListFactors factors;
                EncodeSigns(shape, metric, centroid.data(), v.data(), code, &factors, scratch.data());
                EXPECT_TRUE(std::isfinite(factors.add) && std::isfinite(factors.scale)) << scale;
                EXPECT_TRUE(std::isfinite(factors.error) && factors.error >= 0) << scale;
                if (scale == 0) {
                    EXPECT_EQ(factors.add, 0);
                    EXPECT_EQ(factors.error, 0);
                }
            }
    }
}

TEST(MatrixTest, Applies) {
    const float matrix[] = {1, 2, 3, 4}, x[] = {5, 6};
    float out[2];
    ApplyMatrix(matrix, 2, x, out);
    EXPECT_EQ(out[0], 17);
    EXPECT_EQ(out[1], 39);
}

}  // namespace
}  // namespace vecann

// Unit tests of src/quant: the rotation is orthogonal, the codes estimate distances without bias and within the error
// that their bits allow, and every instruction set sums bit planes alike.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "compute/task_arena.h"
#include "guarded_array.h"
#include "kernels/kernel_table.h"
#include "quant/rabitq.h"
#include "quant/rotation.h"

namespace vecann {
namespace {

using Vector = std::vector<float>;

Vector Gaussian(std::mt19937* random, int dim, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    Vector v(static_cast<size_t>(dim));
    for (float& x : v)
        x = normal(*random);
    return v;
}

double Dot(const Vector& a, const Vector& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

Vector Rotate(const Rotation& rotation, const Vector& v) {
    Vector out(v.size()), scratch(v.size());
    rotation.Apply(v.data(), out.data(), scratch.data());
    return out;
}

TEST(RotationTest, PreservesInnerProducts) {
    std::mt19937 random(1);
    for (const int dim : {1, 2, 3, 7, 31, 63, 64, 65, 96, 100, 128, 784, 1000}) {
        TaskArena memory;
        Rotation rotation;
        rotation.Init(&memory.arena, dim);
        const Vector a = Gaussian(&random, dim), b = Gaussian(&random, dim);
        const Vector ra = Rotate(rotation, a), rb = Rotate(rotation, b);
        EXPECT_NEAR(Dot(ra, rb), Dot(a, b), 1e-4 * dim) << dim;
        EXPECT_NEAR(Dot(ra, ra), Dot(a, a), 1e-4 * dim) << dim;
    }
}

TEST(RotationTest, SpreadsOneDimensionOverAll) {
    TaskArena memory;
    Rotation rotation;
    rotation.Init(&memory.arena, 256);
    Vector unit(256);
    unit[17] = 1;
    for (const float x : Rotate(rotation, unit))
        EXPECT_LT(std::fabs(x), 0.35f);
}

// Payloads are compared byte by byte, so the level must not show.
TEST(RotationTest, EveryLevelGivesTheSameBits) {
    std::mt19937 random(2);
    const SimdLevel best = BestSimdLevel();
    for (const int dim : {1, 2, 3, 5, 8, 17, 31, 32, 63, 64, 65, 96, 127, 128, 129, 200, 768, 784, 1001})
        for (const float scale : {1.0f, 1e-42f, 1e37f}) {
            TaskArena memory;
            Rotation rotation;
            rotation.Init(&memory.arena, dim);
            Vector v = Gaussian(&random, dim, scale);
            v[0] = -0.0f;
            ASSERT_TRUE(ForceSimdLevel(SimdLevel::kBaseline));
            const Vector truth = Rotate(rotation, v);
            for (int level = 1; level < kSimdLevels; ++level) {
                if (!ForceSimdLevel(static_cast<SimdLevel>(level))) continue;
                const Vector out = Rotate(rotation, v);
                EXPECT_EQ(memcmp(out.data(), truth.data(), out.size() * sizeof(float)), 0) << level << " " << dim;
            }
            ForceSimdLevel(best);
        }
}

struct Estimates {
    double bias = 0;   // mean of (estimate - truth) / spread
    double error = 0;  // root mean square of the same
};

// Estimates -<q, v> or |q - v|^2 for v near u and q near u, against the truth; the error is relative to |q - u| |v -
// u|.
Estimates Measure(int dim, int bits, int code_dim, Metric metric) {
    std::mt19937 random(static_cast<unsigned>(dim * 10 + bits));
    TaskArena memory;
    Rotation rotation;
    rotation.Init(&memory.arena, dim);
    const CodeShape shape = CodeShape::Make(dim, bits, code_dim);
    QueryCode query;
    query.Init(&memory.arena, shape);
    std::vector<uint64_t> code(shape.bytes() / 8);
    Vector scratch(static_cast<size_t>(dim));
    Estimates result;
    constexpr int kRounds = 400;
    for (int round = 0; round < kRounds; ++round) {
        const Vector u = Gaussian(&random, dim);
        Vector v = Gaussian(&random, dim, 0.3f), q = Gaussian(&random, dim, 0.4f);
        for (int i = 0; i < dim; ++i) {
            v[i] += u[i];
            q[i] += u[i] + 0.3f * (v[i] - u[i]);
        }
        const Vector ru = Rotate(rotation, u), rv = Rotate(rotation, v), rq = Rotate(rotation, q);
        CodedEdge edge = {};
        EncodeNeighbour(shape, metric, ru.data(), rv.data(), &edge, code.data(), scratch.data());
        query.Set(rq.data());
        const double qu = Dot(q, q) + Dot(u, u) - 2 * Dot(q, u), vu = Dot(v, v) + Dot(u, u) - 2 * Dot(v, u);
        const bool l2 = metric == Metric::kL2;
        const double base = l2 ? qu : -Dot(q, u);
        const double truth = l2 ? Dot(q, q) + Dot(v, v) - 2 * Dot(q, v) : -Dot(q, v);
        const double spread = std::sqrt(qu * vu) * (l2 ? 2 : 1);
        CodeBatch batch = {};
        query.Fill(&batch);
        batch.edges = &edge;
        batch.codes = reinterpret_cast<const char*>(code.data());
        batch.count = 1;
        batch.base = static_cast<float>(base);
        float estimate;
        Kernels().score_edges(batch, &estimate);
        const double error = (estimate - truth) / spread;
        result.bias += error / kRounds;
        result.error += error * error / kRounds;
    }
    result.error = std::sqrt(result.error);
    return result;
}

TEST(RabitqTest, EstimatesAreUnbiasedAndTightenWithTheBits) {
    // RaBitQ's error for one bit is about sqrt(pi / 2 - 1) / sqrt(dim) = 0.76 / sqrt(dim); each further bit about
    // halves it, until the six bits of the query are the larger part of the error.
    const double limit[] = {0, 0.95, 0.5, 0.35, 0.28};
    for (const int dim : {64, 128, 256, 768})
        for (const int bits : {1, 2, 4})
            for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
                const Estimates e = Measure(dim, bits, dim, metric);
                EXPECT_LT(e.error, limit[bits] / std::sqrt(dim)) << dim << " " << bits;
                EXPECT_LT(std::fabs(e.bias), 0.3 * limit[bits] / std::sqrt(dim)) << dim << " " << bits;
            }
}

// A code of part of the dimensions: no bias, and the error of a random projection onto them besides that of the bits.
// With c in code_dim dimensions cos^2(r, c) = a^2 code_dim / dim, a being the cosine where all are coded, 0.798 for one
// bit and 0.940 for two; the estimate's deviation is sqrt((1 / cos^2 - 1) / (dim - 1)).
TEST(RabitqTest, PartOfTheDimensions) {
    const double cosine[] = {0, 0.798, 0.940};
    struct Case {
        int dim, code_dim;
    };
    for (const auto& [dim, code_dim] : {Case{4096, 1024}, Case{784, 400}, Case{300, 100}, Case{128, 1}})
        for (const int bits : {1, 2})
            for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
                const Estimates e = Measure(dim, bits, code_dim, metric);
                if (code_dim == 1) {  // no more than finite
                    EXPECT_TRUE(std::isfinite(e.error));
                    continue;
                }
                const double part = cosine[bits] * cosine[bits] * code_dim / dim;
                const double expected = std::sqrt((1 / part - 1) / (dim - 1));
                EXPECT_LT(e.error, 1.25 * expected) << dim << " " << bits;
                EXPECT_GT(e.error, 0.6 * expected) << dim << " " << bits;
                EXPECT_LT(std::fabs(e.bias), 3.5 * expected / std::sqrt(400)) << dim << " " << bits;
            }
}

TEST(RabitqTest, ShapesHoldTheirSumOfLevels) {
    EXPECT_EQ(CodeShape::Make(768, 1, 768).words, 12);
    EXPECT_EQ(CodeShape::Make(100, 2, 200).code_dim, 100);
    EXPECT_EQ(CodeShape::Make(16000, 2, 16000).code_dim, 16000);
    EXPECT_EQ(CodeShape::Make(16000, 4, 16000).code_dim, 4369);
}

// The parts of encoding at every level against plain double arithmetic.
TEST(CodeKernelsTest, EveryLevelAgreesWithDoublePrecision) {
    std::mt19937 random(3);
    for (const int dim : {1, 3, 4, 7, 8, 15, 16, 17, 33, 63, 64, 65, 100, 127, 128, 130, 768, 784})
        for (const int bits : {1, 2, 3, 4, 6}) {
            const size_t n = static_cast<size_t>(dim), words = (n + 63) / 64;
            const Vector u = Gaussian(&random, dim), v = Gaussian(&random, dim);
            const int top = (1 << bits) - 1;
            const LevelRule rule = {static_cast<float>(top) / 3, static_cast<float>(top + 1) / 2, bits};
            for (int level = 0; level < kSimdLevels; ++level) {
                const KernelTable* table = KernelTableFor(static_cast<SimdLevel>(level));
                if (table == nullptr) continue;
                const CodeKernels& k = table->code;
                GuardedArray<float> a(n), b(n), r(n);
                GuardedArray<uint64_t> planes(words * static_cast<size_t>(bits));
                double norm = 0, u_dot_r = 0, sum = 0;
                for (size_t i = 0; i < n; ++i) {
                    a[i] = u[i];
                    b[i] = v[i];
                    norm += (static_cast<double>(v[i]) - u[i]) * (static_cast<double>(v[i]) - u[i]);
                    u_dot_r += u[i] * (static_cast<double>(v[i]) - u[i]);
                    sum += v[i];
                }
                const ResidualSums residual = k.residual(a.data(), b.data(), n, r.data());
                EXPECT_NEAR(residual.norm, norm, 1e-5 * norm);
                EXPECT_NEAR(residual.u_dot_r, u_dot_r, 1e-5 * dim);
                const Range range = k.range(b.data(), n);
                EXPECT_EQ(range.low, *std::min_element(v.begin(), v.end()));
                EXPECT_EQ(range.high, *std::max_element(v.begin(), v.end()));
                EXPECT_NEAR(range.sum, sum, 1e-5 * dim);
                const LevelFit fit = k.fit(rule, b.data(), n);
                const LevelSums sums = k.encode(rule, b.data(), a.data(), n, planes.data());
                double x_product = 0, y_product = 0, c_norm = 0, level_sum = 0;
                for (size_t i = 0; i < n; ++i) {
                    int decoded = 0;
                    for (size_t j = 0; j < static_cast<size_t>(bits); ++j)
                        decoded |= static_cast<int>((planes[j * words + i / 64] >> (i % 64)) & 1) << j;
                    const double exact = static_cast<double>(v[i]) * rule.inverse_width + rule.offset;
                    EXPECT_NEAR(decoded, std::min<double>(top, std::max(0.0, exact - 0.5)), 0.5001);
                    x_product += (decoded - top * 0.5) * v[i];
                    y_product += (decoded - top * 0.5) * u[i];
                    c_norm += (decoded - top * 0.5) * (decoded - top * 0.5);
                    level_sum += decoded;
                }
                const double tolerance = 1e-5 * dim * top;
                EXPECT_NEAR(sums.x_product, x_product, tolerance);
                EXPECT_NEAR(sums.y_product, y_product, tolerance);
                EXPECT_EQ(sums.level_sum, level_sum);
                EXPECT_NEAR(fit.product, x_product, tolerance);
                EXPECT_NEAR(fit.norm, c_norm, 1e-5 * c_norm);
                // padding bits are zero
                for (size_t j = 0; n % 64 != 0 && j < static_cast<size_t>(bits); ++j)
                    EXPECT_EQ(planes[j * words + words - 1] >> (n % 64), 0u);
            }
        }
}

// One and the same estimate, but for rounding, whatever level encoded and scored.
TEST(RabitqTest, LevelsAgree) {
    std::mt19937 random(4);
    const SimdLevel best = BestSimdLevel();
    for (const int dim : {50, 128, 768})
        for (const int bits : {1, 2, 4}) {
            const CodeShape shape = CodeShape::Make(dim, bits, dim);
            const Vector u = Gaussian(&random, dim), v = Gaussian(&random, dim), q = Gaussian(&random, dim);
            float estimates[kSimdLevels] = {};
            for (int level = 0; level < kSimdLevels; ++level) {
                if (!ForceSimdLevel(static_cast<SimdLevel>(level))) {
                    estimates[level] = estimates[0];
                    continue;
                }
                TaskArena memory;
                QueryCode query;
                query.Init(&memory.arena, shape);
                query.Set(q.data());
                std::vector<char> code(shape.bytes() + 1);
                Vector scratch(static_cast<size_t>(dim));
                CodedEdge edge = {};
                EncodeNeighbour(shape, Metric::kL2, u.data(), v.data(), &edge, code.data() + 1, scratch.data());
                CodeBatch batch = {};
                query.Fill(&batch);
                batch.edges = &edge;
                batch.codes = code.data() + 1;
                batch.count = 1;
                Kernels().score_edges(batch, &estimates[level]);
            }
            ForceSimdLevel(best);
            // a dimension at the edge of two levels may fall to either side
            for (const float estimate : estimates)
                EXPECT_NEAR(estimate, estimates[0], 0.02 * dim) << dim << " " << bits;
        }
}

TEST(QueryCodeTest, HugeAndConstantQueries) {
    const CodeShape shape = CodeShape::Make(8, 2, 8);
    TaskArena memory;
    QueryCode query;
    query.Init(&memory.arena, shape);
    const CodedEdge edge = {0, 0, 0, 5, 1, -2};
    const uint64_t code[2] = {0x5a, 0xc3};
    CodeBatch batch = {};
    batch.edges = &edge;
    batch.codes = reinterpret_cast<const char*>(code);
    batch.count = 1;
    for (const float x : {3e38f, -3e38f, 1e35f, 1e20f, 1.0f, 0.0f, 1e-40f})
        for (const float y : {3e38f, 1.0f, 0.0f, -1e-45f, HUGE_VALF}) {
            Vector q(8, x);
            q[3] = y;
            query.Set(q.data());
            query.Fill(&batch);
            float estimate;
            Kernels().score_edges(batch, &estimate);
            EXPECT_TRUE(std::isfinite(estimate)) << x << " " << y;
        }
}

TEST(RabitqTest, DegenerateResiduals) {
    const CodeShape shape = CodeShape::Make(8, 2, 8);
    std::vector<uint64_t> code(shape.bytes() / 8);
    Vector u(8, 1.0f), scratch(8);
    CodedEdge edge = {7, 8, 9, 1, 1, 1};
    EncodeNeighbour(shape, Metric::kL2, u.data(), u.data(), &edge, code.data(), scratch.data());
    EXPECT_EQ(edge.add, 0);
    EXPECT_EQ(edge.scale, 0);
    EXPECT_EQ(edge.level_sum, 0);
    EXPECT_EQ(edge.id, 7u);
    EXPECT_EQ(edge.generation, 8);
    EXPECT_EQ(edge.held, 9);
    // whatever the magnitudes, add and scale are finite
    const float values[] = {3e38f, -3e38f, 1e30f, 1e20f, 1e19f, -1e18f, 1, 0, 1e-20f, 1e-38f, 1e-45f, -1e-45f};
    for (const float a : values)
        for (const float b : values)
            for (const int bits : {1, 2, 3, 4})
                for (const Metric metric : {Metric::kL2, Metric::kInnerProduct}) {
                    const CodeShape few = CodeShape::Make(8, bits, 5);
                    std::vector<uint64_t> few_code(few.bytes() / 8);
                    Vector x(8, a), y(8, b);
                    y[2] = a;
                    y[7] = 1;
                    EncodeNeighbour(few, metric, x.data(), y.data(), &edge, few_code.data(), scratch.data());
                    EXPECT_TRUE(std::isfinite(edge.add)) << a << " " << b;
                    EXPECT_TRUE(std::isfinite(edge.scale)) << a << " " << b;
                }
}

}  // namespace
}  // namespace vecann

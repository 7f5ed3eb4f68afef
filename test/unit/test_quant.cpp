// Unit tests of src/quant: the rotation is orthogonal, the codes estimate distances without bias and within the error
// that their bits allow, and every instruction set sums bit planes alike.
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "quant/rabitq.h"
#include "quant/rotation.h"

namespace vecann {
namespace {

struct ContextArena {
    std::deque<std::vector<char>> blocks;
    Arena arena;

    ContextArena() {
        arena.ctx = this;
        arena.allocate = [](void* ctx, size_t bytes) -> void* {
            auto& all = static_cast<ContextArena*>(ctx)->blocks;
            all.emplace_back(bytes + 1);
            return all.back().data();
        };
        arena.release = [](void*, void*) {};
    }
};

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
        ContextArena memory;
        Rotation rotation;
        rotation.Init(&memory.arena, dim);
        const Vector a = Gaussian(&random, dim), b = Gaussian(&random, dim);
        const Vector ra = Rotate(rotation, a), rb = Rotate(rotation, b);
        EXPECT_NEAR(Dot(ra, rb), Dot(a, b), 1e-4 * dim) << dim;
        EXPECT_NEAR(Dot(ra, ra), Dot(a, a), 1e-4 * dim) << dim;
    }
}

TEST(RotationTest, SpreadsOneDimensionOverAll) {
    ContextArena memory;
    Rotation rotation;
    rotation.Init(&memory.arena, 256);
    Vector unit(256);
    unit[17] = 1;
    for (const float x : Rotate(rotation, unit))
        EXPECT_LT(std::fabs(x), 0.35f);
}

struct Estimates {
    double bias = 0;   // mean of (estimate - truth) / spread
    double error = 0;  // root mean square of the same
};

// Estimates -<q, v> or |q - v|^2 for v near u and q near u, against the truth; the error is relative to |q - u| |v -
// u|.
Estimates Measure(int dim, int bits, int code_dim, Metric metric) {
    std::mt19937 random(static_cast<unsigned>(dim * 10 + bits));
    ContextArena memory;
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
    EXPECT_EQ(edge.reserved, 9);
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

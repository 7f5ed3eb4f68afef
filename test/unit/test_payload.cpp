// Unit tests of payloads: round trips and their error bounds on ordinary and nasty vectors, the same bytes for the same
// vector, and the payload kernels of every level against sums in double precision.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "guarded_array.h"
#include "kernels/kernel_table.h"
#include "quant/payload.h"

namespace vecann {
namespace {

using Vector = std::vector<float>;
constexpr PayloadKind kKinds[] = {PayloadKind::kFloat32, PayloadKind::kFloat16, PayloadKind::kSq8};

struct Payload {
    GuardedArray<char> bytes;
    PayloadKind kind;
    int dim;

    Payload(PayloadKind k, const Vector& v, uint32_t hash = 42)
        : bytes(PayloadSize(k, static_cast<int>(v.size()))), kind(k), dim(static_cast<int>(v.size())) {
        memset(bytes.data(), 0x5a, size());
        EncodePayload(kind, v.data(), dim, hash, bytes.data());
    }
    size_t size() const { return PayloadSize(kind, dim); }
    PayloadHeadData Head() {
        PayloadHeadData head;
        memcpy(&head, bytes.data(), sizeof(head));
        return head;
    }
    Vector Decode() {
        Vector out(static_cast<size_t>(dim));
        DecodePayload(kind, bytes.data(), dim, out.data());
        return out;
    }
};

double Distance(const Vector& a, const Vector& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    return std::sqrt(sum);
}

double Norm(const Vector& a) {
    return Distance(a, Vector(a.size()));
}

// Checks the bound and returns it.
float CheckRoundTrip(PayloadKind kind, const Vector& v, const std::string& what) {
    Payload payload(kind, v);
    const PayloadHeadData head = payload.Head();
    const Vector back = payload.Decode();
    const double error = Distance(v, back);
    EXPECT_EQ(head.hash, 42u);
    EXPECT_TRUE(std::isfinite(head.low) && std::isfinite(head.step)) << what;
    for (const float x : back)
        EXPECT_TRUE(std::isfinite(x)) << what;
    EXPECT_GE(head.error, error) << what;
    if (error <= FLT_MAX) {
        EXPECT_LE(head.error, error * (1 + 1e-6) + FLT_TRUE_MIN) << what;
    }
    return head.error;
}

TEST(PayloadTest, Sizes) {
    EXPECT_EQ(PayloadSize(PayloadKind::kFloat32, 3), 32u);
    EXPECT_EQ(PayloadSize(PayloadKind::kFloat16, 3), 24u);
    EXPECT_EQ(PayloadSize(PayloadKind::kSq8, 3), 24u);
    EXPECT_EQ(PayloadSize(PayloadKind::kSq8, 768), 784u);
    EXPECT_EQ(PayloadSize(PayloadKind::kFloat16, 768), 1552u);
}

TEST(PayloadTest, OrdinaryVectors) {
    std::mt19937 random(1);
    for (int dim = 1; dim < 200; ++dim) {
        for (const float scale : {1e-20f, 1e-3f, 1.0f, 1e4f, 1e20f}) {
            std::normal_distribution<float> normal(scale, scale);
            Vector v(static_cast<size_t>(dim));
            for (float& x : v)
                x = normal(random);
            const std::string what = std::to_string(dim) + " of " + std::to_string(scale);
            EXPECT_EQ(CheckRoundTrip(PayloadKind::kFloat32, v, what), 0);
            EXPECT_LE(CheckRoundTrip(PayloadKind::kFloat16, v, what), Norm(v) * 0x1.0p-11 * 1.01) << what;
            const double span = Payload(PayloadKind::kSq8, v).Head().step;
            EXPECT_LE(CheckRoundTrip(PayloadKind::kSq8, v, what), 0.501 * span * std::sqrt(dim)) << what;
        }
    }
}

TEST(PayloadTest, NastyVectors) {
    constexpr float kMin = FLT_TRUE_MIN;
    const Vector values = {FLT_MAX, -FLT_MAX, 3e38f,  -3e38f, 1.8e38f, 1e30f,     65504, 65519,
                           65520,   1,        -1,     0.0f,   -0.0f,   1e-5f,     1e-8f, 1e-30f,
                           1e-37f,  FLT_MIN,  1e-40f, kMin,   -kMin,   100 * kMin};
    for (const PayloadKind kind : kKinds) {
        for (const float a : values)
            for (const float b : values)
                for (const float c : values)
                    CheckRoundTrip(kind, {a, b, c, a, b},
                                   std::to_string(a) + " " + std::to_string(b) + " " + std::to_string(c));
        CheckRoundTrip(kind, values, "all");
        CheckRoundTrip(kind, Vector(1000, FLT_MAX), "huge");
        EXPECT_EQ(CheckRoundTrip(PayloadKind::kSq8, Vector(100, 1.7f), "constant"), 0);
    }
    // an error beyond float32
    Vector far(16000);
    for (size_t i = 0; i < far.size(); ++i)
        far[i] = i % 2 == 0 ? -FLT_MAX : i % 4 == 1 ? FLT_MAX : 1e37f;
    EXPECT_EQ(CheckRoundTrip(PayloadKind::kSq8, far, "far"), HUGE_VALF);
    // rotated vectors may overflow
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const PayloadKind kind : kKinds)
        for (const float x : {HUGE_VALF, -HUGE_VALF, nan}) {
            Payload payload(kind, {1, x, 2});
            EXPECT_EQ(payload.Head().error, HUGE_VALF);
            EXPECT_EQ(payload.Decode(), Vector({0, 0, 0}));
        }
}

TEST(PayloadTest, WholeNumbersAndHalvesAreExact) {
    std::mt19937 random(2);
    Vector v(300);
    for (float& x : v)
        x = static_cast<float>(random() % 256) - 100;
    EXPECT_EQ(CheckRoundTrip(PayloadKind::kSq8, v, "whole"), 0);
    for (int bits = 0; bits < 0x7c00; ++bits) {
        const float x = static_cast<float>((bits >> 10) == 0 ? bits * 0x1.0p-24
                                                             : std::ldexp(1024 + (bits & 1023), (bits >> 10) - 25));
        Payload payload(PayloadKind::kFloat16, {x, -x});
        ASSERT_EQ(payload.Decode(), Vector({x, -x})) << x;
        ASSERT_EQ(payload.Head().error, 0);
    }
}

TEST(PayloadTest, EqualVectorsHaveEqualBytes) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (const int dim : {1, 3, 5, 63, 100})
        for (const PayloadKind kind : kKinds) {
            Vector v(static_cast<size_t>(dim));
            for (float& x : v)
                x = normal(random);
            v[0] = 0.0f;
            Payload a(kind, v);
            v[0] = -0.0f;
            Payload b(kind, v);
            EXPECT_EQ(memcmp(a.bytes.data(), b.bytes.data(), a.size()), 0);
            memset(b.bytes.data(), 0xff, b.size());
            EncodePayload(kind, v.data(), dim, 42, b.bytes.data());
            EXPECT_EQ(memcmp(a.bytes.data(), b.bytes.data(), a.size()), 0) << "padding";
        }
}

// Every level against the sums over the decoded vector.
TEST(PayloadKernelsTest, MatchTheDecodedVector) {
    std::mt19937 random(4);
    std::normal_distribution<float> normal(1, 2);
    std::vector<size_t> sizes = {255, 768, 784, 1536, 4096};
    for (size_t n = 0; n <= 130; ++n)
        sizes.push_back(n);
    for (const size_t n : sizes)
        for (const PayloadKind kind : kKinds) {
            GuardedArray<float> q(n);
            Vector v(n == 0 ? 1 : n);
            for (size_t i = 0; i < n; ++i)
                q[i] = normal(random);
            for (float& x : v)
                x = normal(random);
            Payload payload(kind, v);
            const Vector back = payload.Decode();
            double l2 = 0, dot = 0, l1 = 0, size = 0;
            for (size_t i = 0; i < n; ++i) {
                const double d = static_cast<double>(q[i]) - back[i];
                l2 += d * d;
                dot += static_cast<double>(q[i]) * back[i];
                l1 += std::fabs(d);
                size += std::fabs(static_cast<double>(q[i]) * back[i]);
            }
            for (int level = 0; level < kSimdLevels; ++level) {
                const KernelTable* table = KernelTableFor(static_cast<SimdLevel>(level));
                if (table == nullptr) continue;
                const PayloadKernels& k = table->payload[static_cast<int>(kind)];
                const std::string what = std::string(table->name) + " " + std::to_string(n);
                EXPECT_NEAR(k.l2_squared(q.data(), payload.bytes.data(), n), l2, 2e-6 * l2) << what;
                EXPECT_NEAR(k.inner_product(q.data(), payload.bytes.data(), n), dot, 2e-6 * size) << what;
                EXPECT_NEAR(k.l1(q.data(), payload.bytes.data(), n), l1, 2e-6 * l1) << what;
            }
        }
}

// A vector that decodes exactly is at distance 0 from itself, at every level.
TEST(PayloadKernelsTest, NoCancellation) {
    Vector v(100, 1e6f);
    for (size_t i = 0; i < v.size(); ++i)
        v[i] += static_cast<float>(i);
    Vector q = v;
    q[5] += 1;
    Payload payload(PayloadKind::kSq8, v);
    for (int level = 0; level < kSimdLevels; ++level) {
        const KernelTable* table = KernelTableFor(static_cast<SimdLevel>(level));
        if (table == nullptr) continue;
        const PayloadKernels& k = table->payload[static_cast<int>(PayloadKind::kSq8)];
        EXPECT_EQ(k.l2_squared(v.data(), payload.bytes.data(), 100), 0);
        EXPECT_EQ(k.l2_squared(q.data(), payload.bytes.data(), 100), 1);
        EXPECT_EQ(k.l1(q.data(), payload.bytes.data(), 100), 1);
    }
}

}  // namespace
}  // namespace vecann

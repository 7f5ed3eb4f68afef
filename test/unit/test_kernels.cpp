// Unit tests of src/kernels: every instruction-set level against a double-precision reference, at every length around
// the pack widths, on arrays that end where readable memory ends, and on the special values of IEEE arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/rng.h"
#include "guarded_array.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"
#include "kernels/sparse_kernels.h"

namespace vecann {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
constexpr float kMax = std::numeric_limits<float>::max();

// What a kernel should return, and the sum of its terms' magnitudes, which bounds the rounding error.
struct Reference {
    double value = 0;
    double magnitude = 0;

    void Add(double term) {
        value += term;
        magnitude += std::fabs(term);
    }
};

struct References {
    Reference l2, dot, l1, norm_a, norm_b;
};

References Compute(const float* a, const float* b, size_t n) {
    References r;
    for (size_t i = 0; i < n; ++i) {
        const double x = a[i], y = b[i];
        // the kernels subtract in float32, which may overflow where a double does not
        const double d = static_cast<float>(a[i] - b[i]);
        r.l2.Add(d * d);
        r.dot.Add(x * y);
        r.l1.Add(std::fabs(d));
        r.norm_a.Add(x * x);
        r.norm_b.Add(y * y);
    }
    return r;
}

// Accepts a float32 sum of n terms. Every level sums in at least four lanes, so the error stays below n / 4 + 8 units
// in the last place of the sum of magnitudes; each term may lose a denormal besides.
void ExpectNear(const Reference& want, float got, size_t n, const std::string& what) {
    if (std::isnan(want.value)) {
        EXPECT_TRUE(std::isnan(got)) << what << ": " << got;
        return;
    }
    if (want.magnitude > kMax) {  // the float32 sum overflows
        EXPECT_FALSE(std::isfinite(got)) << what << ": " << got;
        if (want.value == want.magnitude) {
            EXPECT_EQ(got, kInf) << what;
        }
        return;
    }
    const double ulps = 8 + static_cast<double>(n) / 4;
    const double tolerance = ulps * 0x1.0p-24 * want.magnitude + static_cast<double>(n) * kDenormal;
    EXPECT_NEAR(want.value, got, tolerance) << what;
}

class KernelTest : public testing::TestWithParam<SimdLevel> {
  protected:
    void SetUp() override {
        table_ = KernelTableFor(GetParam());
        if (table_ == nullptr) GTEST_SKIP() << "this processor lacks the level";
    }

    // Compares all kernels with the reference on n elements.
    void Check(const float* a, const float* b, size_t n, const std::string& what) {
        const References want = Compute(a, b, n);
        const DenseKernels& k = table_->float32;
        const std::string at = std::string(table_->name) + " " + what + " n=" + std::to_string(n) + " ";
        ExpectNear(want.l2, k.l2_squared(a, b, n), n, at + "l2_squared");
        ExpectNear(want.dot, k.inner_product(a, b, n), n, at + "inner_product");
        ExpectNear(want.l1, k.l1(a, b, n), n, at + "l1");
        const CosineParts parts = k.cosine(a, b, n);
        ExpectNear(want.dot, parts.dot, n, at + "cosine.dot");
        ExpectNear(want.norm_a, parts.norm_a, n, at + "cosine.norm_a");
        ExpectNear(want.norm_b, parts.norm_b, n, at + "cosine.norm_b");
    }

    const KernelTable* table_ = nullptr;
    Rng rng_{20240607};

    float Uniform() { return static_cast<float>(rng_.NextUnit() * 2 - 1); }
};

TEST_P(KernelTest, MatchesTheReferenceAtEveryLength) {
    for (size_t n = 0; n <= 130; ++n) {
        GuardedArray<float> a(n), b(n);
        for (int round = 0; round < 20; ++round) {
            for (size_t i = 0; i < n; ++i) {
                a[i] = Uniform();
                b[i] = Uniform();
            }
            Check(a.data(), b.data(), n, "random");
        }
    }
}

TEST_P(KernelTest, MatchesTheReferenceOnLongVectors) {
    for (size_t n : {255u, 256u, 257u, 768u, 784u, 1536u, 2000u, 4095u, 16000u, 100003u}) {
        GuardedArray<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i) {
            a[i] = Uniform();
            b[i] = Uniform() * 255;
        }
        Check(a.data(), b.data(), n, "long");
    }
}

// Both arrays at every offset from a 64-byte boundary, each its own.
TEST_P(KernelTest, NeedsNoAlignment) {
    const size_t n = 67;
    alignas(64) float left[n + 16], right[n + 16];
    for (size_t i = 0; i < n + 16; ++i) {
        left[i] = Uniform();
        right[i] = Uniform();
    }
    for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 16; ++j)
            Check(left + i, right + j, n, "offset");
    }
}

TEST_P(KernelTest, WideRangesOfMagnitude) {
    for (size_t n : {1u, 7u, 8u, 33u, 100u}) {
        GuardedArray<float> a(n), b(n);
        for (int round = 0; round < 50; ++round) {
            for (size_t i = 0; i < n; ++i) {
                a[i] = std::ldexp(Uniform(), static_cast<int>(rng_.Next() % 100) - 50);
                b[i] = std::ldexp(Uniform(), static_cast<int>(rng_.Next() % 100) - 50);
            }
            Check(a.data(), b.data(), n, "magnitudes");
        }
    }
}

TEST_P(KernelTest, EachElementCountsOnce) {
    for (size_t n = 1; n <= 130; ++n) {
        GuardedArray<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i)
            a[i] = b[i] = 0;
        for (size_t i = 0; i < n; ++i) {
            a[i] = 3;
            b[i] = 5;
            const DenseKernels& k = table_->float32;
            ASSERT_EQ(k.l2_squared(a.data(), b.data(), n), 4.0f) << n << " " << i;
            ASSERT_EQ(k.inner_product(a.data(), b.data(), n), 15.0f) << n << " " << i;
            ASSERT_EQ(k.l1(a.data(), b.data(), n), 2.0f) << n << " " << i;
            const CosineParts parts = k.cosine(a.data(), b.data(), n);
            ASSERT_EQ(parts.dot, 15.0f);
            ASSERT_EQ(parts.norm_a, 9.0f);
            ASSERT_EQ(parts.norm_b, 25.0f);
            a[i] = b[i] = 0;
        }
    }
}

TEST_P(KernelTest, ZerosOfEitherSign) {
    for (size_t n = 0; n <= 70; ++n) {
        GuardedArray<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i) {
            a[i] = i % 2 == 0 ? 0.0f : -0.0f;
            b[i] = i % 3 == 0 ? -0.0f : 0.0f;
        }
        const DenseKernels& k = table_->float32;
        EXPECT_EQ(k.l2_squared(a.data(), b.data(), n), 0.0f);
        EXPECT_EQ(k.inner_product(a.data(), b.data(), n), 0.0f);
        EXPECT_EQ(k.l1(a.data(), b.data(), n), 0.0f);
        const CosineParts parts = k.cosine(a.data(), b.data(), n);
        EXPECT_EQ(parts.dot, 0.0f);
        EXPECT_EQ(parts.norm_a, 0.0f);
        EXPECT_EQ(parts.norm_b, 0.0f);
    }
}

// Graph code relies on both: a vector is at distance 0 from itself, and d(a, b) and d(b, a) are the same bits.
TEST_P(KernelTest, DistancesAreReflexiveAndSymmetric) {
    for (size_t n = 0; n <= 130; ++n) {
        GuardedArray<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i) {
            a[i] = Uniform();
            b[i] = Uniform();
        }
        const DenseKernels& k = table_->float32;
        EXPECT_EQ(k.l2_squared(a.data(), a.data(), n), 0.0f);
        EXPECT_EQ(k.l1(a.data(), a.data(), n), 0.0f);
        EXPECT_EQ(k.l2_squared(a.data(), b.data(), n), k.l2_squared(b.data(), a.data(), n));
        EXPECT_EQ(k.inner_product(a.data(), b.data(), n), k.inner_product(b.data(), a.data(), n));
        EXPECT_EQ(k.l1(a.data(), b.data(), n), k.l1(b.data(), a.data(), n));
        EXPECT_EQ(k.cosine(a.data(), b.data(), n).dot, k.cosine(b.data(), a.data(), n).dot);
        const CosineParts parts = k.cosine(a.data(), a.data(), n);
        EXPECT_EQ(parts.dot, parts.norm_a);
        EXPECT_EQ(parts.dot, parts.norm_b);
    }
}

TEST_P(KernelTest, Denormals) {
    for (size_t n : {1u, 5u, 8u, 31u, 64u, 129u}) {
        GuardedArray<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i) {
            a[i] = kDenormal * static_cast<float>(i + 1);
            b[i] = -kDenormal * 3;
        }
        Check(a.data(), b.data(), n, "denormals");
        EXPECT_GT(table_->float32.l1(a.data(), b.data(), n), 0.0f) << "denormals are not flushed to zero";
        for (size_t i = 0; i < n; ++i)
            b[i] = 1.0f;
        EXPECT_GT(table_->float32.inner_product(a.data(), b.data(), n), 0.0f);
    }
}

// One special pair at each place among ordinary ones: the result is what the reference says, infinite or NaN.
TEST_P(KernelTest, InfinitiesAndNan) {
    const std::vector<std::pair<float, float>> specials = {
        {kInf, 1.0f}, {-kInf, 1.0f}, {kInf, kInf}, {kInf, -kInf}, {1.0f, kInf}, {kInf, 0.0f}, {kNan, 1.0f},
        {1.0f, kNan}, {kNan, kNan},  {kNan, kInf}, {kMax, -kMax}, {kMax, kMax}, {kMax, 0.0f}, {0.0f, -kInf},
    };
    for (size_t n : {1u, 4u, 9u, 16u, 35u, 67u}) {
        for (const auto& [x, y] : specials) {
            for (size_t place = 0; place < n; ++place) {
                GuardedArray<float> a(n), b(n);
                for (size_t i = 0; i < n; ++i) {
                    a[i] = Uniform();
                    b[i] = Uniform();
                }
                a[place] = x;
                b[place] = y;
                Check(a.data(), b.data(), n, "special " + std::to_string(x) + "," + std::to_string(y));
            }
        }
    }
}

TEST_P(KernelTest, LevelsAgreeWithTheBaseline) {
    const KernelTable* baseline = KernelTableFor(SimdLevel::kBaseline);
    ASSERT_NE(baseline, nullptr);
    for (size_t n : {3u, 16u, 100u, 256u, 784u, 1536u}) {
        std::vector<float> a(n), b(n);
        for (size_t i = 0; i < n; ++i) {
            a[i] = Uniform();
            b[i] = Uniform();
        }
        const float mine = table_->float32.l2_squared(a.data(), b.data(), n);
        const float base = baseline->float32.l2_squared(a.data(), b.data(), n);
        EXPECT_NEAR(mine, base, 1e-5 * base) << n;
    }
}

// The same order of sums as over the same numbers in float32, so the same bits. The last halves end a readable page.
TEST_P(KernelTest, HalvesGiveWhatTheirFloatsGive) {
    for (size_t n = 0; n <= 130; ++n) {
        GuardedArray<Half> a(n), b(n);
        std::vector<float> fa(n), fb(n);
        for (size_t i = 0; i < n; ++i) {
            // denormals as well
            a[i] = HalfFromFloat(std::ldexp(Uniform(), static_cast<int>(rng_.Next() % 30) - 15));
            b[i] = HalfFromFloat(Uniform());
            fa[i] = FloatFromHalf(a[i]);
            fb[i] = FloatFromHalf(b[i]);
        }
        const DenseKernels &half = table_->float16, &full = table_->float32;
        ASSERT_EQ(half.l2_squared(a.data(), b.data(), n), full.l2_squared(fa.data(), fb.data(), n)) << n;
        ASSERT_EQ(half.inner_product(a.data(), b.data(), n), full.inner_product(fa.data(), fb.data(), n)) << n;
        ASSERT_EQ(half.l1(a.data(), b.data(), n), full.l1(fa.data(), fb.data(), n)) << n;
        const CosineParts h = half.cosine(a.data(), b.data(), n), f = full.cosine(fa.data(), fb.data(), n);
        ASSERT_TRUE(h.dot == f.dot && h.norm_a == f.norm_a && h.norm_b == f.norm_b) << n;
    }
}

// Groups of nibbles: what `encode` writes, `products` reads; both against plain loops.
TEST_P(KernelTest, NibblesAreWrittenAndMultipliedAtEveryLength) {
    for (size_t n = 1; n <= 130; ++n) {
        const size_t groups = (n + kNibbleGroup - 1) / kNibbleGroup, bytes = sizeof(RowCodeData) + groups * 16;
        GuardedArray<float> x(n), query(groups * kNibbleGroup);
        GuardedArray<char> codes(2 * bytes);
        for (size_t i = 0; i < groups * kNibbleGroup; ++i)
            query[i] = i < n ? Uniform() : 0;
        const char* each[2] = {codes.data(), codes.data() + bytes};
        References want[2];
        for (int c = 0; c < 2; ++c) {
            std::vector<float> before(n);
            for (size_t i = 0; i < n; ++i)
                x[i] = before[i] = Uniform() * 3;
            const LevelRule rule = {3.7f, 8.0f, 4};
            const LevelFit fit = table_->code.fit(rule, x.data(), n);
            uint8_t* code =
                reinterpret_cast<uint8_t*>(codes.data() + static_cast<size_t>(c) * bytes) + sizeof(RowCodeData);
            table_->nibble.encode(rule, x.data(), n, code);
            float norm = 0;
            for (size_t i = 0; i < groups * kNibbleGroup; ++i) {
                const uint8_t byte = code[i / 32 * 16 + i % 16];
                const int level = i % 32 < 16 ? byte & 15 : byte >> 4;
                if (i >= n) {
                    EXPECT_EQ(level, 0);
                    continue;
                }
                EXPECT_EQ(x[i], static_cast<float>(level) - 7.5f);
                const double exact = before[i] * 3.7f + 8;
                EXPECT_NEAR(level, std::floor(std::fmin(std::fmax(exact, 0), 15)),
                            std::fabs(exact - std::round(exact)) < 1e-5 ? 1 : 0);
                norm += x[i] * x[i];
                want[c].dot.Add(static_cast<double>(x[i]) * query[i]);
            }
            EXPECT_EQ(fit.norm, norm);
        }
        float products[2];
        table_->nibble.products(query.data(), groups, each, 2, products);
        for (int c = 0; c < 2; ++c)
            EXPECT_NEAR(products[c], want[c].dot.value,
                        static_cast<double>(groups + 6) * 0x1.01p-24 * want[c].dot.magnitude);
    }
}

TEST_P(KernelTest, BitsAreCountedAtEveryLength) {
    for (size_t n = 0; n <= 300; ++n) {
        GuardedArray<uint8_t> a(n), b(n);
        for (int round = 0; round < 5; ++round) {
            uint64_t different = 0, both = 0, either = 0;
            for (size_t i = 0; i < n; ++i) {
                a[i] = round == 0 ? 0xff : static_cast<uint8_t>(rng_.Next());
                b[i] = round == 1 ? 0xff : static_cast<uint8_t>(rng_.Next());
                different += static_cast<uint64_t>(__builtin_popcount(a[i] ^ b[i]));
                both += static_cast<uint64_t>(__builtin_popcount(a[i] & b[i]));
                either += static_cast<uint64_t>(__builtin_popcount(a[i] | b[i]));
            }
            ASSERT_EQ(table_->bit.hamming(a.data(), b.data(), n), different) << n;
            const BitOverlap overlap = table_->bit.overlap(a.data(), b.data(), n);
            ASSERT_EQ(overlap.both, both) << n;
            ASSERT_EQ(overlap.either, either) << n;
        }
    }
}

std::string LevelName(const testing::TestParamInfo<SimdLevel>& info) {
    return "Level" + std::to_string(static_cast<int>(info.param));
}

std::vector<SimdLevel> AllLevels() {
    std::vector<SimdLevel> levels;
    for (int i = 0; i < kSimdLevels; ++i)
        levels.push_back(static_cast<SimdLevel>(i));
    return levels;
}

INSTANTIATE_TEST_SUITE_P(AllLevels, KernelTest, testing::ValuesIn(AllLevels()), LevelName);

TEST(KernelTableTest, TheBestLevelIsInForceUntilForced) {
    EXPECT_EQ(Kernels().level, BestSimdLevel());
    EXPECT_TRUE(ForceSimdLevel(SimdLevel::kBaseline));
    EXPECT_EQ(Kernels().level, SimdLevel::kBaseline);
    EXPECT_STREQ(Kernels().name, "baseline");
    EXPECT_TRUE(ForceSimdLevel(BestSimdLevel()));
    EXPECT_EQ(Kernels().level, BestSimdLevel());
}

TEST(KernelTableTest, TablesSayTheirLevel) {
    for (SimdLevel level : AllLevels()) {
        const KernelTable* table = KernelTableFor(level);
        if (table == nullptr) continue;
        EXPECT_EQ(table->level, level);
        EXPECT_NE(table->float32.l2_squared, nullptr);
        EXPECT_NE(table->float32.inner_product, nullptr);
        EXPECT_NE(table->float32.l1, nullptr);
        EXPECT_NE(table->float32.cosine, nullptr);
    }
}

TEST(KernelTableTest, AnUnknownLevelIsRefused) {
    const SimdLevel before = Kernels().level;
    EXPECT_EQ(KernelTableFor(static_cast<SimdLevel>(99)), nullptr);
    EXPECT_FALSE(ForceSimdLevel(static_cast<SimdLevel>(99)));
    EXPECT_EQ(Kernels().level, before);
}

// All 65,536 halves, and the doubles around the middle between neighbours.
TEST(HalfTest, ConversionsRoundOnceToTheNearest) {
    for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
        const Half h = {static_cast<uint16_t>(bits)};
        const float x = FloatFromHalf(h);
        if ((bits & 0x7fff) > 0x7c00) {
            EXPECT_TRUE(std::isnan(x));
            EXPECT_TRUE(std::isnan(FloatFromHalf(HalfFromFloat(x))));
            EXPECT_TRUE(std::isnan(FloatFromHalf(HalfFromDouble(x))));
            continue;
        }
        EXPECT_EQ(HalfFromFloat(x).bits, bits);
        EXPECT_EQ(HalfFromDouble(x).bits, bits);
        if ((bits & 0x7fff) >= 0x7c00) continue;
        const bool last = (bits & 0x7fff) == 0x7bff;  // what comes next would be 65536
        const double next = last ? std::copysign(65536.0, x) : FloatFromHalf({static_cast<uint16_t>(bits + 1)});
        const double middle = (static_cast<double>(x) + next) / 2;
        const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
        EXPECT_EQ(HalfFromDouble(middle).bits, even);
        EXPECT_EQ(HalfFromFloat(static_cast<float>(middle)).bits, even);
        EXPECT_EQ(HalfFromDouble(std::nextafter(middle, 0.0)).bits, bits) << bits;
        EXPECT_EQ(HalfFromDouble(std::nextafter(middle, 2 * middle)).bits, bits + 1) << bits;
    }
    EXPECT_EQ(HalfFromDouble(1e300).bits, 0x7c00);
    EXPECT_EQ(HalfFromDouble(-1e-300).bits, 0x8000);
    EXPECT_EQ(HalfFromFloat(-kInf).bits, 0xfc00);
}

// Sparse vectors of very different and of equal lengths, with many and with few indices in common.
TEST(SparseTest, MergesMatchTheDenseReference) {
    Rng rng(7);
    for (int round = 0; round < 2000; ++round) {
        const int dim = 1 + static_cast<int>(rng.Next() % 400);
        std::vector<double> dense[2] = {std::vector<double>(dim), std::vector<double>(dim)};
        std::vector<int32_t> indices[2];
        std::vector<float> values[2];
        for (int side = 0; side < 2; ++side) {
            const uint64_t one_in = 1 + rng.Next() % 60;
            for (int i = 0; i < dim; ++i) {
                if (rng.Next() % one_in != 0) continue;
                indices[side].push_back(i);
                values[side].push_back(static_cast<float>(rng.NextUnit() - 0.5));
                dense[side][i] = values[side].back();
            }
        }
        double dot = 0, l2 = 0, l1 = 0, norm = 0;
        for (int i = 0; i < dim; ++i) {
            dot += dense[0][i] * dense[1][i];
            l2 += (dense[0][i] - dense[1][i]) * (dense[0][i] - dense[1][i]);
            l1 += std::fabs(dense[0][i] - dense[1][i]);
            norm += dense[0][i] * dense[0][i];
        }
        const SparseView a = {indices[0].data(), values[0].data(), static_cast<int>(indices[0].size())};
        const SparseView b = {indices[1].data(), values[1].data(), static_cast<int>(indices[1].size())};
        EXPECT_NEAR(SparseInnerProduct(a, b), dot, 1e-12);
        EXPECT_EQ(SparseInnerProduct(a, b), SparseInnerProduct(b, a));
        EXPECT_NEAR(SparseL2Squared(a, b), l2, 1e-12);
        EXPECT_EQ(SparseL2Squared(a, b), SparseL2Squared(b, a));
        EXPECT_NEAR(SparseL1(a, b), l1, 1e-12);
        EXPECT_EQ(SparseL1(a, b), SparseL1(b, a));
        EXPECT_NEAR(SparseSquaredNorm(a), norm, 1e-12);
        EXPECT_EQ(SparseL2Squared(a, a), 0);
        EXPECT_EQ(SparseL1(a, a), 0);
    }
}

TEST(MetricTest, BitGoesWithHammingAndJaccardOnly) {
    static_assert(IsLegalPair(ElementKind::kBit, Metric::kHamming));
    static_assert(IsLegalPair(ElementKind::kBit, Metric::kJaccard));
    static_assert(!IsLegalPair(ElementKind::kBit, Metric::kL2));
    static_assert(IsLegalPair(ElementKind::kFloat32, Metric::kCosine));
    static_assert(!IsLegalPair(ElementKind::kFloat32, Metric::kHamming));
    SUCCEED();
}

}  // namespace
}  // namespace vecann

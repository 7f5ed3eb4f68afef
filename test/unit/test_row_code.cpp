// Unit tests of row codes: their bounds hold for every pair of query and vector, of ordinary and of nasty numbers, at
// every instruction-set level, and they are as narrow as four bits allow.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "compute/task_arena.h"
#include "guarded_array.h"
#include "kernels/kernel_table.h"
#include "quant/row_code.h"

namespace vecann {
namespace {

using Vector = std::vector<float>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr Metric kMetrics[] = {Metric::kL2, Metric::kInnerProduct};

std::vector<SimdLevel> Levels() {
    std::vector<SimdLevel> levels;
    for (int level = 0; level < kSimdLevels; ++level)
        if (KernelTableFor(static_cast<SimdLevel>(level)) != nullptr) levels.push_back(static_cast<SimdLevel>(level));
    return levels;
}

// Numbers of one kind, by name in messages.
enum class Data { kNormal, kLaplacian, kSparse, kConstant, kTiny, kDenormal, kLarge, kMixed };
constexpr Data kData[] = {Data::kNormal, Data::kLaplacian, Data::kSparse, Data::kConstant,
                          Data::kTiny,   Data::kDenormal,  Data::kLarge,  Data::kMixed};

class Source {
  public:
    explicit Source(unsigned seed) : random_(seed) {}

    Vector Make(Data data, int dim) {
        Vector v(static_cast<size_t>(dim));
        const float constant = normal_(random_);
        for (float& x : v) {
            const float z = normal_(random_);
            const float sign = z < 0 ? -1.0f : 1.0f;
            switch (data) {
                case Data::kNormal:
                    x = z;
                    break;
                case Data::kLaplacian:
                    x = -sign * std::log(1e-6f + unit_(random_));
                    break;
                case Data::kSparse:
                    x = unit_(random_) < 0.1f ? z : 0.0f;
                    break;
                case Data::kConstant:
                    x = constant;
                    break;
                case Data::kTiny:
                    x = z * 1e-30f;
                    break;
                case Data::kDenormal:
                    x = z * 1e-42f;
                    break;
                case Data::kLarge:
                    x = z * 1e17f;
                    break;
                case Data::kMixed:
                    x = std::ldexp(z, static_cast<int>(unit_(random_) * 80) - 40);
                    break;
            }
        }
        return v;
    }

  private:
    std::mt19937 random_;
    std::normal_distribution<float> normal_{0, 1};
    std::uniform_real_distribution<float> unit_{0, 1};
};

Vector Sum(const Vector& a, const Vector& b, float factor) {
    Vector sum(a.size());
    for (size_t i = 0; i < a.size(); ++i)
        sum[i] = a[i] + factor * b[i];
    return sum;
}

// In long double, so that the reference's own rounding does not show.
long double Product(const Vector& a, const Vector& b) {
    long double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += static_cast<long double>(a[i]) * b[i];
    return sum;
}
double Norm(const Vector& a) {
    return static_cast<double>(std::sqrt(Product(a, a)));
}
double Distance(const Vector& a, const Vector& b) {
    long double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const long double d = static_cast<long double>(a[i]) - b[i];
        sum += d * d;
    }
    return static_cast<double>(std::sqrt(sum));
}

// A code that ends where readable memory ends.
class Code {
  public:
    explicit Code(int dim) : bytes_(RowCodeSize(dim)), dim_(dim), scratch_(static_cast<size_t>(dim)) {
        memset(bytes_.data(), 0x5a, RowCodeSize(dim));
    }
    Code(const Vector& v, const Vector& centre, double extra = 0) : Code(static_cast<int>(v.size())) {
        Encode(v, centre, extra);
    }
    void Encode(const Vector& v, const Vector& centre, double extra = 0) {
        EncodeRowCode(v.data(), centre.data(), dim_, extra, bytes_.data(), scratch_.data());
    }
    char* data() { return bytes_.data(); }
    RowCodeData head() {
        RowCodeData head;
        memcpy(&head, bytes_.data(), sizeof(head));
        return head;
    }
    int Level(int i) {
        const auto byte = static_cast<uint8_t>(bytes_[sizeof(RowCodeData) + static_cast<size_t>(i / 32 * 16 + i % 16)]);
        return i % 32 < 16 ? byte & 15 : byte >> 4;
    }

  private:
    GuardedArray<char> bytes_;
    int dim_;
    Vector scratch_;
};

RowDistance Measure(Metric metric, const Vector& q, const Vector& centre, const char* code) {
    TaskArena memory;
    RowCodeQuery query;
    query.Init(&memory.arena, metric, static_cast<int>(q.size()));
    query.Set(q.data(), centre.data());
    RowDistance known;
    RowCodeDistances(query, &code, 1, &known);
    return known;
}

// Returns whether the bounds say anything.
bool CheckBounds(Metric metric, const Vector& q, const Vector& v, const RowDistance& known, const std::string& what) {
    if (known.error == kInf) {
        EXPECT_EQ(known.distance, 0) << what;
        return false;
    }
    EXPECT_GT(known.error, 0) << what;
    EXPECT_TRUE(std::isfinite(known.distance) && std::isfinite(known.error) && std::isfinite(known.norm)) << what;
    const double distance = known.distance, error = known.error;
    if (metric == Metric::kL2) {
        EXPECT_GE(known.distance, 0) << what;
        const double truth = Distance(q, v), root = std::sqrt(distance);
        EXPECT_LE(root - error, truth) << what;
        EXPECT_GE(root + error, truth) << what;
        EXPECT_EQ(known.norm, 0) << what;
    } else {
        const double truth = static_cast<double>(-Product(q, v)), width = Norm(q) * error;
        EXPECT_LE(distance - width, truth) << what;
        EXPECT_GE(distance + width, truth) << what;
        EXPECT_GE(static_cast<double>(known.norm) + error, Norm(v)) << what;
    }
    return true;
}

std::vector<int> Dimensions() {
    std::vector<int> dims;
    for (int dim = 1; dim <= 70; ++dim)
        dims.push_back(dim);
    for (const int dim : {127, 128, 784, 2038})
        dims.push_back(dim);
    return dims;
}

class RowCodeTest : public testing::TestWithParam<SimdLevel> {
  protected:
    void SetUp() override { ASSERT_TRUE(ForceSimdLevel(GetParam())); }
    void TearDown() override { ForceSimdLevel(BestSimdLevel()); }
};

// What the code stands for, from its bytes alone.
Vector Decode(Code* code, const Vector& centre) {
    Vector x(centre.size());
    const float scale = code->head().scale;
    for (size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(centre[i] + static_cast<double>(scale) * (code->Level(static_cast<int>(i)) - 7.5));
    return x;
}

// Queries that are the vector, next to it, at the centre, elsewhere, far off, and zero; and those from which the whole
// error shows: on the line through the vector and what its code stands for, and along it.
std::vector<Vector> QueriesOf(Source* source, Data data, const Vector& v, const Vector& centre, Code* code) {
    const int dim = static_cast<int>(v.size());
    const Vector x = Decode(code, centre), apart = Sum(v, x, -1);
    std::vector<Vector> queries = {v,
                                   x,
                                   centre,
                                   Sum(v, source->Make(data, dim), 0.01f),
                                   source->Make(data, dim),
                                   Sum(centre, source->Make(data, dim), 1000.0f),
                                   Vector(v.size())};
    for (const float factor : {1.0f, 3.0f, 1000.0f}) {
        queries.push_back(Sum(v, apart, factor));
        queries.push_back(Sum(x, apart, -factor));
        queries.push_back(Sum(Vector(v.size()), apart, factor));
        queries.push_back(Sum(Vector(v.size()), apart, -factor));
    }
    return queries;
}

TEST_P(RowCodeTest, BoundsHoldForEveryPair) {
    Source source(1);
    for (const int dim : Dimensions())
        for (const Data data : kData) {
            const Vector near = source.Make(data, dim), zero(near.size());
            for (const Vector& centre : {zero, near, Sum(near, source.Make(data, dim), 100.0f)})
                for (const float spread : {0.0f, 0.05f, 1.0f}) {
                    const Vector v = Sum(near, source.Make(data, dim), spread);
                    Code code(v, centre);
                    const std::string what = std::to_string(dim) + " " + std::to_string(static_cast<int>(data));
                    ASSERT_TRUE(HasRowCode(code.data())) << what;
                    ASSERT_TRUE(code.head().error < kInf || data == Data::kLarge) << what;
                    for (const Vector& q : QueriesOf(&source, data, v, centre, &code))
                        for (const Metric metric : kMetrics) {
                            const bool known = CheckBounds(metric, q, v, Measure(metric, q, centre, code.data()), what);
                            EXPECT_TRUE(known || data == Data::kLarge) << what;
                        }
                }
        }
}

// The caller's own doubt: any vector within `extra` of the encoded one is within the bounds.
TEST_P(RowCodeTest, BoundsHoldForWhatTheCallerMeant) {
    Source source(3);
    for (const int dim : {1, 7, 33, 128}) {
        const Vector v = source.Make(Data::kNormal, dim), centre = source.Make(Data::kNormal, dim);
        const Vector meant = Sum(v, source.Make(Data::kNormal, dim), 0.1f);
        Code code(v, centre, Distance(v, meant));
        for (const Vector& q : QueriesOf(&source, Data::kNormal, meant, centre, &code))
            for (const Metric metric : kMetrics)
                EXPECT_TRUE(CheckBounds(metric, q, meant, Measure(metric, q, centre, code.data()), "meant"));
    }
}

// The evaluation in floating point must not be what makes bounds wide.
TEST_P(RowCodeTest, MostOfTheErrorIsTheCodes) {
    Source source(4);
    for (const int dim : {1, 16, 128, 784, 2038}) {
        const Vector v = source.Make(Data::kNormal, dim), centre = source.Make(Data::kNormal, dim);
        const Vector q = source.Make(Data::kNormal, dim);
        Code code(v, centre);
        const double most = code.head().error + 1e-5 * (Norm(v) + Norm(centre) + Norm(q));
        for (const Metric metric : kMetrics)
            EXPECT_LE(Measure(metric, q, centre, code.data()).error, most) << dim;
        EXPECT_LE(Measure(Metric::kInnerProduct, q, centre, code.data()).norm, (Norm(v) + 2 * Norm(centre)) * 1.2);
    }
}

TEST_P(RowCodeTest, ABatchGivesWhatEachCodeGives) {
    Source source(5);
    constexpr int kDim = 100, kCodes = 150;
    const Vector centre = source.Make(Data::kNormal, kDim), q = source.Make(Data::kNormal, kDim);
    const size_t stride = RowCodeSize(kDim);
    GuardedArray<char> bytes(stride * kCodes);
    std::vector<const char*> codes;
    Vector scratch(kDim);
    for (int i = 0; i < kCodes; ++i) {
        char* code = bytes.data() + static_cast<size_t>(i) * stride;
        EncodeRowCode(source.Make(Data::kNormal, kDim).data(), centre.data(), kDim, 0, code, scratch.data());
        if (i % 10 == 3) memset(code, 0, stride);
        codes.push_back(code);
    }
    for (const Metric metric : kMetrics) {
        TaskArena memory;
        RowCodeQuery query;
        query.Init(&memory.arena, metric, kDim);
        query.Set(q.data(), centre.data());
        for (const int count : {0, 1, 15, 16, 17, 32, 150}) {
            std::vector<RowDistance> known(static_cast<size_t>(count));
            RowCodeDistances(query, codes.data(), count, known.data());
            for (int i = 0; i < count; ++i) {
                const RowDistance alone = Measure(metric, q, centre, codes[static_cast<size_t>(i)]);
                EXPECT_EQ(memcmp(&known[static_cast<size_t>(i)], &alone, sizeof(alone)), 0) << i;
            }
        }
    }
}

// Vectors at random, as rotated ones are: near the query, far from it and itself.
TEST_P(RowCodeTest, LikelyBoundsHoldForNearlyAll) {
    for (const int dim : {32, 128, 512}) {
        Source source(static_cast<uint64_t>(dim));
        const Vector centre = source.Make(Data::kNormal, dim), q = source.Make(Data::kNormal, dim);
        for (const Metric metric : kMetrics) {
            int violated = 0, tighter = 0;
            constexpr int kVectors = 3000;
            for (int i = 0; i < kVectors; ++i) {
                Vector v = source.Make(Data::kNormal, dim);
                const float share = static_cast<float>(i % 11) / 10;
                for (size_t j = 0; j < v.size(); ++j)
                    v[j] = share * q[j] + (1 - share) * v[j];
                Code code(v, centre);
                const RowDistance known = Measure(metric, q, centre, code.data());
                const bool l2 = metric == Metric::kL2;
                const double apart = Distance(q, v), error = known.error;
                const double truth = l2 ? apart * apart : -static_cast<double>(Product(q, v));
                const double least = std::max(std::sqrt(static_cast<double>(known.distance)) - error, 0.0);
                const double certain = l2 ? least * least : static_cast<double>(known.distance) - Norm(q) * error;
                violated += truth < static_cast<double>(known.likely) - 1e-5 * (1 + std::fabs(truth)) ? 1 : 0;
                tighter += static_cast<double>(known.likely) > certain ? 1 : 0;
            }
            EXPECT_LE(violated, 3) << dim;
            EXPECT_GT(tighter, dim >= 128 ? kVectors / 2 : 0) << dim;
        }
    }
    // Few dimensions have no likely bounds.
    const Vector few(16, 1.0f), origin(16);
    Code code(few, origin);
    EXPECT_EQ(Measure(Metric::kL2, few, origin, code.data()).likely, -kInf);
}

TEST_P(RowCodeTest, AZeroedSlotIsNoCode) {
    const Vector q(40, 1.0f), centre(40, 0.5f);
    Code code(40);
    memset(code.data(), 0, RowCodeSize(40));
    EXPECT_FALSE(HasRowCode(code.data()));
    for (const Metric metric : kMetrics) {
        const RowDistance known = Measure(metric, q, centre, code.data());
        EXPECT_EQ(known.distance, 0);
        EXPECT_EQ(known.error, kInf);
        EXPECT_EQ(known.likely, -kInf);
    }
}

// Vectors without a code, and queries of which nothing can be said.
TEST_P(RowCodeTest, NothingIsKnownOfWhatIsNotFinite) {
    for (const int dim : {1, 5, 32, 67})
        for (const float bad : {kInf, -kInf, kNan, 1e30f, -FLT_MAX}) {
            Source source(6);
            const Vector good = source.Make(Data::kNormal, dim);
            for (size_t place = 0; place < good.size(); place += 11) {
                Vector v = good;
                v[place] = bad;
                Code of_bad(v, good), at_bad(good, v), of_good(good, Vector(good.size()));
                for (Code* code : {&of_bad, &at_bad}) {
                    EXPECT_EQ(code->head().error, kInf);
                    EXPECT_EQ(code->head().scale, 0);
                    EXPECT_EQ(code->head().norm2, 0);
                    EXPECT_TRUE(HasRowCode(code->data()));
                }
                for (const Metric metric : kMetrics) {
                    EXPECT_EQ(Measure(metric, good, good, of_bad.data()).error, kInf);
                    const RowDistance known = Measure(metric, v, Vector(good.size()), of_good.data());
                    if (std::fabs(bad) <= FLT_MAX) {
                        CheckBounds(metric, v, good, known, "large");
                    } else {
                        EXPECT_EQ(known.error, kInf);
                        EXPECT_EQ(known.distance, 0);
                    }
                }
            }
        }
}

// A head that damage has left with anything in it: results are numbers or say nothing.
TEST_P(RowCodeTest, ADamagedHeadGivesNoNonsense) {
    Source source(7);
    const Vector v = source.Make(Data::kNormal, 20), q = source.Make(Data::kNormal, 20), centre(20, 0.0f);
    Code code(v, centre);
    const RowCodeData good = code.head();
    for (const float bad : {kInf, -kInf, kNan, FLT_MAX, -FLT_MAX, -1.0f})
        for (int field = 0; field < 3; ++field) {
            RowCodeData head = good;
            (field == 0 ? head.error : field == 1 ? head.scale : head.norm2) = bad;
            memcpy(code.data(), &head, sizeof(head));
            for (const Metric metric : kMetrics) {
                const RowDistance known = Measure(metric, q, centre, code.data());
                EXPECT_TRUE(std::isfinite(known.distance));
                EXPECT_GT(known.error, 0);
            }
        }
}

// Codes of one level read by another: sums differ in their order only.
TEST_P(RowCodeTest, AgreesWithTheBaseline) {
    Source source(8);
    for (const int dim : Dimensions()) {
        const Vector v = source.Make(Data::kNormal, dim), centre = source.Make(Data::kNormal, dim);
        const Vector q = source.Make(Data::kNormal, dim);
        Code code(v, centre);
        for (const Metric metric : kMetrics) {
            const RowDistance known = Measure(metric, q, centre, code.data());
            ASSERT_TRUE(ForceSimdLevel(SimdLevel::kBaseline));
            const RowDistance want = Measure(metric, q, centre, code.data());
            ASSERT_TRUE(ForceSimdLevel(GetParam()));
            const double scale = Norm(v) + Norm(centre) + Norm(q);
            EXPECT_NEAR(known.distance, want.distance, 4e-6 * scale * scale) << dim;
            EXPECT_NEAR(known.error, want.error, 1e-5 * scale) << dim;
        }
    }
}

// About a tenth of the norm for normal numbers; long tails cost more.
TEST_P(RowCodeTest, ErrorsAreWhatFourBitsAllow) {
    struct Expected {
        Data data;
        int dim;
        double least, most;
    };
    for (const Expected& expected :
         {Expected{Data::kNormal, 32, 0.08, 0.092}, Expected{Data::kNormal, 128, 0.095, 0.105},
          Expected{Data::kNormal, 784, 0.1, 0.108}, Expected{Data::kLaplacian, 128, 0.12, 0.15},
          Expected{Data::kConstant, 128, 0, 0.001}}) {
        Source source(9);
        const Vector centre(static_cast<size_t>(expected.dim));
        double sum = 0;
        constexpr int kRounds = 200;
        for (int i = 0; i < kRounds; ++i) {
            const Vector v = source.Make(expected.data, expected.dim);
            sum += Code(v, centre).head().error / Norm(v);
        }
        EXPECT_GT(sum / kRounds, expected.least) << expected.dim;
        EXPECT_LT(sum / kRounds, expected.most) << expected.dim;
    }
}

INSTANTIATE_TEST_SUITE_P(AllLevels, RowCodeTest, testing::ValuesIn(Levels()),
                         [](const auto& level) { return KernelTableFor(level.param)->name; });

// The levels and the scale, and what the head says of them.
TEST(RowCodeFormatTest, HeadAndNibblesSayTheSame) {
    Source source(2);
    for (const int dim : Dimensions())
        for (const double extra : {0.0, 0.25}) {
            const Vector v = source.Make(Data::kNormal, dim), centre = source.Make(Data::kSparse, dim);
            Code code(v, centre, extra);
            const RowCodeData head = code.head();
            double square = 0, norm2 = 0;
            for (int i = 0; i < dim; ++i) {
                const size_t at = static_cast<size_t>(i);
                const double y = static_cast<double>(v[at]) - centre[at], level = head.scale * (code.Level(i) - 7.5);
                square += (y - level) * (y - level);
                norm2 += level * level;
            }
            for (int i = dim; i % 32 != 0; ++i)
                EXPECT_EQ(code.Level(i), 0);
            EXPECT_GE(head.error, std::sqrt(square) + extra);
            EXPECT_LE(head.error, (std::sqrt(square) + extra) * (1 + 0x1p-22) + FLT_MIN);
            EXPECT_NEAR(head.norm2, norm2, norm2 * 0x1p-23);
        }
}

}  // namespace
}  // namespace vecann

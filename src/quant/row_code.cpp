// Encoding row codes, and what they tell of a query; see row_code.h. Compiled without fused multiply-adds
// (src/flags.mk), so that every build gives the same bytes.
#include "quant/row_code.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32
// The best uniform width of 16 levels for normal numbers, in units of their root mean square (Max 1960, table 1), and
// what of it is tried: single vectors want other widths, the more so the fewer dimensions they have, and numbers with
// longer tails want wider ones (the README has the figures).
constexpr float kBestWidth = 0.335f;
constexpr float kTriedWidths[] = {0.8f, 0.9f, 1.0f, 1.12f, 1.3f, 1.6f};
// Below, squares lose too much; the code then stands for the centre.
constexpr float kLeastRms = 1e-17f;
// Loops go by lanes, which the compiler puts side by side.
constexpr int kLanes = 8;
// Codes whose products are taken at once, while the next ones come from memory.
constexpr int kBatch = 16;

// At least x, above zero.
float RoundUp(double x) {
    if (!(x <= static_cast<double>(FLT_MAX))) return HUGE_VALF;
    float rounded = static_cast<float>(x);
    while (static_cast<double>(rounded) < x)
        rounded = std::nextafter(rounded, HUGE_VALF);
    return rounded < FLT_MIN ? FLT_MIN : rounded;
}

// The levels that point most nearly in r's direction, and what they come to.
struct BestLevels {
    LevelRule rule;
    LevelFit fit;
};

BestLevels FindLevels(const float* r, int dim, float rms) {
    const auto fit_levels = Kernels().code.fit;
    BestLevels best = {};
    double best_cosine = -1;
    for (const float factor : kTriedWidths) {
        const LevelRule rule = {1.0f / (rms * kBestWidth * factor), 8.0f, 4};
        const LevelFit fit = fit_levels(rule, r, static_cast<size_t>(dim));
        const double cosine = fit.product / std::sqrt(static_cast<double>(fit.norm));
        if (cosine > best_cosine) {
            best_cosine = cosine;
            best = {rule, fit};
        }
    }
    return best;
}

// |v - c - scale * levels|^2
double SquaredError(const float* v, const float* c, const float* levels, int dim, double scale) {
    double lanes[kLanes] = {}, sum = 0;
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            const double y = static_cast<double>(v[i + j]) - static_cast<double>(c[i + j]);
            const double d = y - scale * static_cast<double>(levels[i + j]);
            lanes[j] += d * d;
        }
    for (; i < dim; ++i) {
        const double y = static_cast<double>(v[i]) - static_cast<double>(c[i]);
        const double d = y - scale * static_cast<double>(levels[i]);
        sum += d * d;
    }
    for (const double lane : lanes)
        sum += lane;
    return sum;
}

void FetchCodes(const char* const* codes, int count, size_t bytes) {
    constexpr size_t kLine = 64;
    for (int i = 0; i < count; ++i) {
        for (size_t at = 0; at < bytes; at += kLine)
            __builtin_prefetch(codes[i] + at);
        __builtin_prefetch(codes[i] + bytes - 1);
    }
}

RowCodeData HeadOf(const char* code) {
    RowCodeData head;
    memcpy(&head, code, sizeof(head));
    return head;
}

constexpr RowDistance kNothingKnown = {0, HUGE_VALF, 0, -HUGE_VALF};

// The factor pays for the rounding to float32 of error and norm, and for double's own.
RowDistance Known(double distance, double error, double norm, double likely) {
    constexpr double kUp = 1 + 0x1p-22;
    const RowDistance known = {static_cast<float>(distance), static_cast<float>(error * kUp),
                               static_cast<float>(norm * kUp), static_cast<float>(likely)};
    const bool finite = std::fabs(known.distance) <= FLT_MAX && known.error <= FLT_MAX && known.norm <= FLT_MAX;
    return finite ? known : kNothingKnown;
}

// Above this the product of p with y hardly is, by that of p with y^. +infinity: nothing is known. Rotated at random,
// y - y^ is (1 - 1 / stretch) y, for the best scale, and beside that of random direction.
double LikelyProduct(const RowCodeQuery& query, const RowCodeData& head, double product) {
    const double error = head.error, norm2 = head.norm2;
    if (query.spread >= 1 || error * error >= norm2) return HUGE_VAL;
    const double stretch = 1 + error * error / norm2;
    return stretch * (product + query.norm * error * query.spread);
}

// A product is off by `relative` |p| |levels| and `absolute`, p being query.values; the norm in the head is rounded.
// Hence, with 2 |p| |y^| <= |p|^2 + |y^|^2, what `apart` may be off by. |sqrt(a) - sqrt(b)| is both
// |a - b| / (sqrt(a) + sqrt(b)) and at most sqrt(|a - b|).
RowDistance DistanceOfL2(const RowCodeQuery& query, const RowCodeData& head, double product) {
    const double scale = head.scale, norm2 = head.norm2;
    const double apart = query.base + norm2 - 2 * scale * product;
    const double off = (query.base + norm2) * query.relative + 2 * scale * query.absolute + 0x1p-148;
    const double root = std::sqrt(apart > off ? apart : off);
    const double error = static_cast<double>(head.error) + off / root + root * (kUnit * 0.51) + query.rounding;
    const double square = norm2 + static_cast<double>(head.error) * static_cast<double>(head.error);
    const double likely = query.base + square - 2 * LikelyProduct(query, head, scale * product) - off;
    return Known(apart > 0 ? apart : 0, error, 0, likely);
}

RowDistance DistanceOfProduct(const RowCodeQuery& query, const RowCodeData& head, double product) {
    const double scale = head.scale;
    const double value = query.base + scale * product;
    const double norm = std::sqrt(static_cast<double>(head.norm2)) * (1 + kUnit) + 0x1p-74;
    const double rounding = (scale * query.absolute + std::fabs(value) * (kUnit * 1.01) + 0x1p-149) * query.inverse;
    const double error = static_cast<double>(head.error) + norm * query.relative + rounding + query.rounding;
    const double off = query.norm * (error - static_cast<double>(head.error));
    const double likely = -query.base - LikelyProduct(query, head, scale * product) - off;
    return Known(-value, error, query.centre_norm + norm, likely);
}

}  // namespace

void EncodeRowCode(const float* rotated, const float* centre, int dim, double extra, void* out, float* scratch) {
    char* code = static_cast<char*>(out);
    memset(code, 0, RowCodeSize(dim));
    const size_t n = static_cast<size_t>(dim);
    const KernelTable& kernels = Kernels();
    const float norm = kernels.code.residual(centre, rotated, n, scratch).norm;
    const float rms = std::sqrt(norm / static_cast<float>(dim));
    RowCodeData head = {HUGE_VALF, 0, 0};
    if (norm <= FLT_MAX) {
        double norm2 = 0;
        head.scale = 0;
        if (rms > kLeastRms) {
            const BestLevels best = FindLevels(scratch, dim, rms);
            kernels.nibble.encode(best.rule, scratch, n, reinterpret_cast<uint8_t*>(code + sizeof(head)));
            head.scale = best.fit.product / best.fit.norm;
            // the norm of levels is a sum of quarters, exact in float32
            norm2 = static_cast<double>(head.scale) * head.scale * static_cast<double>(best.fit.norm);
        }
        const double square = SquaredError(rotated, centre, scratch, dim, head.scale);
        head.norm2 = static_cast<float>(norm2);
        // Of the sum of squares and its terms no more than this is lost.
        head.error = RoundUp(std::sqrt(square) * (1 + 0x1p-30) + std::sqrt(norm2) * 0x1p-50 + extra);
    }
    if (!(head.error <= FLT_MAX) || !(head.norm2 <= FLT_MAX) || !(head.scale <= FLT_MAX)) head = {HUGE_VALF, 0, 0};
    memcpy(code, &head, sizeof(head));
}

void RowCodeQuery::Init(Arena* arena, Metric metric_of_codes, int dimensions) {
    metric = metric_of_codes;
    dim = dimensions;
    const size_t groups = RowCodeGroups(dim);
    values = arena->Allocate<float>(groups * kNibbleGroup);
    // A product rounds each of its terms at most groups + 6 times, and numbers below 2^-126 by up to 2^-150 (the kernel
    // table); the norm in a head is rounded once.
    relative = 1.01 * kUnit * static_cast<double>(groups + 8);
    absolute = static_cast<double>(dim) * 0x1p-148;
    constexpr double kDeviations = 4;
    spread = kDeviations / std::sqrt(static_cast<double>(dim));
}

void RowCodeQuery::Set(const float* rotated, const float* centre) {
    double square = 0, product = 0, centre_square = 0;
    const bool l2 = metric == Metric::kL2;
    for (int i = 0; i < dim; ++i) {
        values[i] = l2 ? rotated[i] - centre[i] : rotated[i];
        const double x = values[i], c = centre[i];
        square += x * x;
        product += x * c;
        centre_square += c * c;
    }
    memset(values + dim, 0, (RowCodeGroups(dim) * kNibbleGroup - static_cast<size_t>(dim)) * sizeof(float));
    base = l2 ? square : product;
    norm = std::sqrt(square);
    inverse = !l2 && norm > 0 ? (1 + 0x1p-30) / norm : 0;
    centre_norm = l2 ? 0 : std::sqrt(centre_square) * (1 + 0x1p-30);
    // L2: the difference from the centre is rounded. Inner product: <q, centre> is, in double.
    rounding = l2 ? norm * (kUnit * 1.01) + 0x1p-74 : centre_norm * 0x1p-40;
}

void RowCodeDistances(const RowCodeQuery& query, const char* const* codes, int count, RowDistance* out) {
    const auto products = Kernels().nibble.products;
    const size_t groups = RowCodeGroups(query.dim), bytes = RowCodeSize(query.dim);
    const bool l2 = query.metric == Metric::kL2;
    float product[kBatch];
    FetchCodes(codes, std::min(count, kBatch), bytes);
    for (int from = 0; from < count; from += kBatch) {
        const int n = std::min(count - from, kBatch), next = from + n;
        FetchCodes(codes + next, std::min(count - next, kBatch), bytes);
        products(query.values, groups, codes + from, n, product);
        for (int i = 0; i < n; ++i) {
            const RowCodeData head = HeadOf(codes[from + i]);
            RowDistance& known = out[from + i];
            // no code, or a sum that has left float32
            if (!(head.error > 0) || !(std::fabs(product[i]) <= FLT_MAX)) {
                known = kNothingKnown;
            } else if (l2) {
                known = DistanceOfL2(query, head, static_cast<double>(product[i]));
            } else {
                known = DistanceOfProduct(query, head, static_cast<double>(product[i]));
            }
        }
    }
}

}  // namespace vecann

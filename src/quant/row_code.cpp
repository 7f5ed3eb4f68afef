// Encoding row codes, and what they tell of a query; see row_code.h. Compiled without fused multiply-adds
// (src/flags.mk), so that every build gives the same bytes.
#include "quant/row_code.h"

#include <cfloat>
#include <cmath>

#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32
constexpr float kMiddle = 7.5f;
// The best uniform width of 16 levels for normal numbers, in units of their root mean square (Max 1960, table 1).
constexpr float kBestWidth = 0.335f;
// Loops go by lanes, which the compiler puts side by side.
constexpr int kLanes = 8;
constexpr int kBatch = 64;

// At least x, above zero.
float RoundUp(double x) {
    if (!(x <= static_cast<double>(FLT_MAX))) return HUGE_VALF;
    float rounded = static_cast<float>(x);
    while (static_cast<double>(rounded) < x)
        rounded = std::nextafter(rounded, HUGE_VALF);
    return rounded < FLT_MIN ? FLT_MIN : rounded;
}

float LevelOf(float x, float inverse_width) {
    const float k = x * inverse_width + 8.0f;
    const float most = k < 15.0f ? k : 15.0f;
    return static_cast<float>(static_cast<int>(most > 0.0f ? most : 0.0f)) - kMiddle;
}

// r = v - c; returns |r|^2.
float Subtract(const float* v, const float* c, int dim, float* r) {
    float lanes[kLanes] = {}, sum = 0;
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            r[i + j] = v[i + j] - c[i + j];
            lanes[j] += r[i + j] * r[i + j];
        }
    for (; i < dim; ++i) {
        r[i] = v[i] - c[i];
        sum += r[i] * r[i];
    }
    for (const float lane : lanes)
        sum += lane;
    return sum;
}

struct Fit {
    float product;  // <r, levels>
    float norm;     // of the levels, squared
};

Fit FitLevels(const float* r, int dim, float inverse_width) {
    float products[kLanes] = {}, norms[kLanes] = {};
    Fit fit = {0, 0};
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes)
        for (int j = 0; j < kLanes; ++j) {
            const float level = LevelOf(r[i + j], inverse_width);
            products[j] += r[i + j] * level;
            norms[j] += level * level;
        }
    for (; i < dim; ++i) {
        const float level = LevelOf(r[i], inverse_width);
        fit.product += r[i] * level;
        fit.norm += level * level;
    }
    for (int j = 0; j < kLanes; ++j) {
        fit.product += products[j];
        fit.norm += norms[j];
    }
    return fit;
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

void PackLevels(const float* levels, int dim, uint8_t* out) {
    constexpr int kGroup = static_cast<int>(kNibbleGroup), kHalf = kGroup / 2;
    for (int from = 0; from < dim; from += kGroup, out += kHalf) {
        uint8_t k[kGroup] = {};
        const int n = dim - from < kGroup ? dim - from : kGroup;
        for (int i = 0; i < n; ++i)
            k[i] = static_cast<uint8_t>(static_cast<int>(levels[from + i] + kMiddle));
        for (int j = 0; j < kHalf; ++j)
            out[j] = static_cast<uint8_t>(k[j] | k[kHalf + j] << 4);
    }
}

RowCodeData HeadOf(const char* code) {
    RowCodeData head;
    memcpy(&head, code, sizeof(head));
    return head;
}

// The parts of `error` are halves, quarters or less of what is added for them, so that double's own rounding is paid.
RowDistance Known(double distance, double error, double norm) {
    constexpr double kUp = 1 + 0x1p-22;
    const RowDistance known = {static_cast<float>(distance), static_cast<float>(error * kUp),
                               static_cast<float>(norm * kUp)};
    const bool finite = std::fabs(known.distance) <= FLT_MAX && known.error <= FLT_MAX && known.norm <= FLT_MAX;
    return finite ? known : RowDistance{0, HUGE_VALF, 0};
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
    return Known(apart > 0 ? apart : 0, error, 0);
}

RowDistance DistanceOfProduct(const RowCodeQuery& query, const RowCodeData& head, double product) {
    const double scale = head.scale;
    const double value = query.base + scale * product;
    const double norm = std::sqrt(static_cast<double>(head.norm2)) * (1 + kUnit) + 0x1p-74;
    const double rounding = (scale * query.absolute + std::fabs(value) * (kUnit * 1.01) + 0x1p-149) * query.inverse;
    const double error = static_cast<double>(head.error) + norm * query.relative + rounding + query.rounding;
    return Known(-value, error, query.centre_norm + norm);
}

}  // namespace

void EncodeRowCode(const float* rotated, const float* centre, int dim, double extra, void* out, float* scratch) {
    char* code = static_cast<char*>(out);
    memset(code, 0, RowCodeSize(dim));
    RowCodeData head = {HUGE_VALF, 0, 0};
    const float norm = Subtract(rotated, centre, dim, scratch);
    if (norm <= FLT_MAX) {
        const float width = kBestWidth * std::sqrt(norm / static_cast<float>(dim));
        // without a width all numbers are next to zero
        const float inverse_width = width > 1e-37f ? 1.0f / width : 0.0f;
        const Fit fit = FitLevels(scratch, dim, inverse_width);
        for (int i = 0; i < dim; ++i)
            scratch[i] = LevelOf(scratch[i], inverse_width);
        head.scale = inverse_width > 0 ? fit.product / fit.norm : 0;
        const double norm2 = static_cast<double>(head.scale) * head.scale * static_cast<double>(fit.norm);
        const double square = SquaredError(rotated, centre, scratch, dim, head.scale);
        head.norm2 = static_cast<float>(norm2);
        // Of the sum of squares and its terms no more than this is lost.
        const double error = std::sqrt(square) * (1 + 0x1p-30) + std::sqrt(norm2) * 0x1p-50;
        head.error = RoundUp(error + extra);
        PackLevels(scratch, dim, reinterpret_cast<uint8_t*>(code + sizeof(head)));
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
}

void RowCodeQuery::Set(const float* rotated, const float* centre) {
    double norm = 0, product = 0, centre_square = 0;
    const bool l2 = metric == Metric::kL2;
    for (int i = 0; i < dim; ++i) {
        values[i] = l2 ? rotated[i] - centre[i] : rotated[i];
        const double x = values[i], c = centre[i];
        norm += x * x;
        product += x * c;
        centre_square += c * c;
    }
    memset(values + dim, 0, (RowCodeGroups(dim) * kNibbleGroup - static_cast<size_t>(dim)) * sizeof(float));
    base = l2 ? norm : product;
    inverse = !l2 && norm > 0 ? (1 + 0x1p-30) / std::sqrt(norm) : 0;
    centre_norm = l2 ? 0 : std::sqrt(centre_square) * (1 + 0x1p-30);
    // L2: the difference from the centre is rounded. Inner product: <q, centre> is, in double.
    rounding = l2 ? std::sqrt(norm) * (kUnit * 1.01) + 0x1p-74 : centre_norm * 0x1p-40;
}

void RowCodeDistances(const RowCodeQuery& query, const char* const* codes, int count, RowDistance* out) {
    const auto products = Kernels().nibble_products;
    const size_t groups = RowCodeGroups(query.dim);
    const bool l2 = query.metric == Metric::kL2;
    float product[kBatch];
    for (int from = 0; from < count; from += kBatch) {
        const int n = count - from < kBatch ? count - from : kBatch;
        products(query.values, groups, codes + from, n, product);
        for (int i = 0; i < n; ++i) {
            const RowCodeData head = HeadOf(codes[from + i]);
            RowDistance& known = out[from + i];
            if (!(head.error > 0)) {
                known = {0, HUGE_VALF, 0};
            } else if (l2) {
                known = DistanceOfL2(query, head, static_cast<double>(product[i]));
            } else {
                known = DistanceOfProduct(query, head, static_cast<double>(product[i]));
            }
        }
    }
}

}  // namespace vecann

// Encoding and decoding payloads; see payload.h. Compiled without fused multiply-adds (src/flags.mk), so that every
// build gives the same bytes.
#include "quant/payload.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace vecann {

namespace {

constexpr double kFloatMax = 3.4028234663852886e38;
constexpr double kHalfMax = 65504;
constexpr int kTopLevel = 255;

struct Span {
    float low, high;
};

// Loops over a vector go by lanes, which the compiler puts side by side where the order does not matter.
constexpr int kLanes = 8;

Span SpanOf(const float* v, int dim) {
    float low[kLanes], high[kLanes];
    for (int j = 0; j < kLanes; ++j)
        low[j] = high[j] = v[0];
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes) {
        for (int j = 0; j < kLanes; ++j)
            low[j] = v[i + j] < low[j] ? v[i + j] : low[j];
        for (int j = 0; j < kLanes; ++j)
            high[j] = v[i + j] > high[j] ? v[i + j] : high[j];
    }
    Span span = {low[0], high[0]};
    for (int j = 1; j < kLanes; ++j) {
        span.low = low[j] < span.low ? low[j] : span.low;
        span.high = high[j] > span.high ? high[j] : span.high;
    }
    for (; i < dim; ++i) {
        span.low = v[i] < span.low ? v[i] : span.low;
        span.high = v[i] > span.high ? v[i] : span.high;
    }
    return span;
}

float Largest(const Span& span) {
    return std::fmax(-span.low, span.high);
}

// A power of two that takes `largest` into the range where half precision has all its bits.
float HalfStep(float largest) {
    if (largest == 0 || (largest >= 0x1.0p-6f && largest <= kHalfMax)) return 1;
    int exponent = std::ilogb(largest) - 14;
    if (exponent < -126) exponent = -126;  // 2^-149 / 2^-126 is still a half
    return std::ldexp(1.0f, exponent);
}

bool IsFinite(const float* v, int dim) {
    // One exponent bit more, and what has all of them set becomes negative.
    uint32_t seen = 0;
    for (int i = 0; i < dim; ++i)
        seen |= (std::bit_cast<uint32_t>(v[i]) & 0x7fffffffU) + 0x00800000U;
    return (seen & 0x80000000U) == 0;
}

// Are they whole numbers that one byte can tell apart?
bool IsWhole(const Span& span, const float* v, int dim) {
    if (static_cast<double>(span.high) - span.low > kTopLevel) return false;
    int broken = 0;
    if (Largest(span) < 0x1p23f) {
        for (int i = 0; i < dim; ++i)
            broken |= static_cast<float>(static_cast<int>(v[i])) != v[i] ? 1 : 0;
    } else {
        for (int i = 0; i < dim; ++i)
            broken |= v[i] != std::floor(v[i]) ? 1 : 0;
    }
    return broken == 0;
}

float LevelStep(const Span& span, bool whole) {
    const double width = static_cast<double>(span.high) - span.low;
    if (width == 0) return 0;
    if (whole) return 1;
    // Near the end of float32's range neither 255 steps nor low plus 255 steps may overflow.
    const bool huge = width > kFloatMax / 2 || span.high > kFloatMax / 2;
    return static_cast<float>(huge ? std::fmin(width, kFloatMax) * (1 - 0x1.0p-20) / kTopLevel : width / kTopLevel);
}

float DecodeLevel(const PayloadHeadData& head, uint8_t k) {
    return static_cast<float>(head.low + static_cast<double>(head.step) * k);
}

void DecodeLevels(const PayloadHeadData& head, const uint8_t* levels, int dim, float* out) {
    // Whole numbers below 2^24: exact in float32, which four elements at a time are enough for.
    if (head.step == 1 && std::fabs(head.low) < 0x1p23f && head.low == std::floor(head.low)) {
        int i = 0;
        for (; i + 16 <= dim; i += 16)
            for (int j = 0; j < 16; ++j)
                out[i + j] = head.low + static_cast<float>(levels[i + j]);
        for (; i < dim; ++i)
            out[i] = head.low + static_cast<float>(levels[i]);
        return;
    }
    for (int i = 0; i < dim; ++i)
        out[i] = DecodeLevel(head, levels[i]);
}

void EncodeHalves(PayloadHeadData* head, const Span& span, const float* v, int dim, Half* out) {
    head->step = HalfStep(Largest(span));
    const double inverse = 1.0 / head->step;
    for (int i = 0; i < dim; ++i) {
        out[i] = HalfFromFloat(static_cast<float>(v[i] * inverse) + 0.0f);
        // the last numbers of float32 round to one that decodes to infinity
        if (std::isinf(head->step * FloatFromHalf(out[i]))) --out[i].bits;
    }
}

// Returns the sum of the squared differences.
double EncodeLevels(PayloadHeadData* head, const Span& span, const float* v, int dim, uint8_t* out) {
    const bool whole = IsWhole(span, v, dim);
    head->low = span.low + 0.0f;
    const float low = span.low, step = head->step = LevelStep(span, whole);  // bytes may alias what pointers lead to
    if (whole) {
        for (int i = 0; i < dim; ++i)
            out[i] = static_cast<uint8_t>(static_cast<int>(v[i] - low));
        return 0;
    }
    // Otherwise all levels are zero already; a span of the smallest numbers may have no step.
    for (int i = 0; i < dim && step != 0; ++i) {
        const double k = (static_cast<double>(v[i]) - low) / step + 0.5;
        out[i] = static_cast<uint8_t>(static_cast<int>(k < kTopLevel ? k : kTopLevel));
    }
    // One sum in the order of the dimensions, of squares that were computed side by side.
    constexpr int kBlock = 64;
    double sum = 0, squares[kBlock];
    for (int from = 0; from < dim; from += kBlock) {
        const int n = dim - from < kBlock ? dim - from : kBlock;
        for (int i = 0; i < n; ++i) {
            const double d = static_cast<double>(v[from + i]) - DecodeLevel(*head, out[from + i]);
            squares[i] = d * d;
        }
        for (int i = 0; i < n; ++i)
            sum += squares[i];
    }
    return sum;
}

float RoundUp(double x) {
    if (!(x <= kFloatMax)) return HUGE_VALF;
    float rounded = static_cast<float>(x);
    // the sum itself is off by less than this
    while (rounded < x * (1 + 1e-9))
        rounded = std::nextafter(rounded, HUGE_VALF);
    return rounded;
}

}  // namespace

size_t PayloadElementSize(PayloadKind kind) {
    switch (kind) {
        case PayloadKind::kFloat32:
            return sizeof(float);
        case PayloadKind::kFloat16:
            return sizeof(Half);
        case PayloadKind::kSq8:
            return sizeof(uint8_t);
        case PayloadKind::kWords:
            return sizeof(uint64_t);
    }
    return sizeof(float);
}

size_t PayloadSize(PayloadKind kind, int dim) {
    return (sizeof(PayloadHeadData) + PayloadElementSize(kind) * static_cast<size_t>(dim) + 7) / 8 * 8;
}

bool PayloadHolds(PayloadKind kind, const float* v, int dim) {
    if (!IsFinite(v, dim)) return false;
    if (kind == PayloadKind::kFloat32) return true;
    const Span span = SpanOf(v, dim);
    if (kind == PayloadKind::kFloat16) {
        const float step = HalfStep(Largest(span));
        const double inverse = 1.0 / step;
        for (int i = 0; i < dim; ++i)
            if (step * FloatFromHalf(HalfFromFloat(static_cast<float>(v[i] * inverse))) != v[i]) return false;
        return true;
    }
    // Whole numbers below 2^24 are exact in float32, and so are their differences.
    return Largest(span) < 0x1p24f && IsWhole(span, v, dim);
}

void EncodePayload(PayloadKind kind, const float* v, int dim, uint32_t hash, void* out) {
    memset(out, 0, PayloadSize(kind, dim));
    PayloadHeadData head = {0, hash, 0, 1};
    char* elements = static_cast<char*>(out) + sizeof(head);
    if (!IsFinite(v, dim)) {
        head.error = HUGE_VALF;
        memcpy(out, &head, sizeof(head));
        return;
    }
    const Span span = SpanOf(v, dim);
    double sum = 0;
    if (kind == PayloadKind::kFloat32) {
        float* copy = reinterpret_cast<float*>(elements);
        for (int i = 0; i < dim; ++i)
            copy[i] = v[i] + 0.0f;
    } else if (kind == PayloadKind::kFloat16) {
        Half* halves = reinterpret_cast<Half*>(elements);
        EncodeHalves(&head, span, v, dim, halves);
        for (int i = 0; i < dim; ++i) {
            const double d = static_cast<double>(v[i]) - head.step * FloatFromHalf(halves[i]);
            sum += d * d;
        }
    } else {
        sum = EncodeLevels(&head, span, v, dim, reinterpret_cast<uint8_t*>(elements));
    }
    head.error = RoundUp(std::sqrt(sum));
    memcpy(out, &head, sizeof(head));
}

void DecodePayload(PayloadKind kind, const void* payload, int dim, float* out) {
    PayloadHeadData head;
    memcpy(&head, payload, sizeof(head));
    const char* elements = static_cast<const char*>(payload) + sizeof(head);
    if (kind == PayloadKind::kFloat32) {
        memcpy(out, elements, static_cast<size_t>(dim) * sizeof(float));
    } else if (kind == PayloadKind::kFloat16) {
        const Half* halves = reinterpret_cast<const Half*>(elements);
        for (int i = 0; i < dim; ++i)
            out[i] = head.step * FloatFromHalf(halves[i]);
    } else {
        DecodeLevels(head, reinterpret_cast<const uint8_t*>(elements), dim, out);
    }
}

}  // namespace vecann

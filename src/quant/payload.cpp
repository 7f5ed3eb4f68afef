// Encoding and decoding payloads; see payload.h. Compiled without fused multiply-adds (src/flags.mk), so that every
// build gives the same bytes.
#include "quant/payload.h"

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

Span SpanOf(const float* v, int dim) {
    Span span = {v[0], v[0]};
    for (int i = 1; i < dim; ++i) {
        span.low = v[i] < span.low ? v[i] : span.low;
        span.high = v[i] > span.high ? v[i] : span.high;
    }
    return span;
}

// A power of two that takes `largest` into the range where half precision has all its bits.
float HalfStep(float largest) {
    if (largest == 0 || (largest >= 0x1.0p-6f && largest <= kHalfMax)) return 1;
    int exponent = std::ilogb(largest) - 14;
    if (exponent < -126) exponent = -126;  // 2^-149 / 2^-126 is still a half
    return std::ldexp(1.0f, exponent);
}

bool IsFinite(const float* v, int dim) {
    for (int i = 0; i < dim; ++i) {
        if (!std::isfinite(v[i])) return false;
    }
    return true;
}

bool IsWhole(const float* v, int dim) {
    for (int i = 0; i < dim; ++i) {
        if (v[i] != std::floor(v[i])) return false;
    }
    return true;
}

float LevelStep(const Span& span, const float* v, int dim) {
    const double width = static_cast<double>(span.high) - span.low;
    if (width == 0) return 0;
    if (width <= kTopLevel && IsWhole(v, dim)) return 1;
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
    head->step = HalfStep(std::fmax(-span.low, span.high));
    const double inverse = 1.0 / head->step;
    for (int i = 0; i < dim; ++i) {
        out[i] = HalfFromFloat(static_cast<float>(v[i] * inverse) + 0.0f);
        // the last numbers of float32 round to one that decodes to infinity
        if (std::isinf(head->step * FloatFromHalf(out[i]))) --out[i].bits;
    }
}

void EncodeLevels(PayloadHeadData* head, const Span& span, const float* v, int dim, uint8_t* out) {
    head->low = span.low + 0.0f;
    head->step = LevelStep(span, v, dim);
    if (head->step == 0) return;  // all zero already
    for (int i = 0; i < dim; ++i) {
        const double k = (static_cast<double>(v[i]) - span.low) / head->step + 0.5;
        out[i] = static_cast<uint8_t>(static_cast<int>(k < kTopLevel ? k : kTopLevel));
    }
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
        const float step = HalfStep(std::fmax(-span.low, span.high));
        const double inverse = 1.0 / step;
        for (int i = 0; i < dim; ++i)
            if (step * FloatFromHalf(HalfFromFloat(static_cast<float>(v[i] * inverse))) != v[i]) return false;
        return true;
    }
    // Whole numbers below 2^24 are exact in float32, and so are their differences.
    const float most = std::fmax(-span.low, span.high);
    return most < 0x1p24f && static_cast<double>(span.high) - span.low <= kTopLevel && IsWhole(v, dim);
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
        uint8_t* levels = reinterpret_cast<uint8_t*>(elements);
        EncodeLevels(&head, span, v, dim, levels);
        for (int i = 0; i < dim; ++i) {
            const double d = static_cast<double>(v[i]) - DecodeLevel(head, levels[i]);
            sum += d * d;
        }
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

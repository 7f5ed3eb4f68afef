// Encoding neighbours and queries; see rabitq.h.
#include "quant/rabitq.h"

#include <cmath>
#include <cstring>

namespace vecann {

namespace {

// Widths of a level in units of the residual's root mean square, tried when there is more than one bit. After the
// rotation the dimensions are nearly normal; the best width for a normal distribution is 0.996 (2 bits), 0.586 (3),
// 0.335 (4) (Max 1960, table 1), and what a single residual wants lies around it.
constexpr float kBestWidth[] = {0, 0, 0.996f, 0.586f, 0.335f};
constexpr float kTriedWidths[] = {0.85f, 0.925f, 1.0f, 1.075f, 1.15f};

int LevelOf(float x, float inverse_width, int levels) {
    const int k = static_cast<int>(std::floor(x * inverse_width)) + levels / 2;
    return k < 0 ? 0 : k >= levels ? levels - 1 : k;
}

struct Fit {
    double product;  // <r, c>
    double norm;     // |c|^2
};

Fit FitOf(const float* r, int dim, float inverse_width, int levels) {
    const double half = (levels - 1) * 0.5;
    Fit fit = {0, 0};
    for (int i = 0; i < dim; ++i) {
        const double c = LevelOf(r[i], inverse_width, levels) - half;
        fit.product += c * r[i];
        fit.norm += c * c;
    }
    return fit;
}

// The width whose levels point most nearly in r's direction.
float BestInverseWidth(const float* r, int dim, float rms, int bits) {
    if (bits == 1) return 1.0f;  // only the sign counts
    const int levels = 1 << bits;
    float best = 0;
    double best_cosine = -1;
    for (const float factor : kTriedWidths) {
        const float inverse = 1.0f / (rms * kBestWidth[bits] * factor);
        const Fit fit = FitOf(r, dim, inverse, levels);
        const double cosine = fit.product / std::sqrt(fit.norm);
        if (cosine > best_cosine) {
            best_cosine = cosine;
            best = inverse;
        }
    }
    return best;
}

}  // namespace

CodeFactors EncodeNeighbour(const CodeShape& shape, Metric metric, const float* u, const float* v, uint64_t* code,
                            float* scratch) {
    memset(code, 0, shape.bytes());
    double norm = 0, u_dot_r = 0;
    for (int i = 0; i < shape.dim; ++i) {
        scratch[i] = v[i] - u[i];
        norm += static_cast<double>(scratch[i]) * scratch[i];
        u_dot_r += static_cast<double>(u[i]) * scratch[i];
    }
    const bool l2 = metric == Metric::kL2;
    const float rms = static_cast<float>(std::sqrt(norm / shape.dim));
    // An overflowing or vanishing residual has no direction: the node's own distance stands for the neighbour's.
    if (!(rms > 1e-30f) || !std::isfinite(rms)) return {l2 ? 0.0f : static_cast<float>(-u_dot_r), 0.0f, 0};

    const int levels = 1 << shape.bits;
    const float inverse = BestInverseWidth(scratch, shape.dim, rms, shape.bits);
    const double half = (levels - 1) * 0.5;
    double r_dot_c = 0, u_dot_c = 0;
    uint32_t level_sum = 0;
    for (int i = 0; i < shape.dim; ++i) {
        const int k = LevelOf(scratch[i], inverse, levels);
        level_sum += static_cast<uint32_t>(k);
        r_dot_c += (k - half) * scratch[i];
        u_dot_c += (k - half) * u[i];
        for (int j = 0; j < shape.bits; ++j)
            code[j * shape.words + i / 64] |= static_cast<uint64_t>((k >> j) & 1) << (i % 64);
    }
    const double s = norm / r_dot_c;
    const double add = l2 ? norm + 2 * s * u_dot_c : s * u_dot_c - u_dot_r;
    return {static_cast<float>(add), static_cast<float>(l2 ? -2 * s : -s), static_cast<uint16_t>(level_sum)};
}

void QueryCode::Init(Arena* arena, const CodeShape& code_shape) {
    shape = code_shape;
    planes = arena->Allocate<uint64_t>(static_cast<size_t>(kQueryBits) * static_cast<size_t>(shape.words));
}

void QueryCode::Set(const float* rotated) {
    float high = rotated[0];
    low = rotated[0];
    double total = 0;
    for (int i = 0; i < shape.dim; ++i) {
        if (rotated[i] < low) low = rotated[i];
        if (rotated[i] > high) high = rotated[i];
        total += rotated[i];
    }
    constexpr int kTop = (1 << kQueryBits) - 1;
    sum = static_cast<float>(total);
    step = (high - low) / kTop;
    const float inverse = step > 0 ? 1.0f / step : 0.0f;
    memset(planes, 0, static_cast<size_t>(kQueryBits) * static_cast<size_t>(shape.words) * sizeof(uint64_t));
    for (int i = 0; i < shape.dim; ++i) {
        int k = static_cast<int>(std::lround((rotated[i] - low) * inverse));
        if (k > kTop) k = kTop;
        for (int j = 0; j < kQueryBits; ++j)
            planes[j * shape.words + i / 64] |= static_cast<uint64_t>((k >> j) & 1) << (i % 64);
    }
}

}  // namespace vecann

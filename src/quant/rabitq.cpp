// Encoding neighbours and queries; see rabitq.h.
#include "quant/rabitq.h"

#include <cmath>
#include <cstring>

namespace vecann {

namespace {

// Widths of a level in units of the residual's root mean square. After the rotation the dimensions are nearly normal;
// the best width for a normal distribution is 0.996 (2 bits), 0.586 (3), 0.335 (4) (Max 1960, table 1), and what a
// single residual wants lies around it. Without the trials the estimates' error at 128 dimensions is 0.3 % larger for 2
// bits, which is not worth them, 1.6 % for 3 and 5 % for 4.
constexpr float kBestWidth[] = {0, 1.0f, 0.996f, 0.586f, 0.335f};
constexpr float kTriedWidths[] = {0.85f, 0.925f, 1.0f, 1.075f, 1.15f};

// Residuals whose squares would leave float32 have no code; below, squares lose their last bits.
constexpr double kLeastNorm = 1e-34, kMostNorm = 1e37;
constexpr double kMostFactor = 1e37;
constexpr float kMostQuery = 1e30f;

// The levels that point most nearly in r's direction.
LevelRule BestLevels(const CodeShape& shape, float rms, const float* r) {
    const float middle = static_cast<float>(1 << (shape.bits - 1));
    const CodeKernels& kernels = Kernels().code;
    LevelRule best = {1.0f / (rms * kBestWidth[shape.bits]), middle, shape.bits};
    if (shape.bits <= 2) return best;
    double best_cosine = -1;
    for (const float factor : kTriedWidths) {
        const LevelRule rule = {1.0f / (rms * kBestWidth[shape.bits] * factor), middle, shape.bits};
        const LevelFit fit = kernels.fit(rule, r, static_cast<size_t>(shape.code_dim));
        const double cosine = fit.product / std::sqrt(static_cast<double>(fit.norm));
        if (cosine > best_cosine) {
            best_cosine = cosine;
            best = rule;
        }
    }
    return best;
}

}  // namespace

void EncodeNeighbour(const CodeShape& shape, Metric metric, const float* u, const float* v, CodedEdge* edge, void* code,
                     float* scratch) {
    const bool l2 = metric == Metric::kL2;
    const CodeKernels& kernels = Kernels().code;
    const ResidualSums sums = kernels.residual(u, v, static_cast<size_t>(shape.dim), scratch);
    const double norm = sums.norm;
    double u_dot_c = 0, s = 0;
    edge->level_sum = 0;
    if (norm > kLeastNorm * shape.dim && norm < kMostNorm) {
        const float rms = static_cast<float>(std::sqrt(norm / shape.dim));
        const LevelRule rule = BestLevels(shape, rms, scratch);
        const LevelSums levels = kernels.encode(rule, scratch, u, static_cast<size_t>(shape.code_dim), code);
        edge->level_sum = static_cast<uint16_t>(levels.level_sum);
        if (levels.x_product > 0) {
            s = norm / levels.x_product;
            u_dot_c = levels.y_product;
        }
    } else {
        memset(code, 0, shape.bytes());
    }
    // Without a direction (s = 0) the expectation stands for the neighbour's distance; where even that leaves float32,
    // the node's own distance.
    const double add = l2 ? norm + 2 * s * u_dot_c : s * u_dot_c - sums.u_dot_r;
    const double scale = l2 ? -2 * s : -s;
    const bool finite = std::fabs(add) < kMostFactor && std::fabs(scale) < kMostFactor;
    edge->add = finite ? static_cast<float>(add) : 0.0f;
    edge->scale = finite ? static_cast<float>(scale) : 0.0f;
}

void QueryCode::Init(Arena* arena, const CodeShape& code_shape) {
    shape = code_shape;
    planes = arena->Allocate<uint64_t>(static_cast<size_t>(kQueryBits) * static_cast<size_t>(shape.words));
    levels = nullptr;
    if (Kernels().expand_levels != nullptr) levels = arena->Allocate<uint8_t>(static_cast<size_t>(shape.words) * 64);
}

void QueryCode::Set(const float* rotated) {
    const CodeKernels& kernels = Kernels().code;
    const size_t n = static_cast<size_t>(shape.code_dim);
    const Range range = kernels.range(rotated, n);
    if (!(range.low > -kMostQuery && range.high < kMostQuery)) {
        // sums over it would overflow: a zero query stands for it
        low = step = half_sum = 0;
        memset(planes, 0, static_cast<size_t>(kQueryBits) * static_cast<size_t>(shape.words) * sizeof(uint64_t));
        if (levels != nullptr) memset(levels, 0, static_cast<size_t>(shape.words) * 64);
        return;
    }
    constexpr int kTop = (1 << kQueryBits) - 1;
    low = range.low;
    step = (range.high - range.low) / kTop;
    half_sum = static_cast<float>((1 << shape.bits) - 1) * 0.5f * range.sum;
    const float inverse = step > 1e-37f ? 1.0f / step : 0.0f;
    kernels.encode({inverse, 0.5f - low * inverse, kQueryBits}, rotated, rotated, n, planes);
    if (levels != nullptr) Kernels().expand_levels(planes, shape.words, levels);
}

void QueryCode::Fill(CodeBatch* batch) const {
    batch->query = planes;
    batch->words = shape.words;
    batch->bits = shape.bits;
    batch->low = low;
    batch->step = step;
    batch->half_sum = half_sum;
    batch->levels = levels;
}

}  // namespace vecann

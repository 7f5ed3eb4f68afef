// The bounds of an operator's result from a payload; see order_bounds.h.
#include "opclass/order_bounds.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32

// The distance is the operator's result, but for one rounding to float32.
OrderBounds BoundsOfWords(const OpClassDesc& desc, int dim, float distance) {
    const double value = desc.order_value(distance), relative = desc.order_slack(dim);
    if (!std::isfinite(value)) return {-get_float8_infinity(), get_float8_infinity()};
    const double slack = relative > 0 ? std::fabs(value) * relative * 2 + 0x1p-148 : 0;
    return {value - slack, value + slack};
}

}  // namespace

PayloadErrorBound PayloadErrorOf(const OpClassDesc& desc, PayloadKind kind, int dim, const void* payload) {
    if (kind == PayloadKind::kWords) return {0, 0, true};
    const PayloadHeadData& head = *static_cast<const PayloadHeadData*>(payload);
    const bool exact = head.error == kExactPayload;
    PayloadErrorBound bound = {exact ? 0 : head.error, 0, exact};
    const float n = static_cast<float>(dim);
    if (kind == PayloadKind::kSq8) {
        // The kernels round low + step k and the difference from it, each element by a few units of its terms.
        const float largest = std::fabs(head.low) + 255 * std::fabs(head.step);
        bound.error += static_cast<float>(8 * kUnit) * std::sqrt(n) * largest;
        if (desc.metric == Metric::kInnerProduct) bound.norm = std::sqrt(n) * largest;
    } else if (desc.metric == Metric::kInnerProduct) {
        bound.norm = head.low;
    }
    return bound;
}

// Let n = dim, u = 2^-24, q' and p the rotated query and the decoded payload, e the error of the payload, r the error
// of a rotation, relative to the norm. A float32 sum of n terms in whatever order is off by less than 1.01 (n + 3) u
// times the sum of the magnitudes; the operator's own sum likewise. Hence the factor 2 before (n + 8) u below. Numbers
// below 2^-126 have an absolute error, 2^-149, in place of a relative one.
OrderBounds BoundsOf(const OpClassDesc& desc, int dim, const QueryError& query, float distance,
                     const PayloadErrorBound& error) {
    if (desc.words != nullptr) return BoundsOfWords(desc, dim, distance);
    const double sums = 2.1 * (dim + 8) * kUnit;
    const double root = std::sqrt(static_cast<double>(dim));
    const double rotation = query.rotation;
    const double e = static_cast<double>(error.error) * (1 + 8 * kUnit) + root * 0x1p-140;
    const double value = desc.order_value(distance);
    double slack, least = -get_float8_infinity();
    switch (desc.metric) {
        case Metric::kL2:
            // ||q - v| - |q' - p|| <= e + r (|q| + |v|), and |v| <= |q| + |q - v|.
            slack = value * (sums + 2.2 * rotation) + 1.01 * e + 2.2 * rotation * query.norm + root * 0x1p-72;
            least = 0;
            break;
        case Metric::kL1:
            // sum |v - p| <= sqrt(n) |v - p|
            slack = value * sums + 1.01 * root * e;
            least = 0;
            break;
        case Metric::kInnerProduct: {
            const double norm = 1.01 * (static_cast<double>(error.norm) + e);
            slack = query.norm * e + (query.norm * (2.1 * rotation + sums) + root * 0x1p-140) * norm + dim * 0x1p-147;
            // The operator's sum may overflow on its way.
            if (!(query.norm * norm < 1e38)) slack = get_float8_infinity();
            break;
        }
        default:
            // Both have norm 1, up to what order_slack allows for.
            slack = desc.order_slack(dim) + 1.01 * (e + 2.1 * rotation + sums);
            break;
    }
    // Overflow: nothing is known, so the executor computes it.
    if (!std::isfinite(value) || !std::isfinite(slack)) return {-get_float8_infinity(), get_float8_infinity()};
    return {Max(value - slack, least), value + slack};
}

}  // namespace vecann

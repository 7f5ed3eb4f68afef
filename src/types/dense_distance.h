// Distances and norms of dense vectors as SQL returns them (float8), over bare elements, so that operators, functions
// and operator classes share the code and agree to the last bit.
//
// The kernels sum in float32: squares overflow beyond elements of about 1e19 (the distance is then Infinity, for inner
// products possibly NaN), lose digits below 1e-19 and vanish below 1e-23. Cosine, which should not depend on scale,
// falls back to double there.
#pragma once

#include <limits>

#include "kernels/vector_sums.h"
#include "types/dense_vector.h"

namespace vecann {

// The L2 distance that belongs to the kernel's squared one.
inline double L2FromSquared(float squared) {
    return std::sqrt(static_cast<double>(squared));
}

// The negative of an inner product, as `<#>` and the search have it; 0 for 0, where the sign alone would make it -0.
inline float NegativeProduct(float product) {
    return 0.0f - product;
}

inline double ClampToUnit(double x) {
    return x > 1 ? 1 : (x < -1 ? -1 : x);
}

// dot(a, b), |a|^2 and |b|^2 in double: neither overflows nor underflows for float32 elements. Slow.
template <DenseElement E>
void ExactCosineParts(const typename E::Storage* a, const typename E::Storage* b, int dim, double parts[3]) {
    double dot = 0, na = 0, nb = 0;
    for (int i = 0; i < dim; ++i) {
        const double x = E::ToFloat(a[i]), y = E::ToFloat(b[i]);
        dot += x * y;
        na += x * x;
        nb += y * y;
    }
    parts[0] = dot;
    parts[1] = na;
    parts[2] = nb;
}

// Are the float32 sums as good as their rounding bound? Squares below 2^-126 lose up to 2^-150 each; against a norm of
// 2^-100 that is nothing, even 16,000 times.
inline bool SoundCosineParts(const CosineParts& parts) {
    constexpr float kLeast = 0x1p-100f;
    return parts.norm_a >= kLeast && parts.norm_b >= kLeast && std::isfinite(parts.norm_a) &&
           std::isfinite(parts.norm_b) && std::isfinite(parts.dot);
}

// 1 - cos(a, b), in [0, 2]; NaN when either is zero.
template <DenseElement E>
double CosineDistance(const typename E::Storage* a, const typename E::Storage* b, int dim) {
    const CosineParts kernel = DenseTraits<E>::Kernel().cosine(a, b, static_cast<size_t>(dim));
    double parts[3] = {kernel.dot, kernel.norm_a, kernel.norm_b};
    if (!SoundCosineParts(kernel)) ExactCosineParts<E>(a, b, dim, parts);
    if (parts[1] == 0 || parts[2] == 0) return std::numeric_limits<double>::quiet_NaN();
    return 1 - ClampToUnit(parts[0] / std::sqrt(parts[1] * parts[2]));
}

// The Euclidean norm, in double throughout.
template <DenseElement E>
double Norm(const typename E::Storage* x, int dim) {
    double sum = 0;
    for (int i = 0; i < dim; ++i) {
        const double v = E::ToFloat(x[i]);
        sum += v * v;
    }
    return std::sqrt(sum);
}

// Writes x / |x|, each element rounded once from double. A zero vector stays zero, and false is returned.
template <DenseElement E, DenseElement To = E>
bool NormalizeTo(const typename E::Storage* x, int dim, typename To::Storage* out) {
    if constexpr (std::is_same_v<E, Float32Element> && std::is_same_v<To, Float32Element>) {
        const size_t n = static_cast<size_t>(dim);
        const double norm = NormInDouble(x, n);
        DivideInDouble(x, n, norm > 0 ? norm : 1, out);
        return norm > 0;
    } else {
        const double norm = Norm<E>(x, dim), by = norm > 0 ? norm : 1;
        for (int i = 0; i < dim; ++i)
            out[i] = DenseTraits<To>::FromDouble(static_cast<double>(E::ToFloat(x[i])) / by);
        return norm > 0;
    }
}

}  // namespace vecann

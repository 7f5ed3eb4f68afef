// Elements and metrics, and the legal pairs. An Element says what a stored number is and how a pack of them becomes
// floats; a Metric says what one pair of floats adds to the distance. A kernel is written once, over both.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "core/zone.h"
#include "kernels/half.h"

namespace vecann {

enum class ElementKind : uint8_t { kFloat32 = 1, kFloat16 = 2, kInt8 = 3, kBit = 4, kSparse = 5 };

enum class Metric : uint8_t { kL2 = 1, kInnerProduct = 2, kCosine = 3, kL1 = 4, kHamming = 5, kJaccard = 6 };

// The one table of legal pairs (bit t of row m: ElementKind t).
constexpr bool IsLegalPair(ElementKind element, Metric metric) {
    const bool bit = element == ElementKind::kBit;
    return (metric == Metric::kHamming || metric == Metric::kJaccard) ? bit : !bit;
}

// An element of a dense vector: a storage type that converts to float.
template <class E>
concept DenseElement = requires(const typename E::Storage* p) {
    { E::ToFloat(*p) } -> std::convertible_to<float>;
    { E::kKind } -> std::convertible_to<ElementKind>;
};

struct Float32Element {
    using Storage = float;
    static constexpr ElementKind kKind = ElementKind::kFloat32;
    static float ToFloat(Storage x) { return x; }
};
struct Float16Element {
    using Storage = Half;
    static constexpr ElementKind kKind = ElementKind::kFloat16;
    static float ToFloat(Storage x) { return FloatFromHalf(x); }
};
static_assert(DenseElement<Float32Element> && DenseElement<Float16Element>);

}  // namespace vecann

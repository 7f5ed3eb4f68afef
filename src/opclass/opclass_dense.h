// Operator classes of the dense types, over the element: a type's descriptors are one line each in opclass_<type>.cpp.
//
// The payload is the bare elements, for cosine those of the unit vector. L2 and inner product compute the search
// distance and what the operator returns from the same kernel sum, so the order value is exact, to the last bit.
#pragma once

#include <limits>

#include "opclass/opclass_desc.h"
#include "types/dense_distance.h"

namespace vecann {

template <DenseElement E>
size_t DensePayloadSize(int dim) {
    return sizeof(typename E::Storage) * static_cast<size_t>(dim);
}

// Reads the header only: a value out of line is not fetched for it.
template <DenseElement E>
int DenseValueDimension(Datum value) {
    using Vector = DenseVectorData<E>;
    constexpr int32 kHeader = offsetof(Vector, unused) - offsetof(Vector, dim);
    varlena* head = PG_DETOAST_DATUM_SLICE(value, 0, kHeader);
    int16 dim;
    memcpy(&dim, VARDATA_ANY(head), sizeof(dim));
    pfree(head);
    return dim;
}

// The payload as it is, or the unit vector.
template <DenseElement E, bool unit>
bool DenseExtract(Datum value, int dim, void* payload) {
    auto* v = reinterpret_cast<DenseVectorData<E>*>(PG_DETOAST_DATUM(value));
    // A class made for another type with our support function hands us its values.
    if (VARSIZE(v) < DenseVectorData<E>::Bytes(1) || VARSIZE(v) != DenseVectorData<E>::Bytes(v->dim))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("indexed value is not of type %s", DenseTraits<E>::kTypeName)));
    CheckExpectedDimension(v->dim, dim);
    bool indexable = true;
    if constexpr (unit) {
        indexable = NormalizeTo<E>(v->x, dim, static_cast<typename E::Storage*>(payload));
    } else {
        memcpy(payload, v->x, DensePayloadSize<E>(dim));
    }
    if (reinterpret_cast<Pointer>(v) != DatumGetPointer(value)) pfree(v);
    return indexable;
}

// Sums of finite numbers: infinite at worst, never NaN.
template <DenseElement E>
PayloadDistance DenseL2Search() {
    return DenseTraits<E>::Kernel().l2_squared;
}

// Overflow in both directions makes a NaN, which no heap of candidates can order: it counts as farthest.
template <DenseElement E>
struct InnerProductSearch {
    static inline PayloadDistance kernel = nullptr;

    static float Distance(const void* a, const void* b, size_t dim) {
        const float distance = NegativeProduct(kernel(a, b, dim));
        return std::isnan(distance) ? std::numeric_limits<float>::infinity() : distance;
    }
    static PayloadDistance Pick() {
        kernel = DenseTraits<E>::Kernel().inner_product;
        return &Distance;
    }
};

inline double L2OrderValue(float distance, int) {
    return L2FromSquared(distance);
}
inline double InnerProductOrderValue(float distance, int) {
    return static_cast<double>(distance);
}

// A lower bound of the cosine distance of two values whose unit vectors have the float32 inner product -distance.
//
// Let u = 2^-24 (rounding of float32), n = dim, g = n u / (1 - n u), and e the error of a stored unit vector. A float32
// inner product of n terms, summed in whatever order, with or without fused multiply-add, is off by at most
// g sum |a_i b_i| <= g |a| |b|: no term goes through more than n roundings (its product, n - 1 additions). Write c for
// the true cosine, |c| <= 1.
//   payload   the exact inner product of two stored unit vectors is off by at most 2e + e^2 (Cauchy-Schwarz), its
//             float32 sum by at most g (1 + e)^2 more;
//   operator  dot / sqrt(na nb), each of the three sums off by g relative to |a| |b|, |a|^2, |b|^2: at most
//             (c + g) / (1 - g) - c <= 2g / (1 - g) above c; the clamp to [-1, 1] only brings it nearer to c. Where the
//             operator sums in double instead, it is nearer still.
// With n <= 16,000 we have n u < 1e-3 and g < 1.001 n u; with e <= 2^-9 the terms in g are together less than 3.01 n u,
// and 2e + e^2 < 2.01 e. What is left is far inside the spare 4u: roundings in double (a few 2^-53), and underflow, at
// most 2^-149 for each term of a sum.
template <DenseElement E>
double CosineOrderValue(float distance, int dim) {
    static_assert(kMaxDenseDimensions * 0x1p-24 < 1e-3);
    static_assert(DenseTraits<E>::UnitVectorError(kMaxDenseDimensions) <= 0x1p-9);
    const double slack = (3.01 * dim + 4) * 0x1p-24 + 2.01 * DenseTraits<E>::UnitVectorError(dim);
    return 1 + static_cast<double>(distance) - slack;
}

template <DenseElement E>
constexpr OpClassDesc DenseL2OpClass(const char* name) {
    return {
        .magic = kOpClassDescMagic,
        .name = name,
        .element = E::kKind,
        .metric = Metric::kL2,
        .max_dimensions = kMaxDenseDimensions,
        .unit_norm = false,
        .payload_size = &DensePayloadSize<E>,
        .value_dim = &DenseValueDimension<E>,
        .extract = &DenseExtract<E, false>,
        .distance = &DenseL2Search<E>,
        .order_value = &L2OrderValue,
        .exact_order = true,
    };
}

template <DenseElement E>
constexpr OpClassDesc DenseInnerProductOpClass(const char* name) {
    return {
        .magic = kOpClassDescMagic,
        .name = name,
        .element = E::kKind,
        .metric = Metric::kInnerProduct,
        .max_dimensions = kMaxDenseDimensions,
        .unit_norm = false,
        .payload_size = &DensePayloadSize<E>,
        .value_dim = &DenseValueDimension<E>,
        .extract = &DenseExtract<E, false>,
        .distance = &InnerProductSearch<E>::Pick,
        .order_value = &InnerProductOrderValue,
        .exact_order = true,
    };
}

template <DenseElement E>
constexpr OpClassDesc DenseCosineOpClass(const char* name) {
    return {
        .magic = kOpClassDescMagic,
        .name = name,
        .element = E::kKind,
        .metric = Metric::kCosine,
        .max_dimensions = kMaxDenseDimensions,
        .unit_norm = true,
        .payload_size = &DensePayloadSize<E>,
        .value_dim = &DenseValueDimension<E>,
        .extract = &DenseExtract<E, true>,
        .distance = &InnerProductSearch<E>::Pick,
        .order_value = &CosineOrderValue<E>,
        .exact_order = false,
    };
}

}  // namespace vecann

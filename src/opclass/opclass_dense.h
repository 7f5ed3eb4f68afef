// Operator classes of the dense types, over the element: a type is one line in opclass_dense.cpp.
//
// What is indexed are the elements as float32, for cosine those of the unit vector.
#pragma once

#include <limits>

#include "opclass/opclass_desc.h"
#include "pg/bytes_hash.h"
#include "types/dense_distance.h"

namespace vecann {

// The elements as they are, or the unit vector.
template <DenseElement E, bool unit>
bool DenseExtract(Datum value, int dim, float* vector, uint32* hash) {
    auto* v = reinterpret_cast<DenseVectorData<E>*>(PG_DETOAST_DATUM(value));
    // A class made for another type with our support function hands us its values.
    if (VARSIZE(v) < DenseVectorData<E>::Bytes(1) || VARSIZE(v) != DenseVectorData<E>::Bytes(v->dim))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("indexed value is not of type %s", DenseTraits<E>::kTypeName)));
    CheckExpectedDimension(v->dim, dim);
    bool indexable = true;
    if (hash != nullptr) *hash = 0;
    if constexpr (unit) {
        indexable = NormalizeTo<E, Float32Element>(v->x, dim, vector);
        if (hash != nullptr) *hash = BytesHash(v->x, static_cast<size_t>(dim) * sizeof(v->x[0]));
    } else {
        for (int i = 0; i < dim; ++i)
            vector[i] = E::ToFloat(v->x[i]);
    }
    if (reinterpret_cast<Pointer>(v) != DatumGetPointer(value)) pfree(v);
    return indexable;
}

template <DenseElement E>
Datum DenseRestore(const float* vector, int dim, Datum reuse) {
    auto* v = reuse != 0 ? reinterpret_cast<DenseVectorData<E>*>(DatumGetPointer(reuse)) : NewDense<E>(dim);
    if constexpr (std::is_same_v<typename E::Storage, float>) {
        memcpy(v->x, vector, static_cast<size_t>(dim) * sizeof(float));
    } else {
        for (int i = 0; i < dim; ++i)
            v->x[i] = DenseTraits<E>::FromFloat(vector[i]);
    }
    return PointerGetDatum(v);
}

inline double CosineOrderValue(float distance) {
    return 1 + static_cast<double>(distance);
}
// Inner product and L1: the search distance is the operator's.
inline double PlainOrderValue(float distance) {
    return static_cast<double>(distance);
}
inline double NoSlack(int) {
    return 0;
}

// What the norm of a unit vector loses when it is kept as float32: half a unit in the last place of each element.
constexpr double kUnitVectorError = 0x1p-24;

// How far the cosine distance of two values may be from 1 + distance, when their unit vectors have the float32 inner
// product -distance.
//
// Let u = 2^-24 (rounding of float32), n = dim, g = n u / (1 - n u), and e the error of a stored unit vector. A float32
// inner product of n terms, summed in whatever order, with or without fused multiply-add, is off by at most
// g sum |a_i b_i| <= g |a| |b|: no term goes through more than n roundings (its product, n - 1 additions). Write c for
// the true cosine, |c| <= 1.
//   vectors   the exact inner product of two stored unit vectors is off by at most 2e + e^2 (Cauchy-Schwarz), its
//             float32 sum by at most g (1 + e)^2 more;
//   operator  dot / sqrt(na nb), each of the three sums off by g relative to |a| |b|, |a|^2, |b|^2: at most
//             (c + g) / (1 - g) - c <= 2g / (1 - g) above c; the clamp to [-1, 1] only brings it nearer to c. Where the
//             operator sums in double instead, it is nearer still.
// With n <= 16,000 we have n u < 1e-3 and g < 1.001 n u; with e <= 2^-9 the terms in g are together less than 3.01 n u,
// and 2e + e^2 < 2.01 e. What is left is far inside the spare 4u: roundings in double (a few 2^-53), and underflow, at
// most 2^-149 for each term of a sum.
inline double CosineSlack(int dim) {
    static_assert(kMaxDenseDimensions * 0x1p-24 < 1e-3);
    static_assert(kUnitVectorError <= 0x1p-9);
    return (3.01 * dim + 4) * 0x1p-24 + 2.01 * kUnitVectorError;
}

template <DenseElement E>
constexpr OpClassDesc DenseOpClass(const char* name, Metric metric) {
    const bool cosine = metric == Metric::kCosine;
    return {
        .magic = kOpClassDescMagic,
        .name = name,
        .element = E::kKind,
        .metric = metric,
        .max_dimensions = kMaxDenseDimensions,
        .unit_norm = cosine,
        .words = nullptr,
        .extract = cosine ? &DenseExtract<E, true> : &DenseExtract<E, false>,
        .restore = &DenseRestore<E>,
        .order_value = cosine                  ? &CosineOrderValue
                       : metric == Metric::kL2 ? &L2FromSquared
                                               : &PlainOrderValue,
        .order_slack = cosine ? &CosineSlack : &NoSlack,
    };
}

}  // namespace vecann

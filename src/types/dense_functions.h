// The functions behind the SQL functions and operators of the dense types, but for input, output, casts and aggregates.
#pragma once

#include "types/dense_distance.h"
#include "types/dense_vector.h"

namespace vecann {

// ---- distances ---------------------------------------------------------------

// float8 f(T, T): checks the dimensions, hands elements and dimension to `measure`.
template <DenseElement E, class Measure>
Datum MeasurePair(FunctionCallInfo fcinfo, Measure measure) {
    const DenseVectorData<E>* a = DenseArg<E>(fcinfo, 0);
    const DenseVectorData<E>* b = DenseArg<E>(fcinfo, 1);
    CheckSameDimension(DenseTraits<E>::kTypeName, a->dim, b->dim);
    const double result = measure(a->x, b->x, static_cast<size_t>(a->dim));
    PG_RETURN_FLOAT8(result);
}

template <DenseElement E>
Datum DenseL2Distance(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, [](const void* a, const void* b, size_t n) {
        return L2FromSquared(DenseTraits<E>::Kernel().l2_squared(a, b, n));
    });
}

template <DenseElement E>
Datum DenseL2SquaredDistance(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, DenseTraits<E>::Kernel().l2_squared);
}

template <DenseElement E>
Datum DenseInnerProduct(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, DenseTraits<E>::Kernel().inner_product);
}

template <DenseElement E>
Datum DenseNegativeInnerProduct(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, [](const void* a, const void* b, size_t n) {
        return NegativeProduct(DenseTraits<E>::Kernel().inner_product(a, b, n));
    });
}

template <DenseElement E>
Datum DenseL1Distance(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, DenseTraits<E>::Kernel().l1);
}

template <DenseElement E>
Datum DenseCosineDistance(PG_FUNCTION_ARGS) {
    using S = typename E::Storage;
    return MeasurePair<E>(
        fcinfo, [](const S* a, const S* b, size_t n) { return CosineDistance<E>(a, b, static_cast<int>(n)); });
}

// The angle between two unit vectors, in units of pi.
template <DenseElement E>
Datum DenseSphericalDistance(PG_FUNCTION_ARGS) {
    return MeasurePair<E>(fcinfo, [](const void* a, const void* b, size_t n) {
        return std::acos(ClampToUnit(DenseTraits<E>::Kernel().inner_product(a, b, n))) / M_PI;
    });
}

// ---- one vector --------------------------------------------------------------

template <DenseElement E>
Datum DenseDimensions(PG_FUNCTION_ARGS) {
    PG_RETURN_INT32(DenseArg<E>(fcinfo, 0)->dim);
}

template <DenseElement E>
Datum DenseNorm(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    PG_RETURN_FLOAT8(Norm<E>(v->x, v->dim));
}

template <DenseElement E>
Datum DenseNormalize(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    DenseVectorData<E>* result = NewDense<E>(v->dim);
    NormalizeTo<E>(v->x, v->dim, result->x);
    PG_RETURN_POINTER(result);
}

// bit(dim): 1 where the element is positive, the first element in the most significant bit.
template <DenseElement E>
Datum DenseBinaryQuantize(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    VarBit* result = static_cast<VarBit*>(palloc0(VARBITTOTALLEN(v->dim)));
    SET_VARSIZE(result, VARBITTOTALLEN(v->dim));
    VARBITLEN(result) = v->dim;
    bits8* bits = VARBITS(result);
    for (int i = 0; i < v->dim; ++i) {
        if (E::ToFloat(v->x[i]) > 0) bits[i / 8] |= static_cast<bits8>(0x80 >> (i % 8));
    }
    PG_RETURN_VARBIT_P(result);
}

// subvector(T, start, count): elements start .. start + count - 1, counted from 1, as far as they exist.
template <DenseElement E>
Datum DenseSubvector(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    const int64 start = PG_GETARG_INT32(1);
    const int64 count = PG_GETARG_INT32(2);
    const int64 first = Max<int64>(start, 1);
    const int64 end = Min<int64>(start + count, v->dim + 1);
    const int dim = end > first ? static_cast<int>(end - first) : 0;
    CheckDimension(DenseTraits<E>::kTypeName, dim);
    DenseVectorData<E>* result = NewDense<E>(dim);
    memcpy(result->x, v->x + (first - 1), sizeof(typename E::Storage) * static_cast<size_t>(dim));
    PG_RETURN_POINTER(result);
}

// ---- arithmetic --------------------------------------------------------------

// T f(T, T), element by element. `op` returns an infinity for what overflows; the core's error is raised for it.
template <DenseElement E, class Op>
Datum CombineElements(FunctionCallInfo fcinfo, Op op) {
    const DenseVectorData<E>* a = DenseArg<E>(fcinfo, 0);
    const DenseVectorData<E>* b = DenseArg<E>(fcinfo, 1);
    CheckSameDimension(DenseTraits<E>::kTypeName, a->dim, b->dim);
    DenseVectorData<E>* result = NewDense<E>(a->dim);
    for (int i = 0; i < a->dim; ++i) {
        result->x[i] = DenseTraits<E>::FromFloat(op(E::ToFloat(a->x[i]), E::ToFloat(b->x[i])));
    }
    for (int i = 0; i < a->dim; ++i) {
        if (std::isinf(E::ToFloat(result->x[i]))) float_overflow_error();
    }
    PG_RETURN_POINTER(result);
}

template <DenseElement E>
Datum DenseAdd(PG_FUNCTION_ARGS) {
    return CombineElements<E>(fcinfo, [](float a, float b) { return a + b; });
}

template <DenseElement E>
Datum DenseSub(PG_FUNCTION_ARGS) {
    return CombineElements<E>(fcinfo, [](float a, float b) { return a - b; });
}

// A product that vanishes although neither factor is zero is an error, as for the core's numbers.
template <DenseElement E>
Datum DenseMul(PG_FUNCTION_ARGS) {
    return CombineElements<E>(fcinfo, [](float a, float b) {
        const float product = a * b;
        if (E::ToFloat(DenseTraits<E>::FromFloat(product)) == 0 && a != 0 && b != 0) float_underflow_error();
        return product;
    });
}

// Each element with a finite number, rounded once: in double, no product or quotient of two floats loses anything that
// the element would keep. What vanishes is an error, as in DenseMul.
template <DenseElement E, class Op>
Datum WithNumber(const DenseVectorData<E>* v, float number, Op op) {
    CheckFinite(DenseTraits<E>::kTypeName, static_cast<double>(number));
    DenseVectorData<E>* result = NewDense<E>(v->dim);
    bool overflow = false, underflow = false;
    for (int i = 0; i < v->dim; ++i) {
        const double value = op(static_cast<double>(E::ToFloat(v->x[i])), static_cast<double>(number));
        result->x[i] = DenseTraits<E>::FromDouble(value);
        const float kept = E::ToFloat(result->x[i]);
        overflow |= std::isinf(kept);
        underflow |= kept == 0 && value != 0;
    }
    if (overflow) float_overflow_error();
    if (underflow) float_underflow_error();
    PG_RETURN_POINTER(result);
}

template <DenseElement E>
Datum DenseScale(PG_FUNCTION_ARGS) {
    return WithNumber<E>(DenseArg<E>(fcinfo, 0), PG_GETARG_FLOAT4(1), [](double x, double y) { return x * y; });
}

template <DenseElement E>
Datum DenseScaledBy(PG_FUNCTION_ARGS) {
    return WithNumber<E>(DenseArg<E>(fcinfo, 1), PG_GETARG_FLOAT4(0), [](double x, double y) { return x * y; });
}

template <DenseElement E>
Datum DenseDivide(PG_FUNCTION_ARGS) {
    if (PG_GETARG_FLOAT4(1) == 0) float_zero_divide_error();
    return WithNumber<E>(DenseArg<E>(fcinfo, 0), PG_GETARG_FLOAT4(1), [](double x, double y) { return x / y; });
}

template <DenseElement E>
Datum DenseConcat(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* a = DenseArg<E>(fcinfo, 0);
    const DenseVectorData<E>* b = DenseArg<E>(fcinfo, 1);
    const int dim = a->dim + b->dim;
    CheckDimension(DenseTraits<E>::kTypeName, dim);
    DenseVectorData<E>* result = NewDense<E>(dim);
    memcpy(result->x, a->x, sizeof(typename E::Storage) * static_cast<size_t>(a->dim));
    memcpy(result->x + a->dim, b->x, sizeof(typename E::Storage) * static_cast<size_t>(b->dim));
    PG_RETURN_POINTER(result);
}

// ---- order -------------------------------------------------------------------

// Lexicographic by value, then by dimension, as arrays compare: -1, 0 or 1. Equal does not mean the same bytes: -0 = 0.
template <DenseElement E>
int CompareVectors(const DenseVectorData<E>* a, const DenseVectorData<E>* b) {
    const int common = Min<int>(a->dim, b->dim);
    for (int i = 0; i < common; ++i) {
        const float x = E::ToFloat(a->x[i]), y = E::ToFloat(b->x[i]);
        if (x < y) return -1;
        if (x > y) return 1;
    }
    return (a->dim > b->dim) - (a->dim < b->dim);
}

// Compares both arguments and releases detoasted copies: a btree calls this many times in one memory context.
template <DenseElement E>
int CompareArgs(FunctionCallInfo fcinfo) {
    DenseVectorData<E>* a = DenseArg<E>(fcinfo, 0);
    DenseVectorData<E>* b = DenseArg<E>(fcinfo, 1);
    const int order = CompareVectors<E>(a, b);
    PG_FREE_IF_COPY(a, 0);
    PG_FREE_IF_COPY(b, 1);
    return order;
}

template <DenseElement E>
Datum DenseLt(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) < 0);
}
template <DenseElement E>
Datum DenseLe(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) <= 0);
}
template <DenseElement E>
Datum DenseEq(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) == 0);
}
template <DenseElement E>
Datum DenseNe(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) != 0);
}
template <DenseElement E>
Datum DenseGe(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) >= 0);
}
template <DenseElement E>
Datum DenseGt(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(CompareArgs<E>(fcinfo) > 0);
}
template <DenseElement E>
Datum DenseCmp(PG_FUNCTION_ARGS) {
    PG_RETURN_INT32(CompareArgs<E>(fcinfo));
}

}  // namespace vecann

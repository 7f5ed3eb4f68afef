// Casts of the dense types: length coercion, from one to the other, from arrays of numbers, to real[].
#pragma once

#include "types/dense_text.h"

namespace vecann {

// T(T, integer, boolean): the value itself, once its dimension is the one the column wants.
template <DenseElement E>
Datum DenseCoerce(PG_FUNCTION_ARGS) {
    DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    CheckExpectedDimension(v->dim, PG_GETARG_INT32(1));
    PG_RETURN_POINTER(v);
}

// The element nearest to x, a float or a double; 22003 when it is too large for the type, 22000 when it is NaN or
// infinite.
template <DenseElement E, class F>
typename E::Storage ElementFromFloat(F x) {
    const char* type = DenseTraits<E>::kTypeName;
    const typename E::Storage element = DenseTraits<E>::FromDouble(static_cast<double>(x));
    const float stored = E::ToFloat(element);
    if (std::isinf(stored) && !std::isinf(x)) {
        char text[DOUBLE_SHORTEST_DECIMAL_LEN];
        if constexpr (std::is_same_v<F, float>)
            float_to_shortest_decimal_buf(x, text);
        else
            double_to_shortest_decimal_buf(x, text);
        InputRangeError(type, text, strlen(text), nullptr);
    }
    CheckFinite(type, stored);
    return element;
}

// Of a numeric, through its text: exact, and underflow is as silent as in the type's own input.
template <DenseElement E>
typename E::Storage ElementFromNumeric(Datum numeric) {
    char* text = DatumGetCString(DirectFunctionCall1(numeric_out, numeric));
    const char* p = text;
    typename E::Storage element = {};
    ParseElement<E>(text, &p, &element, nullptr);
    pfree(text);
    CHECK_FOR_INTERRUPTS();  // a numeric may have 147,455 digits
    return element;
}

template <DenseElement E>
typename E::Storage ElementFromDatum(Datum value, Oid type) {
    switch (type) {
        case INT4OID:
            return ElementFromFloat<E, double>(DatumGetInt32(value));
        case FLOAT4OID:
            return ElementFromFloat<E>(DatumGetFloat4(value));
        case FLOAT8OID:
            return ElementFromFloat<E>(DatumGetFloat8(value));
        default:
            return ElementFromNumeric<E>(value);
    }
}

// Raises unless `array` has one dimension at most, numbers we know and no nulls. Returns its number of elements.
int CheckNumberArray(ArrayType* array);
// The elements of such an array, to be freed by the caller; returns their type.
Oid DeconstructNumbers(ArrayType* array, Datum** values);

// array_to_T(A, integer, boolean)
template <DenseElement E>
Datum DenseFromArray(PG_FUNCTION_ARGS) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckNumberArray(array);
    CheckDimension(DenseTraits<E>::kTypeName, dim);
    CheckExpectedDimension(dim, PG_GETARG_INT32(1));
    Datum* values;
    const Oid type = DeconstructNumbers(array, &values);
    DenseVectorData<E>* v = NewDense<E>(dim);
    for (int i = 0; i < dim; ++i)
        v->x[i] = ElementFromDatum<E>(values[i], type);
    pfree(values);
    PG_RETURN_POINTER(v);
}

// A_to_B(A, integer, boolean)
template <DenseElement From, DenseElement To>
Datum DenseToDense(PG_FUNCTION_ARGS) {
    const DenseVectorData<From>* from = DenseArg<From>(fcinfo, 0);
    CheckExpectedDimension(from->dim, PG_GETARG_INT32(1));
    DenseVectorData<To>* v = NewDense<To>(from->dim);
    for (int i = 0; i < from->dim; ++i)
        v->x[i] = ElementFromFloat<To>(From::ToFloat(from->x[i]));
    PG_RETURN_POINTER(v);
}

// A new one-dimensional array of n elements of a fixed-size type, zeroed.
ArrayType* NewNumberArray(Oid type, size_t element_size, int n);

// T_to_float4(T, integer, boolean)
template <DenseElement E>
Datum DenseToFloat4(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    ArrayType* array = NewNumberArray(FLOAT4OID, sizeof(float4), v->dim);
    float4* out = reinterpret_cast<float4*>(ARR_DATA_PTR(array));
    for (int i = 0; i < v->dim; ++i)
        out[i] = E::ToFloat(v->x[i]);
    PG_RETURN_ARRAYTYPE_P(array);
}

}  // namespace vecann

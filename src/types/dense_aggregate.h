// avg() of the dense types. Its state is float8[] {n, sum of x[0], sum of x[1], ...}, {0} before the first row: an
// ordinary SQL value, so that it moves between parallel workers as it is. sum() needs no code: it is T_add.
#pragma once

#include "types/dense_vector.h"

namespace vecann {

// The state, opened. `sums` points into `array`.
struct AverageState {
    ArrayType* array;
    double n;
    int dim;
    float8* sums;
};

// Opens argument `arg`; raises when a caller of our function made it up and it is no state.
AverageState OpenAverageState(FunctionCallInfo fcinfo, int arg);
// A state of n rows and `dim` sums, all zero.
AverageState NewAverageState(double n, int dim);
// One that the caller may overwrite: `state` itself inside an aggregate, which owns it, else a copy.
AverageState WritableAverageState(FunctionCallInfo fcinfo, const AverageState& state);
// T_combine(float8[], float8[])
Datum CombineAverages(FunctionCallInfo fcinfo);

// T_accum(float8[], T)
template <DenseElement E>
Datum DenseAccumulate(PG_FUNCTION_ARGS) {
    const AverageState old = OpenAverageState(fcinfo, 0);
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 1);
    const bool first = old.n == 0;
    if (!first) CheckExpectedDimension(v->dim, old.dim);
    AverageState state = first ? NewAverageState(0, v->dim) : WritableAverageState(fcinfo, old);
    reinterpret_cast<float8*>(ARR_DATA_PTR(state.array))[0] = old.n + 1;
    for (int i = 0; i < v->dim; ++i) {
        state.sums[i] += static_cast<double>(E::ToFloat(v->x[i]));
        if (std::isinf(state.sums[i])) float_overflow_error();
    }
    PG_RETURN_ARRAYTYPE_P(state.array);
}

template <DenseElement E>
Datum DenseCombine(PG_FUNCTION_ARGS) {
    return CombineAverages(fcinfo);
}

// T_avg(float8[])
template <DenseElement E>
Datum DenseAverage(PG_FUNCTION_ARGS) {
    const AverageState state = OpenAverageState(fcinfo, 0);
    if (state.n == 0) PG_RETURN_NULL();
    CheckDimension(DenseTraits<E>::kTypeName, state.dim);
    DenseVectorData<E>* v = NewDense<E>(state.dim);
    for (int i = 0; i < state.dim; ++i) {
        v->x[i] = DenseTraits<E>::FromDouble(state.sums[i] / state.n);
        CheckFinite(DenseTraits<E>::kTypeName, E::ToFloat(v->x[i]));
    }
    PG_RETURN_POINTER(v);
}

}  // namespace vecann

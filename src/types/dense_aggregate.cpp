// The state of avg(), which does not depend on the element.
#include "types/dense_aggregate.h"

#include "types/dense_convert.h"

namespace vecann {

namespace {

AverageState View(ArrayType* array) {
    float8* values = reinterpret_cast<float8*>(ARR_DATA_PTR(array));
    return {array, values[0], ARR_DIMS(array)[0] - 1, values + 1};
}

}  // namespace

AverageState OpenAverageState(FunctionCallInfo fcinfo, int arg) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(arg);
    if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != FLOAT8OID) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("invalid aggregate state"),
                        errdetail("A state is a one-dimensional array of a row count and sums, without nulls.")));
    }
    return View(array);
}

AverageState NewAverageState(double n, int dim) {
    AverageState state = View(NewNumberArray(FLOAT8OID, sizeof(float8), dim + 1));
    state.n = state.sums[-1] = n;
    return state;
}

AverageState WritableAverageState(FunctionCallInfo fcinfo, const AverageState& state) {
    if (AggCheckCallContext(fcinfo, nullptr) != 0) return state;
    AverageState copy = NewAverageState(state.n, state.dim);
    memcpy(copy.sums, state.sums, sizeof(float8) * static_cast<size_t>(state.dim));
    return copy;
}

Datum CombineAverages(FunctionCallInfo fcinfo) {
    const AverageState a = OpenAverageState(fcinfo, 0);
    const AverageState b = OpenAverageState(fcinfo, 1);
    if (b.n == 0) PG_RETURN_ARRAYTYPE_P(a.array);
    if (a.n == 0) PG_RETURN_ARRAYTYPE_P(b.array);
    CheckExpectedDimension(b.dim, a.dim);
    const AverageState sum = NewAverageState(a.n + b.n, a.dim);
    for (int i = 0; i < a.dim; ++i) {
        sum.sums[i] = a.sums[i] + b.sums[i];
        if (std::isinf(sum.sums[i])) float_overflow_error();
    }
    PG_RETURN_ARRAYTYPE_P(sum.array);
}

}  // namespace vecann

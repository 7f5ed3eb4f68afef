// The array side of the casts of all types.
#include "types/dense_convert.h"

namespace vecann {

int CheckNumberArray(ArrayType* array) {
    const Oid type = ARR_ELEMTYPE(array);
    if (type != INT4OID && type != FLOAT4OID && type != FLOAT8OID && type != NUMERICOID) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type")));
    }
    if (ARR_NDIM(array) > 1) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D")));
    }
    if (array_contains_nulls(array)) {
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("array must not contain nulls")));
    }
    return ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
}

Oid DeconstructNumbers(ArrayType* array, Datum** values) {
    const Oid type = ARR_ELEMTYPE(array);
    int16 length;
    bool by_value;
    char align;
    get_typlenbyvalalign(type, &length, &by_value, &align);
    int count;
    deconstruct_array(array, type, length, by_value, align, values, nullptr, &count);
    return type;
}

ArrayType* NewNumberArray(Oid type, size_t element_size, int n) {
    const size_t bytes = ARR_OVERHEAD_NONULLS(1) + element_size * static_cast<size_t>(n);
    ArrayType* array = static_cast<ArrayType*>(palloc0(bytes));
    SET_VARSIZE(array, bytes);
    array->ndim = 1;
    array->elemtype = type;
    ARR_DIMS(array)[0] = n;
    ARR_LBOUND(array)[0] = 1;
    return array;
}

}  // namespace vecann

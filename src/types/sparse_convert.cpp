// Casts of the sparse type.
#include "types/dense_convert.h"
#include "types/sparse_vector.h"

namespace vecann {

namespace {

// Copies the non-zero of `n` values, which `value(i)` returns.
template <class Value>
SparseVectorData* FromDense(int n, Value value) {
    int nnz = 0;
    for (int i = 0; i < n; ++i)
        nnz += value(i) != 0;
    CheckSparseElements(nnz);
    SparseVectorData* v = NewSparse(n, nnz);
    int k = 0;
    for (int i = 0; i < n; ++i) {
        if (value(i) == 0) continue;
        v->indices[k] = i;
        v->values()[k] = value(i);
        ++k;
    }
    return v;
}

template <DenseElement E>
Datum DenseToSparse(FunctionCallInfo fcinfo) {
    const DenseVectorData<E>* from = DenseArg<E>(fcinfo, 0);
    CheckExpectedDimension(from->dim, PG_GETARG_INT32(1));
    PG_RETURN_POINTER(FromDense(from->dim, [&](int i) { return E::ToFloat(from->x[i]); }));
}

template <DenseElement E>
Datum SparseToDense(FunctionCallInfo fcinfo) {
    const SparseVectorData* from = SparseArg(fcinfo, 0);
    CheckDimension(DenseTraits<E>::kTypeName, from->dim);
    CheckExpectedDimension(from->dim, PG_GETARG_INT32(1));
    DenseVectorData<E>* v = NewDense<E>(from->dim);
    for (int i = 0; i < from->nnz; ++i)
        v->x[from->indices[i]] = ElementFromFloat<E>(from->values()[i]);
    PG_RETURN_POINTER(v);
}

}  // namespace
}  // namespace vecann

VECANN_FUNCTION(vecann_sparsevec_coerce) {
    vecann::SparseVectorData* v = vecann::SparseArg(fcinfo, 0);
    vecann::CheckExpectedDimension(v->dim, PG_GETARG_INT32(1));
    PG_RETURN_POINTER(v);
}

VECANN_FUNCTION(vecann_vector_to_sparsevec) {
    return vecann::DenseToSparse<vecann::Float32Element>(fcinfo);
}

VECANN_FUNCTION(vecann_halfvec_to_sparsevec) {
    return vecann::DenseToSparse<vecann::Float16Element>(fcinfo);
}

VECANN_FUNCTION(vecann_sparsevec_to_vector) {
    return vecann::SparseToDense<vecann::Float32Element>(fcinfo);
}

VECANN_FUNCTION(vecann_sparsevec_to_halfvec) {
    return vecann::SparseToDense<vecann::Float16Element>(fcinfo);
}

VECANN_FUNCTION(vecann_sparsevec_from_array) {
    using namespace vecann;
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(0);
    const int dim = CheckNumberArray(array);
    CheckSparseDimension(dim);
    CheckExpectedDimension(dim, PG_GETARG_INT32(1));
    Datum* numbers;
    const Oid type = DeconstructNumbers(array, &numbers);
    float* values = static_cast<float*>(palloc_extended(sizeof(float) * static_cast<size_t>(dim), MCXT_ALLOC_HUGE));
    for (int i = 0; i < dim; ++i)
        values[i] = ElementFromDatum<SparseElement>(numbers[i], type);
    SparseVectorData* v = FromDense(dim, [&](int i) { return values[i]; });
    pfree(numbers);
    pfree(values);
    PG_RETURN_POINTER(v);
}

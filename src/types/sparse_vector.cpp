// Checks and allocation of the sparse type.
#include "types/sparse_vector.h"

#include "types/dense_distance.h"

namespace vecann {

bool CheckSparseElements(int64 nnz, Node* soft) {
    if (nnz > kMaxSparseElements) {
        VECANN_SOFT_ERROR(soft, false,
                          (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                           errmsg("sparsevec cannot have more than %d non-zero elements", kMaxSparseElements)));
    }
    return true;
}

double SparseCosineDistance(double product, double squared_norm_a, double squared_norm_b) {
    const double norms = squared_norm_a * squared_norm_b;
    if (norms == 0) return std::numeric_limits<double>::quiet_NaN();
    return 1 - ClampToUnit(product / std::sqrt(norms));
}

SparseVectorData* NewSparse(int dim, int nnz) {
    const size_t bytes = SparseVectorData::Bytes(nnz);
    SparseVectorData* v = static_cast<SparseVectorData*>(palloc0(bytes));
    SET_VARSIZE(v, bytes);
    v->dim = dim;
    v->nnz = nnz;
    return v;
}

}  // namespace vecann

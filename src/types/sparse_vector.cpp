// Checks and allocation of the sparse type.
#include "types/sparse_vector.h"

namespace vecann {

bool CheckSparseElements(int64 nnz, Node* soft) {
    if (nnz > kMaxSparseElements) {
        VECANN_SOFT_ERROR(soft, false,
                          (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                           errmsg("sparsevec cannot have more than %d non-zero elements", kMaxSparseElements)));
    }
    return true;
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

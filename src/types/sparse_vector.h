// The sparse vector type: its layout, checks and access.
//
// Invariants of every stored value: 1 <= dim <= kMaxSparseDimensions, 0 <= nnz <= kMaxSparseElements, unused = 0,
// indices strictly ascending in [0, dim), no value zero, NaN or infinite.
#pragma once

#include "kernels/sparse_kernels.h"
#include "types/dense_vector.h"

namespace vecann {

constexpr int kMaxSparseDimensions = 1000000000;
constexpr int kMaxSparseElements = 16000;

// On disk and in memory: the header, nnz indices, nnz values. Like the dense types it never changes.
struct SparseVectorData {
    int32 vl_len_;
    int32 dim;
    int32 nnz;
    int32 unused;
    int32 indices[FLEXIBLE_ARRAY_MEMBER];

    static size_t Bytes(int nnz) {
        return sizeof(SparseVectorData) + (sizeof(int32) + sizeof(float)) * static_cast<size_t>(nnz);
    }
    float* values() { return reinterpret_cast<float*>(indices + nnz); }
    const float* values() const { return reinterpret_cast<const float*>(indices + nnz); }
    SparseView view() const { return {indices, values(), nnz}; }
};
static_assert(sizeof(SparseVectorData) == 16 && offsetof(SparseVectorData, dim) == 4 &&
              offsetof(SparseVectorData, nnz) == 8 && offsetof(SparseVectorData, indices) == 16);

// A value is a float32 number that reads and converts as an element of a vector does; errors name the type.
struct SparseElement : Float32Element {};
template <>
struct DenseTraits<SparseElement> : DenseTraits<Float32Element> {
    static constexpr const char* kTypeName = "sparsevec";
};

// Checks as those in dense_vector.h.
inline bool CheckSparseDimension(int dim, Node* soft = nullptr) {
    return CheckDimension("sparsevec", dim, soft, kMaxSparseDimensions);
}
bool CheckSparseElements(int64 nnz, Node* soft = nullptr);

// Argument n, detoasted.
inline SparseVectorData* SparseArg(FunctionCallInfo fcinfo, int n) {
    return reinterpret_cast<SparseVectorData*>(PG_DETOAST_DATUM(PG_GETARG_DATUM(n)));
}

// The cosine distance of two vectors of these squared norms; NaN when one is zero.
double SparseCosineDistance(double product, double squared_norm_a, double squared_norm_b);

// A new vector in the current context with room for nnz elements. The caller has checked both numbers.
SparseVectorData* NewSparse(int dim, int nnz);

}  // namespace vecann

// Products of matrices in rows by BLAS; see matrix_product.h.
#include "compute/matrix_product.h"

extern "C" {
// C = alpha A B + beta C, column-major (BLAS level 3)
int sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const float* alpha,
           const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c, const int* ldc);
}

namespace vecann {

// By columns everything is transposed, and so is the order of the factors.
void MatrixProduct::Run() const {
    sgemm_(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &columns, &rows, &inner, &alpha, b.values, &b.stride,
           a.values, &a.stride, &beta, out, &stride);
}

}  // namespace vecann

// Blocks of rows, their products, and the nearest of a row; see graph_parts.h.
#include "compute/graph_parts.h"

#include <cmath>

extern "C" {
// C = alpha A B + beta C, column-major (BLAS level 3)
int sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const float* alpha,
           const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c, const int* ldc);
// the lower triangle of C = alpha A' A + beta C with uplo L and trans T
int ssyrk_(const char* uplo, const char* trans, const int* n, const int* k, const float* alpha, const float* a,
           const int* lda, const float* beta, float* c, const int* ldc);
}

namespace vecann {

void RowBlock::Gather(const GraphSpace& space, const uint32_t* ids, int count, const float* centre) {
    constexpr int kAhead = 4;
    const GraphKernels& kernels = BestGraphKernels();
    const int width = Width(space), dim = static_cast<int>(space.dim);
    if (rows.size() < static_cast<size_t>(count) * width) rows.resize(static_cast<size_t>(count) * width);
    norms.assign(static_cast<size_t>(PaddedRow(count)), HUGE_VALF);
    for (int i = 0; i < count; ++i) {
        if (i + kAhead < count) PrefetchRow(space.Row(ids[i + kAhead]), dim);
        float* to = rows.data() + static_cast<int64_t>(i) * width;
        float norm = kernels.centred_row(space.Row(ids[i]), centre, to, dim);
        if (space.extra != nullptr) {
            to[dim] = space.extra[ids[i]] - centre[dim];
            norm += to[dim] * to[dim];
        }
        norms[static_cast<size_t>(i)] = norm;
    }
}

void MeanOfSome(const GraphSpace& space, const uint32_t* ids, int64_t count, std::vector<float>* mean) {
    constexpr int64_t kSome = 32;
    const int64_t some = std::min(count, kSome);
    mean->assign(static_cast<size_t>(Width(space)), 0.0f);
    const float share = 1.0f / static_cast<float>(some);
    for (int64_t s = 0; s < some; ++s) {
        const uint32_t id = ids[s * count / some];
        const float* row = space.Row(id);
        for (int64_t j = 0; j < space.dim; ++j)
            (*mean)[static_cast<size_t>(j)] += share * row[j];
        if (space.extra != nullptr) mean->back() += share * space.extra[id];
    }
}

void Products(const float* a, int a_count, const float* b, int b_count, int width, float* products) {
    const float one = 1, zero = 0;
    const int stride = PaddedRow(b_count);
    sgemm_("T", "N", &b_count, &a_count, &width, &one, b, &width, a, &width, &zero, products, &stride);
}

// Half of the work is saved, and a third of the time.
void ProductsOfAll(const float* rows, int count, int width, float* products) {
    constexpr int kTile = 16;
    const float one = 1, zero = 0;
    const int64_t stride = PaddedRow(count);
    const int ldc = PaddedRow(count);
    ssyrk_("L", "T", &count, &width, &one, rows, &width, &zero, products, &ldc);
    for (int i0 = 0; i0 < count; i0 += kTile)
        for (int j0 = i0; j0 < count; j0 += kTile)
            for (int i = i0; i < std::min(count, i0 + kTile); ++i)
                for (int j = std::max(j0, i + 1); j < std::min(count, j0 + kTile); ++j)
                    products[j * stride + i] = products[i * stride + j];
}

}  // namespace vecann

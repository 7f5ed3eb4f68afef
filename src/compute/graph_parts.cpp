// Blocks of rows, their products, and the nearest of a row; see graph_parts.h.
#include "compute/graph_parts.h"

#include <cstring>

#include "kernels/kernel_table.h"

extern "C" {
// C = alpha A B + beta C, column-major (BLAS level 3)
int sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const float* alpha,
           const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c, const int* ldc);
}

namespace vecann {

void RowBlock::Gather(const GraphSpace& space, const uint32_t* ids, int count, const float* centre) {
    const int width = Width(space), dim = static_cast<int>(space.dim);
    if (rows.size() < static_cast<size_t>(count) * width) rows.resize(static_cast<size_t>(count) * width);
    if (norms.size() < static_cast<size_t>(count)) norms.resize(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
        float* to = rows.data() + static_cast<int64_t>(i) * width;
        memcpy(to, space.Row(ids[i]), sizeof(float) * static_cast<size_t>(dim));
        if (space.extra != nullptr) to[dim] = space.extra[ids[i]];
        if (centre != nullptr)
            for (int j = 0; j < width; ++j)
                to[j] -= centre[j];
        norms[static_cast<size_t>(i)] = Kernels().float32.inner_product(to, to, static_cast<size_t>(width));
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
    sgemm_("T", "N", &b_count, &a_count, &width, &one, b, &width, a, &width, &zero, products, &b_count);
}

int NearestOfRow(const float* products, const float* norms, int n, int skip, int k, NearKey* out) {
    int found = 0;
    for (int j = 0; j < n; ++j) {
        const float key = norms[j] - 2 * products[j];
        if ((found == k && !(key < out[k - 1].key)) || j == skip) continue;
        int at = found < k ? found++ : k - 1;
        for (; at > 0 && key < out[at - 1].key; --at)
            out[at] = out[at - 1];
        out[at] = {key, j};
    }
    return found;
}

}  // namespace vecann

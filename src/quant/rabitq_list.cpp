// Sign codes of a list's vectors; see rabitq_list.h.
#include "quant/rabitq_list.h"

#include <cmath>

namespace vecann {

namespace {

// Stands for an error without bound: such a code is never left out.
constexpr float kNoBound = 1e37f;

// The codewords: coordinate i of pattern j is one half with the sign of bit i.
constexpr float kSigns[] = {
    -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,  -0.5f, 0.5f,
    -0.5f, -0.5f, 0.5f,  0.5f,  -0.5f, -0.5f, 0.5f,  0.5f,  -0.5f, -0.5f, 0.5f,  0.5f,  -0.5f, -0.5f, 0.5f,  0.5f,
    -0.5f, -0.5f, -0.5f, -0.5f, 0.5f,  0.5f,  0.5f,  0.5f,  -0.5f, -0.5f, -0.5f, -0.5f, 0.5f,  0.5f,  0.5f,  0.5f,
    -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, -0.5f, 0.5f,  0.5f,  0.5f,  0.5f,  0.5f,  0.5f,  0.5f,  0.5f,
};

}  // namespace

void EncodeSigns(const CodeShape& shape, Metric metric, const float* centroid, const float* v, uint8_t* code,
                 ListFactors* factors, float* scratch) {
    CodedEdge edge;
    EncodeNeighbour(shape, metric, centroid, v, &edge, code, scratch);
    factors->add = edge.add;
    factors->scale = edge.scale;

    // deviation of <q - c, r>: |q - c| sqrt((|r|^2 / cos^2 - |r|^2) / (dim - 1)), and |r| / cos = s |levels|
    const double sides = metric == Metric::kL2 ? 2 : 1;
    const double s = -edge.scale / sides;
    const size_t n = static_cast<size_t>(shape.dim);
    const double norm = Kernels().float32.inner_product(scratch, scratch, n);
    const double free_dims = shape.dim > 1 ? shape.dim - 1 : 1;
    double error;
    if (s > 0) {
        const double excess = s * s * 0.25 * shape.code_dim - norm;
        error = sides * kRabitqEpsilon * std::sqrt((excess > 0 ? excess : 0) / free_dims);
    } else {
        // no direction: nothing is known of the product, or the vector is its centroid
        error = sides * std::sqrt(norm);
        if (norm > 0 && edge.add == 0) error = kNoBound;
    }
    factors->error = error < kNoBound ? static_cast<float>(error) : kNoBound;
}

void SetSigns(const CodeShape& shape, const float* rotated, ScanTables* tables) {
    const auto products = Kernels().codebook.products;
    for (int s = 0; s < tables->m; ++s) {
        const int dims = shape.code_dim - 4 * s;
        products(rotated + 4 * s, kSigns, dims < 4 ? dims : 4, 16, tables->values + s * 16);
    }
    tables->Quantise();
}

}  // namespace vecann

// Matrix products in rows, for the trainings.
#pragma once

#ifndef VECANN_ZONE_X
#error "zone X only"
#endif

namespace vecann {

// A matrix in rows `stride` apart, taken as it is or transposed.
struct MatrixView {
    const float* values;
    int stride;
    bool transposed = false;
};

// out = alpha a b + beta out; a is rows x inner, b inner x columns after the transpositions, out rows x columns.
struct MatrixProduct {
    MatrixView a, b;
    int rows, columns, inner;
    float alpha, beta;
    float* out;
    int stride;

    void Run() const;
};

}  // namespace vecann

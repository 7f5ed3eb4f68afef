// Distances, norms and order of the sparse type. Sums are in double, so nothing overflows.
#include "types/dense_distance.h"
#include "types/sparse_vector.h"

namespace vecann {

namespace {

using SparseMeasure = double (*)(const SparseView& a, const SparseView& b);

Datum MeasureSparse(FunctionCallInfo fcinfo, SparseMeasure measure) {
    const SparseVectorData* a = SparseArg(fcinfo, 0);
    const SparseVectorData* b = SparseArg(fcinfo, 1);
    CheckSameDimension("sparsevec", a->dim, b->dim);
    const double result = measure(a->view(), b->view());
    PG_RETURN_FLOAT8(result);
}

double SparseCosine(const SparseView& a, const SparseView& b) {
    return SparseCosineDistance(SparseInnerProduct(a, b), SparseSquaredNorm(a), SparseSquaredNorm(b));
}

// As the dense types compare: element by element with the zeros that are not stored, then by dimension.
int CompareSparse(const SparseVectorData* a, const SparseVectorData* b) {
    const int common = Min(a->dim, b->dim);
    int i = 0, j = 0;
    for (;;) {
        const int32 at_a = i < a->nnz ? a->indices[i] : common;
        const int32 at_b = j < b->nnz ? b->indices[j] : common;
        const int32 at = Min(at_a, at_b);
        if (at >= common) return (a->dim > b->dim) - (a->dim < b->dim);
        const float x = at_a == at ? a->values()[i++] : 0;
        const float y = at_b == at ? b->values()[j++] : 0;
        if (x != y) return x < y ? -1 : 1;
    }
}

// Compares both arguments and releases detoasted copies: a btree calls this many times in one memory context.
int CompareSparseArgs(FunctionCallInfo fcinfo) {
    SparseVectorData* a = SparseArg(fcinfo, 0);
    SparseVectorData* b = SparseArg(fcinfo, 1);
    const int order = CompareSparse(a, b);
    PG_FREE_IF_COPY(a, 0);
    PG_FREE_IF_COPY(b, 1);
    return order;
}

// v / |v|, each value rounded once; those that vanish are left out.
SparseVectorData* NormalizeSparse(const SparseVectorData* v) {
    const double norm = std::sqrt(SparseSquaredNorm(v->view()));
    const auto scaled = [&](int i) { return static_cast<float>(static_cast<double>(v->values()[i]) / norm); };
    int nnz = 0;
    for (int i = 0; i < v->nnz; ++i)
        nnz += scaled(i) != 0;
    SparseVectorData* result = NewSparse(v->dim, nnz);
    int k = 0;
    for (int i = 0; i < v->nnz; ++i) {
        if (scaled(i) == 0) continue;
        result->indices[k] = v->indices[i];
        result->values()[k] = scaled(i);
        ++k;
    }
    return result;
}

}  // namespace
}  // namespace vecann

VECANN_FUNCTION(vecann_sparsevec_l2_distance) {
    using namespace vecann;
    return MeasureSparse(fcinfo,
                         [](const SparseView& a, const SparseView& b) { return std::sqrt(SparseL2Squared(a, b)); });
}

VECANN_FUNCTION(vecann_sparsevec_l2_squared_distance) {
    return vecann::MeasureSparse(fcinfo, &vecann::SparseL2Squared);
}

VECANN_FUNCTION(vecann_sparsevec_inner_product) {
    return vecann::MeasureSparse(fcinfo, &vecann::SparseInnerProduct);
}

VECANN_FUNCTION(vecann_sparsevec_negative_inner_product) {
    using namespace vecann;
    return MeasureSparse(fcinfo,
                         [](const SparseView& a, const SparseView& b) { return 0.0 - SparseInnerProduct(a, b); });
}

VECANN_FUNCTION(vecann_sparsevec_cosine_distance) {
    return vecann::MeasureSparse(fcinfo, &vecann::SparseCosine);
}

VECANN_FUNCTION(vecann_sparsevec_l1_distance) {
    return vecann::MeasureSparse(fcinfo, &vecann::SparseL1);
}

// The angle between two unit vectors, in units of pi.
VECANN_FUNCTION(vecann_sparsevec_spherical_distance) {
    using namespace vecann;
    return MeasureSparse(fcinfo, [](const SparseView& a, const SparseView& b) {
        return std::acos(ClampToUnit(SparseInnerProduct(a, b))) / M_PI;
    });
}

VECANN_FUNCTION(vecann_sparsevec_norm) {
    PG_RETURN_FLOAT8(std::sqrt(vecann::SparseSquaredNorm(vecann::SparseArg(fcinfo, 0)->view())));
}

VECANN_FUNCTION(vecann_sparsevec_normalize) {
    PG_RETURN_POINTER(vecann::NormalizeSparse(vecann::SparseArg(fcinfo, 0)));
}

VECANN_FUNCTION(vecann_sparsevec_lt) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) < 0);
}

VECANN_FUNCTION(vecann_sparsevec_le) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) <= 0);
}

VECANN_FUNCTION(vecann_sparsevec_eq) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) == 0);
}

VECANN_FUNCTION(vecann_sparsevec_ne) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) != 0);
}

VECANN_FUNCTION(vecann_sparsevec_ge) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) >= 0);
}

VECANN_FUNCTION(vecann_sparsevec_gt) {
    PG_RETURN_BOOL(vecann::CompareSparseArgs(fcinfo) > 0);
}

VECANN_FUNCTION(vecann_sparsevec_cmp) {
    PG_RETURN_INT32(vecann::CompareSparseArgs(fcinfo));
}

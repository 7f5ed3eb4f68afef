// See sparse_kernels.h.
#include "kernels/sparse_kernels.h"

#include <cmath>

namespace vecann {

namespace {

// Where one list is so many times as long as the other, its places are searched for instead of walked to.
constexpr int kGallop = 16;

// Sum over all indices of term(x, y), 0 for the element that is not there. No branch depends on the data: which list
// goes on is as good as random, and a mispredicted branch costs more than the step.
template <class Term>
double Merge(const SparseView& a, const SparseView& b, Term term) {
    double sum = 0;
    int i = 0, j = 0;
    while (i < a.count && j < b.count) {
        const int32_t at_a = a.indices[i], at_b = b.indices[j];
        const int take_a = at_a <= at_b, take_b = at_b <= at_a;
        // times 0 or 1: exact
        sum += term(static_cast<double>(a.values[i]) * take_a, static_cast<double>(b.values[j]) * take_b);
        i += take_a;
        j += take_b;
    }
    for (; i < a.count; ++i)
        sum += term(static_cast<double>(a.values[i]), 0.0);
    for (; j < b.count; ++j)
        sum += term(0.0, static_cast<double>(b.values[j]));
    return sum;
}

// The first place from `from` on whose index is not below `index`: steps of doubling length, then halving.
int Seek(const SparseView& v, int from, int32_t index) {
    int step = 1, below = from - 1, reached = from;
    while (reached < v.count && v.indices[reached] < index) {
        below = reached;
        reached += step;
        step *= 2;
    }
    if (reached > v.count) reached = v.count;
    while (reached - below > 1) {
        const int middle = below + (reached - below) / 2;
        if (v.indices[middle] < index)
            below = middle;
        else
            reached = middle;
    }
    return reached;
}

double ProductBySeeking(const SparseView& few, const SparseView& many) {
    double sum = 0;
    int j = 0;
    for (int i = 0; i < few.count; ++i) {
        j = Seek(many, j, few.indices[i]);
        if (j == many.count) break;
        if (many.indices[j] == few.indices[i])
            sum += static_cast<double>(few.values[i]) * static_cast<double>(many.values[j]);
    }
    return sum;
}

}  // namespace

double SparseInnerProduct(const SparseView& a, const SparseView& b) {
    if (a.count > b.count) return SparseInnerProduct(b, a);
    if (a.count < b.count / kGallop) return ProductBySeeking(a, b);
    double sum = 0;
    int i = 0, j = 0;
    while (i < a.count && j < b.count) {
        const int32_t at_a = a.indices[i], at_b = b.indices[j];
        const double product = static_cast<double>(a.values[i]) * static_cast<double>(b.values[j]);
        sum += product * (at_a == at_b);
        i += at_a <= at_b;
        j += at_b <= at_a;
    }
    return sum;
}

double SparseL2Squared(const SparseView& a, const SparseView& b) {
    return Merge(a, b, [](double x, double y) { return (x - y) * (x - y); });
}

double SparseL1(const SparseView& a, const SparseView& b) {
    return Merge(a, b, [](double x, double y) { return std::fabs(x - y); });
}

double SparseSquaredNorm(const SparseView& a) {
    double sum = 0;
    for (int i = 0; i < a.count; ++i)
        sum += static_cast<double>(a.values[i]) * static_cast<double>(a.values[i]);
    return sum;
}

}  // namespace vecann

// The checks that all dense types share.
#include "types/dense_vector.h"

namespace vecann {

bool CheckDimension(const char* type, int dim, Node* soft, int most) {
    if (dim < 1) {
        VECANN_SOFT_ERROR(soft, false,
                          (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s must have at least 1 dimension", type)));
    }
    if (dim > most) {
        VECANN_SOFT_ERROR(
            soft, false,
            (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s cannot have more than %d dimensions", type, most)));
    }
    return true;
}

bool CheckExpectedDimension(int dim, int32 expected, Node* soft) {
    if (expected != -1 && expected != dim) {
        VECANN_SOFT_ERROR(soft, false,
                          (errcode(ERRCODE_DATA_EXCEPTION), errmsg("expected %d dimensions, not %d", expected, dim)));
    }
    return true;
}

bool CheckFinite(const char* type, double x, Node* soft) {
    if (std::isnan(x)) {
        VECANN_SOFT_ERROR(soft, false, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("NaN not allowed in %s", type)));
    }
    if (std::isinf(x)) {
        VECANN_SOFT_ERROR(soft, false,
                          (errcode(ERRCODE_DATA_EXCEPTION), errmsg("infinite value not allowed in %s", type)));
    }
    return true;
}

void CheckSameDimension(const char* type, int a, int b) {
    if (a != b) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("different %s dimensions %d and %d", type, a, b)));
    }
}

}  // namespace vecann

// The type halfvec: dense, half-precision elements; and its casts to and from vector.
#include "types/dense_sql.h"

VECANN_DEFINE_DENSE_TYPE(halfvec, Float16Element)

VECANN_FUNCTION(vecann_vector_to_halfvec) {
    return vecann::DenseToDense<vecann::Float32Element, vecann::Float16Element>(fcinfo);
}

VECANN_FUNCTION(vecann_halfvec_to_vector) {
    return vecann::DenseToDense<vecann::Float16Element, vecann::Float32Element>(fcinfo);
}

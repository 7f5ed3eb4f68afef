// The type vector: dense, float4 elements.
#include "types/dense_sql.h"

VECANN_DEFINE_DENSE_TYPE(vector, Float32Element)

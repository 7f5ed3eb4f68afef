// Operator classes of the dense types. Each SQL function, vecann_T_metric_opclass, is support function 1 of one class.
#include "opclass/opclass_dense.h"

#define VECANN_DENSE_OPCLASS(T, E, suffix, metric)                                                   \
    VECANN_FUNCTION(vecann_##T##_##suffix##_opclass) {                                               \
        using namespace vecann;                                                                      \
        static constexpr OpClassDesc kDesc = DenseOpClass<E>(#T "_" #suffix "_ops", Metric::metric); \
        PG_RETURN_POINTER(&kDesc);                                                                   \
    }

#define VECANN_DENSE_OPCLASSES(T, E)              \
    VECANN_DENSE_OPCLASS(T, E, l2, kL2)           \
    VECANN_DENSE_OPCLASS(T, E, ip, kInnerProduct) \
    VECANN_DENSE_OPCLASS(T, E, cosine, kCosine)   \
    VECANN_DENSE_OPCLASS(T, E, l1, kL1)

VECANN_DENSE_OPCLASSES(vector, Float32Element)
VECANN_DENSE_OPCLASSES(halfvec, Float16Element)

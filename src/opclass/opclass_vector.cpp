// Operator classes of the type vector. Each SQL function is support function 1 of one class.
#include "opclass/opclass_dense.h"

namespace vecann {
namespace {

constexpr OpClassDesc kVectorL2 = DenseOpClass<Float32Element>("vector_l2_ops", Metric::kL2);
constexpr OpClassDesc kVectorInnerProduct = DenseOpClass<Float32Element>("vector_ip_ops", Metric::kInnerProduct);
constexpr OpClassDesc kVectorCosine = DenseOpClass<Float32Element>("vector_cosine_ops", Metric::kCosine);
constexpr OpClassDesc kVectorL1 = DenseOpClass<Float32Element>("vector_l1_ops", Metric::kL1);

}  // namespace
}  // namespace vecann

VECANN_FUNCTION(vecann_vector_l2_opclass) {
    PG_RETURN_POINTER(&vecann::kVectorL2);
}

VECANN_FUNCTION(vecann_vector_ip_opclass) {
    PG_RETURN_POINTER(&vecann::kVectorInnerProduct);
}

VECANN_FUNCTION(vecann_vector_cosine_opclass) {
    PG_RETURN_POINTER(&vecann::kVectorCosine);
}

VECANN_FUNCTION(vecann_vector_l1_opclass) {
    PG_RETURN_POINTER(&vecann::kVectorL1);
}

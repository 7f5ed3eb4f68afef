// Operator classes of the type vector. Each SQL function is support function 1 of one class.
#include "opclass/opclass_dense.h"

namespace vecann {
namespace {

constexpr OpClassDesc kVectorL2 = DenseL2OpClass<Float32Element>("vector_l2_ops");
constexpr OpClassDesc kVectorInnerProduct = DenseInnerProductOpClass<Float32Element>("vector_ip_ops");
constexpr OpClassDesc kVectorCosine = DenseCosineOpClass<Float32Element>("vector_cosine_ops");

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

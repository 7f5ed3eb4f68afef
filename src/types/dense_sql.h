// The one table of SQL-callable functions of a dense type. Each row is a suffix and the template behind it: for the
// type T the C symbol is vecann_T_suffix. The symbols carry our prefix because the server loads modules RTLD_GLOBAL and
// other extensions export the plain names.
#pragma once

#include "types/dense_aggregate.h"
#include "types/dense_convert.h"
#include "types/dense_functions.h"
#include "types/dense_text.h"

// clang-format off
#define VECANN_DENSE_FUNCTIONS(X, T, E)                          \
    X(T, E, in, DenseIn)                                         \
    X(T, E, out, DenseOut)                                       \
    X(T, E, recv, DenseReceive)                                  \
    X(T, E, send, DenseSend)                                     \
    X(T, E, typmod_in, DenseTypmodIn)                            \
    X(T, E, coerce, DenseCoerce)                                 \
    X(T, E, from_array, DenseFromArray)                          \
    X(T, E, to_float4, DenseToFloat4)                            \
    X(T, E, l2_distance, DenseL2Distance)                        \
    X(T, E, l2_squared_distance, DenseL2SquaredDistance)         \
    X(T, E, inner_product, DenseInnerProduct)                    \
    X(T, E, negative_inner_product, DenseNegativeInnerProduct)   \
    X(T, E, cosine_distance, DenseCosineDistance)                \
    X(T, E, l1_distance, DenseL1Distance)                        \
    X(T, E, spherical_distance, DenseSphericalDistance)          \
    X(T, E, dims, DenseDimensions)                               \
    X(T, E, norm, DenseNorm)                                     \
    X(T, E, normalize, DenseNormalize)                           \
    X(T, E, binary_quantize, DenseBinaryQuantize)                \
    X(T, E, subvector, DenseSubvector)                           \
    X(T, E, add, DenseAdd)                                       \
    X(T, E, sub, DenseSub)                                       \
    X(T, E, mul, DenseMul)                                       \
    X(T, E, scale, DenseScale)                                   \
    X(T, E, scaled_by, DenseScaledBy)                            \
    X(T, E, div, DenseDivide)                                    \
    X(T, E, concat, DenseConcat)                                 \
    X(T, E, lt, DenseLt)                                         \
    X(T, E, le, DenseLe)                                         \
    X(T, E, eq, DenseEq)                                         \
    X(T, E, ne, DenseNe)                                         \
    X(T, E, ge, DenseGe)                                         \
    X(T, E, gt, DenseGt)                                         \
    X(T, E, cmp, DenseCmp)                                       \
    X(T, E, accum, DenseAccumulate)                              \
    X(T, E, combine, DenseCombine)                               \
    X(T, E, avg, DenseAverage)
// clang-format on

#define VECANN_DENSE_FUNCTION(T, E, suffix, body)   \
    VECANN_FUNCTION(vecann_##T##_##suffix) {        \
        return ::vecann::body<::vecann::E>(fcinfo); \
    }

// Defines all functions of the dense type T over element E.
#define VECANN_DEFINE_DENSE_TYPE(T, E) VECANN_DENSE_FUNCTIONS(VECANN_DENSE_FUNCTION, T, E)

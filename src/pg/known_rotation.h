// The fixed rotations (quant/rotation.h), kept by the backend: a function of the dimensions alone.
#pragma once

#include "pg/memory.h"
#include "quant/rotation.h"

namespace vecann {

struct KnownRotation {
    Rotation rotation;
    Arena arena;
    float* scratch;  // 2 x dim numbers for one call at a time
    KnownRotation* next;
};

// Lives as long as the backend.
const KnownRotation& RotationFor(int dim);

}  // namespace vecann

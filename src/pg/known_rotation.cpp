// Rotations that the backend has met; it meets few, and each is kept.
#include "pg/known_rotation.h"

namespace vecann {

const KnownRotation& RotationFor(int dim) {
    static KnownRotation* known = nullptr;
    for (const KnownRotation* k = known; k != nullptr; k = k->next)
        if (k->rotation.dim == dim) return *k;
    KnownRotation* fresh = static_cast<KnownRotation*>(MemoryContextAllocZero(TopMemoryContext, sizeof(KnownRotation)));
    fresh->arena = MakeArena(TopMemoryContext);
    fresh->rotation.Init(&fresh->arena, dim);
    fresh->scratch = fresh->arena.Allocate<float>(2 * static_cast<size_t>(dim));
    fresh->next = known;
    known = fresh;
    return *fresh;
}

}  // namespace vecann

// Inserting one row. See README.md, "Insert".
#pragma once

#include "hnsw/hnsw_link.h"

namespace vecann {

// Puts one row into the index: on a node of the same vector, or on a new one that it links. `value` has its vector; the
// rest is filled here. The caller holds the insert lock (or builds) and no content lock; ctx->memory is reset by the
// caller afterwards. Cancellable.
void HnswInsertRow(HnswContext* ctx, IndexedVector* value, ItemPointer tid);

// One of so many slots of a layer stands in the next as well. The paper has 1 / m; codes make a walk in a layer so
// cheap that fewer, thinner layers serve as well and take less room.
constexpr int kLayerRatio = 64;

// A random top layer for a new vector, geometric with ratio kLayerRatio.
int HnswRandomLevel();

// The insert lock: held shared by inserts from before their search to their last back edge; taken exclusively for an
// instant by vacuum as a barrier. Heavyweight: cancellable, and released by transaction abort.
void HnswLockInserts(Relation index);
void HnswUnlockInserts(Relation index);
void HnswWaitForInserts(Relation index);

}  // namespace vecann

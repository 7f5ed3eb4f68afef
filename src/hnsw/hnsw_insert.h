// Inserting one row. See README.md, "Insert".
#pragma once

#include "hnsw/hnsw_link.h"

namespace vecann {

// Puts one row into the index: on a node with the same payload, or on a new one that it links. The caller holds the
// insert lock (or builds) and no content lock; ctx->memory is reset by the caller afterwards. Cancellable.
void HnswInsertRow(HnswContext* ctx, const void* payload, ItemPointer tid);

// The insert lock: held shared by inserts from before their search to their last back edge; taken exclusively for an
// instant by vacuum as a barrier. Heavyweight: cancellable, and released by transaction abort.
void HnswLockInserts(Relation index);
void HnswUnlockInserts(Relation index);
void HnswWaitForInserts(Relation index);

}  // namespace vecann

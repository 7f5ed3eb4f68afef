// Parts of the graph that no walk from the entry point comes to: found, and linked with the rest.
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

// Links what is out of reach. For a vacuum, after it has freed what is deleted; it holds no content lock and no insert
// lock, and there is no other vacuum of the index. Reads all node pages some four times, and as often again for each
// round of links. Memory: two bits for each slot, and four bytes for each that is out of reach. Cancellable.
void HnswLinkIslands(HnswContext* ctx);

}  // namespace vecann

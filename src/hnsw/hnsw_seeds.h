// The seed tree: where searches of layer 0 begin. See README.md, "Seeds".
//
// Each eighth node is a seed. A leaf of the tree is a page of seeds that lie together, with their codes relative to the
// middle of the page; the pages above hold the middles of the pages below in the same form, up to one root. A search
// scores the root, then the nearest few pages of each level: some ten pages in sequence instead of as many hops through
// upper layers, and it begins nearer to its goal.
//
// Seeds are hints. A page names nodes that may have been freed or replaced since; to begin at such a slot does no harm.
// Pages are written whole, one at a time, in place, by a build or VACUUM, which alone plants the tree.
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

// Head of a seed page; the middle as a payload, `capacity` edges and as many codes follow. An edge's id is a node's on
// a leaf (level 0), with the low 8 bits of its generation; a block's above.
struct SeedPageData {
    uint16 level;
    uint16 count;
    uint32 reserved;
};
static_assert(sizeof(SeedPageData) == 8);

constexpr int kMaxSeedLevel = 7;

struct SeedView {
    SeedPageData* header;
    char* payload;
    EdgeData* edges;
    char* codes;
};

// Entries of a seed page; 0 when the index has no codes or too few would fit.
int HnswSeedCapacity(const HnswMetaData& meta);
// Bytes of a seed page's contents.
size_t HnswSeedBytes(const HnswMetaData& meta);
// The view of a seed page's contents, on a page or on a copy.
SeedView HnswSeedsAt(const HnswMetaData& meta, char* contents);

// Is there a tree, by the meta page in ctx, that the index has not outgrown?
bool HnswHasSeeds(const HnswContext& ctx);

// Begins a search of layer 0, which has been initialised, at the seeds nearest to its query and settles it; false when
// they lead nowhere. There is a tree. Raises ERRCODE_INDEX_CORRUPTED when a page cannot be followed.
bool HnswSettleFromSeeds(LayerSearch* search);

// Plants a tree over the nodes there are. The caller is a build or a vacuum, holds no content lock, and there is no
// other such caller. Memory: up to half of maintenance_work_mem. Cancellable.
void HnswPlantSeeds(HnswContext* ctx);

// Plants the tree anew when there is none for so many nodes, or when a sixteenth of them have changed, by the meta page
// in *ctx. True when so many have changed, planted or too few for a tree.
bool HnswReplantSeeds(HnswContext* ctx);

// Adds to the count of nodes that vacuum has freed.
void HnswCountFreed(const HnswContext& ctx, size_t nodes);

}  // namespace vecann

// Writing a bulk-built graph: where everything lies, slots, pages, upper layers. See README.md, "Build".
//
// The index holds its meta page and nothing else at first. Nodes come first, then the slots of the layers above, then
// the parts of payloads, each in order; so all ids are known before the first page is written.
#pragma once

#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_search.h"
#include "pg/compute_run.h"

namespace vecann {

// A distinct vector.
struct BulkNode {
    uint32 hash;
    ItemPointerData tid;  // of its first row
    uint32 value_hash;    // the same
    uint8 level;
    uint32 first_upper;  // its slots above layer 0 are numbered from here, layer 1 first
};

struct BulkLayout {
    const HnswMetaData* meta;
    uint64 nodes, uppers;  // slots
    BlockNumber first_upper_block, first_part_block;

    void Init(const HnswMetaData* of, uint64 node_count, uint64 upper_count);
    uint32 IdOfNode(uint64 node) const;
    uint32 IdOfUpper(uint64 place) const;
    // Each slot has its payload's parts for itself. They are numbered as they are written: those of the nodes, then
    // those of the upper slots.
    PartRefData PartOf(uint64 slot, int number) const;
};

// How jobs of a build run and what their result depends on.
struct BulkJobs {
    HnswContext* ctx;
    int threads;
    uint32 seed;
    uint64 chunk_bytes;  // edges are encoded and written in chunks of about so many

    ComputeOptions Options() const {
        ComputeOptions options;
        options.threads = threads;
        return options;
    }
};

// A layer being written. Row i is node members[i], or node i when there is no list.
struct BulkLayer {
    int level;
    const uint32* members;
    uint64 count;
    const float* vectors;
    uint32* neighbours;  // count x max_edges, rows of the layer
    uint16* degrees;
    uint32* order;     // the rows as they are written; null: as they stand
    CodedEdge* edges;  // of the chunk, in that order
    char* codes;
    float* distances;  // of the chunk; null where nobody wants them
    uint64 first;      // place of the chunk in that order

    uint64 Row(uint64 place) const { return order != nullptr ? order[place] : place; }
};

// A random top layer for node `number`, the same for the same seed.
int BulkLevel(uint32 seed, uint64 number);

// Rows of a chunk.
uint64 BulkChunkRows(const BulkJobs& jobs);

// Builds a layer's lists, and fills `order` where there is room for one. Returns the row of the entry point.
uint32 BulkBuildGraph(const BulkJobs& jobs, Arena* arena, BulkLayer* layer, const ComputeOptions& options);

// Encodes the edges of the rows at places layer->first .. + count - 1.
void BulkEncode(const BulkJobs& jobs, BulkLayer* layer, uint64 count, const ComputeOptions& options);

// Adds a page to the index that `fill(page)` fills in, `used` of its `room` places; lists it when it has free ones.
template <class Fill>
void BulkAddPage(const HnswContext& ctx, PageKind kind, int used, int room, Fill fill) {
    const FreeListKind list = HnswFreeList(ctx.meta, kind);
    BlockNumber block;
    {
        LockedPage page(ctx.index, ExtendRelationLocked(ctx.index, MAIN_FORKNUM));
        block = page.block();
        HnswCheckIdRange(ctx.index, block, room);
        InitPage(page.page(), kind, list.content_bytes);
        fill(page.page());
        MarkBufferDirty(page.buffer());
    }
    if (used < room) ListPage(ctx.index, ctx.mode, list, block);
}

// Writes the pages of slots whose images stand side by side from `images` on, `count` slots.
void BulkWriteImages(const HnswContext& ctx, PageKind kind, const char* images, uint64 count);

// What the slots of a layer are filled from: nodes at hand, with what stands in them.
struct BulkSlots {
    BulkLayout layout;
    const BulkNode* nodes;
    uint64 count;
    const uint32* numbers;  // of the nodes; null: they are all there are, in order
    const float* vectors;   // what the payloads say
    const char* payloads;   // whole ones

    uint64 Number(uint64 node) const { return numbers != nullptr ? numbers[node] : node; }
};

// Fills the zeroed slot of the row at a place of the layer's chunk.
void BulkFillSlot(const HnswContext& ctx, const BulkSlots& slots, const BulkLayer& layer, uint64 place,
                  const SlotView& slot);

// Builds and writes the layers above 0. Returns the id of the top layer's entry point; kInvalidId without such layers.
uint32 BulkWriteUppers(const BulkJobs& jobs, Arena* arena, const BulkSlots& slots, int* top);

// Writes the parts of all payloads, one payload's side by side. `payload_of(slot)` gives the whole payload of each slot
// in turn.
template <class PayloadOf>
void BulkWriteParts(const HnswContext& ctx, const BulkLayout& layout, PayloadOf payload_of) {
    const HnswMetaData& meta = ctx.meta;
    if (meta.part_count == 0) return;
    const uint64 count = (layout.nodes + layout.uppers) * meta.part_count, room = meta.parts;
    // the parts of a page are gathered first: nothing may raise while it is locked
    char* parts = static_cast<char*>(palloc(static_cast<Size>(room) * meta.part_size));
    const char* payload = nullptr;
    for (uint64 from = 0; from < count; from += room) {
        CHECK_FOR_INTERRUPTS();
        const uint64 used = Min(room, count - from);
        memset(parts, 0, room * meta.part_size);
        for (uint64 i = 0; i < used; ++i) {
            const uint64 at = from + i;
            const int number = static_cast<int>(at % meta.part_count);
            if (number == 0) payload = payload_of(at / meta.part_count);
            HnswFillPart(meta, payload, number, kNoPart, reinterpret_cast<PartHeaderData*>(parts + i * meta.part_size));
        }
        BulkAddPage(ctx, PageKind::kPart, static_cast<int>(used), meta.parts, [&](Page page) {
            memcpy(static_cast<void*>(PartAt(meta, page, 0)), parts, used * meta.part_size);
        });
    }
    pfree(parts);
}

void BulkSetEntry(const HnswContext& ctx, uint32 id, int level);

}  // namespace vecann

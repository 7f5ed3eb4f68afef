// Layers, slots and pages of a bulk-built graph; see hnsw_bulk_write.h.
#include "hnsw/hnsw_bulk_write.h"

#include "core/rng.h"
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_insert.h"

namespace vecann {

// ---- where everything lies ---------------------------------------------------------

void BulkLayout::Init(const HnswMetaData* of, uint64 node_count, uint64 upper_count) {
    meta = of;
    nodes = node_count;
    uppers = upper_count;
    first_upper_block = kMetaBlock + 1 + static_cast<BlockNumber>((nodes + meta->slots - 1) / meta->slots);
    first_part_block = first_upper_block + static_cast<BlockNumber>((uppers + meta->slots - 1) / meta->slots);
}

uint32 BulkLayout::IdOfNode(uint64 node) const {
    return IdOf(*meta, kMetaBlock + 1 + static_cast<BlockNumber>(node / meta->slots),
                static_cast<int>(node % meta->slots));
}

uint32 BulkLayout::IdOfUpper(uint64 place) const {
    return IdOf(*meta, first_upper_block + static_cast<BlockNumber>(place / meta->slots),
                static_cast<int>(place % meta->slots));
}

PartRefData BulkLayout::PartOf(uint64 slot, int number) const {
    const uint64 place = slot * meta->part_count + static_cast<uint64>(number);
    return {static_cast<uint32>(first_part_block * static_cast<uint64>(meta->parts) + place), 0};
}

int BulkLevel(uint32 seed, uint64 number) {
    Rng rng(Rng(seed).Next() ^ (number + 1) * 0xd1342543de82ef95ULL);
    const double level = -log(rng.NextUnit()) / log(static_cast<double>(kLayerRatio));
    return static_cast<int>(Min(level, static_cast<double>(kHnswMaxLevel)));
}

// ---- jobs --------------------------------------------------------------------------

uint64 BulkChunkRows(const BulkJobs& jobs) {
    const HnswMetaData& meta = jobs.ctx->meta;
    const uint64 row = meta.max_edges * (sizeof(CodedEdge) + sizeof(float) + meta.code_size);
    return Max<uint64>(jobs.chunk_bytes / row / meta.slots, 1) * meta.slots;
}

uint32 BulkBuildGraph(const BulkJobs& jobs, Arena* arena, BulkLayer* layer, const ComputeOptions& options) {
    const HnswContext& ctx = *jobs.ctx;
    layer->neighbours = arena->Allocate<uint32>(layer->count * ctx.meta.max_edges);
    layer->degrees = arena->Allocate<uint16>(layer->count);
    GraphBuildTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.vectors = layer->vectors;
    task.count = static_cast<int64>(layer->count);
    task.dim = ctx.meta.dim;
    task.metric = ctx.form.metric;
    task.max_degree = ctx.meta.max_edges;
    task.seed = jobs.seed;
    task.rotated = ctx.form.rotation != nullptr ? 1 : 0;
    task.neighbours = layer->neighbours;
    task.degrees = layer->degrees;
    task.order = layer->order;
    RunCompute(ComputeTask::kGraphBuild, &task, options);
    return task.entry;
}

void BulkEncode(const BulkJobs& jobs, BulkLayer* layer, uint64 count, const ComputeOptions& options) {
    const HnswContext& ctx = *jobs.ctx;
    GraphEncodeTask task;
    task.vectors = layer->vectors;
    task.order = layer->order;
    task.neighbours = layer->neighbours;
    task.degrees = layer->degrees;
    task.max_degree = ctx.meta.max_edges;
    task.shape = ctx.form.shape;
    task.metric = ctx.form.code_metric();
    task.first = static_cast<int64>(layer->first);
    task.count = static_cast<int64>(count);
    task.edges = layer->edges;
    task.codes = layer->codes;
    task.distances = layer->distances;
    RunCompute(ComputeTask::kGraphEncode, &task, options);
}

// ---- slots and pages ---------------------------------------------------------------

namespace {

uint32 IdInLayer(const BulkSlots& slots, const BulkLayer& layer, uint64 row) {
    const uint64 node = layer.members != nullptr ? layer.members[row] : row;
    if (layer.level == 0) return slots.layout.IdOfNode(slots.Number(node));
    return slots.layout.IdOfUpper(slots.nodes[node].first_upper + static_cast<uint64>(layer.level - 1));
}

// The number of a slot among all of the index.
uint64 SlotNumber(const BulkSlots& slots, const BulkLayer& layer, uint64 row) {
    if (layer.level == 0) return slots.Number(row);
    const BulkNode& node = slots.nodes[layer.members[row]];
    return slots.layout.nodes + node.first_upper + static_cast<uint64>(layer.level - 1);
}

}  // namespace

void BulkFillSlot(const HnswContext& ctx, const BulkSlots& slots, const BulkLayer& layer, uint64 place,
                  const SlotView& slot) {
    const HnswMetaData& meta = ctx.meta;
    const BulkLayout& layout = slots.layout;
    const uint64 row = layer.Row(place);
    const uint64 node = layer.members != nullptr ? layer.members[row] : row;
    const BulkNode& n = slots.nodes[node];
    SlotHeaderData* header = slot.header;
    header->state = static_cast<uint8>(SlotState::kLive);
    header->level = static_cast<uint8>(layer.level);
    header->edge_count = layer.degrees[row];
    header->tid_chain = kInvalidId;
    header->up =
        layer.level < n.level ? layout.IdOfUpper(n.first_upper + static_cast<uint64>(layer.level)) : kInvalidId;
    header->down = kInvalidId;
    if (layer.level == 1) header->down = layout.IdOfNode(slots.Number(node));
    if (layer.level > 1) header->down = layout.IdOfUpper(n.first_upper + static_cast<uint64>(layer.level - 2));
    if (layer.level == 0) {
        slot.tids[0].tid = n.tid;
        header->tid_count = 1;
        header->hash = n.value_hash;
    }
    memcpy(slot.payload, slots.payloads + node * ctx.form.payload_size, meta.payload_size);
    for (int i = 0; i < meta.part_count; ++i)
        slot.parts[i] = layout.PartOf(SlotNumber(slots, layer, row), i);
    const uint64 from = (place - layer.first) * meta.max_edges;
    for (int e = 0; e < header->edge_count; ++e) {
        CodedEdge* edge = &slot.edges[e];
        *edge = layer.edges[from + static_cast<uint64>(e)];
        edge->id = IdInLayer(slots, layer, layer.neighbours[row * meta.max_edges + static_cast<uint64>(e)]);
        edge->generation = 0;
        edge->held = 0;
    }
    memcpy(slot.codes, layer.codes + from * meta.code_size, static_cast<size_t>(header->edge_count) * meta.code_size);
}

void BulkWriteImages(const HnswContext& ctx, PageKind kind, const char* images, uint64 count) {
    const uint64 slots = ctx.meta.slots, bytes = slots * ctx.meta.slot_size;
    for (uint64 from = 0; from < count; from += slots) {
        CHECK_FOR_INTERRUPTS();
        const int used = static_cast<int>(Min(slots, count - from));
        BulkAddPage(ctx, kind, used, ctx.meta.slots, [&](Page page) {
            memcpy(ContentsOf(page), images + from / slots * bytes, static_cast<size_t>(used) * ctx.meta.slot_size);
        });
    }
}

namespace {

// Gathers the nodes of a layer above 0, with their vectors.
void GatherLayer(Arena* arena, const BulkSlots& slots, size_t dim, BulkLayer* layer) {
    ArenaVec<uint32> members;
    members.Init(arena);
    for (uint64 i = 0; i < slots.count; ++i)
        if (slots.nodes[i].level >= layer->level) members.Push(static_cast<uint32>(i));
    float* vectors = arena->Allocate<float>(members.size * dim);
    for (size_t i = 0; i < members.size; ++i)
        memcpy(vectors + i * dim, slots.vectors + members[i] * dim, dim * sizeof(float));
    layer->members = members.data;
    layer->count = members.size;
    layer->vectors = vectors;
}

// Fills the images of one upper layer.
void FillUppers(const BulkJobs& jobs, Arena* arena, const BulkSlots& slots, BulkLayer* layer, char* images) {
    const HnswMetaData& meta = jobs.ctx->meta;
    const uint64 chunk = Min(BulkChunkRows(jobs), layer->count), room = chunk * meta.max_edges;
    layer->edges = arena->Allocate<CodedEdge>(room);
    layer->codes = arena->Allocate<char>(room * meta.code_size);
    for (layer->first = 0; layer->first < layer->count; layer->first += chunk) {
        const uint64 count = Min(chunk, layer->count - layer->first);
        BulkEncode(jobs, layer, count, jobs.Options());
        for (uint64 row = layer->first; row < layer->first + count; ++row) {
            const uint64 place = slots.nodes[layer->members[row]].first_upper + static_cast<uint64>(layer->level - 1);
            BulkFillSlot(*jobs.ctx, slots, *layer, row, SlotOver(meta, images + place * meta.slot_size));
        }
    }
    arena->Release(layer->edges, room);
    arena->Release(layer->codes, room * meta.code_size);
}

}  // namespace

uint32 BulkWriteUppers(const BulkJobs& jobs, Arena* arena, const BulkSlots& slots, int* top) {
    const HnswContext& ctx = *jobs.ctx;
    HnswBeginPhase(kHnswPhaseUppers, slots.layout.uppers);
    char* images = arena->Allocate<char>(slots.layout.uppers * ctx.meta.slot_size);
    memset(images, 0, slots.layout.uppers * ctx.meta.slot_size);
    *top = 0;
    for (uint64 i = 0; i < slots.count; ++i)
        *top = Max<int>(*top, slots.nodes[i].level);
    uint32 entry = kInvalidId;
    for (int level = 1; level <= *top; ++level) {
        BulkLayer layer;
        memset(static_cast<void*>(&layer), 0, sizeof(layer));
        layer.level = level;
        GatherLayer(arena, slots, static_cast<size_t>(ctx.meta.dim), &layer);
        const uint32 row = BulkBuildGraph(jobs, arena, &layer, jobs.Options());
        FillUppers(jobs, arena, slots, &layer, images);
        entry = IdInLayer(slots, layer, row);
    }
    BulkWriteImages(ctx, PageKind::kUpper, images, slots.layout.uppers);
    return entry;
}

void BulkSetEntry(const HnswContext& ctx, uint32 id, int level) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->entry = id;
    edit->entry_generation = 0;
    edit->entry_level = static_cast<uint16>(level);
    txn.Commit();
}

}  // namespace vecann

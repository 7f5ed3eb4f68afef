// The bulk build: collecting distinct vectors, building each layer's graph in vecann_compute.so, writing the pages.
// Holds no lock while it computes; each page is written under its own exclusive lock.
#include "hnsw/hnsw_bulk.h"

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_insert.h"
#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_tids.h"
#include "pg/compute_run.h"

namespace vecann {

namespace {

// Edges are encoded and written in chunks of about so many bytes.
constexpr uint64 kChunkBytes = 64 * 1024 * 1024;

// A layer being written. Row i is node members[i], or node i when there is no list.
struct BulkLayer {
    int level;
    const uint32* members;
    uint64 count;
    const float* vectors;
    uint32* neighbours;  // count x max_edges, rows of the layer
    uint16* degrees;
    CodedEdge* edges;  // of the chunk
    char* codes;
    uint64 first;  // row of the chunk
};

struct BulkWriter {
    BulkBuild* bulk;
    char* payloads;  // of all nodes
    uint64 upper_count;
    BlockNumber first_upper_block;
    BlockNumber first_part_block;
    char* upper_pages;  // images; uppers of all layers stand side by side
};

uint32 IdOfNode(const BulkWriter& w, uint64 node) {
    const HnswMetaData& meta = w.bulk->ctx->meta;
    return IdOf(meta, kMetaBlock + 1 + static_cast<BlockNumber>(node / meta.slots),
                static_cast<int>(node % meta.slots));
}

uint32 IdOfUpper(const BulkWriter& w, uint64 place) {
    const HnswMetaData& meta = w.bulk->ctx->meta;
    return IdOf(meta, w.first_upper_block + static_cast<BlockNumber>(place / meta.slots),
                static_cast<int>(place % meta.slots));
}

uint32 IdInLayer(const BulkWriter& w, const BulkLayer& layer, uint64 row) {
    const uint64 node = layer.members != nullptr ? layer.members[row] : row;
    if (layer.level == 0) return IdOfNode(w, node);
    return IdOfUpper(w, w.bulk->nodes[node].first_upper + static_cast<uint64>(layer.level - 1));
}

const char* PayloadOfNode(const BulkWriter& w, uint64 node) {
    return w.payloads + node * w.bulk->ctx->form.payload_size;
}

// Each slot has its payload's parts for itself. They are numbered as they are written: those of the nodes, then those
// of the upper slots.
uint64 PayloadNumber(const BulkWriter& w, const BulkLayer& layer, uint64 row) {
    if (layer.level == 0) return row;
    const BulkNode& node = w.bulk->nodes[layer.members[row]];
    return w.bulk->nodes.size + node.first_upper + static_cast<uint64>(layer.level - 1);
}

PartRefData PartOfPayload(const BulkWriter& w, uint64 payload, int number) {
    const HnswMetaData& meta = w.bulk->ctx->meta;
    const uint64 place = payload * meta.part_count + static_cast<uint64>(number);
    return {static_cast<uint32>(w.first_part_block * static_cast<uint64>(meta.parts) + place), 0};
}

void ReportCompute(int64 done, int64 total, void*) {
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, total);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
}

ComputeOptions OptionsOf(const BulkBuild& bulk, bool progress) {
    ComputeOptions options;
    options.threads = ComputeThreads(bulk.heap);
    if (progress) options.progress = ReportCompute;
    return options;
}

// ---- collecting ------------------------------------------------------------------

void Rehash(BulkBuild* bulk, uint64 places) {
    if (bulk->table != nullptr) pfree(bulk->table);
    bulk->table = bulk->arena.Allocate<uint32>(places);
    bulk->places = places;
    memset(bulk->table, 0, places * sizeof(uint32));
    for (uint64 i = 0; i < bulk->nodes.size; ++i) {
        uint64 at = bulk->nodes[i].hash & (places - 1);
        while (bulk->table[at] != 0)
            at = (at + 1) & (places - 1);
        bulk->table[at] = static_cast<uint32>(i + 1);
    }
}

// Makes room for one node more; false when the limit is reached.
bool MakeRoom(BulkBuild* bulk) {
    if (bulk->nodes.size == bulk->capacity) {
        const int threads = ComputeThreads(bulk->heap);
        uint64 grown = bulk->capacity + bulk->capacity / 2 + 1024;
        while (grown > bulk->capacity && HnswBulkMemory(bulk->ctx->meta, grown, threads) > bulk->memory_limit)
            grown = bulk->capacity + (grown - bulk->capacity) / 2;
        if (grown == bulk->capacity || grown >= kInvalidId) return false;
        bulk->vectors = static_cast<float*>(repalloc_huge(bulk->vectors, grown * bulk->dim * sizeof(float)));
        bulk->capacity = grown;
    }
    if ((bulk->nodes.size + 1) * 2 > bulk->places) Rehash(bulk, bulk->places * 2);
    return true;
}

// ---- writing ---------------------------------------------------------------------

void BuildGraph(BulkWriter* w, BulkLayer* layer, uint32* entry) {
    BulkBuild* bulk = w->bulk;
    const uint64 lists = layer->count * bulk->ctx->meta.max_edges;
    layer->neighbours = bulk->arena.Allocate<uint32>(lists);
    layer->degrees = bulk->arena.Allocate<uint16>(layer->count);
    GraphBuildTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.vectors = layer->vectors;
    task.count = static_cast<int64>(layer->count);
    task.dim = bulk->ctx->meta.dim;
    task.metric = bulk->ctx->form.metric;
    task.max_degree = bulk->ctx->meta.max_edges;
    task.seed = 1;
    task.neighbours = layer->neighbours;
    task.degrees = layer->degrees;
    RunCompute(ComputeTask::kGraphBuild, &task, OptionsOf(*bulk, layer->level == 0));
    *entry = task.entry;
}

// Encodes all payloads, and rotates all vectors in place.
void EncodePayloads(BulkWriter* w) {
    BulkBuild* bulk = w->bulk;
    const HnswContext& ctx = *bulk->ctx;
    w->payloads = bulk->arena.Allocate<char>(bulk->nodes.size * ctx.form.payload_size);
    IndexedVector value;
    value.Init(&bulk->arena, ctx.form);
    for (uint64 i = 0; i < bulk->nodes.size; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        float* vector = bulk->vectors + i * bulk->dim;
        memcpy(value.plain, vector, bulk->dim * sizeof(float));
        HnswRotate(ctx.form, &value);
        HnswEncodePayload(ctx.form, &value);
        memcpy(w->payloads + i * ctx.form.payload_size, value.payload, ctx.form.payload_size);
        memcpy(vector, value.vector, bulk->dim * sizeof(float));
    }
}

// Puts in place of each vector what its payload says: codes are relative to that.
void TakePayloads(BulkWriter* w) {
    BulkBuild* bulk = w->bulk;
    const VectorForm& form = bulk->ctx->form;
    for (uint64 i = 0; i < bulk->nodes.size; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        const char* payload = w->payloads + i * form.payload_size;
        if (!HnswIsExact(payload)) HnswDecode(form, payload, bulk->vectors + i * bulk->dim);
    }
}

void EncodeChunk(BulkWriter* w, BulkLayer* layer, uint64 count) {
    const HnswContext& ctx = *w->bulk->ctx;
    GraphEncodeTask task;
    task.vectors = layer->vectors;
    task.neighbours = layer->neighbours;
    task.degrees = layer->degrees;
    task.max_degree = ctx.meta.max_edges;
    task.shape = ctx.form.shape;
    task.metric = ctx.form.code_metric();
    task.first = static_cast<int64>(layer->first);
    task.count = static_cast<int64>(count);
    task.edges = layer->edges;
    task.codes = layer->codes;
    RunCompute(ComputeTask::kGraphEncode, &task, OptionsOf(*w->bulk, false));
}

// Fills the zeroed slot of a row of the layer's chunk.
void FillSlot(const BulkWriter& w, const BulkLayer& layer, uint64 row, const SlotView& slot) {
    const HnswMetaData& meta = w.bulk->ctx->meta;
    const uint64 node = layer.members != nullptr ? layer.members[row] : row;
    const BulkNode& n = w.bulk->nodes[node];
    SlotHeaderData* header = slot.header;
    header->state = static_cast<uint8>(SlotState::kLive);
    header->level = static_cast<uint8>(layer.level);
    header->edge_count = layer.degrees[row];
    header->tid_chain = kInvalidId;
    header->up = layer.level < n.level ? IdOfUpper(w, n.first_upper + static_cast<uint64>(layer.level)) : kInvalidId;
    header->down = kInvalidId;
    if (layer.level == 1) header->down = IdOfNode(w, node);
    if (layer.level > 1) header->down = IdOfUpper(w, n.first_upper + static_cast<uint64>(layer.level - 2));
    if (layer.level == 0) {
        slot.tids[0].tid = n.tid;
        header->tid_count = 1;
        header->hash = n.value_hash;
    }
    memcpy(slot.payload, PayloadOfNode(w, node), meta.payload_size);
    for (int i = 0; i < meta.part_count; ++i)
        slot.parts[i] = PartOfPayload(w, PayloadNumber(w, layer, row), i);
    const uint64 from = (row - layer.first) * meta.max_edges;
    for (int e = 0; e < header->edge_count; ++e) {
        CodedEdge* edge = &slot.edges[e];
        *edge = layer.edges[from + static_cast<uint64>(e)];
        edge->id = IdInLayer(w, layer, layer.neighbours[row * meta.max_edges + static_cast<uint64>(e)]);
        edge->generation = 0;
        edge->reserved = 0;
    }
    memcpy(slot.codes, layer.codes + from * meta.code_size, static_cast<size_t>(header->edge_count) * meta.code_size);
}

// Adds a page to the index that `fill(page)` fills in, `used` of its `room` places; lists it when it has free ones.
template <class Fill>
void AddPage(const HnswContext& ctx, PageKind kind, int used, int room, Fill fill) {
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

// Adds a page of slots, `used` of which `fill(i, slot)` fills in.
template <class Fill>
void WritePage(const HnswContext& ctx, PageKind kind, int used, Fill fill) {
    AddPage(ctx, kind, used, ctx.meta.slots, [&](Page page) {
        for (int i = 0; i < used; ++i)
            fill(i, SlotAt(ctx.meta, page, i));
    });
}

void WriteNodes(BulkWriter* w, BulkLayer* layer) {
    const HnswContext& ctx = *w->bulk->ctx;
    const uint64 slots = ctx.meta.slots, edges = ctx.meta.max_edges;
    const uint64 chunk =
        Max<uint64>(kChunkBytes / (edges * (sizeof(CodedEdge) + ctx.meta.code_size)) / slots, 1) * slots;
    const uint64 room = Min(chunk, layer->count) * edges;
    layer->edges = w->bulk->arena.Allocate<CodedEdge>(room);
    layer->codes = w->bulk->arena.Allocate<char>(room * ctx.meta.code_size);
    for (layer->first = 0; layer->first < layer->count; layer->first += chunk) {
        const uint64 count = Min(chunk, layer->count - layer->first);
        EncodeChunk(w, layer, count);
        for (uint64 at = 0; at < count; at += slots) {
            CHECK_FOR_INTERRUPTS();
            const uint64 row = layer->first + at;
            WritePage(ctx, PageKind::kNode, static_cast<int>(Min(slots, count - at)),
                      [&](int i, const SlotView& slot) { FillSlot(*w, *layer, row + static_cast<uint64>(i), slot); });
            pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(row));
        }
    }
    w->bulk->arena.Release(layer->edges, room);
    w->bulk->arena.Release(layer->codes, room * ctx.meta.code_size);
}

// Fills the images of one upper layer.
void FillUppers(BulkWriter* w, BulkLayer* layer) {
    const HnswMetaData& meta = w->bulk->ctx->meta;
    const uint64 room = layer->count * meta.max_edges;
    layer->edges = w->bulk->arena.Allocate<CodedEdge>(room);
    layer->codes = w->bulk->arena.Allocate<char>(room * meta.code_size);
    layer->first = 0;
    EncodeChunk(w, layer, layer->count);
    for (uint64 row = 0; row < layer->count; ++row) {
        const uint64 place = w->bulk->nodes[layer->members[row]].first_upper + static_cast<uint64>(layer->level - 1);
        FillSlot(*w, *layer, row,
                 SlotAt(meta, reinterpret_cast<Page>(w->upper_pages + place / meta.slots * BLCKSZ),
                        static_cast<int>(place % meta.slots)));
    }
}

// Gathers the nodes of a layer above 0, with their vectors.
void GatherLayer(BulkBuild* bulk, BulkLayer* layer) {
    ArenaVec<uint32> members;
    members.Init(&bulk->arena);
    for (uint64 i = 0; i < bulk->nodes.size; ++i)
        if (bulk->nodes[i].level >= layer->level) members.Push(static_cast<uint32>(i));
    float* vectors = bulk->arena.Allocate<float>(members.size * bulk->dim);
    for (size_t i = 0; i < members.size; ++i)
        memcpy(vectors + i * bulk->dim, bulk->vectors + members[i] * bulk->dim, bulk->dim * sizeof(float));
    layer->members = members.data;
    layer->count = members.size;
    layer->vectors = vectors;
}

void SetEntry(const HnswContext& ctx, uint32 id, int level) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->entry = id;
    edit->entry_generation = 0;
    edit->entry_level = static_cast<uint16>(level);
    txn.Commit();
}

// Numbers the upper slots; returns the top layer.
int NumberUppers(BulkWriter* w) {
    int top = 0;
    w->upper_count = 0;
    for (BulkNode& node : w->bulk->nodes) {
        node.first_upper = static_cast<uint32>(w->upper_count);
        w->upper_count += node.level;
        top = Max<int>(top, node.level);
    }
    return top;
}

// Writes the layers above 0; *entry becomes the id of the top layer's entry point.
void WriteUppers(BulkWriter* w, int top, uint32* entry) {
    const HnswContext& ctx = *w->bulk->ctx;
    const uint64 slots = ctx.meta.slots, pages = (w->upper_count + slots - 1) / slots;
    w->upper_pages = w->bulk->arena.Allocate<char>(pages * BLCKSZ);
    memset(w->upper_pages, 0, pages * BLCKSZ);
    for (int level = 1; level <= top; ++level) {
        BulkLayer layer;
        memset(static_cast<void*>(&layer), 0, sizeof(layer));
        layer.level = level;
        GatherLayer(w->bulk, &layer);
        uint32 row;
        BuildGraph(w, &layer, &row);
        FillUppers(w, &layer);
        *entry = IdInLayer(*w, layer, row);
    }
    for (uint64 p = 0; p < pages; ++p) {
        CHECK_FOR_INTERRUPTS();
        const Page image = reinterpret_cast<Page>(w->upper_pages + p * BLCKSZ);
        WritePage(ctx, PageKind::kUpper, static_cast<int>(Min(slots, w->upper_count - p * slots)),
                  [&](int i, const SlotView& slot) {
                      memcpy(static_cast<void*>(slot.header), SlotAt(ctx.meta, image, i).header, ctx.meta.slot_size);
                  });
    }
}

// The node of each payload, by its number.
uint32* NodesOfPayloads(BulkWriter* w) {
    const BulkBuild& bulk = *w->bulk;
    uint32* nodes = w->bulk->arena.Allocate<uint32>(bulk.nodes.size + w->upper_count);
    for (uint64 i = 0; i < bulk.nodes.size; ++i) {
        nodes[i] = static_cast<uint32>(i);
        for (int level = 0; level < bulk.nodes[i].level; ++level)
            nodes[bulk.nodes.size + bulk.nodes[i].first_upper + static_cast<uint64>(level)] = static_cast<uint32>(i);
    }
    return nodes;
}

// Writes the parts of all payloads, one payload's side by side.
void WriteParts(BulkWriter* w) {
    const HnswContext& ctx = *w->bulk->ctx;
    const HnswMetaData& meta = ctx.meta;
    if (meta.part_count == 0) return;
    const uint32* nodes = NodesOfPayloads(w);
    const uint64 count = (w->bulk->nodes.size + w->upper_count) * meta.part_count, room = meta.parts;
    for (uint64 from = 0; from < count; from += room) {
        CHECK_FOR_INTERRUPTS();
        const uint64 used = Min(room, count - from);
        AddPage(ctx, PageKind::kPart, static_cast<int>(used), meta.parts, [&](Page page) {
            for (uint64 i = 0; i < used; ++i) {
                const uint64 at = from + i;
                HnswFillPart(ctx.form, meta, PayloadOfNode(*w, nodes[at / meta.part_count]),
                             static_cast<int>(at % meta.part_count), PartAt(meta, page, static_cast<int>(i)));
            }
        });
    }
}

void WriteMoreRows(BulkWriter* w) {
    const HnswContext& ctx = *w->bulk->ctx;
    for (const BulkRow& row : w->bulk->more_rows) {
        CHECK_FOR_INTERRUPTS();
        if (!HnswAppendTid(ctx, IdOfNode(*w, row.node), 0, {row.tid, PayloadOfNode(*w, row.node), row.value_hash}))
            elog(ERROR, "a node of index \"%s\" has vanished during its build", RelationGetRelationName(ctx.index));
    }
}

}  // namespace

uint64 HnswBulkMemory(const HnswMetaData& meta, uint64 count, int threads) {
    const uint64 lists = meta.max_edges * sizeof(uint32) + sizeof(uint16);
    const uint64 payload = PayloadSize(static_cast<PayloadKind>(meta.payload), meta.dim);
    const uint64 node = meta.dim * sizeof(float) + payload + lists + 2 * sizeof(BulkNode) + 4 * sizeof(uint32);
    const uint64 codes = count * meta.max_edges * (sizeof(CodedEdge) + meta.code_size);
    return count * node +
           GraphBuildMemory(static_cast<int64>(count), meta.dim, meta.max_edges, threads,
                            static_cast<Metric>(meta.metric)) +
           Min(codes, kChunkBytes);
}

void HnswBulkInit(BulkBuild* bulk, HnswContext* ctx, Relation heap, uint64 memory_limit, uint64 expected) {
    memset(static_cast<void*>(bulk), 0, sizeof(*bulk));
    bulk->ctx = ctx;
    bulk->heap = heap;
    bulk->memory = CurrentMemoryContext;
    bulk->arena = MakeArena(bulk->memory);
    bulk->memory_limit = memory_limit;
    bulk->dim = static_cast<size_t>(ctx->meta.dim);
    bulk->nodes.Init(&bulk->arena);
    bulk->more_rows.Init(&bulk->arena);
    const int threads = ComputeThreads(heap);
    bulk->capacity = Max<uint64>(expected, 1024);
    while (bulk->capacity > 1 && HnswBulkMemory(ctx->meta, bulk->capacity, threads) > memory_limit)
        bulk->capacity /= 2;
    bulk->vectors = bulk->arena.Allocate<float>(bulk->capacity * bulk->dim);
    Rehash(bulk, 1024);
}

bool HnswBulkAdd(BulkBuild* bulk, const IndexedVector& value, ItemPointer tid) {
    if (!std::isfinite(value.norm) || !MakeRoom(bulk)) return false;
    const size_t bytes = bulk->dim * sizeof(float);
    const uint32 hash = HnswHash(value.plain, bulk->dim);
    uint64 at = hash & (bulk->places - 1);
    for (; bulk->table[at] != 0; at = (at + 1) & (bulk->places - 1)) {
        const uint32 node = bulk->table[at] - 1;
        if (bulk->nodes[node].hash != hash || memcmp(bulk->vectors + node * bulk->dim, value.plain, bytes) != 0)
            continue;
        bulk->more_rows.Push({node, *tid, value.hash});
        return true;
    }
    memcpy(bulk->vectors + bulk->nodes.size * bulk->dim, value.plain, bytes);
    bulk->table[at] = static_cast<uint32>(bulk->nodes.size + 1);
    bulk->nodes.Push({hash, *tid, value.hash, static_cast<uint8>(HnswRandomLevel()), 0});
    bulk->least_norm = bulk->nodes.size == 1 ? value.norm : Min(bulk->least_norm, value.norm);
    bulk->largest_norm = Max(bulk->largest_norm, value.norm);
    return true;
}

bool HnswBulkSuits(const BulkBuild& bulk) {
    constexpr double kEqualLengths = 1.05;
    return bulk.ctx->form.metric != Metric::kInnerProduct || bulk.largest_norm <= kEqualLengths * bulk.least_norm;
}

void HnswBulkEach(BulkBuild* bulk, void (*take)(void* arg, const float* plain, const BulkRow& row), void* arg) {
    for (uint64 i = 0; i < bulk->nodes.size; ++i)
        take(arg, bulk->vectors + i * bulk->dim,
             {static_cast<uint32>(i), bulk->nodes[i].tid, bulk->nodes[i].value_hash});
    for (const BulkRow& row : bulk->more_rows)
        take(arg, bulk->vectors + row.node * bulk->dim, row);
}

void HnswBulkWrite(BulkBuild* bulk) {
    if (bulk->nodes.empty()) return;
    BulkWriter w;
    memset(static_cast<void*>(&w), 0, sizeof(w));
    w.bulk = bulk;
    const int top = NumberUppers(&w);
    w.first_upper_block =
        kMetaBlock + 1 +
        static_cast<BlockNumber>((bulk->nodes.size + bulk->ctx->meta.slots - 1) / bulk->ctx->meta.slots);
    w.first_part_block = w.first_upper_block +
                         static_cast<BlockNumber>((w.upper_count + bulk->ctx->meta.slots - 1) / bulk->ctx->meta.slots);
    BulkLayer layer;
    memset(static_cast<void*>(&layer), 0, sizeof(layer));
    layer.count = bulk->nodes.size;
    layer.vectors = bulk->vectors;
    uint32 entry;
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseGraph);
    EncodePayloads(&w);
    BuildGraph(&w, &layer, &entry);
    TakePayloads(&w);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kHnswPhaseWrite);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(layer.count));
    WriteNodes(&w, &layer);
    entry = IdOfNode(w, entry);
    WriteUppers(&w, top, &entry);
    WriteParts(&w);
    WriteMoreRows(&w);
    SetEntry(*bulk->ctx, entry, top);
}

}  // namespace vecann

// The bulk build: collecting distinct vectors, building each layer's graph in vecann_compute.so, writing the pages.
// Holds no lock while it computes; each page is written under its own exclusive lock.
#include "hnsw/hnsw_bulk.h"

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_tids.h"

namespace vecann {

namespace {

// A build by fewer threads reckons with so many, so that its partitions, and the index, are the same.
constexpr int kUsualThreads = 8;

// Edges are encoded and written in chunks of about so many bytes, or of an eighth of the memory.
constexpr uint64 kChunkBytes = 64 * 1024 * 1024, kLeastChunkBytes = 1024 * 1024;
// Of layer 0 in so many chunks at least, of so many rows at least: the first and the last keep nobody else busy.
constexpr uint64 kChunks = 16, kLeastChunkRows = 4096;

// ---- collecting ------------------------------------------------------------------

void Rehash(BulkBuild* bulk, uint64 places) {
    if (bulk->table != nullptr) pfree(bulk->table);
    bulk->table = bulk->arena.Allocate<uint32>(places);
    bulk->places = places;
    memset(bulk->table, 0, places * sizeof(uint32));
    for (uint64 i = 0; i < bulk->nodes.size; ++i) {
        if (i % kRowsBetweenLooks == 0) CHECK_FOR_INTERRUPTS();
        uint64 at = bulk->nodes[i].hash & (places - 1);
        while (bulk->table[at] != 0)
            at = (at + 1) & (places - 1);
        bulk->table[at] = static_cast<uint32>(i + 1);
    }
}

// Makes room for one node more; false when the limit is reached.
bool MakeRoom(BulkBuild* bulk) {
    if (bulk->nodes.size == bulk->capacity) {
        uint64 grown = bulk->capacity + bulk->capacity / 2 + 1024;
        while (grown > bulk->capacity && !HnswBulkFits(bulk->jobs, grown, bulk->memory_limit))
            grown = bulk->capacity + (grown - bulk->capacity) / 2;
        if (grown == bulk->capacity || grown >= kInvalidId) return false;
        bulk->vectors = static_cast<float*>(repalloc_huge(bulk->vectors, grown * bulk->dim * sizeof(float)));
        bulk->capacity = grown;
    }
    if ((bulk->nodes.size + 1) * 2 > bulk->places) Rehash(bulk, bulk->places * 2);
    return true;
}

// ---- writing ---------------------------------------------------------------------

// Encodes all payloads, and puts in place of each vector what its payload says: codes are relative to that.
char* EncodePayloads(BulkBuild* bulk) {
    const VectorForm& form = bulk->jobs.ctx->form;
    const uint64 count = bulk->nodes.size;
    char* payloads = bulk->arena.Allocate<char>(count * form.payload_size);
    uint32* hashes = bulk->arena.Allocate<uint32>(count);
    for (uint64 i = 0; i < count; ++i)
        hashes[i] = bulk->nodes[i].hash;
    PayloadEncodeTask task = {form.rule(), bulk->vectors, static_cast<int64>(count), hashes, payloads};
    RunCompute(ComputeTask::kPayloadEncode, &task, bulk->jobs.Options());
    bulk->arena.Release(hashes, count);
    return payloads;
}

// Coded lists on their way to the pages.
struct Chunk {
    const BulkBuild* bulk;
    const BulkSlots* slots;
    const BulkLayer* layer;
    uint64 count;  // 0: nothing to write
    char* image;   // of a page's slots
};

void WriteChunk(Chunk* chunk) {
    const HnswContext& ctx = *chunk->bulk->jobs.ctx;
    const uint64 page_rows = ctx.meta.slots, slot_size = ctx.meta.slot_size, count = chunk->count;
    chunk->count = 0;
    for (uint64 at = 0; at < count; at += page_rows) {
        const uint64 place = chunk->layer->first + at, used = Min(page_rows, count - at);
        memset(chunk->image, 0, page_rows * slot_size);
        for (uint64 i = 0; i < used; ++i)
            BulkFillSlot(ctx, *chunk->slots, *chunk->layer, place + i,
                         SlotOver(ctx.meta, chunk->image + i * slot_size));
        BulkWriteImages(ctx, PageKind::kNode, chunk->image, used);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(place));
    }
}

// While a job runs.
void WriteMeanwhile(int64, int64, void* chunk) {
    WriteChunk(static_cast<Chunk*>(chunk));
}

// Of two chunks, one is written while the other is being encoded.
void WriteNodes(BulkBuild* bulk, const BulkSlots& nodes, const BulkLayer& layer) {
    const HnswContext& ctx = *bulk->jobs.ctx;
    const uint64 most = Max<uint64>(BulkChunkRows(bulk->jobs) / ctx.meta.slots / 2, 1);
    const uint64 wish = Max(layer.count / kChunks, kLeastChunkRows) / ctx.meta.slots;
    const uint64 rows = Min(Min(most, wish) * ctx.meta.slots, layer.count), room = rows * ctx.meta.max_edges;
    BulkLayer halves[2] = {layer, layer};
    for (BulkLayer& half : halves) {
        half.edges = bulk->arena.Allocate<CodedEdge>(room);
        half.codes = bulk->arena.Allocate<char>(room * ctx.meta.code_size);
    }
    Chunk ready = {bulk, &nodes, nullptr, 0, bulk->arena.Allocate<char>(ctx.meta.slots * ctx.meta.slot_size)};
    ComputeOptions options = bulk->jobs.Options();
    options.progress = WriteMeanwhile;
    options.progress_arg = &ready;
    BulkLayer* next = &halves[0];
    for (uint64 first = 0; first < layer.count; first += rows, next = next == halves ? &halves[1] : halves) {
        next->first = first;
        BulkEncode(bulk->jobs, next, Min(rows, layer.count - first), options);
        WriteChunk(&ready);  // a short job ends before it is looked at
        ready.layer = next;
        ready.count = Min(rows, layer.count - first);
    }
    WriteChunk(&ready);
    for (BulkLayer& half : halves) {
        bulk->arena.Release(half.edges, room);
        bulk->arena.Release(half.codes, room * ctx.meta.code_size);
    }
}

// The node of each slot, by its number.
const uint32* NodesOfSlots(BulkBuild* bulk, const BulkSlots& slots) {
    const BulkLayout& layout = slots.layout;
    uint32* nodes = bulk->arena.Allocate<uint32>(layout.nodes + layout.uppers);
    for (uint64 i = 0; i < bulk->nodes.size; ++i) {
        nodes[slots.Number(i)] = static_cast<uint32>(i);
        for (int level = 0; level < bulk->nodes[i].level; ++level)
            nodes[layout.nodes + bulk->nodes[i].first_upper + static_cast<uint64>(level)] = static_cast<uint32>(i);
    }
    return nodes;
}

// Where each row of an order stands in it.
const uint32* PlacesOf(Arena* arena, const uint32* order, uint64 count) {
    uint32* places = arena->Allocate<uint32>(count);
    for (uint64 i = 0; i < count; ++i)
        places[order[i]] = static_cast<uint32>(i);
    return places;
}

void WriteMoreRows(const BulkBuild& bulk, const BulkSlots& nodes) {
    const HnswContext& ctx = *bulk.jobs.ctx;
    for (size_t i = 0; i < bulk.more_rows.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        const BulkRow& row = bulk.more_rows[i];
        const NewRow fresh = {row.tid, nodes.payloads + row.node * ctx.form.payload_size, row.value_hash};
        BulkAppendRow(ctx, nodes.layout.IdOfNode(nodes.Number(row.node)), fresh);
    }
}

void PlantRows(BulkBuild* bulk, const BulkSlots& nodes) {
    HnswContext* ctx = bulk->jobs.ctx;
    const VectorForm& form = ctx->form;
    if (!HnswPlantsRows(*ctx)) return;
    HnswBeginPhase(kHnswPhaseRows, nodes.count);
    RowsAtHand::Row* rows = bulk->arena.Allocate<RowsAtHand::Row>(nodes.count + bulk->more_rows.size);
    float* errors = bulk->arena.Allocate<float>(nodes.count);
    uint64 count = 0;
    for (uint64 i = 0; i < nodes.count; ++i) {
        if (i % kRowsBetweenLooks == 0) CHECK_FOR_INTERRUPTS();
        const char* payload = nodes.payloads + i * form.payload_size;
        errors[i] = HnswIsExact(payload) ? 0 : PayloadErrorOf(*ctx->desc, form.payload, form.dim, payload).error;
        rows[count++] = {nodes.nodes[i].tid, static_cast<uint32>(i)};
    }
    for (const BulkRow& row : bulk->more_rows)
        rows[count++] = {row.tid, row.node};
    HnswPlantRowsAtHand(ctx, {rows, count, nodes.vectors, errors, nodes.count, bulk->jobs.Options()});
}

}  // namespace

void BulkAppendRow(const HnswContext& ctx, uint32 id, const NewRow& row) {
    if (!HnswAppendTid(ctx, id, 0, row))
        elog(ERROR, "a node of index \"%s\" has vanished during its build", RelationGetRelationName(ctx.index));
}

uint64 BulkChunkBytes(uint64 memory_limit) {
    return Min(Max(memory_limit / 8, kLeastChunkBytes), kChunkBytes);
}

uint64 HnswBulkMemory(const BulkJobs& jobs, uint64 count) {
    const HnswMetaData& meta = jobs.ctx->meta;
    const uint64 lists = meta.max_edges * sizeof(uint32) + sizeof(uint16);
    const uint64 node =
        meta.dim * sizeof(float) + jobs.ctx->form.payload_size + lists + 2 * sizeof(BulkNode) + 4 * sizeof(uint32);
    const uint64 codes = count * meta.max_edges * (sizeof(CodedEdge) + sizeof(float) + meta.code_size);
    return count * node +
           GraphBuildMemory(static_cast<int64>(count), meta.dim, meta.max_edges, Max(jobs.threads, kUsualThreads),
                            static_cast<Metric>(meta.metric)) +
           Min(codes, jobs.chunk_bytes) + (HnswPlantsRows(*jobs.ctx) ? count * kRowAtHandBytes : 0);
}

bool HnswBulkFits(const BulkJobs& jobs, uint64 count, uint64 memory_limit) {
    return count <= kLeastBulkNodes || HnswBulkMemory(jobs, count) <= memory_limit;
}

void HnswBulkInit(BulkBuild* bulk, const BulkJobs& jobs, uint64 memory_limit, uint64 expected) {
    memset(static_cast<void*>(bulk), 0, sizeof(*bulk));
    bulk->jobs = jobs;
    bulk->arena = MakeArena(CurrentMemoryContext);
    bulk->memory_limit = memory_limit;
    bulk->dim = static_cast<size_t>(jobs.ctx->meta.dim);
    bulk->nodes.Init(&bulk->arena);
    bulk->more_rows.Init(&bulk->arena);
    bulk->capacity = Max<uint64>(expected, kLeastBulkNodes);
    while (!HnswBulkFits(jobs, bulk->capacity, memory_limit))
        bulk->capacity /= 2;
    bulk->vectors = bulk->arena.Allocate<float>(bulk->capacity * bulk->dim);
    Rehash(bulk, 1024);
}

bool HnswBulkAdd(BulkBuild* bulk, const IndexedVector& value, ItemPointer tid) {
    if (!MakeRoom(bulk)) return false;
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
    bulk->nodes.Push({hash, *tid, value.hash, static_cast<uint8>(BulkLevel(bulk->jobs.seed, bulk->nodes.size)), 0});
    bulk->least_norm = bulk->nodes.size == 1 ? value.norm : Min(bulk->least_norm, value.norm);
    bulk->largest_norm = Max(bulk->largest_norm, value.norm);
    return true;
}

bool HnswBulkSuits(const BulkBuild& bulk) {
    constexpr double kEqualLengths = 1.05;
    return bulk.jobs.ctx->form.metric != Metric::kInnerProduct || bulk.largest_norm <= kEqualLengths * bulk.least_norm;
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
    bulk->arena.Release(bulk->table, bulk->places);
    bulk->table = nullptr;
    const HnswContext& ctx = *bulk->jobs.ctx;
    uint64 uppers = 0;
    for (BulkNode& node : bulk->nodes) {
        node.first_upper = static_cast<uint32>(uppers);
        uppers += node.level;
    }
    BulkSlots nodes;
    nodes.layout.Init(&ctx.meta, bulk->nodes.size, uppers);
    BulkLayer layer;
    memset(static_cast<void*>(&layer), 0, sizeof(layer));
    layer.count = bulk->nodes.size;
    layer.vectors = bulk->vectors;
    layer.order = bulk->arena.Allocate<uint32>(layer.count);
    ComputeOptions options = bulk->jobs.Options();
    options.progress = ReportIndexProgress;
    HnswBeginPhase(kHnswPhaseGraph, 0);
    nodes.payloads = EncodePayloads(bulk);
    const uint32 middle = BulkBuildGraph(bulk->jobs, &bulk->arena, &layer, options);
    nodes.nodes = bulk->nodes.data;
    nodes.count = bulk->nodes.size;
    nodes.numbers = PlacesOf(&bulk->arena, layer.order, layer.count);
    nodes.vectors = bulk->vectors;
    HnswBeginPhase(kHnswPhaseWrite, layer.count);
    WriteNodes(bulk, nodes, layer);
    int top;
    uint32 entry = BulkWriteUppers(bulk->jobs, &bulk->arena, nodes, &top);
    if (entry == kInvalidId) entry = nodes.layout.IdOfNode(nodes.Number(middle));
    const uint32* node_of = ctx.meta.part_count > 0 ? NodesOfSlots(bulk, nodes) : nullptr;
    BulkWriteParts(ctx, nodes.layout,
                   [&](uint64 slot) { return nodes.payloads + node_of[slot] * ctx.form.payload_size; });
    WriteMoreRows(*bulk, nodes);
    BulkSetEntry(ctx, entry, top);
    PlantRows(bulk, nodes);
}

}  // namespace vecann

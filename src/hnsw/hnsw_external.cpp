// The build through temporary files: rows to nodes, partition by partition, and what is written around the node pages.
// See hnsw_external.h.
#include "hnsw/hnsw_external.h"

#include "core/bit_set.h"
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_bulk.h"
#include "hnsw/hnsw_link.h"

namespace vecann {

uint64 ExternalBuild::node_record() const {
    return sizeof(NodeRecord) + payload_size;
}

uint64 ExternalCapacity(const BulkJobs& jobs, uint64 memory_limit) {
    uint64 fits = kLeastBulkNodes, beyond = kInvalidId;
    while (fits + 1 < beyond) {
        const uint64 middle = fits + (beyond - fits) / 2;
        (HnswBulkFits(jobs, middle, memory_limit) ? fits : beyond) = middle;
    }
    return fits;
}

void ExternalInit(ExternalBuild* build, const BulkJobs& jobs, uint64 memory_limit) {
    memset(static_cast<void*>(build), 0, sizeof(*build));
    build->jobs = jobs;
    build->memory = CurrentMemoryContext;
    build->step = AllocSetContextCreate(build->memory, "hnsw build step", ALLOCSET_DEFAULT_SIZES);
    build->arena = MakeArena(build->memory);
    build->memory_limit = memory_limit;
    build->dim = static_cast<size_t>(jobs.ctx->meta.dim);
    build->payload_size = jobs.ctx->form.payload_size;
    build->uppers.Init(&build->arena);
    build->upper_numbers.Init(&build->arena);
    build->rows.Create();
}

void ExternalAdd(ExternalBuild* build, IndexedVector* value, ItemPointer tid) {
    HnswRotate(build->jobs.ctx->form, value);
    HnswEncodePayload(build->jobs.ctx->form, value);
    build->rows.Put(RowHead{*tid, value->hash});
    build->rows.Write(value->payload, build->payload_size);
    ++build->row_count;
}

namespace {

// ---- numbering the nodes -------------------------------------------------------------

// The distinct payloads of one partition, found by hash.
struct Distinct {
    ExternalBuild* build;
    Arena arena;
    ArenaVec<char> payloads;
    ArenaVec<uint32> hashes;
    uint32* table;  // open addressing: number + 1, 0 for an empty place
    uint64 places;  // a power of two

    // Room for so many, as far as a partition should have, is taken at once: growing would take the double. Of more
    // rows most are equal.
    void Init(ExternalBuild* of, uint64 most) {
        build = of;
        most = Min(most, of->capacity);
        arena = MakeArena(of->step);
        payloads.Init(&arena, most * of->payload_size);
        hashes.Init(&arena, most);
        places = 1024;
        table = arena.Allocate<uint32>(places);
        memset(table, 0, places * sizeof(uint32));
    }
    void Grow() {
        arena.Release(table, places);
        places *= 2;
        table = arena.Allocate<uint32>(places);
        memset(table, 0, places * sizeof(uint32));
        for (uint64 i = 0; i < hashes.size; ++i) {
            uint64 at = hashes[i] & (places - 1);
            while (table[at] != 0)
                at = (at + 1) & (places - 1);
            table[at] = static_cast<uint32>(i + 1);
        }
    }
    // The number of a payload; *fresh says whether it is a new one.
    uint64 Find(const char* payload, bool* fresh) {
        PayloadHeadData head;
        memcpy(&head, payload, sizeof(head));
        if ((hashes.size + 1) * 2 > places) Grow();
        uint64 at = head.hash & (places - 1);
        for (; table[at] != 0; at = (at + 1) & (places - 1)) {
            const uint64 number = table[at] - 1;
            if (hashes[number] != head.hash ||
                memcmp(payloads.data + number * build->payload_size, payload, build->payload_size) != 0)
                continue;
            *fresh = false;
            return number;
        }
        *fresh = true;
        table[at] = static_cast<uint32>(hashes.size + 1);
        hashes.Push(head.hash);
        payloads.Reserve(payloads.size + build->payload_size);
        memcpy(payloads.data + payloads.size, payload, build->payload_size);
        payloads.size += build->payload_size;
        return hashes.size - 1;
    }
};

// Has a partition room for one guest more? Where not all find it, those that do are spread evenly over them.
bool TakesGuest(ExternalBuild* build, int p) {
    const uint64 own = build->part_count[p], wish = build->guest_wish[p], seen = build->guest_seen[p]++;
    const uint64 room = build->capacity > own ? build->capacity - own : 0;
    if (build->guest_count[p] >= room) return false;
    return wish <= room || (seen + 1) * room / wish != seen * room / wish;
}

void AddNode(ExternalBuild* build, uint64 number, const NodeRecord& record, const char* payload) {
    if (number >= kInvalidId)
        elog(ERROR, "too many vectors for index \"%s\"", RelationGetRelationName(build->jobs.ctx->index));
    build->nodes.Put(record);
    build->nodes.Write(payload, build->payload_size);
    for (int i = 1; i < kMostHomes && record.homes[i] != kNoPartition; ++i) {
        if (!TakesGuest(build, record.homes[i])) continue;
        TempFile* file = &build->guests[record.homes[i]];
        file->Put(static_cast<uint32>(number));
        file->Write(payload, build->payload_size);
        ++build->guest_count[record.homes[i]];
    }
    const int level = BulkLevel(build->jobs.seed, number);
    if (level == 0) return;
    build->uppers.Push({0, record.row.tid, record.row.value_hash, static_cast<uint8>(level), 0});
    build->upper_numbers.Push(static_cast<uint32>(number));
}

// Makes nodes of a partition's rows: those of one vector share one.
void NumberPartition(ExternalBuild* build, int p) {
    TempFile* file = &build->part_rows[p];
    Distinct distinct;
    distinct.Init(build, build->part_count[p]);
    char* payload = distinct.arena.Allocate<char>(build->payload_size);
    const uint64 first = build->first_node[p];
    file->Rewind();
    for (uint64 i = 0; i < build->part_count[p]; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        const NodeRecord record = file->Get<NodeRecord>();
        file->Read(payload, build->payload_size);
        bool fresh;
        const uint64 number = first + distinct.Find(payload, &fresh);
        if (fresh) {
            AddNode(build, number, record, payload);
        } else {
            build->more_rows.Put(BulkRow{static_cast<uint32>(number), record.row.tid, record.row.value_hash});
            ++build->more_count;
        }
    }
    build->first_node[p + 1] = first + distinct.hashes.size;
    file->Close();
}

void NumberNodes(ExternalBuild* build) {
    const size_t partitions = static_cast<size_t>(build->partitions);
    build->guests = build->arena.Allocate<TempFile>(partitions);
    build->guest_count = build->arena.Allocate<uint64>(partitions);
    build->first_node = build->arena.Allocate<uint64>(partitions + 1);
    memset(build->guest_count, 0, partitions * sizeof(uint64));
    build->first_node[0] = 0;
    for (size_t p = 0; p < partitions; ++p)
        build->guests[p].Create();
    build->nodes.Create();
    build->more_rows.Create();
    HnswBeginPhase(kHnswPhaseNumber, build->row_count);
    uint64 done = 0;
    for (int p = 0; p < build->partitions; ++p) {
        NumberPartition(build, p);
        MemoryContextReset(build->step);
        done += build->part_count[p];
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(done));
    }
}

// ---- what is written beside the nodes --------------------------------------------------

void ReadNodePayload(ExternalBuild* build, uint64 node, char* payload) {
    build->nodes.Seek(node * build->node_record() + sizeof(NodeRecord));
    build->nodes.Read(payload, build->payload_size);
}

// Do the layers fit while they are built: images of their slots, a layer's own copy of its vectors?
bool UppersFit(const ExternalBuild& build) {
    const uint64 count = build.uppers.size;
    if (count <= kLeastBulkNodes) return true;
    uint64 slots = 0;
    for (const BulkNode& node : build.uppers)
        slots += node.level;
    const uint64 beside = slots * build.jobs.ctx->meta.slot_size + count * build.dim * sizeof(float);
    return beside < build.memory_limit && HnswBulkFits(build.jobs, count, build.memory_limit - beside);
}

// Takes the lowest layer away until the rest fits: they serve inserts, and an index in which the seed tree cannot be
// planted. Numbers the slots; returns how many there are.
uint64 ThinUppers(ExternalBuild* build) {
    while (!UppersFit(*build)) {
        size_t kept = 0;
        for (size_t i = 0; i < build->uppers.size; ++i) {
            if (--build->uppers[i].level == 0) continue;
            build->uppers[kept] = build->uppers[i];
            build->upper_numbers[kept++] = build->upper_numbers[i];
        }
        build->uppers.size = build->upper_numbers.size = kept;
    }
    uint64 slots = 0;
    for (BulkNode& node : build->uppers) {
        node.first_upper = static_cast<uint32>(slots);
        slots += node.level;
    }
    return slots;
}

// Writes the upper layers, and the parts of all payloads.
void WriteUppers(ExternalBuild* build, const BulkLayout& layout) {
    const HnswContext& ctx = *build->jobs.ctx;
    Arena arena = MakeArena(build->step);
    const uint64 count = build->uppers.size;
    char* payloads = arena.Allocate<char>(count * build->payload_size);
    float* vectors = arena.Allocate<float>(count * build->dim);
    for (uint64 i = 0; i < count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        ReadNodePayload(build, build->upper_numbers[i], payloads + i * build->payload_size);
        HnswDecode(ctx.form, payloads + i * build->payload_size, vectors + i * build->dim);
    }
    const BulkSlots slots = {layout, build->uppers.data, count, build->upper_numbers.data, vectors, payloads};
    int top;
    uint32 entry = BulkWriteUppers(build->jobs, &arena, slots, &top);
    if (entry == kInvalidId) entry = layout.IdOfNode(build->entry);
    char* payload = arena.Allocate<char>(build->payload_size);
    uint64 upper = 0, of_upper = 0;
    BulkWriteParts(ctx, layout, [&](uint64 slot) -> const char* {
        if (slot < layout.nodes) {
            ReadNodePayload(build, slot, payload);
            return payload;
        }
        while (slot - layout.nodes - of_upper >= build->uppers[upper].level)
            of_upper += build->uppers[upper++].level;
        return payloads + upper * build->payload_size;
    });
    BulkSetEntry(ctx, entry, top);
    MemoryContextReset(build->step);
}

void WriteMoreRows(ExternalBuild* build, const BulkLayout& layout) {
    Arena arena = MakeArena(build->step);
    char* payload = arena.Allocate<char>(build->payload_size);
    build->more_rows.Rewind();
    for (uint64 i = 0; i < build->more_count; ++i) {
        CHECK_FOR_INTERRUPTS();
        const BulkRow row = build->more_rows.Get<BulkRow>();
        ReadNodePayload(build, row.node, payload);
        BulkAppendRow(*build->jobs.ctx, layout.IdOfNode(row.node), {row.tid, payload, row.value_hash});
    }
    build->more_rows.Close();
    MemoryContextReset(build->step);
}

// ---- reachability --------------------------------------------------------------------

// Marks what can be reached from the entry by passes over the neighbours of all nodes, in their order. A partition's
// nodes lie side by side, so that few passes do.
void MarkReached(ExternalBuild* build, BitSet* reached) {
    const uint64 count = build->node_count();
    Arena arena = MakeArena(build->step);
    BitSet expanded;
    expanded.Init(&arena, count);
    uint32* row = arena.Allocate<uint32>(build->jobs.ctx->meta.max_edges);
    reached->Add(build->entry);
    for (bool more = true; more;) {
        more = false;
        build->merged.Rewind();
        for (uint64 i = 0; i < count; ++i) {
            if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
            const uint16 degree = build->merged.Get<uint16>();
            build->merged.Read(row, degree * sizeof(uint32));
            if (!reached->Has(i) || expanded.Has(i)) continue;
            expanded.Add(i);
            for (int e = 0; e < degree; ++e) {
                more |= !reached->Has(row[e]);
                reached->Add(row[e]);
            }
        }
    }
}

// Links the nodes that the merge has cut off, which are few.
void LinkLost(ExternalBuild* build, const BulkLayout& layout) {
    HnswContext* ctx = build->jobs.ctx;
    Arena arena = MakeArena(build->memory);
    BitSet reached;
    reached.Init(&arena, build->node_count());
    HnswBeginPhase(kHnswPhaseReach, build->node_count());
    MarkReached(build, &reached);
    build->merged.Close();
    MemoryContextReset(build->step);
    uint64 lost = 0;
    char* payload = arena.Allocate<char>(build->payload_size);
    float* vector = arena.Allocate<float>(build->dim);
    for (uint64 i = 0; i < build->node_count(); ++i) {
        if (reached.Has(i)) continue;
        CHECK_FOR_INTERRUPTS();
        ++lost;
        ReadNodePayload(build, i, payload);
        HnswDecode(ctx->form, payload, vector);
        HnswRelinkSlot(ctx, 0, {layout.IdOfNode(i), 0, vector});
        MemoryContextReset(ctx->memory);
        ctx->arena = MakeArena(ctx->memory);
    }
    elog(DEBUG1, "hnsw build: linked %llu nodes that the merge had cut off", static_cast<unsigned long long>(lost));
}

}  // namespace

void ExternalWrite(ExternalBuild* build) {
    if (build->row_count == 0) return;
    ExternalDivide(build);
    NumberNodes(build);
    uint64 guests = 0, wished = 0;
    for (int p = 0; p < build->partitions; ++p) {
        guests += build->guest_count[p];
        wished += build->guest_seen[p];
    }
    elog(DEBUG1, "hnsw build: %d partitions of %llu nodes and %llu guests, without %llu that found no room",
         build->partitions, static_cast<unsigned long long>(build->node_count()),
         static_cast<unsigned long long>(guests), static_cast<unsigned long long>(wished - guests));
    ExternalBuildPartitions(build);
    BulkLayout layout;
    layout.Init(&build->jobs.ctx->meta, build->node_count(), ThinUppers(build));
    HnswBeginPhase(kHnswPhaseWrite, layout.nodes);
    ExternalMerge(build, layout);
    WriteUppers(build, layout);
    WriteMoreRows(build, layout);
    LinkLost(build, layout);
    build->nodes.Close();
}

}  // namespace vecann

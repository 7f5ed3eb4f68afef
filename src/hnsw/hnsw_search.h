// Reading the graph: probing slots, descending the layers, searching one layer. See README.md, "Search".
//
// Nothing here holds a lock between calls. All structs are trivially destructible: a longjmp over a search leaks
// nothing, their memory belongs to the context that HnswContext was opened with.
#pragma once

#include "core/beam.h"
#include "core/visited_set.h"
#include "hnsw/hnsw_page.h"
#include "pg/memory.h"

namespace vecann {

// What a search, an insert and a vacuum share. `meta` is a copy, refreshed by each descent.
struct HnswContext {
    Relation index;
    HnswMetaData meta;
    const OpClassDesc* desc;
    PayloadDistance distance;
    WriteMode mode;
    MemoryContext memory;  // for everything that lives as long as one search or insert
    Arena arena;           // over `memory`
    BufferAccessStrategy strategy;
    Snapshot snapshot;  // of a scan; null otherwise
};

// Reads the meta page and fills the context. `memory` must outlive it.
void HnswOpen(HnswContext* ctx, Relation index, WriteMode mode, MemoryContext memory);

constexpr int kAnyGeneration = -1;

struct ProbedSlot {
    float distance;  // to the query; 0 without one
    uint32 generation;
    uint32 up, down;
    SlotState state;
    uint8 level;
    bool has_rows;            // a node with at least one TID that is not known dead
    void* payload = nullptr;  // set by the caller: where a copy of the payload goes, if anywhere
};

// Reads one slot under a share lock: distance of its payload to `query` (may be null), state, links, and a copy of the
// payload where out->payload says so. False when the slot is free or its generation's low 8 bits differ from
// `generation` (kAnyGeneration: not compared).
bool HnswProbe(const HnswContext& ctx, uint32 id, PageKind kind, int generation, const void* query, ProbedSlot* out);

// Copies the edges of a slot (room for MaxEdges) under a share lock; -1 when its generation is no longer `generation`.
int HnswReadEdges(const HnswContext& ctx, uint32 id, PageKind kind, uint32 generation, EdgeData* edges);

// Greedy descent from the entry point to layer `*level`, or to the entry point's own layer if that is lower; *level
// becomes the layer reached, *at the nearest slot found there. Refreshes ctx->meta. False when the index is empty.
bool HnswDescend(HnswContext* ctx, const void* query, int* level, BeamEntry* at);

enum class LiveRule : uint8 {
    kNotDeleted,  // for inserts, repair, and scans to whom killed entries may be visible
    kWithRows,    // for other scans: nodes that have rows to return
};

// A beam search in one layer. Init, Seed, then Settle; for resumable searches PopFront and Settle again.
struct LayerSearch {
    HnswContext* ctx;
    const void* query;
    PageKind kind;
    LiveRule rule;
    Beam beam;
    VisitedSet visited;
    EdgeData* edges;
    uint64 expanded;
    uint64 distances;

    void Init(HnswContext* context, const void* query_payload, int level, uint32 ef, LiveRule live_rule,
              bool resumable);
    // Adds a start; false when its slot was recycled meanwhile (then descend again).
    bool Seed(const BeamEntry& entry);
    // Expands until every slot in the pool is expanded or the arena holds more than `memory_limit` bytes (0: no limit);
    // false in the latter case. Cancellable.
    bool Settle(size_t memory_limit);

  private:
    void Expand(const BeamEntry& entry);
    bool IsLive(const ProbedSlot& slot) const;
};

static_assert(std::is_trivially_destructible_v<LayerSearch> && std::is_trivially_destructible_v<HnswContext>);

// One more than the largest id the index can have at its present size.
uint64 HnswIdSpace(const HnswContext& ctx);

}  // namespace vecann

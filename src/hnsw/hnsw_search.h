// Reading the graph: probing slots, descending the layers, searching one layer. See README.md, "Search".
//
// Nothing here holds a lock between calls. All structs are trivially destructible: a longjmp over a search leaks
// nothing, their memory belongs to the context that HnswContext was opened with.
#pragma once

#include "core/beam.h"
#include "core/visited_set.h"
#include "hnsw/hnsw_vector.h"
#include "pg/memory.h"
#include "planner/vector_search.h"

namespace vecann {

struct SlotParts;  // hnsw_parts.h
class Admission;   // hnsw_admission.h

// What a search, an insert and a vacuum share. `meta` is a copy, refreshed by each descent.
struct HnswContext {
    Relation index;
    HnswMetaData meta;
    const OpClassDesc* desc;
    VectorForm form;
    WriteMode mode;
    MemoryContext memory;  // for everything that lives as long as one search or insert
    Arena arena;           // over `memory`
    BufferAccessStrategy strategy;
    Snapshot snapshot;  // of a scan; null otherwise
    bool asks_ahead;    // for pages from the disk: not with effective_io_concurrency = 0
    uint32 descent_ef;  // size of the beam in the layers above the one that is searched
    SearchCounts counts;
};

// A narrow beam in the upper layers ends in the wrong cluster now and then, and no beam below leads out of it: on
// 100,000 x 768 vectors in many clusters recall@10 at ef_search 40 was .895 with 4 places, .945 with 16, .980 with 32
// (54, 77, 96 pages; ef_search 80 with 4 places: .951 with 94 pages).
constexpr uint32 kMaxDescentEf = 32;

// Reads the meta page and fills the context. `memory` must outlive it.
void HnswOpen(HnswContext* ctx, Relation index, WriteMode mode, MemoryContext memory);

constexpr int kAnyGeneration = -1;

struct ProbedSlot {
    uint32 generation;
    uint32 up, down;
    SlotState state;
    uint8 level;
};

// Reads one slot under a share lock; a copy of the whole payload (up to form.payload_size bytes) goes to `payload`
// unless that is null. False when the slot is free or its generation's low 8 bits differ from `generation`
// (kAnyGeneration: not compared).
bool HnswProbe(HnswContext* ctx, uint32 id, PageKind kind, int generation, ProbedSlot* out, void* payload = nullptr);

// Room for a payload that is read and soon made a vector of: the form's scratch for words.
inline char* HnswPayloadRoom(HnswContext* ctx) {
    if (ctx->form.words) return reinterpret_cast<char*>(ctx->form.scratch);
    return ctx->arena.Allocate<char>(ctx->form.payload_size);
}

// A slot's edges with their codes, in memory of an arena.
struct EdgeCopy {
    EdgeData* edges;  // room for max_edges
    char* codes;
    int count;

    void Init(Arena* arena, const HnswMetaData& meta);
};

// Copies the edges of a slot under a share lock, and its payload unless that is null; false when its generation is no
// longer `generation`.
bool HnswReadEdges(HnswContext* ctx, uint32 id, PageKind kind, uint32 generation, EdgeCopy* out,
                   void* payload = nullptr);

enum class LiveRule : uint8 {
    kNotDeleted,  // for inserts, repair, and scans to whom killed entries may be visible
    kWithRows,    // for other scans: nodes that have rows to return
};

// A slot that a search has expanded, as it was under the lock.
struct FoundSlot {
    float distance;           // to the query, exact for the payload
    PayloadErrorBound error;  // of the payload
    uint32 id;
    uint32 generation;
    uint32 up, down;
    uint32 tid_chain;
    uint32 tid_epoch;
    uint16 tid_count;
    bool live;   // by the search's LiveRule; the others were walked through
    bool mixed;  // its rows may differ in their values
    TidEntryData tids[kHnswInlineTids];
    const void* payload;  // a copy, when the search keeps it
};

// Fills *out from a slot that the caller holds locked; the distance only with a query, and without that of its parts.
void HnswFill(const HnswContext& ctx, uint32 id, const SlotView& slot, const IndexedVector* query, FoundSlot* out);

// A slot to begin at, and the low 8 bits of its generation when it was noted.
struct SlotHint {
    uint32 id;
    uint8 generation;
};

// A beam search in one layer: Start, then Settle; then `found` holds every slot expanded so far, in no order. Widen and
// Settle again to go on.
struct LayerSearch {
    HnswContext* ctx;
    const IndexedVector* query;  // prepared
    int level;
    LiveRule rule;
    bool keep_payloads;
    bool keep_exact;     // keep those that are exact
    const void* sought;  // with keep_payloads: Settle stops behind a live slot of just this payload; null: no stop
    bool met;            // it has stopped there, and goes on when called again
    Beam beam;
    VisitedSet visited;
    ArenaVec<FoundSlot> found;
    float* estimates;  // max_edges
    uint32* ids;       // max_edges
    uint8* generations;
    int cold_reads;  // expansions that still ask the disk ahead
    void* spare;     // room for a payload, or null
    static constexpr int kAsked = 4;
    uint32 asked[kAsked];  // the slots asked for last, in a ring
    uint32 next_asked;
    Admission* admission;  // null: all nodes count; otherwise `found` holds only those admitted
    static constexpr int kMostHints = 8;
    SlotHint hints[kMostHints];  // that have not been read yet
    int hint_count;

    void Init(HnswContext* context, const IndexedVector* prepared, int at_level, uint32 ef);
    // Expands the slot that the search starts from; false when there is no such slot in the layer any more.
    bool Start(uint32 id);
    // Offers a slot not read yet to the beam, unless it has been met before; whatever is there by then.
    void Offer(float distance, uint32 id) {
        if (visited.Add(id)) beam.Offer(distance, id);
    }
    // The same by what once stood at a slot. If it is gone, its estimate has no more to do with the slot, which gives
    // its place in the pool to another. At most kMostHints.
    void OfferHint(float distance, const SlotHint& hint) {
        if (!visited.Add(hint.id)) return;
        hints[hint_count++] = hint;
        beam.Offer(distance, hint.id);
    }
    // Expands until every slot in the pool is expanded, or one is what is sought, or the arena holds more than
    // `memory_limit` bytes (0: no limit); false in the latter case. An admission may end it before. Cancellable.
    bool Settle(size_t memory_limit);
    // The nearest slot found, deleted ones included; null when there is none.
    const FoundSlot* Nearest() const;
    // Asks the disk ahead for the nearest in the pool, and goes on with that for a while: pages of the search so far
    // were not in shared buffers.
    void BeginCold();
    // Takes the copy of a payload back that the search has kept; null: nothing.
    void TakeBack(const void* payload);
    // Takes one slot into `found` and scores its neighbours, all under one content lock. Returns how many neighbours
    // there are, -1 when the slot is free or of another layer.
    int ReadSlot(uint32 id);

  private:
    // Adds what the parts of the slot just found say to its distance and its neighbours' estimates; false when it is
    // gone.
    bool AddParts(const SlotParts& parts, int count, void* copy);
    bool NextToRead(uint32* id);
    bool IsAstray(const FoundSlot& slot);
    void OfferNeighbours(int count);
    void OfferScored(int count);
    void OfferProbed(int count);
    void* SpareCopy();
    void Forget();
    bool IsNews(uint32 id);
    void ReadAhead();
};

static_assert(std::is_trivially_destructible_v<LayerSearch> && std::is_trivially_destructible_v<HnswContext>);

// Where a search of a layer may start.
struct Entrance {
    int level;
    uint32 id;
    uint32 above;       // the upper slot whose `down` this was, or kInvalidId
    uint32 generation;  // of the entry point itself; not compared when `above` is set
};

// Calls `visit(id, slot)` for every slot of a locked page that is not free; for none on a page of another kind.
template <class Visit>
void HnswForSlots(const HnswContext& ctx, const LockedPage& page, Visit visit) {
    const bool node = page.Is(PageKind::kNode);
    if (!node && !page.Is(PageKind::kUpper)) return;
    const PageKind kind = node ? PageKind::kNode : PageKind::kUpper;
    for (int i = 0; i < ctx.meta.slots; ++i) {
        const uint32 id = IdOf(ctx.meta, page.block(), i);
        const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, kind, id);
        if (slot.state() != SlotState::kFree) visit(id, slot);
    }
}

// Walks down from the entry point to layer `level`, or stays at the entry point's own layer if that is lower; refreshes
// ctx->meta. False when the index is empty.
bool HnswDescend(HnswContext* ctx, const IndexedVector& query, int level, Entrance* out);

// To be called at each attempt to enter the graph, with a counter that begins at 0. Raises ERRCODE_INDEX_CORRUPTED when
// there have been so many that no concurrent vacuum explains them. Cancellable.
void HnswCountAttempt(const HnswContext& ctx, int* attempts);

// Starts a search at an entrance; false when the slot there has been recycled: descend again.
bool HnswEnter(LayerSearch* search, const Entrance& entrance);

// The way down from a settled search above layer 0; false when what it found is gone.
bool HnswStepDown(const LayerSearch& search, Entrance* out);

// One more than the largest id the index can have at its present size.
uint64 HnswIdSpace(const HnswContext& ctx);

}  // namespace vecann

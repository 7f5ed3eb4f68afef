// Inserting one row: search, duplicate, place, link, entry point. Locks: see README.md, "Insert".
#include "hnsw/hnsw_insert.h"

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_tids.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

// One insert under way.
struct Insertion {
    HnswContext* ctx;
    const void* payload;
    ItemPointerData tid;
    int level;          // top layer of the new vector
    int linked_levels;  // layers 0 .. linked_levels - 1 have neighbours in edges[]
    EdgeList edges[kHnswMaxLevel + 1];
    LinkEnd slots[kHnswMaxLevel + 1];  // the slots written, by layer
};

static_assert(std::is_trivially_destructible_v<Insertion>);

// The paper's level distribution: floor(-ln(u) / ln(m)).
int RandomLevel(int m) {
    const double u = 1.0 - pg_prng_double(&pg_global_prng_state);
    const double level = -log(u) / log(static_cast<double>(m));
    return static_cast<int>(Min(level, static_cast<double>(kHnswMaxLevel)));
}

// Adds the row to a live node of the same payload in the beam. The distance between equal payloads is the same float
// everywhere, so only entries at exactly that distance are looked at.
bool JoinDuplicate(const Insertion& in, const LayerSearch& search) {
    const float self = in.ctx->distance(in.payload, in.payload, in.ctx->meta.dim);
    for (const BeamEntry& entry : search.beam) {
        if (!entry.live || entry.distance != self) continue;
        ItemPointerData tid = in.tid;
        if (HnswAppendTid(*in.ctx, entry.id, entry.generation, in.payload, &tid)) return true;
    }
    return false;
}

enum class Found { kDuplicate, kNeighbours, kNothingLive };

// Searches every layer and chooses neighbours in those that the new vector joins.
Found SearchAndChoose(Insertion* in) {
    HnswContext* ctx = in->ctx;
    for (;;) {
        in->linked_levels = 0;
        int level = in->level;
        BeamEntry start;
        if (!HnswDescend(ctx, in->payload, &level, &start)) return Found::kNothingLive;
        bool restarted = false, any_live = false;
        for (int at = level; at >= 0 && !restarted; --at) {
            LayerSearch search;
            search.Init(ctx, in->payload, at, ctx->meta.ef_construction, LiveRule::kNotDeleted, false);
            restarted = !search.Seed(start);
            if (restarted) break;
            search.Settle(0);
            if (at == 0) VECANN_RACE_POINT("hnsw-insert-before-join");
            if (at == 0 && JoinDuplicate(*in, search)) return Found::kDuplicate;
            HnswChooseFromBeam(ctx, search, at, &in->edges[at]);
            any_live = in->edges[at].count > 0;
            if (at == 0) break;
            // Go down from the nearest slot of this layer.
            ProbedSlot slot;
            const BeamEntry nearest = *search.beam.begin();
            restarted = !HnswProbe(*ctx, nearest.id, PageKind::kUpper, kAnyGeneration, nullptr, &slot) ||
                        slot.generation != nearest.generation;
            if (restarted) break;
            start.id = slot.down;
            restarted = !HnswProbe(*ctx, start.id, KindOfLevel(at - 1), kAnyGeneration, in->payload, &slot) ||
                        slot.level != at - 1;
            start.generation = slot.generation;
        }
        if (restarted) continue;
        in->linked_levels = level + 1;
        return any_live ? Found::kNeighbours : Found::kNothingLive;
    }
}

void FillSlot(const HnswContext& ctx, const SlotView& slot, int level, const void* payload, const EdgeList* edges) {
    const uint32 generation = slot.header->generation;
    memset(static_cast<void*>(slot.header), 0, sizeof(SlotHeaderData));
    slot.header->generation = generation;
    slot.header->state = static_cast<uint8>(SlotState::kLive);
    slot.header->level = static_cast<uint8>(level);
    slot.header->up = slot.header->down = slot.header->tid_chain = kInvalidId;
    const int n = edges != nullptr ? edges->count : 0;
    slot.header->edge_count = static_cast<uint16>(n);
    if (n > 0) memcpy(slot.edges, edges->edges, static_cast<size_t>(n) * sizeof(EdgeData));
    memcpy(slot.payload, payload, ctx.meta.payload_size);
}

const EdgeList* EdgesOfLevel(const Insertion& in, int level) {
    return level < in.linked_levels ? &in.edges[level] : nullptr;
}

// Writes the node: payload, TID and edges in one record.
void PlaceNode(Insertion* in) {
    const HnswContext& ctx = *in->ctx;
    for (;;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kNode));
        HnswCheckIdRange(ctx.index, block, ctx.meta.ids_per_block);
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kNode);
        const int at = HnswFindFreeSlot(ctx.meta, page.page(), PageKind::kNode);
        if (at < 0) continue;
        PageTxn txn(ctx.index, ctx.mode);
        const SlotView slot = SlotAt(ctx.meta, txn.Register(page.buffer()), PageKind::kNode, at);
        FillSlot(ctx, slot, 0, in->payload, EdgesOfLevel(*in, 0));
        slot.tids[0].tid = in->tid;
        slot.tids[0].flags = 0;
        slot.header->tid_count = 1;
        in->slots[0] = {IdOf(ctx.meta, block, at), slot.header->generation, in->payload};
        txn.Commit();
        return;
    }
}

// Writes the slot of an upper layer together with the link from the slot beneath it.
void PlaceUpper(Insertion* in, int level) {
    const HnswContext& ctx = *in->ctx;
    const LinkEnd& below = in->slots[level - 1];
    for (;;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kUpper));
        HnswCheckIdRange(ctx.index, block, ctx.meta.ids_per_block);
        LockedPair pair(ctx.index, block, BlockOfId(ctx.meta, below.id));
        pair.a().Check(PageKind::kUpper);
        const int at = HnswFindFreeSlot(ctx.meta, pair.a().page(), PageKind::kUpper);
        if (at < 0) continue;
        const uint32 id = IdOf(ctx.meta, block, at);
        PageTxn txn(ctx.index, ctx.mode);
        const SlotView slot = SlotAt(ctx.meta, txn.Register(pair.a().buffer()), PageKind::kUpper, at);
        const SlotView under =
            SlotAt(ctx.meta, txn.Register(pair.b().buffer()), KindOfLevel(level - 1), SlotOfId(ctx.meta, below.id));
        FillSlot(ctx, slot, level, in->payload, EdgesOfLevel(*in, level));
        slot.header->down = below.id;
        under.header->up = id;
        in->slots[level] = {id, slot.header->generation, in->payload};
        txn.Commit();
        return;
    }
}

// Makes the new vector's top slot the entry point if it should be: when its layer is above the entry point's, or when
// the last search found nothing live to link with (`linked` is false). In that case the entry point must still be the
// one that search started from: otherwise a graph may have grown there meanwhile, and the new vector would cut it off.
// False then; the caller searches again.
bool UpdateEntry(const Insertion& in, bool linked) {
    const HnswContext& ctx = *in.ctx;
    if (linked && in.level <= ctx.meta.entry_level) return true;
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    const HnswMetaData& meta = *HnswMetaOf(page.page());
    if (!linked && (meta.entry != ctx.meta.entry || meta.entry_generation != ctx.meta.entry_generation)) return false;
    if (linked && meta.entry != kInvalidId && in.level <= meta.entry_level) return true;
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->entry = in.slots[in.level].id;
    edit->entry_generation = in.slots[in.level].generation;
    edit->entry_level = static_cast<uint16>(in.level);
    txn.Commit();
    return true;
}

}  // namespace

void HnswInsertRow(HnswContext* ctx, const void* payload, ItemPointer tid) {
    Insertion in;
    in.ctx = ctx;
    in.payload = payload;
    in.tid = *tid;
    in.level = RandomLevel(ctx->meta.m);
    for (int i = 0; i <= in.level; ++i)
        in.edges[i] = HnswMakeEdgeList(ctx);

    const Found found = SearchAndChoose(&in);
    if (found == Found::kDuplicate) return;
    VECANN_RACE_POINT("hnsw-insert-before-place");
    PlaceNode(&in);
    for (int level = 1; level <= in.level; ++level)
        PlaceUpper(&in, level);
    VECANN_RACE_POINT("hnsw-insert-before-back-edges");
    for (int level = 0; level <= in.level && level < in.linked_levels; ++level)
        HnswAddBackEdges(ctx, level, in.slots[level], in.edges[level]);
    VECANN_RACE_POINT("hnsw-insert-before-entry");
    bool linked = found == Found::kNeighbours;
    while (!UpdateEntry(in, linked)) {
        // Somebody else's slot has become the entry point of what was an empty graph: link with it.
        CHECK_FOR_INTERRUPTS();
        for (int level = in.level; level >= 0; --level)
            linked = HnswRelinkSlot(ctx, level, in.slots[level]);
    }
}

void HnswLockInserts(Relation index) {
    LockPage(index, kMetaBlock, ShareLock);
}

void HnswUnlockInserts(Relation index) {
    UnlockPage(index, kMetaBlock, ShareLock);
}

void HnswWaitForInserts(Relation index) {
    LockPage(index, kMetaBlock, ExclusiveLock);
    UnlockPage(index, kMetaBlock, ExclusiveLock);
}

extern "C" bool hnsw_insert(Relation index, Datum* values, bool* isnull, ItemPointer heap_tid, Relation,
                            IndexUniqueCheck, bool, IndexInfo*) {
    if (isnull[0]) return false;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    HnswContext ctx;
    HnswOpen(&ctx, index, WriteMode::kLogged, memory);
    void* payload = palloc(ctx.meta.payload_size);
    if (ctx.desc->extract(values[0], ctx.meta.dim, payload)) {
        HnswLockInserts(index);
        HnswInsertRow(&ctx, payload, heap_tid);
        HnswUnlockInserts(index);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return false;
}

}  // namespace vecann

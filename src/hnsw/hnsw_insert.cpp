// Inserting one row: search, duplicate, place, link, entry point. Locks: see README.md, "Insert".
#include "hnsw/hnsw_insert.h"

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_seeds.h"
#include "hnsw/hnsw_tids.h"
#include "pg/race_point.h"
#include "pg/scratch.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

// One insert under way.
struct Insertion {
    HnswContext* ctx;
    const IndexedVector* value;
    ItemPointerData tid;
    int level;          // top layer of the new vector
    int linked_levels;  // layers 0 .. linked_levels - 1 have neighbours in edges[]
    EdgeList edges[kHnswMaxLevel + 1];
    LinkEnd slots[kHnswMaxLevel + 1];  // the slots written, by layer
};

static_assert(std::is_trivially_destructible_v<Insertion>);

// Adds the row to a live node of the same vector among those found. Equal vectors have equal payloads, whose hash tells
// unequal ones apart that lost their difference.
bool JoinDuplicate(const Insertion& in, const LayerSearch& search) {
    for (const FoundSlot& slot : search.found) {
        if (!slot.live || !HnswSamePayload(in.ctx->form, slot.payload, in.value->payload)) continue;
        if (HnswAppendTid(*in.ctx, slot.id, slot.generation, {in.tid, in.value->payload, in.value->hash})) return true;
    }
    return false;
}

enum class Found { kDuplicate, kNeighbours, kNothingLive };

void InitSearch(const Insertion& in, int level, LayerSearch* search) {
    search->Init(in.ctx, in.value, level, in.ctx->meta.ef_construction);
    search->keep_payloads = true;
    if (level == 0) search->sought = in.value->payload;
}

// Goes by a settled search of a layer: in layer 0 the row joins a node of its vector, if there is one; otherwise the
// neighbours in that layer are chosen. True when the row has joined.
bool JoinOrChoose(Insertion* in, LayerSearch* search) {
    if (search->level == 0) {
        VECANN_RACE_POINT("hnsw-insert-before-join");
        for (;;) {
            if (JoinDuplicate(*in, *search)) return true;
            if (!search->met) break;
            // The node that stopped the search is gone by now.
            search->Settle(0);
        }
    }
    HnswChooseFromSearch(search, &in->edges[search->level]);
    return false;
}

// Searches layer 0 from seeds for a vector that joins no other layer; false when they lead nowhere.
bool SearchFromSeeds(Insertion* in, Found* found) {
    HnswContext* ctx = in->ctx;
    if (in->level > 0 || ctx->meta.seed_root == 0) return false;
    // Read again under the insert lock. A crash may have left nodes without an entry point: then the new one becomes
    // it.
    ctx->meta = HnswReadMeta(ctx->index);
    ++ctx->counts.pages;
    if (ctx->meta.entry == kInvalidId || !HnswHasSeeds(*ctx)) return false;
    LayerSearch search;
    InitSearch(*in, 0, &search);
    if (!HnswSettleFromSeeds(&search)) return false;
    *found = Found::kDuplicate;
    if (JoinOrChoose(in, &search)) return true;
    in->linked_levels = 1;
    *found = Found::kNeighbours;
    return in->edges[0].count > 0;
}

// Searches every layer and chooses neighbours in those that the new vector joins.
Found SearchAndChoose(Insertion* in) {
    HnswContext* ctx = in->ctx;
    Found found;
    if (SearchFromSeeds(in, &found)) return found;
    for (int attempts = 0;;) {
        HnswCountAttempt(*ctx, &attempts);
        in->linked_levels = 0;
        Entrance at;
        if (!HnswDescend(ctx, *in->value, in->level, &at)) return Found::kNothingLive;
        const int top = at.level;
        bool lost = false;
        while (!lost) {
            LayerSearch search;
            InitSearch(*in, at.level, &search);
            lost = !HnswEnter(&search, at);
            if (lost) break;
            search.Settle(0);
            if (JoinOrChoose(in, &search)) return Found::kDuplicate;
            if (at.level == 0) break;
            lost = !HnswStepDown(search, &at);
        }
        if (lost) continue;
        in->linked_levels = top + 1;
        return in->edges[0].count > 0 ? Found::kNeighbours : Found::kNothingLive;
    }
}

// Fills a slot that is all zeros. `parts` refers to the written parts of the payload.
void FillSlot(const HnswContext& ctx, const SlotView& slot, int level, const void* payload, const PartRefData* parts,
              const EdgeList* edges) {
    slot.header->state = static_cast<uint8>(SlotState::kLive);
    slot.header->level = static_cast<uint8>(level);
    slot.header->up = slot.header->down = slot.header->tid_chain = kInvalidId;
    const int n = edges != nullptr ? edges->count : 0;
    slot.header->edge_count = static_cast<uint16>(n);
    const size_t size = static_cast<size_t>(n);
    if (n > 0) {
        memcpy(static_cast<void*>(slot.edges), edges->edges, size * sizeof(EdgeData));
        memcpy(slot.codes, edges->codes, size * ctx.meta.code_size);
    }
    memcpy(slot.payload, payload, SlotPayloadBytes(ctx.meta, payload));
    memcpy(static_cast<void*>(slot.parts), parts, ctx.meta.part_count * sizeof(PartRefData));
}

// A slot in memory, all zeros.
SlotView ScratchSlot(HnswContext* ctx) {
    char* bytes = ctx->arena.Allocate<char>(ctx->meta.slot_size);
    memset(bytes, 0, ctx->meta.slot_size);
    return SlotOver(ctx->meta, bytes);
}

// Has a patch write a filled slot to a free one, in use or not before; what stands behind the edges and codes of
// either is nobody's.
void PutSlot(const HnswMetaData& meta, PagePatch* patch, const LockedPage& page, int at, const SlotView& slot) {
    const SlotView to = SlotAt(meta, page.page(), at);
    const size_t n = slot.header->edge_count;
    slot.header->generation = to.header->generation;
    const char* edges_end = reinterpret_cast<const char*>(slot.edges + n);
    patch->Put(page.buffer(), to.header, slot.header,
               static_cast<size_t>(edges_end - reinterpret_cast<const char*>(slot.header)));
    patch->Put(page.buffer(), to.codes, slot.codes, n * meta.code_size);
}

const EdgeList* EdgesOfLevel(const Insertion& in, int level) {
    return level < in.linked_levels ? &in.edges[level] : nullptr;
}

// Writes the node: payload, TID and edges in one record, after those of its parts.
void PlaceNode(Insertion* in) {
    const HnswContext& ctx = *in->ctx;
    PartRefData parts[kMaxParts];
    HnswWriteParts(ctx, in->value->payload, parts);
    if (ctx.meta.part_count > 0) VECANN_RACE_POINT("hnsw-insert-after-parts");
    const SlotView slot = ScratchSlot(in->ctx);
    FillSlot(ctx, slot, 0, in->value->payload, parts, EdgesOfLevel(*in, 0));
    slot.tids[0].tid = in->tid;
    slot.header->tid_count = 1;
    slot.header->hash = in->value->hash;
    for (;;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kNode));
        HnswCheckIdRange(ctx.index, block, ctx.meta.slots);
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kNode);
        const int at = HnswFindFreeSlot(ctx.meta, page.page(), PageKind::kNode);
        if (at < 0) continue;
        PagePatch patch(ctx.index, ctx.mode);
        PutSlot(ctx.meta, &patch, page, at, slot);
        in->slots[0] = {IdOf(ctx.meta, block, at), slot.header->generation, HnswVectorOf(ctx.form, *in->value)};
        patch.Commit();
        return;
    }
}

// Writes the slot of an upper layer together with the link from the slot beneath it.
void PlaceUpper(Insertion* in, int level) {
    const HnswContext& ctx = *in->ctx;
    const LinkEnd& below = in->slots[level - 1];
    PartRefData parts[kMaxParts];
    HnswWriteParts(ctx, in->value->payload, parts);
    const SlotView slot = ScratchSlot(in->ctx);
    FillSlot(ctx, slot, level, in->value->payload, parts, EdgesOfLevel(*in, level));
    slot.header->down = below.id;
    for (;;) {
        const BlockNumber block = PageWithFreeSlot(ctx.index, ctx.mode, HnswFreeList(ctx.meta, PageKind::kUpper));
        HnswCheckIdRange(ctx.index, block, ctx.meta.slots);
        LockedPair pair(ctx.index, block, BlockOfId(ctx.meta, below.id));
        pair.a().Check(PageKind::kUpper);
        const int at = HnswFindFreeSlot(ctx.meta, pair.a().page(), PageKind::kUpper);
        if (at < 0) continue;
        const uint32 id = IdOf(ctx.meta, block, at);
        const SlotView under = SlotAt(ctx.meta, pair.b().page(), SlotOfId(ctx.meta, below.id));
        PagePatch patch(ctx.index, ctx.mode);
        PutSlot(ctx.meta, &patch, pair.a(), at, slot);
        patch.Put(pair.b().buffer(), &under.header->up, &id, sizeof(id));
        in->slots[level] = {id, slot.header->generation, HnswVectorOf(ctx.form, *in->value)};
        patch.Commit();
        return;
    }
}

// Makes the new vector's top slot the entry point if it should be: when its layer is above the entry point's, or when
// the last search found nothing live to link with (`linked` is false). In that case the entry point must still be the
// one that search started from: otherwise a graph may have grown there meanwhile, and the new vector would cut it off.
// False then; the caller searches again. Under inner product the new entry point holds the old one.
bool UpdateEntry(const Insertion& in, bool linked) {
    const HnswContext& ctx = *in.ctx;
    if (linked && in.level <= ctx.meta.entry_level) return true;
    LinkEnd held = {kInvalidId, 0, nullptr};
    for (;;) {
        LinkEnd old;
        int old_level;
        {
            LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
            const HnswMetaData& meta = *HnswMetaOf(page.page());
            if (!linked && (meta.entry != ctx.meta.entry || meta.entry_generation != ctx.meta.entry_generation))
                return false;
            if (linked && meta.entry != kInvalidId && in.level <= meta.entry_level) return true;
            old = {meta.entry, meta.entry_generation, nullptr};
            old_level = meta.entry_level;
            const bool is_held = held.id == old.id && held.generation == old.generation;
            if (old.id == kInvalidId || old_level > in.level || !HnswHolds(ctx.meta) || is_held) {
                PageTxn txn(ctx.index, ctx.mode);
                HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
                edit->entry = in.slots[in.level].id;
                edit->entry_generation = in.slots[in.level].generation;
                edit->entry_level = static_cast<uint16>(in.level);
                txn.Commit();
                return true;
            }
        }
        // Whatever was reached from the old one will be from the new one, before that takes its place.
        HnswHold(in.ctx, old_level, in.slots[old_level], old);
        held = old;
    }
}

}  // namespace

int HnswRandomLevel() {
    const double u = 1.0 - pg_prng_double(&pg_global_prng_state);
    const double level = -log(u) / log(static_cast<double>(kLayerRatio));
    return static_cast<int>(Min(level, static_cast<double>(kHnswMaxLevel)));
}

void HnswInsertRow(HnswContext* ctx, IndexedVector* value, ItemPointer tid) {
    HnswEncodePayload(ctx->form, value);
    // Codes are relative to what the payload says.
    if (!ctx->form.words) HnswDecode(ctx->form, value->payload, value->vector);
    HnswPrepareQuery(ctx->form, value);
    Insertion in;
    in.ctx = ctx;
    in.value = value;
    in.tid = *tid;
    in.level = HnswRandomLevel();
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
        HnswAddBackEdges(ctx, level, in.slots[level], in.edges[level], true);
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
    ctx.arena = MakeScratchArena(memory);
    IndexedVector value;
    value.Init(&ctx.arena, ctx.form);
    if (HnswExtract(ctx.form, values[0], &value)) {
        const NewRowCode code = HnswMakeRowCode(&ctx, value);
        HnswLockInserts(index);
        HnswInsertRow(&ctx, &value, heap_tid);
        HnswUnlockInserts(index);
        VECANN_RACE_POINT("hnsw-insert-before-row-code");
        HnswPutRowCode(ctx, *heap_tid, code);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return false;
}

}  // namespace vecann

// Vacuum: mark, barrier, repair, entry point, free. The protocol and why it is safe stand in README.md, "Vacuum and the
// recycling of slots"; the five steps below follow it in order.
#include <algorithm>

#include "core/bit_set.h"
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_insert.h"
#include "hnsw/hnsw_islands.h"
#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_seeds.h"
#include "hnsw/hnsw_tids.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

struct VacuumState {
    HnswContext ctx;
    MemoryContext long_memory;  // for the set and the lists; ctx.memory is reset per slot
    Arena long_arena;
    TidVacuum tids;
    BitSet dead;  // node and upper ids to be freed
    ArenaVec<uint32> dead_nodes;
    ArenaVec<uint32> dead_uppers;
    ArenaVec<PartRefData> dead_parts;  // of slots that have been freed
    uint32 best_entry;                 // highest live slot seen in step 3, of those with edges if there are such
    uint32 best_generation;
    int best_level;
    bool best_has_edges;
};

static_assert(std::is_trivially_destructible_v<VacuumState>);

void ResetSlotMemory(VacuumState* state) {
    MemoryContextReset(state->ctx.memory);
    state->ctx.arena = MakeArena(state->ctx.memory);
}

void AddDead(VacuumState* state, uint32 id, PageKind kind) {
    if (!state->dead.Add(id)) return;
    (kind == PageKind::kNode ? state->dead_nodes : state->dead_uppers).Push(id);
}

// ---- step 1: mark ------------------------------------------------------------

// Marks the upper slots of a deleted node. The caller holds no lock.
void MarkTower(VacuumState* state, uint32 up) {
    const HnswContext& ctx = state->ctx;
    while (up != kInvalidId) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(ctx.index, BlockOfId(ctx.meta, up), BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        const int at = SlotOfId(ctx.meta, up);
        if (HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kUpper, up).state() == SlotState::kLive) {
            PageTxn txn(ctx.index, WriteMode::kLogged);
            SlotAt(ctx.meta, txn.Register(page.buffer()), at).header->state = static_cast<uint8>(SlotState::kDeleted);
            txn.Commit();
        }
        AddDead(state, up, PageKind::kUpper);
        up = SlotAt(ctx.meta, page.page(), at).header->up;
    }
}

bool HasNoRows(const SlotView& slot) {
    return slot.header->tid_count == 0 && slot.header->tid_chain == kInvalidId;
}

// What one page of nodes needs after its inline TIDs were looked at.
struct PageWork {
    ArenaVec<uint32> chains;  // live nodes with a TID chain
    ArenaVec<uint32> towers;  // upper slots of nodes that are deleted
};

// Removes dead inline TIDs on one page and marks the nodes left without rows.
void MarkInline(VacuumState* state, BlockNumber block, PageWork* work) {
    const HnswContext& ctx = state->ctx;
    const int slots = ctx.meta.slots;
    uint16* dead = PallocArray<uint16>(static_cast<size_t>(slots));
    // no allocation under the lock
    state->dead_nodes.Reserve(state->dead_nodes.size + static_cast<size_t>(slots));
    work->chains.Reserve(static_cast<size_t>(slots));
    work->towers.Reserve(static_cast<size_t>(slots));
    LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
    if (!page.Is(PageKind::kNode)) return;
    bool changed = false;
    for (int i = 0; i < slots; ++i) {
        const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, IdOf(ctx.meta, block, i));
        dead[i] = 0;
        if (slot.state() != SlotState::kLive) continue;
        dead[i] = HnswDeadTids(slot.tids, slot.header->tid_count, &state->tids);
        changed |= dead[i] != 0 || HasNoRows(slot);
    }
    if (changed) {
        PageTxn txn(ctx.index, WriteMode::kLogged);
        Page edit = txn.Register(page.buffer());
        for (int i = 0; i < slots; ++i) {
            const SlotView slot = SlotAt(ctx.meta, edit, i);
            if (slot.state() != SlotState::kLive) continue;
            if (dead[i] != 0) {
                HnswRemoveTids(slot.tids, &slot.header->tid_count, dead[i]);
                ++slot.header->tid_epoch;
            }
            if (HasNoRows(slot)) slot.header->state = static_cast<uint8>(SlotState::kDeleted);
        }
        txn.Commit();
    }
    for (int i = 0; i < slots; ++i) {
        const SlotView slot = SlotAt(ctx.meta, page.page(), i);
        const uint32 id = IdOf(ctx.meta, block, i);
        if (slot.state() == SlotState::kLive && slot.header->tid_chain != kInvalidId) work->chains.Push(id);
        if (slot.state() != SlotState::kDeleted) continue;
        AddDead(state, id, PageKind::kNode);
        if (slot.header->up != kInvalidId) work->towers.Push(slot.header->up);
    }
}

// Marks a node whose chain has been vacuumed if it has no rows left.
void MarkIfEmpty(VacuumState* state, uint32 node, PageWork* work) {
    const HnswContext& ctx = state->ctx;
    LockedPage page(ctx.index, BlockOfId(ctx.meta, node), BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
    const int at = SlotOfId(ctx.meta, node);
    if (!HasNoRows(SlotAt(ctx.meta, page.page(), at))) return;
    PageTxn txn(ctx.index, WriteMode::kLogged);
    SlotAt(ctx.meta, txn.Register(page.buffer()), at).header->state = static_cast<uint8>(SlotState::kDeleted);
    txn.Commit();
    AddDead(state, node, PageKind::kNode);
    const uint32 up = SlotAt(ctx.meta, page.page(), at).header->up;
    if (up != kInvalidId) work->towers.Push(up);
}

// Upper slots that an interrupted vacuum left deleted, their node freed already.
void CollectDeletedUppers(VacuumState* state, BlockNumber block) {
    const HnswContext& ctx = state->ctx;
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    if (!page.Is(PageKind::kUpper)) return;
    for (int i = 0; i < ctx.meta.slots; ++i)
        if (SlotAt(ctx.meta, page.page(), i).state() == SlotState::kDeleted)
            AddDead(state, IdOf(ctx.meta, block, i), PageKind::kUpper);
}

bool IsZeroPage(const HnswContext& ctx, BlockNumber block) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    return PageIsNew(page.page());
}

void MarkPass(VacuumState* state) {
    HnswContext& ctx = state->ctx;
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        ResetSlotMemory(state);
        if (IsZeroPage(ctx, block)) {
            // A crash right after the relation was extended.
            const FreeListKind list = HnswFreeList(ctx.meta, PageKind::kNode);
            FormatIfNew(ctx.index, list, block);
            continue;
        }
        PageWork work;
        work.chains.Init(&ctx.arena);
        work.towers.Init(&ctx.arena);
        MarkInline(state, block, &work);
        for (const uint32 node : work.chains) {
            HnswVacuumChain(ctx, node, &state->tids);
            MarkIfEmpty(state, node, &work);
        }
        VECANN_RACE_POINT("hnsw-vacuum-before-tower");
        for (const uint32 up : work.towers)
            MarkTower(state, up);
        CollectDeletedUppers(state, block);
    }
}

// ---- step 3: repair ----------------------------------------------------------

struct BrokenSlot {
    uint32 id;
    uint32 generation;
    int level;
};

// Is this live slot the best entry point so far? One without edges (an insert that was cut short) would hide the graph.
void ConsiderEntry(VacuumState* state, uint32 id, const SlotHeaderData& header) {
    const bool has_edges = header.edge_count > 0;
    if (state->best_entry != kInvalidId &&
        (has_edges != state->best_has_edges ? !has_edges : header.level <= state->best_level))
        return;
    state->best_entry = id;
    state->best_generation = header.generation;
    state->best_level = header.level;
    state->best_has_edges = has_edges;
}

// Calls `visit(id, slot)` for every slot of one page that is not free, under a share lock.
template <class Visit>
void ForSlots(const HnswContext& ctx, BlockNumber block, Visit visit) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    HnswForSlots(ctx, page, visit);
}

template <class Visit>
void ForLiveSlots(const HnswContext& ctx, BlockNumber block, Visit visit) {
    ForSlots(ctx, block, [&](uint32 id, const SlotView& slot) {
        if (slot.state() == SlotState::kLive) visit(id, slot);
    });
}

// Finds the live slots of one page with edges into the set, and the best entry point so far.
void ScanForBroken(VacuumState* state, BlockNumber block, ArenaVec<BrokenSlot>* broken) {
    broken->Reserve(state->ctx.meta.slots);  // no allocation under the lock
    ForLiveSlots(state->ctx, block, [&](uint32 id, const SlotView& slot) {
        ConsiderEntry(state, id, *slot.header);
        for (int e = 0; e < slot.header->edge_count; ++e) {
            if (!state->dead.Has(slot.edges[e].id)) continue;
            broken->Push({id, slot.header->generation, slot.header->level});
            return;
        }
    });
}

// Where most of a neighbourhood is deleted, this many candidates for each edge are enough to choose from.
constexpr size_t kCandidatesPerEdge = 8;

// Gathers the live neighbours of a slot and those of its deleted neighbours.
void GatherLocal(VacuumState* state, const LinkEnd& slot, const EdgeCopy& old, CandidateSet* candidates) {
    HnswContext* ctx = &state->ctx;
    VisitedSet seen;
    seen.Init(&ctx->arena, kInvalidId);
    seen.Add(slot.id);
    for (int i = 0; i < old.count; ++i) {
        const EdgeData& edge = old.edges[i];
        if (seen.Add(edge.id) && !state->dead.Has(edge.id)) candidates->AddSlot(edge.id, edge.generation, false);
    }
    EdgeCopy next;
    next.Init(&ctx->arena, ctx->meta);
    const size_t enough = kCandidatesPerEdge * static_cast<size_t>(ctx->meta.max_edges);
    for (int i = 0; i < old.count && candidates->items.size < enough; ++i) {
        const EdgeData& edge = old.edges[i];
        if (!state->dead.Has(edge.id)) continue;
        vacuum_delay_point();
        ProbedSlot gone;
        if (!HnswProbe(ctx, edge.id, candidates->kind, edge.generation, &gone)) continue;
        if (!HnswReadEdges(ctx, edge.id, candidates->kind, gone.generation, &next)) continue;
        for (int e = 0; e < next.count; ++e)
            if (!state->dead.Has(next.edges[e].id) && seen.Add(next.edges[e].id))
                candidates->AddSlot(next.edges[e].id, next.edges[e].generation, false);
    }
}

// The edges of `chosen` that are not in `old`.
EdgeList FreshEdges(HnswContext* ctx, const EdgeList& chosen, const EdgeCopy& old) {
    EdgeList fresh = HnswMakeEdgeList(ctx);
    for (int i = 0; i < chosen.count; ++i) {
        bool known = false;
        for (int e = 0; e < old.count && !known; ++e)
            known = old.edges[e].id == chosen.edges[i].id && old.edges[e].generation == chosen.edges[i].generation;
        if (known) continue;
        fresh.edges[fresh.count] = chosen.edges[i];
        fresh.vectors[fresh.count] = chosen.vectors[i];
        fresh.generations[fresh.count++] = chosen.generations[i];
    }
    return fresh;
}

// Gives one slot edges that avoid the set, and its new neighbours edges back.
void RepairSlot(VacuumState* state, const BrokenSlot& broken) {
    HnswContext* ctx = &state->ctx;
    const PageKind kind = KindOfLevel(broken.level);
    const int m = Min<int>(ctx->meta.m, ctx->meta.max_edges);
    char* payload = HnswPayloadRoom(ctx);
    EdgeCopy old;
    old.Init(&ctx->arena, ctx->meta);
    EdgeList chosen = HnswMakeEdgeList(ctx);
    LinkEnd slot = {broken.id, broken.generation, nullptr};
    for (;;) {
        vacuum_delay_point();
        if (!HnswReadEdges(ctx, broken.id, kind, broken.generation, &old, payload)) return;
        slot.vector = HnswKeepVector(ctx->form, &ctx->arena, payload);
        CandidateSet candidates;
        candidates.Init(ctx, slot.vector, broken.level);
        GatherLocal(state, slot, old, &candidates);
        candidates.Choose(ctx->meta.max_edges, m, &old, &chosen);
        VECANN_RACE_POINT("hnsw-vacuum-before-replace");
        if (HnswReplaceEdges(ctx, broken.level, slot, old, chosen)) break;
    }
    // Ask only the new ones for an edge back: the others had their chance when the slot was inserted.
    HnswAddBackEdges(ctx, broken.level, slot, FreshEdges(ctx, chosen, old), false);
    // Too little left around it: search for its own vector. Not before the edges into the set are gone.
    if (chosen.count < Min(m / 2, 4)) HnswRelinkSlot(ctx, broken.level, slot);
}

void RepairPass(VacuumState* state) {
    ArenaVec<BrokenSlot> broken;
    broken.Init(&state->long_arena);
    const BlockNumber blocks = RelationGetNumberOfBlocks(state->ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        broken.Clear();
        ScanForBroken(state, block, &broken);
        for (const BrokenSlot& slot : broken) {
            ResetSlotMemory(state);
            RepairSlot(state, slot);
        }
    }
    ResetSlotMemory(state);
}

// Notes whom the deleted slots of a list point to, and apart from those whom they held.
void CollectSuspects(VacuumState* state, PageKind kind, const ArenaVec<uint32>& ids, BitSet* suspects, BitSet* let_go) {
    HnswContext* ctx = &state->ctx;
    EdgeCopy copy;
    copy.Init(&state->long_arena, ctx->meta);
    for (const uint32 id : ids) {
        vacuum_delay_point();
        ProbedSlot slot;
        if (!HnswProbe(ctx, id, kind, kAnyGeneration, &slot)) continue;
        if (!HnswReadEdges(ctx, id, kind, slot.generation, &copy)) continue;
        for (int e = 0; e < copy.count; ++e)
            if (!state->dead.Has(copy.edges[e].id))
                (copy.edges[e].held != 0 ? let_go : suspects)->Add(copy.edges[e].id);
    }
}

// Links a slot that nobody points to, unless it is reached from the slot above it in its tower.
void RelinkOrphan(VacuumState* state, uint32 id) {
    HnswContext* ctx = &state->ctx;
    ResetSlotMemory(state);
    PageKind kind;
    {
        LockedPage page(ctx->index, BlockOfId(ctx->meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
        kind = page.Is(PageKind::kNode) ? PageKind::kNode : PageKind::kUpper;
    }
    char* payload = HnswPayloadRoom(ctx);
    ProbedSlot slot;
    if (!HnswProbe(ctx, id, kind, kAnyGeneration, &slot, payload)) return;
    if (slot.state != SlotState::kLive || slot.up != kInvalidId) return;
    HnswRelinkSlot(ctx, slot.level, {id, slot.generation, HnswKeepVector(ctx->form, &ctx->arena, payload)});
}

// Links every live slot whose in-neighbours were all in the set: it may have had no edge there itself, or an
// interrupted vacuum gave it new edges and no edges back. They are among those that the deleted slots point to. And
// every one whose holder was in the set.
void RelinkOrphans(VacuumState* state) {
    const HnswContext& ctx = state->ctx;
    BitSet suspects;
    suspects.Init(&state->long_arena, HnswIdSpace(ctx));
    BitSet let_go;
    let_go.Init(&state->long_arena, HnswIdSpace(ctx));
    CollectSuspects(state, PageKind::kNode, state->dead_nodes, &suspects, &let_go);
    CollectSuspects(state, PageKind::kUpper, state->dead_uppers, &suspects, &let_go);
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        ForLiveSlots(ctx, block, [&](uint32 id, const SlotView& slot) {
            for (int e = 0; e < slot.header->edge_count; ++e)
                if (slot.edges[e].id != id) suspects.Remove(slot.edges[e].id);
        });
    }
    for (uint64 id = 0; id < suspects.bits(); ++id) {
        if (!suspects.Has(id) && !let_go.Has(id)) continue;
        vacuum_delay_point();
        RelinkOrphan(state, static_cast<uint32>(id));
    }
    ResetSlotMemory(state);
}

// ---- steps 4 and 5 -------------------------------------------------------------

void ReplaceEntry(VacuumState* state) {
    const HnswContext& ctx = state->ctx;
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    const uint32 entry = HnswMetaOf(page.page())->entry;
    if (entry == kInvalidId || !state->dead.Has(entry)) return;
    PageTxn txn(ctx.index, WriteMode::kLogged);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->entry = state->best_entry;
    edit->entry_generation = state->best_generation;
    edit->entry_level = static_cast<uint16>(Max(state->best_level, 0));
    txn.Commit();
}

// Frees all slots of the set on one page; their parts go to dead_parts.
void FreeOnPage(VacuumState* state, PageKind kind, BlockNumber block, const uint32* ids, size_t n) {
    const HnswContext& ctx = state->ctx;
    state->dead_parts.Reserve(n * ctx.meta.part_count);  // no allocation under the lock
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
        page.Check(kind);
        PageTxn txn(ctx.index, WriteMode::kLogged);
        Page edit = txn.Register(page.buffer());
        for (size_t i = 0; i < n; ++i) {
            const SlotView slot = SlotAt(ctx.meta, edit, SlotOfId(ctx.meta, ids[i]));
            SlotHeaderData* header = slot.header;
            // of a chain the first: freeing it frees the rest
            for (int p = 0; p < Min<int>(ctx.meta.part_count, PartsOf(ctx.meta, slot.payload)); ++p)
                state->dead_parts.Push(slot.parts[p]);
            if (static_cast<SlotState>(header->state) != SlotState::kDeleted)
                elog(ERROR, "slot %u of index \"%s\" is not deleted", ids[i], RelationGetRelationName(ctx.index));
            const uint32 generation = header->generation + 1;
            memset(static_cast<void*>(header), 0, sizeof(*header));
            header->generation = generation;
        }
        txn.Commit();
    }
    ListPage(ctx.index, WriteMode::kLogged, HnswFreeList(ctx.meta, kind), block);
}

void FreeDeadParts(VacuumState* state) {
    for (const PartRefData& part : state->dead_parts)
        HnswFreePart(state->ctx, part);
    state->dead_parts.Clear();
}

void FreeSlots(VacuumState* state, PageKind kind, ArenaVec<uint32>* ids) {
    std::sort(ids->begin(), ids->end());
    for (size_t from = 0; from < ids->size;) {
        vacuum_delay_point();
        const BlockNumber block = BlockOfId(state->ctx.meta, (*ids)[from]);
        size_t to = from;
        while (to < ids->size && BlockOfId(state->ctx.meta, (*ids)[to]) == block)
            ++to;
        FreeOnPage(state, kind, block, ids->data + from, to - from);
        if (!state->dead_parts.empty()) VECANN_RACE_POINT("hnsw-vacuum-before-parts");
        FreeDeadParts(state);
        from = to;
    }
}

// ---- lost parts ------------------------------------------------------------------

// Calls `visit(part)` for every part in use on one page, under a share lock.
template <class Visit>
void ForParts(const HnswContext& ctx, BlockNumber block, Visit visit) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    if (!page.Is(PageKind::kPart)) return;
    for (int i = 0; i < ctx.meta.parts; ++i) {
        const PartHeaderData* part = PartAt(ctx.meta, page.page(), i);
        if (part->in_use != 0) visit(PartRefData{block * ctx.meta.parts + static_cast<uint32>(i), part->generation});
    }
}

// Finds the parts in use. False when the slots explain them all.
bool CollectParts(const HnswContext& ctx, BitSet* parts) {
    uint64 in_use = 0, wanted = 0;
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        ForParts(ctx, block, [&](const PartRefData& part) { in_use += parts->Add(part.id); });
        ForSlots(ctx, block,
                 [&](uint32, const SlotView& slot) { wanted += static_cast<uint64>(PartsOf(ctx.meta, slot.payload)); });
    }
    return in_use > wanted;
}

// Takes the parts that the slots of one page have out of a set.
void RemoveLinked(VacuumState* state, BlockNumber block, BitSet* parts) {
    const HnswContext& ctx = state->ctx;
    ArenaVec<PartRefData>* refs = &state->dead_parts;                          // empty meanwhile
    refs->Reserve(static_cast<size_t>(ctx.meta.slots) * ctx.meta.part_count);  // no allocation under the lock
    ForSlots(ctx, block, [&](uint32, const SlotView& slot) {
        for (int i = 0; i < Min<int>(ctx.meta.part_count, PartsOf(ctx.meta, slot.payload)); ++i)
            refs->Push(slot.parts[i]);
    });
    for (PartRefData ref : *refs) {
        vacuum_delay_point();
        parts->Remove(ref.id);
        if (!HasWords(ctx.meta)) continue;
        for (int n = 0; n <= ctx.meta.elements && HnswStepChain(ctx, &ref) && ref.id != kInvalidId; ++n)
            parts->Remove(ref.id);
    }
    refs->Clear();
}

// Frees the parts that no slot has: an insert that ended before it wrote the slot left them, or a vacuum that ended
// after it had freed it. What was in use before the barrier, and no slot refers to behind it, nobody will refer to: the
// insert that wrote it has ended, and nobody but us frees a part for others to use.
void FreeLostParts(VacuumState* state) {
    const HnswContext& ctx = state->ctx;
    if (ctx.meta.part_count == 0) return;
    BitSet lost;
    lost.Init(&state->long_arena, static_cast<uint64>(RelationGetNumberOfBlocks(ctx.index)) * ctx.meta.parts);
    if (!CollectParts(ctx, &lost)) return;
    HnswWaitForInserts(ctx.index);
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        RemoveLinked(state, block, &lost);
    }
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        state->dead_parts.Reserve(ctx.meta.parts);  // no allocation under the lock
        ForParts(ctx, block, [&](const PartRefData& part) {
            if (lost.Has(part.id)) state->dead_parts.Push(part);
        });
        FreeDeadParts(state);
    }
}

// Puts initialised pages with free slots that are on no list (a crash between two records) on their list.
void ListStrayPages(VacuumState* state) {
    const HnswContext& ctx = state->ctx;
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        PageKind kind;
        {
            LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
            if (PageIsNew(page.page()) || page.Is(PageKind::kSeed) || HnswIsAnyRowPage(page)) continue;
            kind = page.Is(PageKind::kNode)    ? PageKind::kNode
                   : page.Is(PageKind::kUpper) ? PageKind::kUpper
                   : page.Is(PageKind::kPart)  ? PageKind::kPart
                                               : PageKind::kTid;
            if ((OpaqueOf(page.page())->flags & kPageListed) != 0) continue;
            if (HnswFindFreeSlot(ctx.meta, page.page(), kind) < 0) continue;
        }
        ListPage(ctx.index, WriteMode::kLogged, HnswFreeList(ctx.meta, kind), block);
    }
}

void InitState(VacuumState* state, IndexVacuumInfo* info, IndexBulkDeleteCallback callback, void* callback_state) {
    memset(static_cast<void*>(state), 0, sizeof(*state));
    MemoryContext slot_memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum slot", ALLOCSET_DEFAULT_SIZES);
    state->long_memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
    state->long_arena = MakeArena(state->long_memory);
    HnswOpen(&state->ctx, info->index, WriteMode::kLogged, slot_memory);
    state->ctx.strategy = info->strategy;
    state->tids = {callback, callback_state, 0, 0};
    state->dead.Init(&state->long_arena, HnswIdSpace(state->ctx));
    state->dead_nodes.Init(&state->long_arena);
    state->dead_uppers.Init(&state->long_arena);
    state->dead_parts.Init(&state->long_arena);
    state->best_entry = kInvalidId;
    state->best_level = -1;
}

}  // namespace

extern "C" IndexBulkDeleteResult* hnsw_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                                   IndexBulkDeleteCallback callback, void* callback_state) {
    if (stats == nullptr) stats = PallocZeroed<IndexBulkDeleteResult>();
    VacuumState state;
    InitState(&state, info, callback, callback_state);
    MemoryContext old = MemoryContextSwitchTo(state.ctx.memory);

    MarkPass(&state);
    if (state.dead_nodes.size + state.dead_uppers.size > 0) {
        VECANN_RACE_POINT("hnsw-vacuum-before-barrier");
        HnswWaitForInserts(info->index);
        VECANN_RACE_POINT("hnsw-vacuum-after-barrier");
        RepairPass(&state);
        RelinkOrphans(&state);
        VECANN_RACE_POINT("hnsw-vacuum-before-free");
        ReplaceEntry(&state);
        FreeSlots(&state, PageKind::kNode, &state.dead_nodes);
        VECANN_RACE_POINT("hnsw-vacuum-between-frees");
        FreeSlots(&state, PageKind::kUpper, &state.dead_uppers);
        HnswCountFreed(state.ctx, state.dead_nodes.size);
    }
    FreeLostParts(&state);
    ListStrayPages(&state);

    MemoryContextSwitchTo(old);
    stats->num_index_tuples = state.tids.kept;
    stats->tuples_removed += state.tids.removed;
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    MemoryContextDelete(state.ctx.memory);
    MemoryContextDelete(state.long_memory);
    return stats;
}

extern "C" IndexBulkDeleteResult* hnsw_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
    if (info->analyze_only) return stats;
    if (stats == nullptr) {
        // Nothing was deleted: the heap's count stands.
        stats = PallocZeroed<IndexBulkDeleteResult>();
        stats->num_index_tuples = info->num_heap_tuples;
        stats->estimated_count = true;
    }
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
    HnswContext ctx;
    HnswOpen(&ctx, info->index, WriteMode::kLogged, memory);
    ctx.strategy = info->strategy;
    if (HnswReplantSeeds(&ctx)) HnswLinkIslands(&ctx);
    HnswReplantRows(&ctx);
    MemoryContextDelete(memory);
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    return stats;
}

}  // namespace vecann

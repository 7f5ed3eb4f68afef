// Walking an index; see hnsw_walk.h.
#include "hnsw/hnsw_walk.h"

#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_seeds.h"
#include "pg/race_point.h"
#include "pg/scratch.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

bool NodeNearer(const ScoredNode& a, const ScoredNode& b) {
    return a.bounds.lower < b.bounds.lower || (a.bounds.lower == b.bounds.lower && a.slot.id < b.slot.id);
}
bool NodeFarther(const ScoredNode& a, const ScoredNode& b) {
    return NodeNearer(b, a);
}

// Flags the remembered TIDs as killed where generation and tid_epoch still agree. Never waits for a content lock.
void FlushKilled(HnswWalk* walk) {
    const HnswContext& ctx = walk->ctx;
    for (int i = 0; i < walk->killed_count; ++i) {
        CHECK_FOR_INTERRUPTS();
        const RowEntry& row = walk->killed[i];
        Buffer buffer = ReadBuffer(ctx.index, BlockOfId(ctx.meta, row.node));
        if (!ConditionalLockBuffer(buffer)) {
            ReleaseBuffer(buffer);
            continue;
        }
        LockedPage page(ctx.index, buffer);
        const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, row.node);
        if (slot.state() != SlotState::kLive || slot.header->generation != row.generation ||
            slot.header->tid_epoch != row.tid_epoch)
            continue;
        for (int t = 0; t < slot.header->tid_count; ++t) {
            ItemPointerData tid = row.tid;
            if (!ItemPointerEquals(&slot.tids[t].tid, &tid)) continue;
            if ((slot.tids[t].flags & kTidKilled) != 0) break;
            PagePatch patch(ctx.index, WriteMode::kLogged);
            *patch.Edit(buffer, &slot.tids[t].flags) |= kTidKilled;
            patch.Commit();
            break;
        }
    }
    walk->killed_count = 0;
}

// Has the search expanded all that it can reach, though it may take more?
bool IsDry(LayerSearch* search) {
    return search->beam.live_count() < search->beam.capacity() && std::isinf(search->beam.Frontier());
}

// Seeds need not lead everywhere. A search that has seen all that they lead to goes on, once, from what it finds by
// coming down the layers. False when memory is at an end.
bool ReachFurther(HnswWalk* walk, size_t memory_limit) {
    if (!walk->from_seeds || !IsDry(&walk->search)) return true;
    walk->from_seeds = false;
    Entrance start;
    if (!HnswDescend(&walk->ctx, walk->query, 1, &start)) return true;
    if (start.level == 0) {
        walk->search.Offer(0, start.id);
    } else {
        LayerSearch above;
        above.Init(&walk->ctx, &walk->query, start.level, walk->ctx.descent_ef);
        // Should the start be gone by now, the sweep finds what there is.
        if (HnswEnter(&above, start)) above.Settle(0);
        for (const FoundSlot& slot : above.found)
            if (slot.down != kInvalidId) walk->search.Offer(slot.distance, slot.down);
    }
    return walk->search.Settle(memory_limit);
}

// Puts what the search has found since the last time on the heap of results.
void TakeFound(HnswWalk* walk) {
    for (const FoundSlot& slot : walk->search.found) {
        if (!slot.live) {
            walk->search.TakeBack(slot.payload);
            continue;
        }
        walk->results.Push({HnswBounds(walk->ctx.form, walk->query, slot.distance, slot.error), slot});
        std::push_heap(walk->results.begin(), walk->results.end(), NodeFarther);
    }
    walk->search.found.Clear();
}

size_t MemoryLimit() {
    return static_cast<size_t>(static_cast<double>(work_mem) * 1024.0 * Settings().hnsw_scan_mem_multiplier);
}

void InitAdmission(HnswWalk* walk) {
    if (walk->filter != nullptr)
        walk->admission.Init(&walk->ctx, walk->filter, walk->ef, walk->ignore_killed, MemoryLimit());
}

void InitBeam(HnswWalk* walk) {
    walk->search.Init(&walk->ctx, &walk->query, 0, walk->ef);
    walk->search.keep_exact = walk->keep_exact;
    // Killed means dead to every snapshot of the primary; one of a standby may still see the row.
    walk->search.rule = walk->ignore_killed ? LiveRule::kWithRows : LiveRule::kNotDeleted;
    if (walk->filter != nullptr) walk->search.admission = &walk->admission;
    InitAdmission(walk);
}

// With a filter that allows it, the search ends here: who asked for it does the rest in another way.
bool GiveUp(HnswWalk* walk) {
    if (walk->filter == nullptr || !walk->admission.may_give_up()) return false;
    walk->admission.GiveUp();
    walk->phase = WalkPhase::kDone;
    return true;
}

// How many results wait until the beam has gone on, after it has settled: with no more, every row that is returned has
// been through a beam of settled candidates.
void SetHeld(HnswWalk* walk) {
    walk->held = walk->filter != nullptr ? walk->admission.Held(static_cast<uint32>(walk->results.size)) : walk->ef / 4;
}

// Enters layer 0 from above and settles the beam; false when the index is empty.
bool SettleFromAbove(HnswWalk* walk) {
    for (int attempts = 0;;) {
        HnswCountAttempt(walk->ctx, &attempts);
        Entrance start;
        if (!HnswDescend(&walk->ctx, walk->query, 0, &start)) return false;
        InitBeam(walk);
        if (HnswEnter(&walk->search, start)) break;
    }
    // ef_search bounds the first beam; what comes after it is bounded by memory.
    walk->search.Settle(0);
    return true;
}

// Enters layer 0 at seeds and settles the beam; false when there are none that lead anywhere.
bool SettleFromSeeds(HnswWalk* walk) {
    if (!HnswHasSeeds(walk->ctx)) return false;
    InitBeam(walk);
    walk->from_seeds = HnswSettleFromSeeds(&walk->search);
    return walk->from_seeds && ReachFurther(walk, 0);
}

// Settles a beam of ef_search in layer 0; false when the index is empty.
bool StartBeam(HnswWalk* walk) {
    if (!SettleFromSeeds(walk) && !SettleFromAbove(walk)) return false;
    TakeFound(walk);
    SetHeld(walk);
    // The slot the search came in by was no candidate: one beam returns ef_search nodes.
    if (walk->mode == IterativeScan::kOff && walk->results.size > walk->ef) {
        std::sort(walk->results.begin(), walk->results.end(), NodeNearer);
        walk->results.size = walk->ef;
    }
    return true;
}

void StartSweep(HnswWalk* walk) {
    walk->phase = WalkPhase::kSweep;
    walk->next_block = kMetaBlock + 1;
    walk->end_block = RelationGetNumberOfBlocks(walk->ctx.index);
    walk->swept.Init(&walk->ctx.arena);
    walk->next_swept = 0;
}

// Sets the rows of a node to be returned; false when it has none.
bool TakeRows(HnswWalk* walk, const FoundSlot& slot) {
    walk->entry.node = slot.id;
    walk->entry.generation = slot.generation;
    VECANN_RACE_POINT("hnsw-scan-before-rows");
    if (slot.tid_chain == kInvalidId) {
        HnswRowsOf(slot, walk->ignore_killed, &walk->rows);
        walk->entry.tid_epoch = slot.tid_epoch;
    } else if (!HnswReadRows(walk->ctx, slot.id, slot.generation, walk->ignore_killed, &walk->rows,
                             &walk->entry.tid_epoch)) {
        return false;  // recycled since its distance was computed: all its rows were dead
    }
    if (walk->filter != nullptr) walk->admission.KeepMembers(&walk->rows);
    for (const NodeRow& row : walk->rows)
        CheckTid(walk->ctx.index, row.tid);
    return !walk->rows.empty();
}

// The next node from the beam. When no more than a quarter of ef_search nodes wait behind it, or all that a filtered
// search wanted have gone, the walk goes on first. Changes the phase when the beam has no more.
bool NextFromBeam(HnswWalk* walk, ScoredNode* out) {
    const uint32 waiting = static_cast<uint32>(walk->results.size);
    const bool enough = waiting > 0 && walk->first_beam;
    if (walk->phase == WalkPhase::kBeam && walk->mode != IterativeScan::kOff && waiting <= walk->held && !enough) {
        walk->first_beam = false;
        walk->search.beam.Widen(Max(walk->ef, waiting + 1) - waiting);
        if (walk->filter != nullptr) walk->admission.NextRound(walk->results);
        if (!walk->search.Settle(MemoryLimit()) || !ReachFurther(walk, MemoryLimit())) walk->phase = WalkPhase::kDrain;
        if (walk->filter != nullptr && walk->admission.gave_up()) {
            GiveUp(walk);
            return false;
        }
        TakeFound(walk);
        SetHeld(walk);
    }
    if (!walk->results.empty()) {
        std::pop_heap(walk->results.begin(), walk->results.end(), NodeFarther);
        *out = walk->results[--walk->results.size];
        ++walk->taken;
        return true;
    }
    if (walk->phase == WalkPhase::kBeam) {
        if (walk->mode == IterativeScan::kOff)
            walk->phase = WalkPhase::kDone;
        else if (!GiveUp(walk))
            StartSweep(walk);
    }
    return false;
}

// Reads a node that the beam knows but has not expanded; false, and on to the sweep, when there is none.
bool NextFromDrain(HnswWalk* walk, ScoredNode* out) {
    uint32 id;
    while (walk->search.beam.PopUnexpanded(&id)) {
        CHECK_FOR_INTERRUPTS();
        const size_t before = walk->search.found.size;
        if (walk->search.ReadSlot(id) < 0) continue;
        out->slot = walk->search.found[before];
        walk->search.found.Clear();
        if (!out->slot.live) {
            walk->search.TakeBack(out->slot.payload);
            continue;
        }
        out->bounds = HnswBounds(walk->ctx.form, walk->query, out->slot.distance, out->slot.error);
        return true;
    }
    StartSweep(walk);
    return false;
}

// Gives the nodes read by a sweep their bounds; those that are gone by now are dropped.
void BoundSwept(HnswWalk* walk) {
    HnswContext* ctx = &walk->ctx;
    size_t kept = 0;
    for (ScoredNode& node : walk->swept) {
        FoundSlot& slot = node.slot;
        if (walk->ordered && ctx->meta.part_count > 0 &&
            !HnswAddPartDistances(ctx, slot.id, PageKind::kNode, slot.generation, walk->query, &slot.distance))
            continue;
        node.bounds = {walk->unordered_value, walk->unordered_value};
        if (walk->ordered) node.bounds = HnswBounds(ctx->form, walk->query, slot.distance, slot.error);
        walk->swept[kept++] = node;
    }
    walk->swept.size = kept;
}

// Reads the nodes of one page that the beam has not seen, nearest first.
void SweepPage(HnswWalk* walk, BlockNumber block) {
    HnswContext* ctx = &walk->ctx;
    walk->swept.Clear();
    walk->next_swept = 0;
    walk->swept.Reserve(ctx->meta.slots);  // no allocation under the lock
    {
        LockedPage page(ctx->index, block, BUFFER_LOCK_SHARE, ctx->strategy);
        ++ctx->counts.pages;
        if (!page.Is(PageKind::kNode)) return;
        CheckOldSnapshot(ctx->snapshot, ctx->index, page.page());
        for (int i = 0; i < ctx->meta.slots; ++i) {
            const uint32 id = IdOf(ctx->meta, block, i);
            const SlotView slot = HnswCheckedSlot(ctx->meta, ctx->index, page, PageKind::kNode, id);
            if (slot.state() != SlotState::kLive || (walk->ordered && walk->search.visited.Contains(id))) continue;
            ScoredNode node;
            HnswFill(*ctx, id, slot, walk->ordered ? &walk->query : nullptr, &node.slot);
            walk->swept.Push(node);
        }
    }
    BoundSwept(walk);
    std::sort(walk->swept.begin(), walk->swept.end(), NodeNearer);
}

bool NextFromSweep(HnswWalk* walk, ScoredNode* out) {
    for (;;) {
        if (walk->next_swept < walk->swept.size) {
            *out = walk->swept[walk->next_swept++];
            return true;
        }
        if (walk->next_block >= walk->end_block) {
            walk->phase = WalkPhase::kDone;
            return false;
        }
        CHECK_FOR_INTERRUPTS();
        SweepPage(walk, walk->next_block++);
    }
}

bool NextScored(HnswWalk* walk, ScoredNode* out) {
    switch (walk->phase) {
        case WalkPhase::kBeam:
            return NextFromBeam(walk, out);
        case WalkPhase::kDrain:
            return NextFromBeam(walk, out) || NextFromDrain(walk, out);
        default:
            return NextFromSweep(walk, out);
    }
}

// Is a node's place in the order certain as it is: behind all that were returned, before all that wait? Equal vectors
// share a node, so their rows may come in any order.
bool IsApart(HnswWalk* walk, const OrderBounds& bounds) {
    const bool behind = bounds.lower >= walk->highest_upper;
    walk->highest_upper = Max(walk->highest_upper, bounds.upper);
    const bool next_known = walk->phase == WalkPhase::kBeam && !walk->results.empty();
    return behind && next_known && bounds.upper <= walk->results[0].bounds.lower;
}

// Leaves the counts of a walk that has begun for vecann_last_scan.
void KeepCounts(const HnswWalk& walk) {
    if (walk.phase != WalkPhase::kStart && walk.ctx.index != nullptr) KeepLastScan(walk.ctx.counts);
}

}  // namespace

void HnswWalkInit(HnswWalk* walk) {
    walk->memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
    walk->phase = WalkPhase::kStart;
}

void HnswWalkReset(HnswWalk* walk, Relation index) {
    if (walk->killed_count > 0) FlushKilled(walk);
    KeepCounts(*walk);
    MemoryContextReset(walk->memory);
    MemoryContext old = MemoryContextSwitchTo(walk->memory);
    HnswOpen(&walk->ctx, index, WriteMode::kLogged, walk->memory);
    walk->ctx.arena = MakeScratchArena(walk->memory);
    MemoryContextSwitchTo(old);
    walk->phase = WalkPhase::kStart;
    walk->rows = ArenaVec<NodeRow>();
    walk->payload = nullptr;
    walk->bounds = {-get_float8_infinity(), get_float8_infinity()};
    walk->last_value = walk->highest_upper = -get_float8_infinity();
}

void HnswWalkStart(HnswWalk* walk, const SearchQuery& query) {
    pgstat_count_index_scan(walk->ctx.index);
    walk->ctx.snapshot = query.snapshot;
    walk->ignore_killed = query.ignore_killed;
    walk->filter = query.filter;
    walk->mode = static_cast<IterativeScan>(Settings().hnsw_iterative_scan);
    walk->ef = static_cast<uint32>(Settings().hnsw_ef_search);
    // Rows beyond the first beam cost another one, and come late where they are nearer: one beam is to find all.
    const bool known = query.wanted > 0 && walk->mode == IterativeScan::kRelaxedOrder && query.filter == nullptr;
    walk->wanted = known && query.wanted <= kMaxEfSearch ? static_cast<uint32>(query.wanted) : 0;
    walk->ef = Max(walk->ef, walk->wanted + walk->wanted / 2);
    walk->first_beam = walk->wanted > 0;
    walk->taken = 0;
    walk->ctx.descent_ef = Min(kMaxDescentEf, Max<uint32>(walk->ef, 4));
    walk->rows.Init(&walk->ctx.arena);
    walk->results.Init(&walk->ctx.arena);
    walk->search.visited.Init(&walk->ctx.arena, 0);
    walk->query.Init(&walk->ctx.arena, walk->ctx.form);
    InitAdmission(walk);
    walk->ordered = walk->from_seeds = false;
    walk->unordered_value = 0;
    if (!query.is_null) {
        walk->ordered = HnswExtractQuery(walk->ctx.form, query.value, &walk->query);
        if (walk->ordered) HnswPrepareQuery(walk->ctx.form, &walk->query);
        // A zero vector has no cosine distance to anything: the operator says NaN.
        walk->unordered_value = get_float8_nan();
    }
    const bool found = walk->ordered && StartBeam(walk);
    VECANN_RACE_POINT("hnsw-scan-after-start");
    if (found && walk->filter != nullptr && walk->admission.gave_up())
        GiveUp(walk);
    else if (found)
        walk->phase = WalkPhase::kBeam;
    else
        StartSweep(walk);
}

bool HnswWalkNext(HnswWalk* walk) {
    while (walk->phase != WalkPhase::kDone) {
        // of the node before
        if (walk->payload != nullptr) walk->search.TakeBack(walk->payload);
        walk->payload = nullptr;
        ScoredNode node;
        if (!NextScored(walk, &node)) continue;
        walk->payload = node.slot.payload;
        if (walk->strict() && node.bounds.lower < walk->last_value) continue;
        if (!TakeRows(walk, node.slot)) continue;
        walk->bounds = node.bounds;
        walk->last_wanted = walk->first_beam && walk->taken >= walk->wanted && walk->results.empty();
        walk->mixed = node.slot.mixed;
        walk->apart = walk->ordered && IsApart(walk, node.bounds);
        // Once the beam is through, rows come in no order, unless a strict one is asked for.
        walk->recheck = walk->ordered && !walk->apart && (walk->strict() || walk->phase == WalkPhase::kBeam);
        // A row that goes out as it is may be as far as its upper bound; one that is computed waits for all that may be
        // nearer.
        walk->last_value = walk->recheck ? node.bounds.lower : node.bounds.upper;
        return true;
    }
    return false;
}

void HnswWalkKill(HnswWalk* walk, const RowEntry& entry) {
    if (!walk->ignore_killed || !entry.in_line) return;
    if (walk->killed_count == kMaxKilled) FlushKilled(walk);
    walk->killed[walk->killed_count++] = entry;
}

void HnswWalkEnd(HnswWalk* walk) {
    if (walk->killed_count > 0) FlushKilled(walk);
    KeepCounts(*walk);
    MemoryContextDelete(walk->memory);
    memset(static_cast<void*>(walk), 0, sizeof(HnswWalk));
}

}  // namespace vecann

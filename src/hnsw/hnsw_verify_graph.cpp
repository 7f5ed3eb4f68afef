// The verifier's second pass: edges, towers, row pointers; then what a search reaches. Locks: one page at a time,
// share, for a copy.
#include <algorithm>

#include "hnsw/hnsw_verify_state.h"

namespace vecann {

namespace {

// A slot being checked.
struct Subject {
    uint32 id;
    PageKind kind;
    int level;
    bool live;
    SlotView view;
};

// ---- edges ---------------------------------------------------------------------

void CheckEdgeTarget(HnswVerifier* v, const Subject& s, const EdgeData& edge) {
    const BlockNumber block = BlockOfId(v->meta, edge.id);
    const int at = SlotOfId(v->meta, edge.id);
    if (!SlotExists(*v, edge.id, s.kind)) {
        SlotProblem(v, s.id, "has an edge to block %u slot %d, which is no slot of its kind", block, at);
        return;
    }
    if (edge.id == s.id) SlotProblem(v, s.id, "has an edge to itself");
    if (edge.held > 1) SlotProblem(v, s.id, "has an edge to block %u slot %d with the mark %u", block, at, edge.held);
    // A deleted slot is not repaired: while an interrupted vacuum waits for the next, its neighbours may be recycled.
    if (!s.live) return;
    const SlotBrief& target = v->slot[edge.id];
    if (StateOf(*v, edge.id) == SlotState::kFree)
        SlotProblem(v, s.id, "has an edge to block %u slot %d, which is free", block, at);
    else if (target.generation != edge.generation)
        SlotProblem(v, s.id, "has an edge to generation %u of block %u slot %d, which has %u", edge.generation, block,
                    at, target.generation);
    else if (target.level != s.level)
        SlotProblem(v, s.id, "has an edge from level %d to block %u slot %d on level %d", s.level, block, at,
                    target.level);
}

void CheckEdges(HnswVerifier* v, const Subject& s) {
    uint32 ids[2 * kHnswMaxM];
    const int n = Min<int>(s.view.header->edge_count, 2 * kHnswMaxM);
    for (int i = 0; i < n; ++i) {
        ids[i] = s.view.edges[i].id;
        CheckEdgeTarget(v, s, s.view.edges[i]);
    }
    std::sort(ids, ids + n);
    for (int i = 1; i < n; ++i)
        if (ids[i] == ids[i - 1])
            SlotProblem(v, s.id, "has two edges to block %u slot %d", BlockOfId(v->meta, ids[i]),
                        SlotOfId(v->meta, ids[i]));
}

// ---- towers --------------------------------------------------------------------

// The slot above. Vacuum marks a tower from below, and frees its node before its upper slots, in any order.
void CheckUp(HnswVerifier* v, const Subject& s) {
    const uint32 up = s.view.header->up;
    if (up == kInvalidId) return;
    const BlockNumber block = BlockOfId(v->meta, up);
    const int at = SlotOfId(v->meta, up);
    if (!SlotExists(*v, up, PageKind::kUpper)) {
        SlotProblem(v, s.id, "its link up leads to block %u slot %d, which is no upper slot", block, at);
        return;
    }
    if (!s.live && s.kind == PageKind::kUpper) return;
    if (v->slot[up].broken) return;
    PGAlignedBlock copy;
    const SlotView above = CopySlot(*v, up, PageKind::kUpper, &copy);
    if (StateOf(*v, up) == SlotState::kFree || (s.live && StateOf(*v, up) != SlotState::kLive))
        SlotProblem(v, s.id, "its link up leads to block %u slot %d, which is not live", block, at);
    else if (above.header->down != s.id)
        SlotProblem(v, s.id, "its link up leads to block %u slot %d, whose link down leads elsewhere", block, at);
}

// Do two slots have the same payload, as far as their parts can be read?
bool SamePayload(HnswVerifier* v, const SlotView& a, const SlotView& b) {
    char* other = v->payload + v->form.payload_size;
    if (!WholePayload(v, a, v->payload) || !WholePayload(v, b, other)) return true;
    return HnswSamePayload(v->form, v->payload, other);
}

// The slot below a live upper slot. A deleted one may outlive its node.
void CheckDown(HnswVerifier* v, const Subject& s) {
    if (s.kind != PageKind::kUpper) return;
    const uint32 down = s.view.header->down;
    const PageKind kind = KindOfLevel(s.level - 1);
    const BlockNumber block = BlockOfId(v->meta, down);
    const int at = SlotOfId(v->meta, down);
    if (!SlotExists(*v, down, kind)) {
        SlotProblem(v, s.id, "its link down leads to block %u slot %d, which is no slot of the layer below", block, at);
        return;
    }
    if (!s.live || v->slot[down].broken) return;
    PGAlignedBlock copy;
    const SlotView below = CopySlot(*v, down, kind, &copy);
    if (StateOf(*v, down) == SlotState::kFree)
        SlotProblem(v, s.id, "its link down leads to block %u slot %d, which is free", block, at);
    else if (below.header->up != s.id)
        SlotProblem(v, s.id, "its link down leads to block %u slot %d, whose link up leads elsewhere", block, at);
    else if (below.header->level != s.level - 1)
        SlotProblem(v, s.id, "its link down leads from level %d to level %u", s.level, below.header->level);
    else if (!SamePayload(v, below, s.view))
        SlotProblem(v, s.id, "its vector differs from that of block %u slot %d below", block, at);
}

// ---- row pointers ----------------------------------------------------------------

void TakeRow(HnswVerifier* v, uint32 node, const TidEntryData& row) {
    ++v->report->heap_tids;
    if ((row.flags & kTidKilled) != 0) ++v->report->killed_tids;
    if ((row.flags & ~kTidKilled) != 0) SlotProblem(v, node, "has a row with unknown flags %x", row.flags);
    const BlockNumber block = ItemPointerGetBlockNumberNoCheck(&row.tid);
    const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&row.tid);
    if (!BlockNumberIsValid(block) || !OffsetNumberIsValid(offset)) {
        SlotProblem(v, node, "has the row (%u,%u), which cannot be", block, offset);
        return;
    }
    bool fresh;
    TidMapEntry* entry = v->rows.Add(block, offset, &fresh);
    if (!fresh) {
        SlotProblem(v, node, "has the row (%u,%u), which block %u slot %d has too", block, offset,
                    BlockOfId(v->meta, entry->value), SlotOfId(v->meta, entry->value));
        return;
    }
    entry->value = node;
    entry->flags = (row.flags & kTidKilled) != 0 ? kRowKilled : 0;
}

// Takes the rows of a node's chain.
void WalkChain(HnswVerifier* v, const Subject& s) {
    PGAlignedBlock copy;
    for (uint32 segment = s.view.header->tid_chain; segment != kInvalidId;) {
        CHECK_FOR_INTERRUPTS();
        const BlockNumber block = BlockOfSegment(segment);
        const int at = SlotOfSegment(segment);
        if (block >= v->blocks || v->block[block].kind != static_cast<uint16>(PageKind::kTid)) {
            SlotProblem(v, s.id, "its chain of rows leads to segment %d of block %u, which is no page of rows", at,
                        block);
            return;
        }
        if (!v->linked_segments.Add(segment)) {
            SlotProblem(v, s.id, "its chain of rows leads to segment %d of block %u, which is linked twice", at, block);
            return;
        }
        CopyIndexPage(*v, block, nullptr, &copy);
        const TidSegmentData& t = *SegmentAt(PageOf(&copy), at);
        if (t.in_use == 0 || t.owner != s.id || t.owner_generation != s.view.header->generation) {
            SlotProblem(v, s.id, "its chain of rows leads to segment %d of block %u, which it does not own", at, block);
            return;
        }
        for (int i = 0; i < Min<int>(t.count, kSegmentTids); ++i)
            TakeRow(v, s.id, t.tids[i]);
        segment = t.next;
    }
}

void CheckRows(HnswVerifier* v, const Subject& s) {
    const SlotHeaderData& header = *s.view.header;
    if (!s.live) {
        if (header.tid_count != 0 || header.tid_chain != kInvalidId) SlotProblem(v, s.id, "is deleted but has rows");
        return;
    }
    // An interrupted vacuum may leave a live node without rows. But inline rows go in vacuum only, which counts
    // tid_epoch.
    if (header.tid_count == 0 && header.tid_epoch == 0) SlotProblem(v, s.id, "has lost its inline rows");
    for (int i = 0; i < header.tid_count; ++i)
        TakeRow(v, s.id, s.view.tids[i]);
    WalkChain(v, s);
}

// Segments in use that no node links.
void CheckOrphans(HnswVerifier* v) {
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        if (v->block[block].kind != static_cast<uint16>(PageKind::kTid)) continue;
        CopyIndexPage(*v, block, v->strategy, &copy);
        for (int i = 0; i < kSegmentsPerPage; ++i)
            if (SegmentAt(PageOf(&copy), i)->in_use != 0 &&
                !v->linked_segments.Has(static_cast<uint64>(block) * kSegmentsPerPage + static_cast<uint64>(i)))
                BlockProblem(v->report, block, "segment %d is in use but in no chain", i);
    }
}

// ---- reachability ----------------------------------------------------------------

// Takes an id as reached in `level` if a search would visit it there.
void Reach(HnswVerifier* v, uint32 id, int level, ArenaVec<uint32>* found) {
    if (!SlotExists(*v, id, KindOfLevel(level)) || v->slot[id].broken || v->slot[id].level != level ||
        StateOf(*v, id) == SlotState::kFree)
        return;
    if (v->reached.Add(id)) found->Push(id);
}

// Follows the edges of one layer from `found`, which then holds everything reached in it; `below` takes the links down.
void ReachLayer(HnswVerifier* v, int level, ArenaVec<uint32>* found, ArenaVec<uint32>* below) {
    const PageKind kind = KindOfLevel(level);
    PGAlignedBlock copy;
    for (size_t next = 0; next < found->size; ++next) {
        CHECK_FOR_INTERRUPTS();
        const SlotView slot = CopySlot(*v, (*found)[next], kind, &copy);
        const int n = Min<int>(slot.header->edge_count, v->meta.max_edges);
        for (int i = 0; i < n; ++i) {
            const EdgeData& edge = slot.edges[i];
            if (SlotExists(*v, edge.id, kind) && v->slot[edge.id].generation == edge.generation)
                Reach(v, edge.id, level, found);
        }
        if (level > 0) Reach(v, slot.header->down, level - 1, below);
    }
}

}  // namespace

void VerifyEntryPoint(HnswVerifier* v) {
    const HnswMetaData& meta = v->meta;
    if (meta.entry == kInvalidId) return;
    const BlockNumber block = BlockOfId(meta, meta.entry);
    const int at = SlotOfId(meta, meta.entry);
    if (meta.entry_level > kHnswMaxLevel || !SlotExists(*v, meta.entry, KindOfLevel(meta.entry_level))) {
        BlockProblem(v->report, kMetaBlock, "the entry point is block %u slot %d, which is no slot of level %u", block,
                     at, meta.entry_level);
        return;
    }
    // An interrupted vacuum may leave a deleted entry point, but never frees one.
    PGAlignedBlock copy;
    const SlotView slot = CopySlot(*v, meta.entry, KindOfLevel(meta.entry_level), &copy);
    if (StateOf(*v, meta.entry) == SlotState::kFree)
        BlockProblem(v->report, kMetaBlock, "the entry point is block %u slot %d, which is free", block, at);
    else if (slot.header->generation != meta.entry_generation)
        BlockProblem(v->report, kMetaBlock, "the entry point is generation %u of block %u slot %d, which has %u",
                     meta.entry_generation, block, at, slot.header->generation);
    else if (slot.header->level != meta.entry_level)
        BlockProblem(v->report, kMetaBlock, "the entry point is level %u of block %u slot %d, which has %u",
                     meta.entry_level, block, at, slot.header->level);
}

void VerifyGraph(HnswVerifier* v) {
    v->linked_segments.Init(&v->arena, static_cast<uint64>(v->blocks) * kSegmentsPerPage);
    v->linked_parts.Init(&v->arena, static_cast<uint64>(v->blocks) * v->meta.parts);
    v->rows.Init(&v->arena, static_cast<size_t>(v->tid_estimate));
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        const PageKind kind = static_cast<PageKind>(v->block[block].kind);
        if (kind != PageKind::kNode && kind != PageKind::kUpper) continue;
        CopyIndexPage(*v, block, v->strategy, &copy);
        for (int i = 0; i < v->meta.slots; ++i) {
            CHECK_FOR_INTERRUPTS();
            Subject s;
            s.id = IdOf(v->meta, block, i);
            const SlotBrief& brief = v->slot[s.id];
            if (brief.broken || StateOf(*v, s.id) == SlotState::kFree) continue;
            s.kind = kind;
            s.level = brief.level;
            s.live = StateOf(*v, s.id) == SlotState::kLive;
            s.view = SlotAt(v->meta, PageOf(&copy), i);
            CheckParts(v, s.id, s.view);
            CheckEdges(v, s);
            CheckUp(v, s);
            CheckDown(v, s);
            if (kind == PageKind::kNode) CheckRows(v, s);
        }
    }
    CheckOrphans(v);
}

void CountUnreachable(HnswVerifier* v) {
    v->reached.Init(&v->arena, v->slot.size);
    ArenaVec<uint32> found;
    found.Init(&v->arena);
    const int top = Min<int>(v->meta.entry_level, kHnswMaxLevel);
    if (v->meta.entry != kInvalidId) Reach(v, v->meta.entry, top, &found);
    for (int level = top; level >= 0; --level) {
        ArenaVec<uint32> below;
        below.Init(&v->arena);
        ReachLayer(v, level, &found, &below);
        v->arena.Release(found.data, found.capacity);
        found = below;
    }
    int64 reached_nodes = 0;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        if (v->block[block].kind != static_cast<uint16>(PageKind::kNode)) continue;
        for (int i = 0; i < v->meta.slots; ++i) {
            const uint32 id = IdOf(v->meta, block, i);
            if (!v->slot[id].broken && StateOf(*v, id) == SlotState::kLive && v->reached.Has(id)) ++reached_nodes;
        }
    }
    v->report->unreachable = v->report->nodes - reached_nodes;
}

}  // namespace vecann

// Index scans: amgettuple over a resumable beam, then a sweep over the slots the beam did not reach. Holds no lock or
// pin between calls. See README.md, "Search".
#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_heap.h"
#include "hnsw/hnsw_parts.h"
#include "hnsw/hnsw_seeds.h"
#include "hnsw/hnsw_tids.h"
#include "pg/guc.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

enum class Phase : uint8 {
    kStart,
    kBeam,   // rows come from what the settled beam has expanded
    kDrain,  // out of memory for more: rows come from what the beam knows
    kSweep,  // page by page over the slots not seen
    kDone,
};

constexpr int kMaxKilled = 64;

struct KilledRow {
    uint32 node;
    uint32 generation;
    uint32 tid_epoch;
    ItemPointerData tid;
};

// A node whose distance is known.
struct ScoredNode {
    OrderBounds bounds;  // of the operator's result
    FoundSlot slot;
};
static_assert(std::is_trivially_copyable_v<ScoredNode>);

// A row about to be returned.
struct ScoredRow {
    double value;  // what the operator returns, or a lower bound where that settles the row's place
    ItemPointerData tid;
    bool in_line;
    uint32 node;
    uint32 generation;
    uint32 tid_epoch;
};

// NaN sorts behind all numbers.
double SortKey(double value) {
    return std::isnan(value) ? get_float8_infinity() : value;
}
// Equal distances come in the order of the table.
bool RowFarther(const ScoredRow& a, const ScoredRow& b) {
    if (SortKey(a.value) != SortKey(b.value)) return SortKey(a.value) > SortKey(b.value);
    return ItemPointerCompare(const_cast<ItemPointer>(&a.tid), const_cast<ItemPointer>(&b.tid)) > 0;
}

bool NodeNearer(const ScoredNode& a, const ScoredNode& b) {
    return a.bounds.lower < b.bounds.lower || (a.bounds.lower == b.bounds.lower && a.slot.id < b.slot.id);
}
bool NodeFarther(const ScoredNode& a, const ScoredNode& b) {
    return NodeNearer(b, a);
}

struct HnswScan {
    MemoryContext outer;   // lives as long as the scan
    MemoryContext memory;  // reset by each rescan
    HnswContext ctx;
    LayerSearch search;
    Phase phase;
    IterativeScan mode;  // in force when the scan began
    uint32 ef;           // the same of hnsw.ef_search
    bool ordered;        // there is a query vector with meaningful distances
    double unordered_value;
    bool unordered_null;
    IndexedVector query;
    ArenaVec<ScoredNode> results;  // expanded and not returned yet: a heap, nearest on top
    uint64 returned;
    double last_value;
    // the node taken last
    ArenaVec<NodeRow> rows;
    uint32 node;
    uint32 generation;
    uint32 tid_epoch;
    double value;          // its lower bound: what is still to come is no nearer
    bool recheck;          // only the rows' exact distances tell their places
    double highest_upper;  // of the nodes taken
    // rows
    ArenaVec<ScoredRow> pending;  // a heap, nearest on top
    ScoredRow current;            // returned last
    HeapDistance exact;
    // the sweep
    BlockNumber next_block;
    BlockNumber end_block;
    ArenaVec<ScoredNode> swept;
    size_t next_swept;
    KilledRow killed[kMaxKilled];
    int killed_count;
};
static_assert(std::is_trivially_destructible_v<HnswScan>);

SearchCounts last_counts;

// Flags the remembered TIDs as killed where generation and tid_epoch still agree. Never waits for a content lock.
void FlushKilled(HnswScan* scan) {
    const HnswContext& ctx = scan->ctx;
    for (int i = 0; i < scan->killed_count; ++i) {
        CHECK_FOR_INTERRUPTS();
        const KilledRow& row = scan->killed[i];
        Buffer buffer = ReadBuffer(ctx.index, BlockOfId(ctx.meta, row.node));
        if (!ConditionalLockBuffer(buffer)) {
            ReleaseBuffer(buffer);
            continue;
        }
        LockedPage page(ctx.index, buffer);
        const int at = SlotOfId(ctx.meta, row.node);
        const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, row.node);
        if (slot.state() != SlotState::kLive || slot.header->generation != row.generation ||
            slot.header->tid_epoch != row.tid_epoch)
            continue;
        for (int t = 0; t < slot.header->tid_count; ++t) {
            ItemPointerData tid = row.tid;
            if (!ItemPointerEquals(&slot.tids[t].tid, &tid)) continue;
            if ((slot.tids[t].flags & kTidKilled) != 0) break;
            PageTxn txn(ctx.index, WriteMode::kLogged);
            SlotAt(ctx.meta, txn.Register(buffer), at).tids[t].flags |= kTidKilled;
            txn.Commit();
            break;
        }
    }
    scan->killed_count = 0;
}

void RememberKilled(IndexScanDesc desc, HnswScan* scan) {
    if (!desc->kill_prior_tuple || !desc->ignore_killed_tuples || scan->returned == 0) return;
    const ScoredRow& row = scan->current;
    if (!row.in_line) return;
    if (scan->killed_count == kMaxKilled) FlushKilled(scan);
    scan->killed[scan->killed_count++] = {row.node, row.generation, row.tid_epoch, row.tid};
}

// Puts what the search has found since the last time on the heap of results.
void TakeFound(HnswScan* scan) {
    for (const FoundSlot& slot : scan->search.found) {
        if (!slot.live) continue;
        scan->results.Push({HnswBounds(scan->ctx.form, scan->query, slot.distance, slot.error), slot});
        std::push_heap(scan->results.begin(), scan->results.end(), NodeFarther);
    }
    scan->search.found.Clear();
}

size_t MemoryLimit() {
    return static_cast<size_t>(static_cast<double>(work_mem) * 1024.0 * Settings().hnsw_scan_mem_multiplier);
}

void InitBeam(IndexScanDesc desc, HnswScan* scan) {
    scan->search.Init(&scan->ctx, &scan->query, 0, scan->ef);
    // Killed means dead to every snapshot of the primary; one of a standby may still see the row.
    scan->search.rule = desc->ignore_killed_tuples ? LiveRule::kWithRows : LiveRule::kNotDeleted;
}

// Enters layer 0 from above and settles the beam; false when the index is empty.
bool SettleFromAbove(IndexScanDesc desc, HnswScan* scan) {
    for (int attempts = 0;;) {
        HnswCountAttempt(scan->ctx, &attempts);
        Entrance start;
        if (!HnswDescend(&scan->ctx, scan->query, 0, &start)) return false;
        InitBeam(desc, scan);
        if (HnswEnter(&scan->search, start)) break;
    }
    // ef_search bounds the first beam; what comes after it is bounded by memory.
    scan->search.Settle(0);
    return true;
}

// Settles a beam of ef_search in layer 0; false when the index is empty.
bool StartBeam(IndexScanDesc desc, HnswScan* scan) {
    InitBeam(desc, scan);
    if (!HnswSettleFromSeeds(&scan->search) && !SettleFromAbove(desc, scan)) return false;
    TakeFound(scan);
    // The slot the search came in by was no candidate: one beam returns ef_search nodes.
    if (scan->mode == IterativeScan::kOff && scan->results.size > scan->ef) {
        std::sort(scan->results.begin(), scan->results.end(), NodeNearer);
        scan->results.size = scan->ef;
    }
    return true;
}

void StartSweep(HnswScan* scan) {
    scan->phase = Phase::kSweep;
    scan->next_block = kMetaBlock + 1;
    scan->end_block = RelationGetNumberOfBlocks(scan->ctx.index);
    scan->swept.Init(&scan->ctx.arena);
    scan->next_swept = 0;
}

void StartScan(IndexScanDesc desc, HnswScan* scan) {
    pgstat_count_index_scan(desc->indexRelation);
    scan->ctx.snapshot = desc->xs_snapshot;
    scan->mode = static_cast<IterativeScan>(Settings().hnsw_iterative_scan);
    scan->ef = static_cast<uint32>(Settings().hnsw_ef_search);
    scan->ctx.descent_ef = Min(kMaxDescentEf, Max<uint32>(scan->ef, 4));
    scan->rows.Init(&scan->ctx.arena);
    scan->results.Init(&scan->ctx.arena);
    scan->pending.Init(&scan->ctx.arena);
    scan->search.visited.Init(&scan->ctx.arena, 0);
    scan->query.Init(&scan->ctx.arena, scan->ctx.form);
    scan->ordered = false;
    scan->unordered_null = false;
    scan->unordered_value = 0;
    if (desc->numberOfOrderBys > 0) {
        const ScanKey key = &desc->orderByData[0];
        if ((key->sk_flags & SK_ISNULL) != 0) {
            scan->unordered_null = true;
        } else {
            scan->ordered = HnswExtract(scan->ctx.form, key->sk_argument, &scan->query);
            if (scan->ordered) HnswPrepareQuery(scan->ctx.form, &scan->query);
            // A zero vector has no cosine distance to anything: the operator says NaN.
            scan->unordered_value = get_float8_nan();
        }
    }
    const bool found = scan->ordered && StartBeam(desc, scan);
    VECANN_RACE_POINT("hnsw-scan-after-start");
    if (found)
        scan->phase = Phase::kBeam;
    else
        StartSweep(scan);
}

// Sets the rows of a node to be returned; false when it has none.
bool TakeRows(IndexScanDesc desc, HnswScan* scan, const FoundSlot& slot) {
    scan->node = slot.id;
    scan->generation = slot.generation;
    VECANN_RACE_POINT("hnsw-scan-before-rows");
    if (slot.tid_chain == kInvalidId) {
        HnswRowsOf(slot, desc->ignore_killed_tuples, &scan->rows);
        scan->tid_epoch = slot.tid_epoch;
    } else if (!HnswReadRows(scan->ctx, slot.id, slot.generation, desc->ignore_killed_tuples, &scan->rows,
                             &scan->tid_epoch)) {
        return false;  // recycled since its distance was computed: all its rows were dead
    }
    return !scan->rows.empty();
}

// The next node from the beam. When no more than a quarter of ef_search nodes wait behind it, the walk goes on first,
// so that every row has been through a beam of settled candidates. Changes the phase when the beam has no more.
bool NextFromBeam(HnswScan* scan, ScoredNode* out) {
    const uint32 waiting = static_cast<uint32>(scan->results.size);
    if (scan->phase == Phase::kBeam && scan->mode != IterativeScan::kOff && waiting <= scan->ef / 4) {
        scan->search.beam.Widen(scan->ef - waiting);
        if (!scan->search.Settle(MemoryLimit())) scan->phase = Phase::kDrain;
        TakeFound(scan);
    }
    if (!scan->results.empty()) {
        std::pop_heap(scan->results.begin(), scan->results.end(), NodeFarther);
        *out = scan->results[--scan->results.size];
        return true;
    }
    if (scan->phase == Phase::kBeam) {
        if (scan->mode == IterativeScan::kOff)
            scan->phase = Phase::kDone;
        else
            StartSweep(scan);
    }
    return false;
}

// Reads a node that the beam knows but has not expanded; false, and on to the sweep, when there is none.
bool NextFromDrain(HnswScan* scan, ScoredNode* out) {
    uint32 id;
    while (scan->search.beam.PopUnexpanded(&id)) {
        CHECK_FOR_INTERRUPTS();
        const size_t before = scan->search.found.size;
        if (scan->search.ReadSlot(id) < 0) continue;
        out->slot = scan->search.found[before];
        scan->search.found.Clear();
        if (!out->slot.live) continue;
        out->bounds = HnswBounds(scan->ctx.form, scan->query, out->slot.distance, out->slot.error);
        return true;
    }
    StartSweep(scan);
    return false;
}

// Gives the nodes read by a sweep their bounds; those that are gone by now are dropped.
void BoundSwept(HnswScan* scan) {
    HnswContext* ctx = &scan->ctx;
    size_t kept = 0;
    for (ScoredNode& node : scan->swept) {
        FoundSlot& slot = node.slot;
        if (scan->ordered && ctx->meta.part_count > 0 &&
            !HnswAddPartDistances(ctx, slot.id, PageKind::kNode, slot.generation, scan->query, &slot.distance))
            continue;
        node.bounds = {scan->unordered_value, scan->unordered_value};
        if (scan->ordered) node.bounds = HnswBounds(ctx->form, scan->query, slot.distance, slot.error);
        scan->swept[kept++] = node;
    }
    scan->swept.size = kept;
}

// Reads the nodes of one page that the beam has not seen, nearest first.
void SweepPage(HnswScan* scan, BlockNumber block) {
    HnswContext* ctx = &scan->ctx;
    scan->swept.Clear();
    scan->next_swept = 0;
    scan->swept.Reserve(ctx->meta.slots);  // no allocation under the lock
    {
        LockedPage page(ctx->index, block, BUFFER_LOCK_SHARE, ctx->strategy);
        ++ctx->counts.pages;
        if (!page.Is(PageKind::kNode)) return;
        CheckOldSnapshot(ctx->snapshot, ctx->index, page.page());
        for (int i = 0; i < ctx->meta.slots; ++i) {
            const uint32 id = IdOf(ctx->meta, block, i);
            const SlotView slot = HnswCheckedSlot(ctx->meta, ctx->index, page, PageKind::kNode, id);
            if (slot.state() != SlotState::kLive || (scan->ordered && scan->search.visited.Contains(id))) continue;
            ScoredNode node;
            HnswFill(*ctx, id, slot, scan->ordered ? &scan->query : nullptr, &node.slot);
            scan->swept.Push(node);
        }
    }
    BoundSwept(scan);
    std::sort(scan->swept.begin(), scan->swept.end(), NodeNearer);
}

bool NextFromSweep(HnswScan* scan, ScoredNode* out) {
    for (;;) {
        if (scan->next_swept < scan->swept.size) {
            *out = scan->swept[scan->next_swept++];
            return true;
        }
        if (scan->next_block >= scan->end_block) {
            scan->phase = Phase::kDone;
            return false;
        }
        CHECK_FOR_INTERRUPTS();
        SweepPage(scan, scan->next_block++);
    }
}

bool NextScored(HnswScan* scan, ScoredNode* out) {
    switch (scan->phase) {
        case Phase::kBeam:
            return NextFromBeam(scan, out);
        case Phase::kDrain:
            return NextFromBeam(scan, out) || NextFromDrain(scan, out);
        default:
            return NextFromSweep(scan, out);
    }
}

// Is a node's place in the order certain as it is: behind all that were returned, before all that wait? Equal vectors
// share a node, so their rows may come in any order.
bool IsApart(HnswScan* scan, const OrderBounds& bounds) {
    const bool behind = bounds.lower >= scan->highest_upper;
    scan->highest_upper = Max(scan->highest_upper, bounds.upper);
    const bool next_known = scan->phase == Phase::kBeam && !scan->results.empty();
    return behind && next_known && bounds.upper <= scan->results[0].bounds.lower;
}

// Fetches the rows of the next node worth returning; false at the end.
bool NextNode(IndexScanDesc desc, HnswScan* scan) {
    const bool strict = scan->mode == IterativeScan::kStrictOrder && scan->ordered;
    while (scan->phase != Phase::kDone) {
        ScoredNode node;
        if (!NextScored(scan, &node)) continue;
        if (strict && node.bounds.lower < scan->last_value) continue;
        if (!TakeRows(desc, scan, node.slot)) continue;
        scan->value = node.bounds.lower;
        // Once the beam is through, rows come in no order, unless a strict one is asked for.
        scan->recheck = scan->ordered && !IsApart(scan, node.bounds) && (strict || scan->phase == Phase::kBeam);
        // A row that goes out as it is may be as far as its upper bound; one that is computed waits for all that may be
        // nearer.
        scan->last_value = scan->recheck ? node.bounds.lower : node.bounds.upper;
        return true;
    }
    return false;
}

// Puts the rows of the node taken last among the pending ones, with their exact distances where those are needed.
void AddRows(IndexScanDesc desc, HnswScan* scan) {
    for (const NodeRow& row : scan->rows) {
        CHECK_FOR_INTERRUPTS();
        ScoredRow scored = {scan->value, row.tid, row.in_line, scan->node, scan->generation, scan->tid_epoch};
        // A row that the snapshot does not see is left to the executor, which passes over it.
        if (scan->recheck) HnswHeapDistance(&scan->exact, desc, row.tid, &scored.value);
        scan->pending.Push(scored);
        std::push_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
    }
}

// The next row: the nearest pending one, when nothing that is still to come may be nearer.
bool NextRow(IndexScanDesc desc, HnswScan* scan) {
    for (;;) {
        const bool through = scan->phase == Phase::kDone;
        if (!scan->pending.empty() &&
            (through || !scan->ordered || SortKey(scan->pending[0].value) <= SortKey(scan->value))) {
            std::pop_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
            scan->current = scan->pending[--scan->pending.size];
            return true;
        }
        if (through) return false;
        if (NextNode(desc, scan)) AddRows(desc, scan);
    }
}

// Leaves the counts of a scan that has begun for HnswLastScan.
void KeepCounts(const HnswScan& scan) {
    if (scan.phase != Phase::kStart && scan.ctx.index != nullptr) last_counts = scan.ctx.counts;
}

void StoreOrderBy(IndexScanDesc desc, const HnswScan& scan) {
    if (desc->numberOfOrderBys == 0) return;
    desc->xs_orderbynulls[0] = scan.unordered_null;
    desc->xs_orderbyvals[0] = scan.unordered_null ? Float8GetDatum(0) : Float8GetDatum(scan.current.value);
    desc->xs_recheckorderby = false;
    // ORDER BY v <-> a, v <-> b arrives with two keys, and we order by the first. For the others we state a bound below
    // every value: the executor then computes them and puts the rows of equal first keys in order.
    for (int i = 1; i < desc->numberOfOrderBys; ++i) {
        desc->xs_orderbynulls[i] = false;
        desc->xs_orderbyvals[i] = Float8GetDatum(-get_float8_infinity());
        desc->xs_recheckorderby = true;
    }
}

}  // namespace

SearchCounts HnswLastScan() {
    return last_counts;
}

extern "C" IndexScanDesc hnsw_begin_scan(Relation index, int nkeys, int norderbys) {
    IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
    HnswScan* scan = PallocZeroed<HnswScan>();
    scan->outer = CurrentMemoryContext;
    scan->exact.memory = CurrentMemoryContext;
    scan->memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
    scan->phase = Phase::kStart;
    desc->opaque = scan;
    if (norderbys > 0) {
        desc->xs_orderbyvals = PallocArray<Datum>(static_cast<size_t>(norderbys));
        desc->xs_orderbynulls = PallocArray<bool>(static_cast<size_t>(norderbys));
        memset(desc->xs_orderbynulls, true, static_cast<size_t>(norderbys) * sizeof(bool));
    }
    return desc;
}

extern "C" void hnsw_rescan(IndexScanDesc desc, ScanKey keys, int, ScanKey orderbys, int) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    if (scan->killed_count > 0) FlushKilled(scan);
    KeepCounts(*scan);
    MemoryContextReset(scan->memory);
    MemoryContext old = MemoryContextSwitchTo(scan->memory);
    HnswOpen(&scan->ctx, desc->indexRelation, WriteMode::kLogged, scan->memory);
    MemoryContextSwitchTo(old);
    scan->phase = Phase::kStart;
    scan->rows = ArenaVec<NodeRow>();
    scan->pending = ArenaVec<ScoredRow>();
    scan->value = -get_float8_infinity();
    scan->returned = 0;
    scan->last_value = scan->highest_upper = -get_float8_infinity();
    if (keys != nullptr && desc->numberOfKeys > 0)
        memmove(desc->keyData, keys, static_cast<size_t>(desc->numberOfKeys) * sizeof(ScanKeyData));
    if (orderbys != nullptr && desc->numberOfOrderBys > 0)
        memmove(desc->orderByData, orderbys, static_cast<size_t>(desc->numberOfOrderBys) * sizeof(ScanKeyData));
}

extern "C" bool hnsw_get_tuple(IndexScanDesc desc, ScanDirection direction) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    if (!ScanDirectionIsForward(direction)) elog(ERROR, "hnsw index scans go forward only");
    MemoryContext old = MemoryContextSwitchTo(scan->memory);
    if (scan->phase == Phase::kStart)
        StartScan(desc, scan);
    else
        RememberKilled(desc, scan);
    const int max_tuples = Settings().hnsw_max_scan_tuples;
    const bool more = (max_tuples < 0 || scan->returned < static_cast<uint64>(max_tuples)) && NextRow(desc, scan);
    HnswReleaseHeap(&scan->exact);
    if (more) {
        desc->xs_heaptid = scan->current.tid;
        desc->xs_recheck = false;
        ++scan->returned;
    }
    MemoryContextSwitchTo(old);
    if (more) StoreOrderBy(desc, *scan);
    return more;
}

extern "C" void hnsw_end_scan(IndexScanDesc desc) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    if (scan->killed_count > 0) FlushKilled(scan);
    KeepCounts(*scan);
    HnswCloseHeap(&scan->exact);
    MemoryContextDelete(scan->memory);
    pfree(scan);
}

}  // namespace vecann

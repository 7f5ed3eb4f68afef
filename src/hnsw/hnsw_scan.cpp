// Index scans: amgettuple over a resumable beam, then a sweep over the slots the beam did not reach. Holds no lock or
// pin between calls. See README.md, "Search".
#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_tids.h"
#include "pg/guc.h"
#include "pg/race_point.h"

namespace vecann {

namespace {

enum class Phase : uint8 {
    kStart,
    kBeam,   // rows come from the settled beam
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

// A node of the page being swept.
struct SweptNode {
    float distance;
    uint32 id;
    uint32 generation;
};

struct HnswScan {
    MemoryContext outer;   // lives as long as the scan
    MemoryContext memory;  // reset by each rescan
    HnswContext ctx;
    LayerSearch search;
    Phase phase;
    IterativeScan mode;  // in force when the scan began: a beam that keeps nothing back cannot become resumable later
    bool first_beam;     // nothing has been returned from the beam yet
    bool ordered;        // there is a query vector with meaningful distances
    double unordered_value;
    bool unordered_null;
    void* query;
    uint64 returned;
    double last_value;
    // the node being returned
    ArenaVec<NodeRow> rows;
    size_t next_row;
    uint32 node;
    uint32 generation;
    uint32 tid_epoch;
    double value;
    // the sweep
    BlockNumber next_block;
    BlockNumber end_block;
    ArenaVec<SweptNode> swept;
    size_t next_swept;
    KilledRow killed[kMaxKilled];
    int killed_count;
};
static_assert(std::is_trivially_destructible_v<HnswScan>);

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
            SlotAt(ctx.meta, txn.Register(buffer), PageKind::kNode, at).tids[t].flags |= kTidKilled;
            txn.Commit();
            break;
        }
    }
    scan->killed_count = 0;
}

void RememberKilled(IndexScanDesc desc, HnswScan* scan) {
    if (!desc->kill_prior_tuple || !desc->ignore_killed_tuples || scan->next_row == 0) return;
    const NodeRow& row = scan->rows[scan->next_row - 1];
    if (!row.in_line) return;
    if (scan->killed_count == kMaxKilled) FlushKilled(scan);
    scan->killed[scan->killed_count++] = {scan->node, scan->generation, scan->tid_epoch, row.tid};
}

// Seeds the beam in layer 0; false when the index is empty.
bool StartBeam(IndexScanDesc desc, HnswScan* scan) {
    // Killed means dead to every snapshot of the primary; one of a standby may still see the row.
    const LiveRule rule = desc->ignore_killed_tuples ? LiveRule::kWithRows : LiveRule::kNotDeleted;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        int level = 0;
        BeamEntry start;
        if (!HnswDescend(&scan->ctx, scan->query, &level, &start)) return false;
        const bool resumable = scan->mode != IterativeScan::kOff;
        scan->search.Init(&scan->ctx, scan->query, 0, static_cast<uint32>(Settings().hnsw_ef_search), rule, resumable);
        if (scan->search.Seed(start)) return true;
    }
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
    scan->rows.Init(&scan->ctx.arena);
    scan->search.visited.Init(&scan->ctx.arena, 0);
    scan->query = palloc(scan->ctx.meta.payload_size);
    scan->ordered = false;
    scan->first_beam = true;
    scan->unordered_null = false;
    scan->unordered_value = 0;
    if (desc->numberOfOrderBys > 0) {
        const ScanKey key = &desc->orderByData[0];
        if ((key->sk_flags & SK_ISNULL) != 0) {
            scan->unordered_null = true;
        } else {
            scan->ordered = scan->ctx.desc->extract(key->sk_argument, scan->ctx.meta.dim, scan->query);
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

size_t MemoryLimit() {
    return static_cast<size_t>(static_cast<double>(work_mem) * 1024.0 * Settings().hnsw_scan_mem_multiplier);
}

// The next node of the beam, in order of distance. Changes the phase when the beam has no more.
bool NextFromBeam(HnswScan* scan, BeamEntry* out) {
    if (scan->phase == Phase::kBeam) {
        // ef_search bounds the first beam; what comes after it is bounded by memory.
        if (!scan->search.Settle(scan->first_beam ? 0 : MemoryLimit())) scan->phase = Phase::kDrain;
        scan->first_beam = false;
        if (scan->phase == Phase::kBeam && scan->search.beam.PopFront(out)) return true;
    }
    if (scan->phase == Phase::kDrain && scan->search.beam.PopAny(out)) return true;
    if (scan->mode == IterativeScan::kOff)
        scan->phase = Phase::kDone;
    else
        StartSweep(scan);
    return false;
}

bool SweptNearer(const SweptNode& a, const SweptNode& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

// Reads the nodes of one page that the beam has not seen, nearest first.
void SweepPage(HnswScan* scan, BlockNumber block) {
    const HnswContext& ctx = scan->ctx;
    scan->swept.Clear();
    scan->next_swept = 0;
    scan->swept.Reserve(ctx.meta.node_slots);  // no allocation under the lock
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        if (!page.Is(PageKind::kNode)) return;
        CheckOldSnapshot(ctx.snapshot, ctx.index, page.page());
        for (int i = 0; i < ctx.meta.node_slots; ++i) {
            const uint32 id = IdOf(ctx.meta, block, i);
            const SlotView slot = HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, id);
            if (slot.state() != SlotState::kLive || (scan->ordered && scan->search.visited.Contains(id))) continue;
            const float distance = scan->ordered ? ctx.distance(scan->query, slot.payload, ctx.meta.dim) : 0;
            scan->swept.Push({distance, id, slot.header->generation});
        }
    }
    std::sort(scan->swept.begin(), scan->swept.end(), SweptNearer);
}

bool NextFromSweep(HnswScan* scan, BeamEntry* out) {
    for (;;) {
        if (scan->next_swept < scan->swept.size) {
            const SweptNode& node = scan->swept[scan->next_swept++];
            *out = {node.distance, node.id, node.generation, true, true};
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

// Fetches the rows of the next node worth returning; false at the end.
bool NextNode(IndexScanDesc desc, HnswScan* scan) {
    const bool strict = scan->mode == IterativeScan::kStrictOrder;
    while (scan->phase != Phase::kDone) {
        BeamEntry entry;
        if (scan->phase == Phase::kSweep ? !NextFromSweep(scan, &entry) : !NextFromBeam(scan, &entry)) continue;
        scan->value =
            scan->ordered ? scan->ctx.desc->order_value(entry.distance, scan->ctx.meta.dim) : scan->unordered_value;
        if (strict && scan->ordered && scan->value < scan->last_value) continue;
        scan->node = entry.id;
        scan->generation = entry.generation;
        scan->next_row = 0;
        VECANN_RACE_POINT("hnsw-scan-before-rows");
        // If the slot was recycled since its distance was computed, all its rows were dead.
        if (HnswReadRows(scan->ctx, entry.id, entry.generation, desc->ignore_killed_tuples, &scan->rows,
                         &scan->tid_epoch) &&
            !scan->rows.empty()) {
            scan->last_value = scan->value;
            return true;
        }
    }
    return false;
}

void StoreOrderBy(IndexScanDesc desc, const HnswScan& scan) {
    if (desc->numberOfOrderBys == 0) return;
    desc->xs_orderbynulls[0] = scan.unordered_null;
    desc->xs_orderbyvals[0] = scan.unordered_null ? Float8GetDatum(0) : Float8GetDatum(scan.value);
    desc->xs_recheckorderby = scan.ordered && !scan.ctx.desc->exact_order;
    // ORDER BY v <-> a, v <-> b arrives with two keys, and we order by the first. For the others we state a bound below
    // every value: the executor then computes them and puts the rows of equal first keys in order.
    for (int i = 1; i < desc->numberOfOrderBys; ++i) {
        desc->xs_orderbynulls[i] = false;
        desc->xs_orderbyvals[i] = Float8GetDatum(-get_float8_infinity());
        desc->xs_recheckorderby = true;
    }
}

}  // namespace

extern "C" IndexScanDesc hnsw_begin_scan(Relation index, int nkeys, int norderbys) {
    IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
    HnswScan* scan = PallocZeroed<HnswScan>();
    scan->outer = CurrentMemoryContext;
    scan->memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
    scan->phase = Phase::kDone;
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
    MemoryContextReset(scan->memory);
    MemoryContext old = MemoryContextSwitchTo(scan->memory);
    HnswOpen(&scan->ctx, desc->indexRelation, WriteMode::kLogged, scan->memory);
    MemoryContextSwitchTo(old);
    scan->phase = Phase::kStart;
    scan->rows = ArenaVec<NodeRow>();
    scan->next_row = 0;
    scan->returned = 0;
    scan->last_value = -get_float8_infinity();
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
    const bool more = (max_tuples < 0 || scan->returned < static_cast<uint64>(max_tuples)) &&
                      (scan->next_row < scan->rows.size || NextNode(desc, scan));
    if (more) {
        desc->xs_heaptid = scan->rows[scan->next_row++].tid;
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
    MemoryContextDelete(scan->memory);
    pfree(scan);
}

}  // namespace vecann

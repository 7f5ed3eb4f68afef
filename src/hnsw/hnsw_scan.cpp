// Index scans: amgettuple over a walk. Holds no lock or pin between calls. See README.md, "Search".
#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_walk.h"
#include "planner/heap_distance.h"

namespace vecann {

namespace {

// A row about to be returned.
struct ScoredRow {
    double value;  // what the operator returns, or a lower bound where that settles the row's place
    RowEntry entry;
};

// Equal distances come in the order of the table.
bool RowFarther(const ScoredRow& a, const ScoredRow& b) {
    return OrderedBehind(a.value, a.entry.tid, b.value, b.entry.tid);
}

struct HnswScan {
    HnswWalk walk;
    uint64 returned;
    ArenaVec<ScoredRow> pending;  // a heap, nearest on top
    ScoredRow current;            // returned last
    HeapDistance exact;
};
static_assert(std::is_trivially_destructible_v<HnswScan>);

void StartScan(IndexScanDesc desc, HnswScan* scan) {
    scan->pending.Init(&scan->walk.ctx.arena);
    HnswWalkStart(&scan->walk, QueryOfScan(desc));
}

// Puts the rows of the node taken last among the pending ones, with their exact distances where those are needed.
void AddRows(IndexScanDesc desc, HnswScan* scan) {
    for (const NodeRow& row : scan->walk.rows) {
        CHECK_FOR_INTERRUPTS();
        ScoredRow scored = {scan->walk.bounds.lower, scan->walk.entry};
        scored.entry.tid = row.tid;
        scored.entry.in_line = row.in_line;
        // A row that the snapshot does not see is left to the executor, which passes over it.
        if (scan->walk.recheck) ReadHeapDistance(&scan->exact, desc, row.tid, &scored.value);
        scan->pending.Push(scored);
        std::push_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
    }
}

// The next row: the nearest pending one, when nothing that is still to come may be nearer.
bool NextRow(IndexScanDesc desc, HnswScan* scan) {
    const HnswWalk& walk = scan->walk;
    for (;;) {
        const bool through = walk.phase == WalkPhase::kDone;
        if (!scan->pending.empty() &&
            (through || !walk.ordered || OrderKey(scan->pending[0].value) <= OrderKey(walk.bounds.lower))) {
            std::pop_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
            scan->current = scan->pending[--scan->pending.size];
            return true;
        }
        if (through) return false;
        if (HnswWalkNext(&scan->walk)) AddRows(desc, scan);
    }
}

}  // namespace

extern "C" IndexScanDesc hnsw_begin_scan(Relation index, int nkeys, int norderbys) {
    IndexScanDesc desc = BeginDistanceScan(index, nkeys, norderbys);
    HnswScan* scan = PallocZeroed<HnswScan>();
    scan->exact.memory = CurrentMemoryContext;
    HnswWalkInit(&scan->walk);
    desc->opaque = scan;
    return desc;
}

extern "C" void hnsw_rescan(IndexScanDesc desc, ScanKey keys, int, ScanKey orderbys, int) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    HnswWalkReset(&scan->walk, desc->indexRelation);
    scan->pending = ArenaVec<ScoredRow>();
    scan->returned = 0;
    SetScanKeys(desc, keys, orderbys);
}

extern "C" bool hnsw_get_tuple(IndexScanDesc desc, ScanDirection direction) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    if (!ScanDirectionIsForward(direction)) elog(ERROR, "hnsw index scans go forward only");
    MemoryContext old = MemoryContextSwitchTo(scan->walk.memory);
    if (scan->walk.phase == WalkPhase::kStart)
        StartScan(desc, scan);
    else if (desc->kill_prior_tuple && scan->returned > 0)
        HnswWalkKill(&scan->walk, scan->current.entry);
    const int max_tuples = Settings().hnsw_max_scan_tuples;
    const bool more = (max_tuples < 0 || scan->returned < static_cast<uint64>(max_tuples)) && NextRow(desc, scan);
    ReleaseHeapDistance(&scan->exact);
    if (more) {
        desc->xs_heaptid = scan->current.entry.tid;
        desc->xs_recheck = false;
        ++scan->returned;
    }
    MemoryContextSwitchTo(old);
    if (more) StoreOrderBys(desc, scan->current.value);
    return more;
}

extern "C" void hnsw_end_scan(IndexScanDesc desc) {
    HnswScan* scan = static_cast<HnswScan*>(desc->opaque);
    CloseHeapDistance(&scan->exact);
    HnswWalkEnd(&scan->walk);
    pfree(scan);
}

}  // namespace vecann

// Index scans: amgettuple over a walk. Holds no lock or pin between calls. See README.md, "Search".
#include <algorithm>

#include "ivf/ivf_am.h"
#include "ivf/ivf_walk.h"
#include "planner/heap_distance.h"

namespace vecann {

namespace {

// A row about to be returned.
struct ScoredRow {
    double value;  // what the operator returns, or a lower bound where that settles the row's place
    ItemPointerData tid;
};

// Equal distances come in the order of the table.
bool RowFarther(const ScoredRow& a, const ScoredRow& b) {
    return OrderedBehind(a.value, a.tid, b.value, b.tid);
}

struct IvfScan {
    IvfWalk walk;
    bool through;
    ArenaVec<ScoredRow> pending;  // a heap, nearest on top
    ScoredRow current;            // returned last
    HeapDistance exact;
};
static_assert(std::is_trivially_destructible_v<IvfScan>);

void StartScan(IndexScanDesc desc, IvfScan* scan) {
    scan->through = false;
    scan->pending.Init(&scan->walk.arena);
    IvfWalkStart(&scan->walk, QueryOfScan(desc));
}

// Puts the row taken last among the pending ones, with its exact distance where that is needed.
void AddRow(IndexScanDesc desc, IvfScan* scan) {
    ScoredRow row = {scan->walk.last.bounds.lower, scan->walk.last.hit.tid};
    // A row that the snapshot does not see is left to the executor, which passes over it.
    if (scan->walk.ordered && !scan->walk.apart) {
        const Datum value = IvfWalkValue(&scan->walk);
        if (value != 0)
            row.value = DistanceOfValue(desc, value);
        else
            ReadHeapDistance(&scan->exact, desc, row.tid, &row.value);
    }
    scan->pending.Push(row);
    std::push_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
}

// The next row: the nearest pending one, when nothing that is still to come may be nearer.
bool NextRow(IndexScanDesc desc, IvfScan* scan) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (!scan->pending.empty() &&
            (scan->through || !scan->walk.ordered || OrderKey(scan->pending[0].value) <= scan->walk.settled)) {
            std::pop_heap(scan->pending.begin(), scan->pending.end(), RowFarther);
            scan->current = scan->pending[--scan->pending.size];
            return true;
        }
        if (scan->through) return false;
        if (IvfWalkNext(&scan->walk))
            AddRow(desc, scan);
        else
            scan->through = true;
    }
}

}  // namespace

extern "C" IndexScanDesc ivf_begin_scan(Relation index, int nkeys, int norderbys) {
    IndexScanDesc desc = BeginDistanceScan(index, nkeys, norderbys);
    IvfScan* scan = PallocZeroed<IvfScan>();
    scan->exact.memory = CurrentMemoryContext;
    IvfWalkInit(&scan->walk);
    desc->opaque = scan;
    return desc;
}

extern "C" void ivf_rescan(IndexScanDesc desc, ScanKey keys, int, ScanKey orderbys, int) {
    IvfScan* scan = static_cast<IvfScan*>(desc->opaque);
    IvfWalkReset(&scan->walk, desc->indexRelation);
    scan->pending = ArenaVec<ScoredRow>();
    SetScanKeys(desc, keys, orderbys);
}

extern "C" bool ivf_get_tuple(IndexScanDesc desc, ScanDirection direction) {
    IvfScan* scan = static_cast<IvfScan*>(desc->opaque);
    if (!ScanDirectionIsForward(direction)) elog(ERROR, "ivf index scans go forward only");
    MemoryContext old = MemoryContextSwitchTo(scan->walk.memory);
    if (!scan->walk.started) StartScan(desc, scan);
    const bool more = NextRow(desc, scan);
    ReleaseHeapDistance(&scan->exact);
    MemoryContextSwitchTo(old);
    if (!more) return false;
    desc->xs_heaptid = scan->current.tid;
    desc->xs_recheck = false;
    StoreOrderBys(desc, scan->current.value);
    return true;
}

extern "C" void ivf_end_scan(IndexScanDesc desc) {
    IvfScan* scan = static_cast<IvfScan*>(desc->opaque);
    CloseHeapDistance(&scan->exact);
    IvfWalkEnd(&scan->walk);
    pfree(scan);
}

}  // namespace vecann

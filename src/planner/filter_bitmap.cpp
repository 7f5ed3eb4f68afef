// Bitmaps of the rows that pass a filter; see filter_bitmap.h.
#include "planner/filter_bitmap.h"

#include "core/radix_sort.h"

namespace vecann {

namespace {

BitmapHeapPath* BestBitmapPath(List* paths) {
    BitmapHeapPath* best = nullptr;
    ListCell* cell;
    foreach (cell, paths) {
        Path* path = static_cast<Path*>(lfirst(cell));
        if (!IsA(path, BitmapHeapPath) || path->param_info != nullptr || path->parallel_aware) continue;
        if (best == nullptr || path->total_cost < best->path.total_cost) best = castNode(BitmapHeapPath, path);
    }
    if (best == nullptr) return nullptr;
    // The list's own is freed when a better path comes.
    BitmapHeapPath* copy = makeNode(BitmapHeapPath);
    *copy = *best;
    return copy;
}

// The indexes that make bitmaps, as copies that make nothing else.
List* BitmapIndexes(const RelOptInfo* rel) {
    List* indexes = NIL;
    ListCell* cell;
    foreach (cell, rel->indexlist) {
        const IndexOptInfo* index = lfirst_node(IndexOptInfo, cell);
        if (!index->amhasgetbitmap || index->hypothetical) continue;
        IndexOptInfo* copy = makeNode(IndexOptInfo);
        *copy = *index;
        copy->amhasgettuple = false;
        indexes = lappend(indexes, copy);
    }
    return indexes;
}

}  // namespace

BitmapHeapPath* FindBitmapPath(PlannerInfo* root, RelOptInfo* rel) {
    if (rel->baserestrictinfo == NIL) return nullptr;
    BitmapHeapPath* best = BestBitmapPath(rel->pathlist);
    if (best != nullptr) return best;
    // The server may have found a plain index scan better, and dropped the bitmap. Let it look again, for a table whose
    // indexes can do nothing else, and whose joins it need not think of.
    RelOptInfo* copy = makeNode(RelOptInfo);
    *copy = *rel;
    copy->indexlist = BitmapIndexes(rel);
    if (copy->indexlist == NIL) return nullptr;
    copy->pathlist = copy->partial_pathlist = copy->joininfo = NIL;
    copy->has_eclass_joins = copy->consider_parallel = false;
    create_index_paths(root, copy);
    best = BestBitmapPath(copy->pathlist);
    if (best != nullptr) best->path.parent = rel;
    return best;
}

BitmapPlan SplitBitmapPlan(Plan* plan) {
    // Conditions without columns are tested above the scan.
    while (IsA(plan, Result))
        plan = plan->lefttree;
    const BitmapHeapScan* scan = castNode(BitmapHeapScan, plan);
    return {scan->scan.plan.lefttree, scan->scan.plan.qual, scan->bitmapqualorig};
}

uint64 MostGathered() {
    constexpr uint64 kLeast = 1024, kMost = 1 << 20;
    // A list grows by doubling, and has a copy while it is sorted.
    const uint64 limit = static_cast<uint64>(work_mem) * 1024 / (2 * sizeof(uint64));
    uint64 most = kLeast;
    while (2 * most <= Min(limit, kMost))
        most *= 2;
    return most;
}

size_t BitmapMemory(bool one_scan) {
    return one_scan ? get_hash_memory_limit() : static_cast<size_t>(work_mem) * 1024;
}

namespace {

TIDBitmap* EmptyBitmap() {
    return tbm_create(static_cast<long>(Min<size_t>(BitmapMemory(true), LONG_MAX)), nullptr);
}

// A place in the table as a number that orders as the place does.
uint64 NumberOf(const ItemPointerData& tid) {
    return static_cast<uint64>(ItemPointerGetBlockNumberNoCheck(&tid)) << 16 | ItemPointerGetOffsetNumberNoCheck(&tid);
}

// The rows of one index scan, as a list until they are many, then as a bitmap.
struct GatheredRows {
    ArenaVec<uint64> rows;
    uint64 most;
    bool sorted;
    TIDBitmap* bitmap;

    void Add(const ItemPointerData& tid) {
        const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&tid);
        // as a bitmap has it
        if (offset < 1 || offset > MaxHeapTuplesPerPage) elog(ERROR, "tuple offset out of range: %u", offset);
        if (rows.size == most) Spill();
        const uint64 row = NumberOf(tid);
        sorted = sorted && (rows.empty() || rows[rows.size - 1] <= row);
        rows.Push(row);
    }
    void Spill() {
        CHECK_FOR_INTERRUPTS();
        if (bitmap == nullptr) bitmap = EmptyBitmap();
        for (const uint64 row : rows) {
            ItemPointerData tid;
            ItemPointerSet(&tid, static_cast<BlockNumber>(row >> 16), static_cast<OffsetNumber>(row));
            tbm_add_tuples(bitmap, &tid, 1, false);
        }
        rows.Clear();
        sorted = true;
    }
    void Forget() {
        rows.arena->Release(rows.data, rows.capacity);
        rows.Init(rows.arena);
    }
    void Sort() {
        if (sorted) return;
        Arena* arena = rows.arena;
        ArenaVec<uint64> other;
        other.Init(arena, rows.capacity);
        other.size = rows.size;
        if (RadixSort(rows.data, rows.size, other.data) == other.data) std::swap(rows, other);
        arena->Release(other.data, other.capacity);
        sorted = true;
    }
};

// Is it one scan of a btree, for not too many rows? A btree hands out rows as fast as it adds them to a bitmap, and for
// equal keys in the order of the table. A bitmap of rows on a page each takes as long again to be made, sorted and read
// (of a million rows, ten thousand: 2.7 ms of an exact pass of 5.1; a hundred thousand: 17 of 31).
bool IsOneBtree(const PlanState* bitmap) {
    if (!IsA(bitmap, BitmapIndexScanState) || bitmap->plan->plan_rows > static_cast<double>(MostGathered()))
        return false;
    return castNode(BitmapIndexScanState, bitmap)->biss_RelationDesc->rd_rel->relam == BTREE_AM_OID;
}

// What MultiExecProcNode and MultiExecBitmapIndexScan do, with rows in place of a bitmap.
void GatherRows(BitmapIndexScanState* node, GatheredRows* gathered) {
    if (node->ss.ps.chgParam != nullptr) ExecReScan(&node->ss.ps);
    Instrumentation* instrument = node->ss.ps.instrument;
    if (instrument != nullptr) InstrStartNode(instrument);
    const bool has_keys = node->biss_NumRuntimeKeys != 0 || node->biss_NumArrayKeys != 0;
    if (has_keys && !node->biss_RuntimeKeysReady) ExecReScan(&node->ss.ps);
    // Keys are not ready where an array is empty.
    bool more = !has_keys || node->biss_RuntimeKeysReady;
    double count = 0;
    while (more) {
        const ItemPointerData* tid;
        for (; (tid = index_getnext_tid(node->biss_ScanDesc, ForwardScanDirection)) != nullptr; ++count) {
            CHECK_FOR_INTERRUPTS();
            gathered->Add(*tid);
        }
        more = ExecIndexAdvanceArrayKeys(node->biss_ArrayKeys, node->biss_NumArrayKeys);
        if (more) index_rescan(node->biss_ScanDesc, node->biss_ScanKeys, node->biss_NumScanKeys, nullptr, 0);
    }
    if (instrument != nullptr) InstrStopNode(instrument, count);
}

void AddSorted(const ArenaVec<uint64>& rows, TidSet* members) {
    uint16 offsets[MaxHeapTuplesPerPage];
    for (size_t begin = 0, end; begin < rows.size; begin = end) {
        CHECK_FOR_INTERRUPTS();
        const uint64 block = rows[begin] >> 16;
        int count = 0;
        for (end = begin; end < rows.size && rows[end] >> 16 == block; ++end) {
            const bool again = end > begin && rows[end] == rows[end - 1];
            if (!again) offsets[count++] = static_cast<uint16>(rows[end]);
        }
        members->AddRows(static_cast<uint32>(block), offsets, count, false);
    }
}

void AddBitmap(TIDBitmap* bitmap, TidSet* members) {
    TBMIterator* iterator = tbm_begin_iterate(bitmap);
    for (const TBMIterateResult* page; (page = tbm_iterate(iterator)) != nullptr;) {
        CHECK_FOR_INTERRUPTS();
        if (page->ntuples < 0)
            members->AddPage(page->blockno);
        else
            members->AddRows(page->blockno, page->offsets, page->ntuples, page->recheck);
    }
    tbm_end_iterate(iterator);
    tbm_free(bitmap);
}

TIDBitmap* MakeBitmap(PlanState* bitmap) {
    // What a scan finds here it adds to, as below a BitmapOr.
    if (IsA(bitmap, BitmapIndexScanState)) castNode(BitmapIndexScanState, bitmap)->biss_result = EmptyBitmap();
    Node* made = MultiExecProcNode(bitmap);
    if (made == nullptr || !IsA(made, TIDBitmap)) elog(ERROR, "unrecognized result from subplan");
    return reinterpret_cast<TIDBitmap*>(made);
}

}  // namespace

void ReadMembers(PlanState* bitmap, Relation table, Arena* arena, TidSet* members) {
    GatheredRows gathered = {{}, MostGathered(), true, nullptr};
    gathered.rows.Init(arena);
    if (IsOneBtree(bitmap)) {
        GatherRows(castNode(BitmapIndexScanState, bitmap), &gathered);
        if (gathered.bitmap != nullptr) {
            gathered.Spill();
            gathered.Forget();
        }
        gathered.Sort();
    } else {
        gathered.bitmap = MakeBitmap(bitmap);
    }
    members->Init(arena, RelationGetNumberOfBlocks(table), MaxHeapTuplesPerPage, BitmapMemory(true));
    if (gathered.bitmap != nullptr)
        AddBitmap(gathered.bitmap, members);
    else
        AddSorted(gathered.rows, members);
    gathered.Forget();
}

}  // namespace vecann

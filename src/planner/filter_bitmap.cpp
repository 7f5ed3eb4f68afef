// Bitmaps of the rows that pass a filter; see filter_bitmap.h.
#include "planner/filter_bitmap.h"

#include "planner/gin_rows.h"

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

// The rows of one index scan, as a list until they are many, then as a bitmap.
struct GatheredRows {
    RowList list;
    uint64 most;
    TIDBitmap* bitmap;

    void Add(const ItemPointerData& tid) {
        if (list.rows.size == most) Spill();
        list.Add(NumberOf(tid));
    }
    void Spill() {
        CHECK_FOR_INTERRUPTS();
        if (bitmap == nullptr) bitmap = EmptyBitmap();
        for (const uint64 row : list.rows) {
            ItemPointerData tid = PlaceOf(row);
            tbm_add_tuples(bitmap, &tid, 1, false);
        }
        list.Clear();
    }
};

// Is it one scan of an index of this access method, for not too many rows? A btree hands out rows as fast as it adds
// them to a bitmap, and for equal keys in the order of the table. A bitmap of rows on a page each takes as long again
// to be made, sorted and read (of a million rows, ten thousand: 2.7 ms of an exact pass of 5.1; a hundred thousand: 17
// of 31).
bool IsOneScanOf(Oid method, const PlanState* bitmap) {
    if (!IsA(bitmap, BitmapIndexScanState) || bitmap->plan->plan_rows > static_cast<double>(MostGathered()))
        return false;
    return reinterpret_cast<const BitmapIndexScanState*>(bitmap)->biss_RelationDesc->rd_rel->relam == method;
}

// What MultiExecProcNode and MultiExecBitmapIndexScan do, with rows in place of a bitmap. First the keys: false when
// there are none, since an array is empty.
bool StartIndexScan(BitmapIndexScanState* node) {
    if (node->ss.ps.chgParam != nullptr) ExecReScan(&node->ss.ps);
    if (node->ss.ps.instrument != nullptr) InstrStartNode(node->ss.ps.instrument);
    const bool has_keys = node->biss_NumRuntimeKeys != 0 || node->biss_NumArrayKeys != 0;
    if (has_keys && !node->biss_RuntimeKeysReady) ExecReScan(&node->ss.ps);
    return !has_keys || node->biss_RuntimeKeysReady;
}

void EndIndexScan(BitmapIndexScanState* node, double rows) {
    if (node->ss.ps.instrument != nullptr) InstrStopNode(node->ss.ps.instrument, rows);
}

void GatherRows(BitmapIndexScanState* node, GatheredRows* gathered) {
    bool more = StartIndexScan(node);
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
    EndIndexScan(node, count);
}

// The same by the posting lists of a GIN index; false when the server must scan it, as for each key of an array in
// turn.
bool GatherGinRows(BitmapIndexScanState* node, Relation table, GatheredRows* gathered) {
    if (node->biss_NumArrayKeys != 0) return false;
    RowList* list = &gathered->list;
    const bool read =
        StartIndexScan(node) && ReadGinRows(node->biss_ScanDesc, table->rd_rel->reltuples, gathered->most, list);
    EndIndexScan(node, static_cast<double>(list->rows.size));
    return read;
}

void AddSorted(const ArenaVec<uint64>& rows, TidSet* members) {
    size_t pages = 0;
    for (size_t i = 0; i < rows.size; ++i)
        pages += i == 0 || BlockOf(rows[i]) != BlockOf(rows[i - 1]) ? 1 : 0;
    members->Reserve(pages);
    uint16 offsets[2 * MaxHeapTuplesPerPage];  // with marks and without
    for (size_t begin = 0, end; begin < rows.size; begin = end) {
        CHECK_FOR_INTERRUPTS();
        const BlockNumber block = BlockOf(rows[begin]);
        bool maybe = false;
        int count = 0;
        for (end = begin; end < rows.size && BlockOf(rows[end]) == block; ++end) {
            const bool again = end > begin && rows[end] == rows[end - 1];
            maybe = maybe || (rows[end] & kMaybeRow) != 0;
            if (!again) offsets[count++] = OffsetOf(rows[end]);
        }
        members->AddRows(block, offsets, count, maybe);
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
    GatheredRows gathered = {{}, MostGathered(), nullptr};
    gathered.list.Init(arena);
    const bool btree = IsOneScanOf(BTREE_AM_OID, bitmap), gin = IsOneScanOf(GIN_AM_OID, bitmap);
    if (btree || gin)
        gathered.list.rows.Reserve(pg_nextpower2_64(static_cast<uint64>(Max(bitmap->plan->plan_rows, 1.0))));
    if (btree)
        GatherRows(castNode(BitmapIndexScanState, bitmap), &gathered);
    else if (!gin || !GatherGinRows(castNode(BitmapIndexScanState, bitmap), table, &gathered))
        gathered.bitmap = MakeBitmap(bitmap);
    members->Init(arena, RelationGetNumberOfBlocks(table), MaxHeapTuplesPerPage, BitmapMemory(true));
    if (gathered.bitmap != nullptr) {
        gathered.Spill();
        gathered.list.Forget();
        AddBitmap(gathered.bitmap, members);
        return;
    }
    gathered.list.Sort();
    AddSorted(gathered.list.rows, members);
    gathered.list.Forget();
}

}  // namespace vecann

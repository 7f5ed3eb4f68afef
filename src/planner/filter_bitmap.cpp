// Bitmaps of the rows that pass a filter; see filter_bitmap.h.
#include "planner/filter_bitmap.h"

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

void ReadMembers(PlanState* bitmap, Relation table, Arena* arena, TidSet* members) {
    Node* made = MultiExecProcNode(bitmap);
    if (made == nullptr || !IsA(made, TIDBitmap)) elog(ERROR, "unrecognized result from subplan");
    TIDBitmap* tids = reinterpret_cast<TIDBitmap*>(made);
    members->Init(arena, RelationGetNumberOfBlocks(table), MaxHeapTuplesPerPage, static_cast<size_t>(work_mem) * 1024);
    TBMIterator* iterator = tbm_begin_iterate(tids);
    for (const TBMIterateResult* page; (page = tbm_iterate(iterator)) != nullptr;) {
        CHECK_FOR_INTERRUPTS();
        if (page->ntuples < 0)
            members->AddPage(page->blockno);
        else
            members->AddRows(page->blockno, page->offsets, page->ntuples, page->recheck);
    }
    tbm_end_iterate(iterator);
    tbm_free(tids);
}

}  // namespace vecann

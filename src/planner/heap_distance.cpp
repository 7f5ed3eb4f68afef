// Exact distances of rows; see heap_distance.h. Holds at most a pin on one page of the table between calls of one
// amgettuple.
#include "planner/heap_distance.h"

namespace vecann {

namespace {

void Open(HeapDistance* heap, IndexScanDesc scan) {
    MemoryContext old = MemoryContextSwitchTo(heap->memory);
    heap->fetch = table_index_fetch_begin(scan->heapRelation);
    heap->slot = table_slot_create(scan->heapRelation, nullptr);
    heap->estate = CreateExecutorState();
    heap->info = BuildIndexInfo(scan->indexRelation);
    MemoryContextSwitchTo(old);
}

}  // namespace

void ReadHeapDistance(HeapDistance* heap, IndexScanDesc scan, ItemPointerData tid, double* value) {
    if (heap->fetch == nullptr) Open(heap, scan);
    bool call_again = false, all_dead = false;
    if (!table_index_fetch_tuple(heap->fetch, &tid, scan->xs_snapshot, heap->slot, &call_again, &all_dead)) return;
    ExprContext* context = GetPerTupleExprContext(heap->estate);
    context->ecxt_scantuple = heap->slot;
    MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(heap->info, heap->slot, heap->estate, values, nulls);
    ScanKey key = &scan->orderByData[0];
    // A row may have been updated in place since: HOT keeps the indexed value, so it is not NULL.
    if (!nulls[0])
        *value = DatumGetFloat8(FunctionCall2Coll(&key->sk_func, key->sk_collation, values[0], key->sk_argument));
    MemoryContextSwitchTo(old);
    ResetPerTupleExprContext(heap->estate);
}

void ReleaseHeapDistance(HeapDistance* heap) {
    if (heap->fetch == nullptr) return;
    ExecClearTuple(heap->slot);
    table_index_fetch_reset(heap->fetch);
}

void CloseHeapDistance(HeapDistance* heap) {
    if (heap->fetch == nullptr) return;
    ExecDropSingleTupleTableSlot(heap->slot);
    table_index_fetch_end(heap->fetch);
    FreeExecutorState(heap->estate);
    heap->fetch = nullptr;
}

}  // namespace vecann

// Exact distances of rows; see heap_distance.h. Holds at most a pin on one page of the table between calls of one
// amgettuple.
#include "planner/heap_distance.h"

#include "pg/memory.h"

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

double DistanceOfValue(IndexScanDesc scan, Datum value) {
    ScanKey key = &scan->orderByData[0];
    return DatumGetFloat8(FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument));
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

IndexScanDesc BeginDistanceScan(Relation index, int nkeys, int norderbys) {
    IndexScanDesc desc = RelationGetIndexScan(index, nkeys, norderbys);
    if (norderbys > 0) {
        desc->xs_orderbyvals = PallocArray<Datum>(static_cast<size_t>(norderbys));
        desc->xs_orderbynulls = PallocArray<bool>(static_cast<size_t>(norderbys));
        memset(desc->xs_orderbynulls, true, static_cast<size_t>(norderbys) * sizeof(bool));
    }
    return desc;
}

void SetScanKeys(IndexScanDesc desc, ScanKey keys, ScanKey orderbys) {
    if (keys != nullptr && desc->numberOfKeys > 0)
        memmove(desc->keyData, keys, static_cast<size_t>(desc->numberOfKeys) * sizeof(ScanKeyData));
    if (orderbys != nullptr && desc->numberOfOrderBys > 0)
        memmove(desc->orderByData, orderbys, static_cast<size_t>(desc->numberOfOrderBys) * sizeof(ScanKeyData));
}

bool OrdersByNull(IndexScanDesc desc) {
    return desc->numberOfOrderBys > 0 && (desc->orderByData[0].sk_flags & SK_ISNULL) != 0;
}

SearchQuery QueryOfScan(IndexScanDesc desc) {
    const bool orders = desc->numberOfOrderBys > 0;
    return {desc->xs_snapshot,
            desc->ignore_killed_tuples,
            !orders || OrdersByNull(desc),
            orders ? desc->orderByData[0].sk_argument : 0,
            nullptr,
            0};
}

void StoreOrderBys(IndexScanDesc desc, double value) {
    if (desc->numberOfOrderBys == 0) return;
    const bool is_null = OrdersByNull(desc);
    desc->xs_orderbynulls[0] = is_null;
    desc->xs_orderbyvals[0] = Float8GetDatum(is_null ? 0 : value);
    desc->xs_recheckorderby = false;
    for (int i = 1; i < desc->numberOfOrderBys; ++i) {
        desc->xs_orderbynulls[i] = false;
        desc->xs_orderbyvals[i] = Float8GetDatum(-get_float8_infinity());
        desc->xs_recheckorderby = true;
    }
}

}  // namespace vecann

// The verifier's passes over the table: every visible row is in the index, every row pointer points to a row. Locks:
// one page at a time, share.
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

namespace {

struct RowCheck {
    HnswVerifier* v;
    MemoryContext memory;  // reset after each row
    IndexedVector value;
};

// One row that the snapshot sees, the partial index wants, and whose expressions are evaluated. `tid` is the root of
// its HOT chain. The caller holds no content lock.
void CheckRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    RowCheck* check = static_cast<RowCheck*>(arg);
    HnswVerifier* v = check->v;
    if (isnull[0]) return;
    MemoryContext old = MemoryContextSwitchTo(check->memory);
    const bool indexable = HnswExtract(v->form, values[0], &check->value);
    if (indexable) HnswEncodePayload(v->form, &check->value);
    MemoryContextSwitchTo(old);
    MemoryContextReset(check->memory);
    if (!indexable) return;
    const BlockNumber block = ItemPointerGetBlockNumber(tid);
    const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
    const TidMapEntry* row = v->rows.Find(block, offset);
    if (row == nullptr) {
        VerifyProblem(v->report, "row (%u,%u) is visible but not in the index", block, offset);
        return;
    }
    // The map holds rows of live nodes only.
    ++v->visible_rows;
    if ((row->flags & kRowKilled) != 0)
        SlotProblem(v, row->value, "flags row (%u,%u) as dead, but it is visible", block, offset);
    PGAlignedBlock copy;
    const SlotView slot = CopySlot(*v, row->value, PageKind::kNode, &copy);
    if (WholePayload(v, slot, v->payload) && !HnswSamePayload(v->form, v->payload, check->value.payload))
        SlotProblem(v, row->value, "has row (%u,%u), which holds another vector", block, offset);
    VerifyRowCode(v, *tid, check->value);
    if (slot.header->mixed == 0 && slot.header->hash != check->value.hash)
        SlotProblem(v, row->value, "has row (%u,%u), whose value is not that of the first", block, offset);
}

}  // namespace

void VerifyHeapToIndex(HnswVerifier* v) {
    RowCheck check;
    check.v = v;
    check.memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw verify row", ALLOCSET_DEFAULT_SIZES);
    check.value.Init(&v->arena, v->form);
    ForVisibleRows(v->heap, v->index, v->snapshot, CheckRow, &check);
    MemoryContextDelete(check.memory);
}

void VerifyIndexToHeap(HnswVerifier* v) {
    ForRowsNotInTable(v->heap, &v->rows, [v](const TidMapEntry& row) {
        SlotProblem(v, row.value, "has the row (%u,%u), which the table does not have", row.block, row.offset);
    });
}

}  // namespace vecann

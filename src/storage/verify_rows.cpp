// Passes of the verifiers over the table. Locks: one page at a time, share.
#include "storage/verify_rows.h"

#include "storage/page.h"

namespace vecann {

namespace {

void MarkRowsOfPage(Relation heap, BlockNumber block, BufferAccessStrategy strategy, TidMap* rows) {
    LockedPage heap_page(heap, block, BUFFER_LOCK_SHARE, strategy);
    const Page page = heap_page.page();
    if (PageIsNew(page)) return;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (OffsetNumber offset = FirstOffsetNumber; offset <= last; ++offset) {
        if (!ItemIdIsUsed(PageGetItemId(page, offset))) continue;
        TidMapEntry* row = rows->Find(block, offset);
        if (row != nullptr) row->flags |= kRowInTable;
    }
}

}  // namespace

void ForVisibleRows(Relation heap, Relation index, Snapshot snapshot, IndexBuildCallback check, void* arg) {
    IndexInfo* info = BuildIndexInfo(index);
    // With the snapshot of a concurrent build, the scan hands out exactly the rows that the snapshot sees.
    info->ii_Concurrent = true;
    info->ii_Unique = false;
    TableScanDesc scan = table_beginscan_strat(heap, snapshot, 0, nullptr, true, true);
    table_index_build_scan(heap, index, info, true, false, check, arg, scan);
}

bool MarkRowsInTable(Relation heap, TidMap* rows) {
    if (heap->rd_tableam != GetHeapamTableAmRoutine()) return false;
    const BlockNumber blocks = RelationGetNumberOfBlocks(heap);
    BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
    for (BlockNumber block = 0; block < blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        MarkRowsOfPage(heap, block, strategy, rows);
    }
    FreeAccessStrategy(strategy);
    return true;
}

}  // namespace vecann

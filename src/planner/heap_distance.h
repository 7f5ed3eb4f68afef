// The exact distance of a row, from the table: for scans whose bounds leave the order of rows open.
//
// The executor could do it (xs_recheckorderby), but rows that wait in its queue lose their ctid from PostgreSQL 16 on,
// so that SELECT ... FOR UPDATE fails.
#pragma once

#include "pg/pg.h"

namespace vecann {

// What it takes to read rows; opened at the first use. Zeroed, it is closed.
struct HeapDistance {
    MemoryContext memory;  // that lives as long as the scan; set by the scan
    IndexFetchTableData* fetch;
    TupleTableSlot* slot;
    EState* estate;
    IndexInfo* info;
};

// Sets *value to what the scan's first ORDER BY operator returns for a row; leaves it alone when the snapshot does not
// see the row. May run code of users (expression indexes); the caller holds no lock.
void ReadHeapDistance(HeapDistance* heap, IndexScanDesc scan, ItemPointerData tid, double* value);

// Gives the pin on the table's page back.
void ReleaseHeapDistance(HeapDistance* heap);

void CloseHeapDistance(HeapDistance* heap);

}  // namespace vecann

// What the plain index scans (amgettuple) of all access methods have in common: the scan's description, and the exact
// distance of a row, from the table, for scans whose bounds leave the order of rows open.
//
// The executor could do it (xs_recheckorderby), but rows that wait in its queue lose their ctid from PostgreSQL 16 on,
// so that SELECT ... FOR UPDATE fails.
#pragma once

#include "planner/vector_search.h"

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

// What the scan's first ORDER BY operator returns for a value that the index knows to the last bit.
double DistanceOfValue(IndexScanDesc scan, Datum value);

// Gives the pin on the table's page back.
void ReleaseHeapDistance(HeapDistance* heap);

void CloseHeapDistance(HeapDistance* heap);

// ambeginscan, with room for the values of the order.
IndexScanDesc BeginDistanceScan(Relation index, int nkeys, int norderbys);

// Takes over the keys of a rescan; null ones stay.
void SetScanKeys(IndexScanDesc desc, ScanKey keys, ScanKey orderbys);

// What the scan is for: the value of its first ORDER BY; a null query without one.
SearchQuery QueryOfScan(IndexScanDesc desc);

// Is the value to order by NULL?
bool OrdersByNull(IndexScanDesc desc);

// Sets what the ORDER BY operators return for the row at hand; `value` that of the first, unless the query is NULL.
// ORDER BY v <-> a, v <-> b arrives with two keys, and we order by the first. For the others we state a bound below
// every value: the executor then computes them and puts the rows of equal first keys in order.
void StoreOrderBys(IndexScanDesc desc, double value);

}  // namespace vecann

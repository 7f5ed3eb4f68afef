// What the verifiers ask of the table: every visible row, and which rows of an index the table does not have.
#pragma once

#include "core/tid_map.h"
#include "storage/verify_report.h"

namespace vecann {

constexpr uint16 kRowInTable = 0x8000;  // flag of a TidMapEntry: its line pointer is in use

// Calls `check` for each row that the snapshot sees, a partial index wants, and whose expressions are evaluated; the
// TID is the root of its HOT chain. The caller holds no content lock.
void ForVisibleRows(Relation heap, Relation index, Snapshot snapshot, IndexBuildCallback check, void* arg);

// Flags the rows of the map whose line pointers are in use; false for tables of other access methods, which have row
// pointers of their own making. A line pointer that is dead or redirects is fine: vacuum removes it from the index
// first.
bool MarkRowsInTable(Relation heap, TidMap* rows);

template <class Problem>
void ForRowsNotInTable(Relation heap, TidMap* rows, Problem problem) {
    if (!MarkRowsInTable(heap, rows)) return;
    for (const TidMapEntry& row : *rows) {
        CHECK_FOR_INTERRUPTS();
        if (row.offset != 0 && (row.flags & kRowInTable) == 0) problem(row);
    }
}

}  // namespace vecann

// The rows that meet the conditions of a GIN index scan, read from the index's posting lists without a bitmap.
#pragma once

#include "planner/row_list.h"

namespace vecann {

// Adds the rows under the scan's keys to an empty list, those to be tested again marked. False: the server must scan,
// and the list is empty. So it is with keys that are parts of words, or whose rows say little of the conditions'; with
// more than `most` rows; in serializable transactions, which lock what they read; with gin_fuzzy_search_limit.
// `table_rows` of the table, negative: not known. See README.md, "GIN without a bitmap".
bool ReadGinRows(IndexScanDesc scan, double table_rows, uint64 most, RowList* list);

}  // namespace vecann

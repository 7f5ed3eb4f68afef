// What the lists of an ivf index look like, counted from its pages.
#pragma once

#include "ivf/ivf_page.h"

namespace vecann {

struct IvfStats {
    int64 rows;
    int64 lists;
    int64 empty_lists;
    int64 largest_list;  // rows
    double gini;         // of the lists' rows: 0 all alike, towards 1 the less alike they are
    bool learnt;         // false: one list, because there was nothing to learn from
    int64 learnt_rows;   // in the index when its lists were made
    int64 list_pages;
    int64 retired_pages;  // of a structure that vacuum has replaced and has yet to take back
    bool reindex_due;
    const char* advice;  // null: none
};

// Reads the header of every page. The caller holds AccessShareLock; the counts are as of no one moment. Cancellable.
IvfStats IvfCountLists(Relation index);

}  // namespace vecann

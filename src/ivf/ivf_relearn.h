// What vacuum does to an index as a whole: it makes lists where there was nothing to learn from, and takes back the
// pages that no structure has. See README.md, "Structures".
#pragma once

#include "core/bit_set.h"
#include "ivf/ivf_list.h"

namespace vecann {

// Builds lists from the rows in the index, if it has had nothing to learn from and holds enough of them by now. For
// amvacuumcleanup: no other vacuum of the table runs. Cancellable. True when the index had lists already, and no pages
// of an older structure are left.
bool IvfRelearn(Relation index, BufferAccessStrategy strategy);

// The record that puts a new structure in the place of the old one: the heads of the free lists stay, the rest of the
// meta page becomes `meta`. The caller holds no content lock.
void IvfReplaceMeta(Relation index, IvfMetaData meta);

// What vacuum has counted.
struct VacuumCounts {
    double heap_rows;   // less than 0: not known
    double index_rows;  // if `passed`
    bool passed;        // the index was read, for dead rows
};
// Writes lists anew that have outgrown the others, or whose pages are mostly empty. For amvacuumcleanup, after
// IvfRelearn. Cancellable.
void IvfRewriteLists(Relation index, BufferAccessStrategy strategy, const VacuumCounts& counts);

// Takes back the pages of other structures that nobody can be reading any more. True when none are left.
bool IvfRecycle(const IvfContext& ctx);
// May somebody still be reading the structure before this one?
bool IvfHasOldReaders(const IvfContext& ctx);

// The numbers of lists that the directory says are closed.
void IvfFindClosed(const IvfContext& ctx, Arena* arena, BitSet* closed);

}  // namespace vecann

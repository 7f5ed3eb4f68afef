// What vacuum does to an index as a whole: it makes lists where there was nothing to learn from, and takes back the
// pages that no structure has. See README.md, "Structures".
#pragma once

#include "ivf/ivf_list.h"

namespace vecann {

// Builds lists from the rows in the index, if it has had nothing to learn from and holds enough of them by now. For
// amvacuumcleanup: no other vacuum of the table runs. Cancellable.
void IvfRelearn(Relation index, BufferAccessStrategy strategy);

// Takes back the pages of other structures that nobody can be reading any more. True when none are left.
bool IvfRecycle(const IvfContext& ctx);

}  // namespace vecann

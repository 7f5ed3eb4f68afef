// The verifier of hnsw indexes: pages, slots, links, row pointers, and both ways between index and table.
//
// Nothing it finds on a page raises an error: every finding becomes a problem of the report, and what a broken page
// says is not followed. What the protocol of README.md allows an interrupted insert or vacuum to leave behind is no
// problem.
#pragma once

#include "storage/verify_report.h"

namespace vecann {

// Verifies the index against itself and its table. The caller holds locks that keep writers and vacuum out (on a
// primary), and `snapshot` is registered, taken under them. Memory comes from the current context. Cancellable.
void HnswVerify(Relation heap, Relation index, Snapshot snapshot, VerifyReport* report);

}  // namespace vecann

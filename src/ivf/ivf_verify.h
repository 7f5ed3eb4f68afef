// Verification of an ivf index against itself and its table.
#pragma once

#include "ivf/ivf_page.h"
#include "storage/verify_report.h"

namespace vecann {

// Reads the whole index and the table, and adds what contradicts README.md to the report. The caller holds locks that
// keep writers out (in recovery: none), and no content lock.
void IvfVerify(Relation heap, Relation index, Snapshot snapshot, VerifyReport* report);

}  // namespace vecann

// How many rows meet a condition, by the posting lists of a GIN index: where the server has no statistics that tell.
#pragma once

#include "pg/pg.h"

namespace vecann {

// Replaces estimates of a table's conditions that its GIN indexes know better, that of its rows with them, and makes
// the server's paths of the table again; false when there is nothing to correct. For the planner, once the table has
// its paths; README.md, "Estimates of GIN conditions".
bool CorrectGinEstimates(PlannerInfo* root, RelOptInfo* rel, const RangeTblEntry* rte);

}  // namespace vecann

// The planner's side of the custom scan: paths and plans.
#pragma once

#include "pg/pg.h"

namespace vecann {

// Installs the hook that offers the paths, and makes the plan node known for plans that are read from text (by parallel
// workers). Called once from _PG_init: the module is loaded by the first call of an access method's handler, which
// comes before the first use of the hook.
void InitVectorPaths();

}  // namespace vecann

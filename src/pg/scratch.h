// An arena over memory that a backend keeps from one search to the next. A search takes some 100 kB and gives them back
// a moment later; through malloc, that moves the end of the heap up and down in each query (a tenth of a short one's
// time).
#pragma once

#include "pg/memory.h"

namespace vecann {

// Like MakeArena, but for the kept memory as far as it goes, unless another arena has it. It is free for the next one
// when `context` is reset or deleted.
Arena MakeScratchArena(MemoryContext context);

}  // namespace vecann

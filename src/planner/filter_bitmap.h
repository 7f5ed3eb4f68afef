// Bitmaps of the rows that pass a filter, made by the user's own indexes: the planner's and the executor's side.
#pragma once

#include "core/tid_set.h"
#include "pg/pg.h"

namespace vecann {

// The best bitmap scan for the conditions of a table, as a path; null when no index helps.
BitmapHeapPath* FindBitmapPath(PlannerInfo* root, RelOptInfo* rel);

// The parts of a plan made from such a path.
struct BitmapPlan {
    Plan* tree;     // of bitmap index scans, ANDs and ORs
    List* quals;    // what the bitmap does not answer
    List* recheck;  // what it answers, for pages without single rows
};
BitmapPlan SplitBitmapPlan(Plan* plan);

// So many rows of one btree scan, at most, are gathered in a list, without the server's bitmap: work_mem has room for
// the list and a copy, which sorting takes.
uint64 MostGathered();

// Bytes that a bitmap's single rows may take: what a hash table may (work_mem times hash_mem_multiplier); or work_mem,
// where the server makes several bitmaps and puts them together.
size_t BitmapMemory(bool one_scan);

// Runs a bitmap's plan and fills a set, in the current memory context, which the arena is over. Single rows take at
// most what a hash table may, and on the way there a list of them or the server's bitmap as much again.
void ReadMembers(PlanState* bitmap, Relation table, Arena* arena, TidSet* members);

}  // namespace vecann

// What a verification of an index found: counts and problems in words. Shared by all access methods.
//
// Invariant: at most kMaxListedProblems problems are kept in words; the rest are counted.
#pragma once

#include "pg/pg.h"

namespace vecann {

constexpr int kMaxListedProblems = 100;

struct VerifyReport {
    MemoryContext memory;  // of the words
    int64 nodes;           // live nodes
    int64 upper_slots;     // live slots above layer 0
    int64 heap_tids;
    int64 killed_tids;
    int64 unreachable;  // live nodes that no search reaches
    int64 deleted_slots;
    int64 free_slots;
    int64 max_edges;  // neighbours that a slot has room for
    int64 problem_count;
    char* problems[kMaxListedProblems];
};

// An empty report whose words live in the current memory context.
void InitVerifyReport(VerifyReport* report);

// Adds one problem. The caller holds no content lock.
void VerifyProblem(VerifyReport* report, const char* format, ...) pg_attribute_printf(2, 3);
// The same for a problem of one block of the index.
void BlockProblem(VerifyReport* report, BlockNumber block, const char* format, ...) pg_attribute_printf(3, 4);

// The problems as text[], closed by "and N more" when not all of them are listed.
Datum VerifyProblemArray(const VerifyReport& report);

}  // namespace vecann

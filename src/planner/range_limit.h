// Conditions that bound the distance of a vector scan from above, `v <-> q < r`: the search ends where all that is
// still to come is farther. See README.md, "Distance ranges".
#pragma once

#include "pg/pg.h"

namespace vecann {

struct VectorScanState;

// Of a condition.
struct RangeBound {
    ExprState* value;  // without Vars
    bool strict;       // less than, rather than at most
};

// Of a scan; its memory is that of the query.
struct RangeLimit {
    RangeBound* bounds;
    int count;
    double limit;  // in force in this scan
    bool is_strict;
    uint64 end;    // so many nodes expanded are enough; 0: the last candidate was not beyond
    bool reached;  // the search, or the exact pass, has ended at it

    // Is all that is at least so far beyond the limit? What has no place in the order meets no condition either.
    bool IsBeyond(double nearest) const { return count > 0 && (is_strict ? nearest >= limit : nearest > limit); }
};

// What a range condition without LIMIT is taken to leave of an index, whatever the server's guess for an inequality:
// who asks for the rows within a distance wants the near ones.
constexpr double kRangeShare = 0.005;

// Does one of the conditions on a table bound this distance?
bool HasRangeLimit(List* restrictions, const OpExpr* distance);

// The steps of the scan: finds and compiles the bounds; computes them when a scan begins; ends the search some
// while after the first candidate that lies beyond; says so.
void InitRangeLimit(VectorScanState* state);
void StartRangeLimit(VectorScanState* state);
void StopBeyondLimit(VectorScanState* state);
void ExplainRangeLimit(VectorScanState* state, List* context, ExplainState* es);

}  // namespace vecann

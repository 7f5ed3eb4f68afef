// The state of the custom scan node, and the steps that its files have of each other: vector_scan.cpp (the node),
// scan_rows.cpp (rows of the table and those that wait), filter_scan.cpp (conditions: bitmaps, strategies, when rows
// may go out), exact_pass.cpp (all rows of a bitmap).
#pragma once

#include "core/tid_map.h"
#include "pg/memory.h"
#include "planner/filter_bitmap.h"
#include "planner/filter_cost.h"
#include "planner/range_limit.h"
#include "planner/vector_search.h"

namespace vecann {

// Rows of the table that are asked for from memory together.
constexpr int kAskedTogether = 16;

// A row that waits for its turn. One without a tuple, of an exact pass or for want of memory, is fetched again; one not
// read yet has the distance of a row of the same value, or is no nearer than its distance says.
struct PendingRow {
    double distance;
    bool distance_null;
    bool unread;
    bool known;             // an unread row's distance is its own, to the last bit
    ItemPointerData tid;    // as the index has it
    ItemPointerData place;  // of the version that the snapshot sees
    IndexPlace in_index;    // of an unread row
    MinimalTuple tuple;     // of the scan tuple's form
};

// A row of an exact pass that has not been read, and is no nearer than `nearest`, which orders the rows. Where bounds
// are loose that is the likely bound.
struct BoundedRow {
    float nearest;
    float likely;
    ItemPointerData tid;
    Membership membership;
};

// What an exact pass leaves to be read when its turn comes.
struct BoundedRows {
    ArenaVec<BoundedRow> rows;  // in the memory of those that are pending
    size_t next;                // those before it have been read
    size_t sorted;              // those before it stand in order, in front of all others
    size_t asked;               // of the pages of those before it the disk has been asked
    size_t ahead;               // ... so many ahead
    bool is_cut;                // for want of memory some are not here: none is in front of `cut`
    bool must_be_certain;       // no row may come late
    bool looked;                // at what the bounds are worth
    BoundedRow cut;
};

// What is known of a row before it is read: the candidate whose row it is, or the row that has waited unread.
struct KnownRow {
    const SearchCandidate* candidate;  // null: it has gone by
    const PendingRow* row;             // null: none
};

// Of a query with conditions. The rows of the bitmap and what is known of them live as long as the bitmap's parameters.
struct FilterState {
    bool any;           // there are conditions
    FilterPlan plan;    // with any
    PlanState* bitmap;  // null: there is none
    ExprState* recheck;
    bool recheck_measures;  // ... looks at the distance, of which the user has an index of another kind
    Strategy running;       // in this scan
    bool switched;          // ... after having begun with another one
    bool tried;             // the plan is the exact pass, and this scan began with a search
    bool loose;             // an exact pass goes by likely bounds, since the certain ones told too little
    bool by_members;        // a post-filter that looks rows up in the bitmap before it reads them
    bool budget_hit;        // the scan ended at the setting's limit of rows
    MemoryContext member_memory;
    Arena member_arena;
    TidSet members;
    bool members_ready;
    SearchFilter search;
    // Rows that went out while they came from a search, so that an exact pass need not bring them again.
    MemoryContext returned_memory;
    Arena returned_arena;
    TidMap returned;
    bool remembers;  // `returned` is complete, but for exact passes by certain bounds
    // A post-filter's rows go out in rounds, of which each gathers some more rows than it returns. Those that the
    // search has met wait unread, and are read and tested nearest first, when it may be their turn.
    Gathering gathering;
    double round_left;
    double aim;                // rows to be met before some are tested
    ArenaVec<PendingRow> met;  // a heap, nearest on top; in the memory of those that are pending
    uint64 first_fetches;      // the scan's count when the search began
    PendingRow last;           // went out last; the farthest that did, where rows come late
    bool has_last;             // ... and an exact pass goes on behind it
    bool has_more;             // the last exact pass left out rows behind those it kept
    BoundedRows bounded;
    uint64 rows_bounded;         // by the index, in all passes
    SearchCounts bounds_counts;  // of the pass of this scan
};

struct VectorScanState {
    CustomScanState css;  // first
    Relation index;
    const VectorSearchMethods* methods;
    VectorSearch* search;  // opened by the first row
    SearchCounts counts;   // of searches that are over

    // from a row of the table to the scan's tuple
    IndexFetchTableData* fetch;
    TupleTableSlot* table_slot;
    ExprContext* row_context;  // its scan tuple is the row of the table, its case value the query
    ProjectionInfo* columns;   // all but the distance
    ExprState* distance;
    FmgrInfo operation;  // the same as a call, for values that the index knows: set up when one comes
    Oid collation;
    int query_arg;
    AttrNumber vector_column;  // of the table, that the distance is taken to; 0: an expression
    int distance_at;           // the distance's place in the scan's tuple, from 0
    bool distance_seen;        // by conditions, by plans above, or by who asked; not where it is for the order alone

    ExprState* query;
    int16 query_length;  // typlen
    bool query_by_value;
    bool query_ready;
    MemoryContext query_memory;

    // The leading quals that do not refer to the distance are tested before it is computed. The order of quals is kept:
    // it protects the rows behind a security barrier.
    ExprState* early_quals;
    ExprState* late_quals;

    bool started;
    bool through;  // no more candidates
    SearchCandidate candidate;
    bool row_due;    // the candidate's row has not been read
    PendingRow run;  // its distance is that of candidates that are the same as the one before
    bool run_known;
    int64 returned;  // rows that went out or were filtered
    uint64 fetches;  // of rows of the table, in all searches
    FilterState filter;
    RangeLimit range;
    MemoryContext pending_memory;
    Arena arena;                   // over it
    ArenaVec<PendingRow> pending;  // a heap, nearest on top
    size_t pending_bytes;          // of their tuples
    size_t pending_unread;         // of those that have not been read
    TupleTableSlot* pending_slot;
};
static_assert(std::is_trivially_destructible_v<VectorScanState>);

inline VectorScanState* StateOf(CustomScanState* node) {
    return reinterpret_cast<VectorScanState*>(node);
}
inline const CustomScan* PlanOf(const VectorScanState* state) {
    return reinterpret_cast<const CustomScan*>(state->css.ss.ps.plan);
}
inline TupleTableSlot* ScanSlot(VectorScanState* state) {
    return state->css.ss.ss_ScanTupleSlot;
}
inline EState* EStateOf(VectorScanState* state) {
    return state->css.ss.ps.state;
}

inline Oid IndexOf(const CustomScan* plan) {
    return linitial_oid(static_cast<List*>(linitial(plan->custom_private)));
}
inline int QueryArgOf(const CustomScan* plan) {
    return linitial_int(static_cast<List*>(lsecond(plan->custom_private)));
}
// The rows that the query will probably take, without conditions; 0: not known.
inline int WantedOf(const CustomScan* plan) {
    return lsecond_int(static_cast<List*>(lsecond(plan->custom_private)));
}
inline List* FilterListOf(const CustomScan* plan) {
    return static_cast<List*>(lthird(plan->custom_private));
}
// The conditions that a bitmap answers.
inline List* RecheckOf(const CustomScan* plan) {
    return list_copy_tail(plan->custom_exprs, 1);
}
inline OpExpr* DistanceOf(const CustomScan* plan) {
    return castNode(OpExpr, llast_node(TargetEntry, plan->custom_scan_tlist)->expr);
}

// How many rows the bitmap has.
inline double MembersOf(const FilterState& filter) {
    return static_cast<double>(filter.members.rows()) +
           static_cast<double>(filter.members.whole_pages()) * filter.plan.rows_per_page;
}

// NULL is farther than all, NaN than all numbers.
inline double FloorOf(const PendingRow& row) {
    return row.distance_null ? get_float8_infinity() : OrderKey(row.distance);
}
inline bool RowFarther(const PendingRow& a, const PendingRow& b) {
    if (a.distance_null != b.distance_null) return a.distance_null;
    return OrderedBehind(a.distance, a.tid, b.distance, b.tid);
}

// ---- scan_rows.cpp -------------------------------------------------------------------

// Computes the value of the query for the distances to come.
void PrepareQuery(VectorScanState* state);
// Makes the scan's tuple of a row of the table; false when it does not pass the quals, with `recheck` those of the
// bitmap too.
bool FillAndTest(VectorScanState* state, TupleTableSlot* row, const KnownRow& known, bool recheck);
void AddCounts(SearchCounts* sum, const SearchCounts& counts);
void StartSearch(VectorScanState* state);
// Fetches the version of a row that the snapshot sees into the table's slot.
bool FetchRow(VectorScanState* state, ItemPointerData tid, bool* all_dead);
// The scan's tuple as a row that waits, without the tuple.
PendingRow RowAtHand(VectorScanState* state, ItemPointerData tid);
// Reads the row of the candidate, or puts it off when its distance is known or its test can wait. True when the row has
// been read and passes the quals: it is the scan's tuple then.
bool TakeRow(VectorScanState* state);
// Reads the nearest row that has been met; if it passes it is pending.
void TestNearestMet(VectorScanState* state);
// Is the row to go out next among those that have been met and not tested?
bool MetIsNext(const VectorScanState* state);
// Keeps the scan's tuple for later.
void PushPending(VectorScanState* state, PendingRow row);
// Makes the nearest pending row the scan's tuple; false when it is none after all, or must wait longer.
bool PopPending(VectorScanState* state);
// Forgets the rows that wait.
void ClearPending(VectorScanState* state);
// Up to what distance may pending rows go out?
double Settled(const VectorScanState& state);

// ---- filter_scan.cpp -----------------------------------------------------------------

void StartScan(VectorScanState* state);
// Asks the search for the next candidate; at its end, or when it costs too much, goes on in another way.
void NextCandidate(VectorScanState* state);
// Does a post-filter that has a bitmap pass over this row, unread?
bool IsOutside(VectorScanState* state, const ItemPointerData& tid);
// May rows go out now? A search meets them not quite in their order: before a round of a post-filter begins, rows
// beyond it must have been found. Tests some of those that have been met.
bool MayGoOut(VectorScanState* state);
// Keeps what later exact passes need to know of a row that goes out.
void NoteReturned(VectorScanState* state, const PendingRow& row);
// Has a search with conditions read as many rows as its setting allows? Then it is over, and rows not tested are out.
bool EndedAtBudget(VectorScanState* state);
// May a search without conditions return no more rows, by its setting?
bool OutOfBudget(const VectorScanState* state);

// ---- exact_pass.cpp ------------------------------------------------------------------

// Goes over all rows of the bitmap and keeps the nearest, as many as fit work_mem, of those that have not gone out, or
// are behind the row that went out last. Rows of which the index has bounds are kept unread.
void ReadExact(VectorScanState* state);
// The same without bounds.
void ReadExactAgain(VectorScanState* state);
// Reads the next row of an exact pass that has not been read, or does the pass again; false when none may be nearer
// than those that wait.
bool ReadNextBounded(VectorScanState* state);

}  // namespace vecann

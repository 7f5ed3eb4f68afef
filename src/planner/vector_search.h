// Vector searches as the planner and the custom scan see them: what an access method offers beside its amgettuple.
//
// A search hands out candidates in the order of what the index knows of their distances; who asks reads the rows,
// computes the distances, and puts the rows in their final order. A search holds no lock or pin between calls.
#pragma once

#include "core/tid_set.h"
#include "pg/pg.h"

namespace vecann {

// What a search did.
struct SearchCounts {
    uint64 expanded;         // nodes read whole
    uint64 pages;            // pages touched, of every kind
    uint64 codes;            // neighbours scored by their codes
    uint64 exact_distances;  // distances to vectors in the index
    uint64 filter_tests;     // rows looked up in a filter's members
};

// Rows that a search is to find, and no others.
struct SearchFilter {
    const TidSet* members;
    double wanted;      // how many of them the query will probably want; 0: not known
    uint64 most_nodes;  // the search may give up when it has read so many, and when it is through; 0: it may not
};

// When has a search met enough rows of a filter? It does not meet them quite in their order, the less so the farther it
// has gone, and least of all when the nearest rows do not pass. So it goes on for six tenths as many rows as it
// took to find those wanted, for twelve tenths when they all came late, and finds some beyond them. Rows may be tested
// later than they are met, nearest first: how many of the others pass follows from the rate.
struct Gathering {
    double beam;       // what a search without a filter reads, as far as more rows are worth it
    double most;       // rows of the filter in a round
    double wanted;     // rows of the filter, in this round
    double met;        // rows in all
    double tested;     // of those
    double passed;     // of those: rows of the filter
    double places;     // the sum of their places among those tested
    double wanted_at;  // `tested` when the last one wanted was found; 0: not yet

    void Test(bool pass) {
        tested += 1;
        if (!pass) return;
        passed += 1;
        places += tested;
    }
    void Add(bool pass) {
        met += 1;
        Test(pass);
    }
    double Rate() const { return passed / Max(tested, 1.0); }
    // Where the rows of the filter stand among those tested: 0, evenly or to the front; 1, all at the end.
    double Lateness() const { return Min(Max(2 * places / Max(passed * tested, 1.0) - 1, 0.0), 1.0); }
    // How many rows of the filter must have been found before the nearest ones are certain enough.
    double Needed() const { return MembersNeeded(wanted, beam, Rate(), Lateness()); }
    // How many rows must be met before the next look: `waiting` rows of the filter are known that have not been
    // returned, and `untested` rows have been met that may be some. Not above `met`: enough have been met. Otherwise a
    // few more, for the rate is a guess.
    double Aim(double waiting, double untested) {
        double aim = met + Max(tested / 4, beam / 4);
        if (waiting < wanted) return aim;
        if (wanted_at == 0) wanted_at = tested;
        const double missing = Needed() - waiting - untested * Rate();
        const double beyond = Beyond(Lateness()) * wanted_at;
        return Min(aim, Max(wanted_at + beyond, met + std::ceil(missing / Max(Rate(), 1e-9))));
    }
    // The same with all rows tested.
    bool Enough(double waiting) { return waiting >= wanted && Aim(waiting, 0) <= met; }
    // How many rows must be met for `rows` of the filter at the best rate that can still be believed in: as if
    // `luck` of those needed, three at most, had passed beyond those that did.
    static constexpr double kLuck = 1.0 / 12;  // a search ends early only when it is sure to be a bad one
    double MetAtBest(double rows, double luck) const {
        const double needed = MembersNeeded(rows, Max(beam, rows), Rate(), 0);
        return needed * tested / (passed + Min(needed * luck, 3.0));
    }
    // With the first beam behind it: can the round not be through, even so, before `most` more rows have been met?
    bool IsHopeless(double most_more) const { return met >= beam && MetAtBest(wanted, kLuck) - met > most_more; }
    // The next round, of twice as many.
    void NextRound() {
        wanted = Min(2 * wanted, most);
        wanted_at = 0;
    }

    static double Beyond(double lateness) { return 0.6 + 0.6 * lateness; }
    static double MostWanted(double beam) { return Max(std::floor(beam * 3 / 4), 1.0); }
    // The number of members needed, by the planner's numbers as by those of a search.
    static double MembersNeeded(double wanted, double beam, double rate, double lateness) {
        const double margin = Max(4.0, wanted * Beyond(lateness));
        return wanted + margin + Max(beam - wanted - margin, 0.0) * rate * rate;
    }
    static Gathering Of(double beam, double wanted) {
        const double most = MostWanted(beam);
        return {beam, most, wanted > 0 ? Min(std::ceil(wanted), most) : most, 0, 0, 0, 0, 0};
    }
};

// What a search is for. A null query orders nothing: all rows come.
struct SearchQuery {
    Snapshot snapshot;
    bool ignore_killed;  // entries known to be dead need not come; false for snapshots of a standby
    bool is_null;
    Datum value;                 // lives as long as the search of it
    const SearchFilter* filter;  // null: all rows; lives as long as the search
    double wanted;               // how many rows the query will probably want, without a filter; 0: not known
};

// Where the access method has a row: its own business.
struct IndexPlace {
    uint32 node;
    uint32 generation;
    uint32 epoch;
    bool in_line;
};

struct SearchCandidate {
    ItemPointerData tid;
    // Earlier rows at most as far as this may go out: neither this one nor what is still to come is nearer.
    double nearest;
    // Rows at most as far as this, this one included, may go out: nothing that is still to come is nearer.
    double settled;
    // The indexed column of the row is what it is in the previous candidate's row, so the distance is the same (but for
    // collisions of a hash), and the row may be read when its turn has come.
    bool same;
    // The index may know the indexed column of the row to the last bit: see VectorSearchMethods::value.
    bool has_value;
    // The row's place in the order is certain: behind all candidates before it, in front of all that are to come, as
    // far as the search has come.
    bool in_place;
    IndexPlace place;
};

// Access methods put their own state behind it.
struct VectorSearch {
    Relation index;
    int64 max_rows;  // to be returned by this search, before filters; -1: no limit; set by `start`
    bool in_order;   // rows nearer than one before do not come; set by `start`
    bool one_beam;   // ends before all rows have come; set by `start`
    // A search for a range of distances goes on for as many nodes at least, since the last one that lay within; 0: for
    // a quarter or so of those met before. Set by `start`.
    uint64 beyond;
    bool gave_up;  // ended as the filter allows; set by `start` and `next`
    SearchCounts counts;
};

// What a search costs, in the planner's units.
struct SearchCost {
    double node;  // reading a node
    double beam;  // nodes read by the shortest search
};

// What values of the indexed column are, as far as costs need to know.
struct SearchValues {
    double width;  // of one, in bytes
    bool known;    // the index has them to the last bit, as far as one node tells: candidates come with them
    double code;   // bytes of a row's code by which RowBounds are known; 0: there are none
};

// What the ORDER BY operator returns for a row is not less than `nearest`, if the snapshot of the caller, which began
// before, sees the row and its value is neither NULL nor without a place in the order (NaN): deterministic. -infinity
// where the index cannot tell. `likely` is an estimate, and not below `nearest`: it is less than that for one row in
// 30,000.
struct RowBound {
    double nearest;
    double likely;
};

// What an index knows of the distances of rows by their place in the table: codes in the order of the table. Access
// methods put their own state behind it.
struct RowBounds {
    Relation index;
    bool in_order;  // the settings want no row nearer than one before: estimates will not do
    uint64 codes;   // rows bounded so far
    uint64 pages;   // pages of the index touched so far
};

struct VectorSearchMethods {
    amcostestimate_function access_method;  // whose it is
    // A search in the current memory context.
    VectorSearch* (*open)(Relation index);
    // Begins; once more when it has begun before.
    void (*start)(VectorSearch* search, const SearchQuery& query);
    // The next candidate; false at the end. Brings the counts up to date.
    bool (*next)(VectorSearch* search, SearchCandidate* candidate);
    // The indexed column of the row handed out last, which has a value; 0 when the index does not know it after all. It
    // stays until the next call.
    Datum (*value)(VectorSearch* search);
    // The rows that will probably be handed out next, in no order, for reading ahead; null: the access method cannot
    // tell. Returns how many, `most` at most.
    int (*upcoming)(const VectorSearch* search, ItemPointerData* tids, int most);
    // The row of a candidate that this search has handed out is dead to every snapshot.
    void (*kill)(VectorSearch* search, const ItemPointerData& tid, const IndexPlace& place);
    void (*close)(VectorSearch* search);
    SearchCost (*cost)(const IndexOptInfo* index);
    SearchValues (*values)(Relation index);
    // Bounds for a query that is not NULL, in the current memory context; null: the index has none. `query` stays as
    // long as they. The function itself is null where an access method has none at all.
    RowBounds* (*open_bounds)(Relation index, Datum query);
    // Bounds of the rows at tids[0 .. n), which ascend, from one call to the next too for speed's sake. Holds no lock
    // or pin afterwards.
    void (*bound)(RowBounds* bounds, const ItemPointerData* tids, int n, RowBound* out);
    void (*close_bounds)(RowBounds* bounds);
};

// What amcostestimate returns.
struct ScanCost {
    Cost startup;
    Cost total;
    Selectivity selectivity;
    double correlation;
    double pages;
};

// Of a plain index scan: the whole search is start-up cost, and each further row costs about one more node. A path
// without an order is priced out. Heap fetches are added by the caller of amcostestimate.
ScanCost CostOfScan(const IndexPath* path, const SearchCost& search);

// What the session's last index scan that has ended did.
void KeepLastScan(const SearchCounts& counts);
SearchCounts LastScan();

// To be called once for each access method, from _PG_init; `methods` lives as long as the backend.
void RegisterVectorSearch(const VectorSearchMethods* methods);

// The methods of the access method with this cost estimate; null when it is none of ours.
const VectorSearchMethods* FindVectorSearch(amcostestimate_function access_method);

// What a distance is compared by with bounds: NaN is as far as infinity.
inline double OrderKey(double distance) {
    return std::isnan(distance) ? get_float8_infinity() : distance;
}

// Does row a come behind row b? By distance, NaN last; equal distances come in the order of the table.
inline bool OrderedBehind(double a, const ItemPointerData& a_tid, double b, const ItemPointerData& b_tid) {
    if (!float8_eq(a, b)) return float8_gt(a, b);
    return ItemPointerCompare(const_cast<ItemPointer>(&a_tid), const_cast<ItemPointer>(&b_tid)) > 0;
}

}  // namespace vecann

// What the ways to answer a filtered query in the order of a distance cost, and the numbers that a plan keeps of it for
// decisions at run time. The constants, and how they were measured, stand in filter_cost.cpp.
#pragma once

#include "planner/vector_search.h"

namespace vecann {

enum class Strategy : int {
    kPostFilter,    // search, and test the rows that it finds
    kBitmapSearch,  // a bitmap of the rows that pass, and a search that finds no others
    kExact,         // a bitmap, then the distances of all its rows
};
constexpr int kStrategies = 3;

const char* StrategyName(Strategy strategy);

// Of a plan with a filter. Costs are in the planner's units.
struct FilterPlan {
    Strategy strategy;
    bool has_bitmap;
    bool may_search;  // by the members of the bitmap
    bool may_exact;
    bool may_try;  // a search may come before the exact pass, for as long as it may be through before that

    double wanted;             // rows the query will probably take; 0: not known
    double index_rows;         // in the index
    double rows_per_page;      // of the table
    double members_per_row;    // rows of the bitmap for one that passes all conditions
    double node_cost;          // of reading a node
    double beam;               // nodes that the shortest search reads
    double fetch_cost;         // of reading a row and testing it
    double distance_cost;      // of its distance
    double found_distance;     // ... when a search has found it, which may know its vector
    double bitmap_cost;        // of the bitmap
    double cost[kStrategies];  // of each, for the rows wanted; negative: not possible

    double row_cost() const { return fetch_cost + distance_cost; }
    double found_cost() const { return fetch_cost + found_distance; }
};

// The rows that the query will take of its table in the order of the distance; 0 when nothing tells.
double RowsWanted(const PlannerInfo* root, const Path* path);
// For custom_private, and back.
List* FilterPlanToList(const FilterPlan& plan);
FilterPlan FilterPlanFromList(List* list);

// A plan's numbers for one index; `bitmap` (what a bitmap heap path would scan) may be null. `strategy` is not set.
FilterPlan PlanFilter(PlannerInfo* root, const IndexPath* index_path, const VectorSearchMethods* methods, Path* bitmap);

// Sets a path's costs, which are those of a scan without a thought of its conditions, to those of a strategy.
void SetFilterCost(const FilterPlan& plan, Strategy strategy, Path* path);

// The same for a post-filter that ends at a bound of the distance (range_limit.h).
void SetRangeCost(const FilterPlan& plan, Path* path);

// Is a search to come before an exact pass of this cost, since the rows that pass may be the nearest? Where the pass
// costs five of the shortest searches.
bool IsWorthTrying(const FilterPlan& plan, double exact);

// Nodes that a search for `members` rows reads when `rate` of all rows are members.
double NodesForMembers(const FilterPlan& plan, double members, double rate);

}  // namespace vecann

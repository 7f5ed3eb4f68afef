// The cost model of filtered queries; see filter_cost.h.
//
// One cost unit is taken as ten microseconds of processor time: with its default settings the server takes 0.1 us for a
// row (cpu_tuple_cost). Pages that effective_cache_size holds cost no more than the processor's part; the others one
// random_page_cost.
#include "planner/filter_cost.h"

#include "pg/guc.h"
#include "planner/filter_bitmap.h"
#include "planner/range_limit.h"

namespace vecann {

namespace {

// Reading a row by its TID from a page in memory, in units of cpu_tuple_cost: 0.4 us (an exact pass over 10,000 rows of
// 128 dimensions, less the distances).
constexpr double kFetchTuples = 4;
// A distance of an inline vector and its way into the result, in units of cpu_operator_cost: 0.2 us.
constexpr double kDistanceOperators = 8;
// A vector stored out of line is put together from an index and a few rows: so much for it, and for each piece, in
// units of cpu_tuple_cost (784 dimensions, two pieces: 3.5 us).
constexpr double kToastTuples = 15;
constexpr double kToastPieceTuples = 10;
constexpr double kToastPiece = 1996;
// A row on its way into a set, in units of cpu_operator_cost: 20 ns of a list, 0.2 us of a bitmap, where most rows are
// on pages of their own (10,000 and 100,000 of a million rows, 128 dimensions).
constexpr double kListedOperators = 1;
constexpr double kBitmapOperators = 8;
// A row out of a posting list, likewise; at least so much of what the server reckons with.
constexpr double kPostedOperators = 0.5;
constexpr double kPostedShare = 0.05;
// The rows of a node looked up in a set, in units of cpu_operator_cost: 40 ns.
constexpr double kTestOperators = 2;
// Bounds of a row's distance by its code, in units of cpu_tuple_cost: 40 ns, and 0.1 us for each page of codes (exact
// passes over 10,000 of 1,000,000 rows of 128 dimensions, 1.0 ms without the bitmap, and over 13,000 of 69,000 of 256
// dimensions, 0.6 ms).
constexpr double kBoundTuples = 0.4;
constexpr double kBoundPageTuples = 1;
// Rows that are read although they are not wanted: so many, or, where that is more, so many for each wanted (LIMIT 10:
// 26 to 43 in a mixture of 128 dimensions).
constexpr double kReadBeyond = 40;
constexpr double kReadForEach = 3;
// Handing out a row whose distance is known, in units of cpu_tuple_cost.
constexpr double kReturnTuples = 5;

using Field = double FilterPlan::*;
constexpr Field kFields[] = {&FilterPlan::wanted,          &FilterPlan::index_rows,    &FilterPlan::rows_per_page,
                             &FilterPlan::members_per_row, &FilterPlan::node_cost,     &FilterPlan::beam,
                             &FilterPlan::fetch_cost,      &FilterPlan::distance_cost, &FilterPlan::found_distance,
                             &FilterPlan::bound_cost,      &FilterPlan::bitmap_cost};

// Settings of costs go to the end of double: what comes of them must have an order, and be read again as a number.
double Finite(double cost) {
    constexpr double kMost = 1e300;
    return cost < kMost ? cost : kMost;  // NaN too
}

List* AppendDouble(List* list, double value) {
    return lappend(list, makeFloat(psprintf("%.17g", Finite(value))));
}

// A plan that came to a worker as text has integers for numbers without a fraction.
double DoubleOf(void* node) {
    return IsA(node, Integer) ? intVal(node) : floatVal(node);
}

// What it costs to put the indexed vector of a row, `width` bytes, together.
double ToastCost(const IndexOptInfo* index, double width) {
    const RelOptInfo* rel = index->rel;
    const int column = index->indexkeys[0];
    if (column <= 0 || column > rel->max_attr) return 0;
    // Statistics know the width of what stands in the row.
    const double in_row = rel->attr_widths[column - rel->min_attr];
    if (in_row <= 0 || width <= 2 * in_row) return 0;
    return cpu_tuple_cost * (kToastTuples + kToastPieceTuples * std::ceil(width / kToastPiece));
}

// The planner holds a lock on the index.
SearchValues ValuesOf(const IndexOptInfo* index, const VectorSearchMethods* methods) {
    Relation relation = index_open(index->indexoid, NoLock);
    const SearchValues values = methods->values(relation);
    index_close(relation, NoLock);
    return values;
}

// Are the rows of a bitmap to be taken one by one from the only index?
bool IsListed(const Path* bitmap, double members) {
    if (!IsA(bitmap, IndexPath) || members > static_cast<double>(MostGathered())) return false;
    const Oid method = reinterpret_cast<const IndexPath*>(bitmap)->indexinfo->relam;
    return method == BTREE_AM_OID || method == GIN_AM_OID;
}

// What the rows of a bitmap cost until they are in a set. The server reckons with every page of an index as one to be
// read from disk, and with each of its conditions for each entry; of one btree whose pages are in memory an entry takes
// 40 ns in all.
double BitmapCost(const Path* bitmap, double scan, double members, double uncached) {
    if (!IsListed(bitmap, members)) return scan + members * cpu_operator_cost * kBitmapOperators;
    const IndexPath* path = reinterpret_cast<const IndexPath*>(bitmap);
    const IndexOptInfo* index = path->indexinfo;
    const double pages = index->pages / Max(index->tuples, 1.0) * random_page_cost;
    const double entry = pages + cpu_index_tuple_cost + list_length(path->indexclauses) * cpu_operator_cost;
    // The server knows better how long the lists of several keys are.
    double here = Max(members * cpu_operator_cost * kPostedOperators, scan * kPostedShare);
    if (index->relam == BTREE_AM_OID)
        here = Max(entry > 0 ? scan * cpu_index_tuple_cost / entry : scan, members * cpu_index_tuple_cost);
    const double listed = uncached * scan + (1 - uncached) * Min(scan, here);
    return listed + members * cpu_operator_cost * kListedOperators;
}

// Pages of so many that rows at random are on (Mackert and Lohman, as in the server's costs).
double PagesTouched(double pages, double rows) {
    return Min(2 * pages * rows / (2 * pages + rows), pages);
}

// The rows that a bitmap of `members` leads to. When there is no room for their pages the server forgets which rows of
// a page they are: of so many pages that the others take half of it (tidbitmap.c, tbm_lossify).
double RowsBehind(const Path* bitmap, double members, double all, double pages) {
    if (IsListed(bitmap, members)) return members;
    const double touched = PagesTouched(pages, members);
    const size_t memory = BitmapMemory(IsA(bitmap, IndexPath));
    const double most = static_cast<double>(tbm_calculate_entries(static_cast<double>(memory)));
    if (touched <= most) return members;
    const double whole = (touched - most / 2) / touched;
    return (1 - whole) * members + whole * Max(touched * all / pages, members);
}

// What bounds cost for each of so many rows of the bitmap. Codes have four bits for a number of the vector.
double BoundCost(const FilterPlan& plan, const SearchValues& values, double members, double page_cost) {
    if (values.code <= 0 || !Settings().enable_row_codes) return 0;
    const double code_pages = Max(plan.index_rows * values.code / BLCKSZ, 1.0);
    const double each = cpu_tuple_cost * kBoundPageTuples + page_cost;
    return cpu_tuple_cost * kBoundTuples + each * PagesTouched(code_pages, members) / members;
}

// The same with so many rows wanted.
double ExactCostFor(const FilterPlan& plan, double members, double wanted) {
    const double all = members * plan.row_cost();
    if (plan.bound_cost <= 0) return all;
    const double read = wanted + Max(kReadBeyond, wanted * kReadForEach);
    return Min(members * plan.bound_cost + read * plan.row_cost(), all);
}

}  // namespace

double RowsWanted(const PlannerInfo* root, const Path* path) {
    // limit_tuples is set above a join as well, where it says nothing of one table's rows. Further keys of the order
    // are for an Incremental Sort, which reads one row beyond those that it returns.
    const bool single = bms_membership(root->all_baserels) == BMS_SINGLETON;
    const double beyond = list_length(root->query_pathkeys) > list_length(path->pathkeys) ? 1 : 0;
    if (single && root->limit_tuples > 0) return root->limit_tuples + beyond;
    return root->tuple_fraction >= 1 ? root->tuple_fraction : 0;
}

const char* StrategyName(Strategy strategy) {
    switch (strategy) {
        case Strategy::kPostFilter:
            return "post-filter";
        case Strategy::kBitmapSearch:
            return "bitmap search";
        default:
            return "exact";
    }
}

List* FilterPlanToList(const FilterPlan& plan) {
    List* list = NIL;
    const int flags[] = {static_cast<int>(plan.strategy), plan.has_bitmap, plan.may_search, plan.may_exact,
                         plan.may_try};
    for (int flag : flags)
        list = lappend(list, makeInteger(flag));
    for (Field field : kFields)
        list = AppendDouble(list, plan.*field);
    for (double cost : plan.cost)
        list = AppendDouble(list, cost);
    return list;
}

FilterPlan FilterPlanFromList(List* list) {
    FilterPlan plan;
    int at = 0;
    plan.strategy = static_cast<Strategy>(intVal(list_nth(list, at++)));
    plan.has_bitmap = intVal(list_nth(list, at++)) != 0;
    plan.may_search = intVal(list_nth(list, at++)) != 0;
    plan.may_exact = intVal(list_nth(list, at++)) != 0;
    plan.may_try = intVal(list_nth(list, at++)) != 0;
    for (Field field : kFields)
        plan.*field = DoubleOf(list_nth(list, at++));
    for (double& cost : plan.cost)
        cost = DoubleOf(list_nth(list, at++));
    return plan;
}

bool IsWorthTrying(const FilterPlan& plan, double exact) {
    constexpr double kWorthTrying = 5;
    return plan.beam * plan.node_cost * kWorthTrying < exact;
}

double ExactCost(const FilterPlan& plan, double members) {
    const double wanted = plan.wanted > 0 ? plan.wanted * plan.members_per_row : plan.beam * 3 / 4;
    return ExactCostFor(plan, members, wanted);
}

bool DoBoundsPay(const FilterPlan& plan, double members) {
    return ExactCost(plan, members) < members * plan.row_cost();
}

double NodesForMembers(const FilterPlan& plan, double members, double rate) {
    const double least = 1 / Max(plan.index_rows, 1.0);
    const double needed =
        Gathering::MembersNeeded(members > 0 ? members : plan.beam * 3 / 4, plan.beam, Min(rate, 1.0), 0);
    return Min(Max(needed / Max(rate, least), plan.beam), Max(plan.index_rows, 1.0));
}

FilterPlan PlanFilter(PlannerInfo* root, const IndexPath* index_path, const VectorSearchMethods* methods,
                      Path* bitmap) {
    const IndexOptInfo* index = index_path->indexinfo;
    const SearchCost search = methods->cost(index);
    const SearchValues values = ValuesOf(index, methods);
    const RelOptInfo* rel = index->rel;
    FilterPlan plan = {};
    const double rows = Max(rel->rows, 1.0), all = Max(rel->tuples, 1.0);
    const double pages = Max<double>(rel->pages, 1.0);
    double random_page_cost_here;
    get_tablespace_page_costs(rel->reltablespace, &random_page_cost_here, nullptr);
    const double uncached = Max(0.0, 1.0 - static_cast<double>(effective_cache_size) / (pages + index->pages));
    plan.wanted = Min(RowsWanted(root, &index_path->path), rows);
    plan.index_rows = Max(index->tuples, 1.0);
    plan.rows_per_page = Max(all / pages, 1.0);
    plan.node_cost = search.node;
    plan.beam = search.beam;
    plan.fetch_cost =
        cpu_tuple_cost * kFetchTuples + uncached * random_page_cost_here + rel->baserestrictcost.per_tuple;
    plan.found_distance = cpu_operator_cost * kDistanceOperators;
    plan.distance_cost = plan.found_distance + ToastCost(index, values.width);
    if (!values.known) plan.found_distance = plan.distance_cost;
    plan.members_per_row = 1;

    const double wanted = plan.wanted > 0 ? plan.wanted : Min(rows, plan.beam * 3 / 4);
    const double rate = rows / all;
    const double met =
        Min(Gathering::MembersNeeded(wanted, Min(plan.beam, 4 * wanted), rate, 0) / rate, plan.index_rows);
    plan.cost[static_cast<int>(Strategy::kPostFilter)] =
        (plan.beam + met) * plan.node_cost + Min(wanted / rate, met) * plan.fetch_cost + wanted * plan.found_distance;
    plan.cost[static_cast<int>(Strategy::kBitmapSearch)] = plan.cost[static_cast<int>(Strategy::kExact)] = -1;
    if (bitmap == nullptr) return plan;

    plan.has_bitmap = true;
    plan.may_search = Settings().enable_bitmap_search;
    plan.may_exact = Settings().enable_exact_search;
    Cost scan;
    Selectivity selectivity;
    cost_bitmap_tree_node(bitmap, &scan, &selectivity);
    const double marked = Max(selectivity * all, rows);
    scan = BitmapCost(bitmap, scan, marked, uncached);
    const double members = RowsBehind(bitmap, marked, all, pages);
    plan.bitmap_cost = scan;
    plan.bound_cost = BoundCost(plan, values, members, uncached * random_page_cost_here);
    plan.members_per_row = members / rows;
    const double read = wanted * plan.members_per_row;
    plan.cost[static_cast<int>(Strategy::kBitmapSearch)] =
        scan + read * plan.found_cost() +
        NodesForMembers(plan, read, members / all) * (plan.node_cost + cpu_operator_cost * kTestOperators);
    // Each pass over the rows keeps as many as fit work_mem.
    const double passes = 1 + std::floor(wanted * 40 / (work_mem * 1024.0));
    plan.cost[static_cast<int>(Strategy::kExact)] =
        scan + ExactCost(plan, members) * passes + wanted * cpu_tuple_cost * kReturnTuples;
    plan.may_try = Settings().enable_post_filter && plan.wanted > 0 && plan.wanted <= plan.beam &&
                   IsWorthTrying(plan, plan.cost[static_cast<int>(Strategy::kExact)]);
    return plan;
}

void SetFilterCost(const FilterPlan& plan, Strategy strategy, Path* path) {
    const double rows = Max(path->rows, 1.0), cost = plan.cost[static_cast<int>(strategy)];
    const double wanted = plan.wanted > 0 ? plan.wanted : Min(rows, plan.beam * 3 / 4);
    double startup = Min(cost, plan.beam * plan.node_cost);
    if (strategy == Strategy::kExact) startup = Max(0.0, cost - wanted * cpu_tuple_cost * kReturnTuples);
    double total = startup + (cost - startup) * Max(rows / Max(wanted, 1.0), 1.0);
    // Bounds save reading rows that are not wanted, and no others.
    const double members = rows * plan.members_per_row;
    if (strategy == Strategy::kExact) total += ExactCostFor(plan, members, members) - ExactCost(plan, members);
    // A post-filter does what the index scan does and a little less. Who takes all rows reads pages in no order: the
    // server's own estimate knows that.
    const bool post = strategy == Strategy::kPostFilter;
    path->startup_cost = Finite(post ? Min(startup, path->startup_cost) : startup);
    if (!post || wanted < rows) path->total_cost = Finite(post ? Min(total, path->total_cost) : total);
}

void SetRangeCost(const FilterPlan& plan, Path* path) {
    const double rows = Max(kRangeShare * plan.index_rows, 1.0);
    path->total_cost = Min(path->total_cost, path->startup_cost + rows * (plan.node_cost + plan.row_cost()));
}

}  // namespace vecann

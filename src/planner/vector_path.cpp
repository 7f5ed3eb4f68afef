// Paths and plans of the custom scan. See README.md.
#include "planner/vector_path.h"

#include "pg/guc.h"
#include "planner/filter_bitmap.h"
#include "planner/filter_cost.h"
#include "planner/gin_estimate.h"
#include "planner/range_limit.h"
#include "planner/vector_scan.h"
#include "planner/vector_search.h"

namespace vecann {

namespace {

set_rel_pathlist_hook_type previous_hook;

// Of what an index scan costs beyond its first row, the custom scan saves at least this: it reads a row and computes
// its distance once.
constexpr double kSaved = 0.05;

// What a path keeps for its plan, as the members of custom_private.
struct VectorPathParts {
    IndexPath* index_path;
    List* columns;  // Vars of the table that are needed above the scan
    List* filter;   // of a filtered query: FilterPlanToList; otherwise NIL
};

VectorPathParts PartsOf(const CustomPath* path) {
    return {linitial_node(IndexPath, path->custom_private), static_cast<List*>(lsecond(path->custom_private)),
            static_cast<List*>(lthird(path->custom_private))};
}

// The operator of an index path's order.
struct DistanceCall {
    OpExpr* expression;  // as the query has it; null when it cannot be found
    int query_arg;       // which of its arguments is the query
};

// An index path keeps the expression with the indexed column on the left.
DistanceCall FindDistance(const IndexPath* path) {
    const PathKey* key = linitial_node(PathKey, path->path.pathkeys);
    OpExpr* by_index = linitial_node(OpExpr, path->indexorderbys);
    const Oid commutator = get_commutator(by_index->opno);
    ListCell* cell;
    foreach (cell, key->pk_eclass->ec_members) {
        OpExpr* candidate = reinterpret_cast<OpExpr*>(lfirst_node(EquivalenceMember, cell)->em_expr);
        if (equal(candidate, by_index)) return {candidate, 1};
        if (IsA(candidate, OpExpr) && candidate->opno == commutator && list_length(candidate->args) == 2 &&
            equal(linitial(candidate->args), lsecond(by_index->args)) &&
            equal(lsecond(candidate->args), linitial(by_index->args)))
            return {candidate, 0};
    }
    return {nullptr, 0};
}

const VectorSearchMethods* MethodsOf(const IndexOptInfo* index) {
    return FindVectorSearch(reinterpret_cast<amcostestimate_function>(index->amcostestimate));
}

// Can the custom scan do what this path does?
bool IsVectorPath(const Path* path) {
    if (!IsA(path, IndexPath) || path->pathtype != T_IndexScan) return false;
    const IndexPath* index_path = reinterpret_cast<const IndexPath*>(path);
    const IndexOptInfo* index = index_path->indexinfo;
    if (index_path->indexclauses != NIL || list_length(index_path->indexorderbys) != 1 || index->hypothetical)
        return false;
    if (MethodsOf(index) == nullptr) return false;
    return list_length(path->pathkeys) == 1 && FindDistance(index_path).expression != nullptr;
}

// Adds the Vars of `node` that are columns of `relation` and not in the list yet.
List* AddColumns(List* columns, Node* node, Index relation) {
    ListCell* cell;
    foreach (cell, pull_var_clause(node, PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS)) {
        const Var* var = lfirst_node(Var, cell);
        if (static_cast<Index>(var->varno) != relation || var->varlevelsup != 0) continue;
        bool known = false;
        ListCell* other;
        foreach (other, columns)
            known = known || lfirst_node(Var, other)->varattno == var->varattno;
        if (!known) columns = lappend(columns, const_cast<Var*>(var));
    }
    return columns;
}

// What follows from the predicate of a partial index need not be tested.
List* WithoutImplied(List* clauses, const RelOptInfo* rel, const IndexOptInfo* index) {
    List* rest = NIL;
    ListCell* cell;
    foreach (cell, clauses)
        if (!list_member_ptr(rel->baserestrictinfo, lfirst(cell)) ||
            list_member_ptr(index->indrestrictinfo, lfirst(cell)))
            rest = lappend(rest, lfirst(cell));
    return rest;
}

// The scan's tuple: the columns that anything in the plan needs, then the distance. The server replaces what it finds
// of these in the plan's expressions by references to the tuple, so the distance is not computed again.
Plan* PlanVectorScan(PlannerInfo* root, RelOptInfo* rel, CustomPath* path, List* tlist, List* clauses, List* children) {
    const VectorPathParts parts = PartsOf(path);
    const IndexOptInfo* index = parts.index_path->indexinfo;
    const DistanceCall distance = FindDistance(parts.index_path);
    CustomScan* scan = makeNode(CustomScan);
    scan->scan.scanrelid = rel->relid;
    scan->scan.plan.targetlist = tlist;
    List* recheck = NIL;
    if (children == NIL) {
        scan->scan.plan.qual = extract_actual_clauses(WithoutImplied(clauses, rel, index), false);
    } else {
        // The rows of the bitmap need not be in a partial index: its predicate stays.
        const BitmapPlan bitmap = SplitBitmapPlan(static_cast<Plan*>(linitial(children)));
        scan->custom_plans = lappend(NIL, bitmap.tree);
        scan->scan.plan.qual = bitmap.quals;
        recheck = bitmap.recheck;
    }
    scan->flags = path->flags;
    scan->methods = &kVectorScanMethods;

    List* columns = AddColumns(list_copy(parts.columns), reinterpret_cast<Node*>(scan->scan.plan.qual), rel->relid);
    columns = AddColumns(columns, reinterpret_cast<Node*>(recheck), rel->relid);
    columns = AddColumns(columns, reinterpret_cast<Node*>(tlist), rel->relid);
    columns = lappend(columns, distance.expression);
    ListCell* cell;
    foreach (cell, columns) {
        const AttrNumber resno = static_cast<AttrNumber>(list_length(scan->custom_scan_tlist) + 1);
        Expr* expression = static_cast<Expr*>(copyObjectImpl(lfirst(cell)));
        scan->custom_scan_tlist = lappend(scan->custom_scan_tlist, makeTargetEntry(expression, resno, nullptr, false));
    }
    // The distance's parameters are known to the server through here.
    scan->custom_exprs = lappend(NIL, copyObjectImpl(list_nth(distance.expression->args, distance.query_arg)));
    scan->custom_exprs = list_concat(scan->custom_exprs, static_cast<List*>(copyObjectImpl(recheck)));
    const int wanted = parts.filter == NIL ? static_cast<int>(Min(RowsWanted(root, &path->path), 1.0e9)) : 0;
    scan->custom_private = lappend(NIL, lappend_oid(NIL, index->indexoid));
    scan->custom_private = lappend(scan->custom_private, lappend_int(lappend_int(NIL, distance.query_arg), wanted));
    scan->custom_private = lappend(scan->custom_private, parts.filter);
    return &scan->scan.plan;
}

const CustomPathMethods kPathMethods = {kVectorScanName, &PlanVectorScan, nullptr};

CustomPath* MakeVectorPath(RelOptInfo* rel, IndexPath* index_path, List* filter) {
    CustomPath* path = makeNode(CustomPath);
    path->path = index_path->path;
    path->path.type = T_CustomPath;
    path->path.pathtype = T_CustomScan;
    path->path.total_cost -= (path->path.total_cost - path->path.startup_cost) * kSaved;
    path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
    List* columns = AddColumns(NIL, reinterpret_cast<Node*>(rel->reltarget->exprs), rel->relid);
    path->custom_private = lappend(lappend(lappend(NIL, index_path), columns), filter);
    path->methods = &kPathMethods;
    return path;
}

void AddFilterPath(RelOptInfo* rel, IndexPath* index_path, FilterPlan plan, Strategy strategy, Path* bitmap) {
    plan.strategy = strategy;
    CustomPath* path = MakeVectorPath(rel, index_path, FilterPlanToList(plan));
    if (bitmap != nullptr) path->custom_paths = lappend(NIL, bitmap);
    SetFilterCost(plan, strategy, &path->path);
    if (strategy == Strategy::kPostFilter && HasRangeLimit(rel->baserestrictinfo, FindDistance(index_path).expression))
        SetRangeCost(plan, &path->path);
    add_path(rel, &path->path);
}

// Offers what answers a query with conditions. The bitmap goes with a post-filter too, which runs it only when the
// search goes worse than planned.
void AddFilterPaths(PlannerInfo* root, RelOptInfo* rel, IndexPath* index_path) {
    const bool use_bitmap = enable_bitmapscan && (Settings().enable_bitmap_search || Settings().enable_exact_search);
    BitmapHeapPath* bitmap = use_bitmap && index_path->path.param_info == nullptr ? FindBitmapPath(root, rel) : nullptr;
    const FilterPlan plan = PlanFilter(root, index_path, MethodsOf(index_path->indexinfo),
                                       bitmap != nullptr ? bitmap->bitmapqual : nullptr);
    // What the index scan does a post-filter does with less.
    rel->pathlist = list_delete_ptr(rel->pathlist, index_path);
    if (plan.may_exact) AddFilterPath(rel, index_path, plan, Strategy::kExact, &bitmap->path);
    if (plan.may_search) AddFilterPath(rel, index_path, plan, Strategy::kBitmapSearch, &bitmap->path);
    if (Settings().enable_post_filter || bitmap == nullptr)
        AddFilterPath(rel, index_path, plan, Strategy::kPostFilter, bitmap != nullptr ? &bitmap->path : nullptr);
    // With all else forbidden it may be the only way.
    if (rel->pathlist == NIL) rel->pathlist = lappend(NIL, index_path);
}

// A query that is a parameter of the plan, as in LATERAL, has no value in a parallel worker. The server looks at the
// conditions of a scan for such parameters, not at what it is ordered by.
void CheckParallelSafety(PlannerInfo* root, Path* path) {
    if (!path->parallel_safe || !IsA(path, IndexPath)) return;
    const IndexPath* index_path = reinterpret_cast<const IndexPath*>(path);
    if (index_path->indexorderbys == NIL) return;
    path->parallel_safe = is_parallel_safe(root, reinterpret_cast<Node*>(index_path->indexorderbys));
}

// For an order of several keys, index paths in the order of the first: an Incremental Sort does the rest. PostgreSQL 17
// makes them by itself; before, the server takes an index with ordering operators only for all keys. So it is asked
// again, for a query that is ordered by the first key alone.
void AddFirstKeyPaths(PlannerInfo* root, RelOptInfo* rel, const RangeTblEntry* rte) {
    // A sample is taken by a scan of its own, a parent has no rows, and of a table without rows nothing is prepared.
    if (list_length(root->query_pathkeys) < 2 || rte->tablesample != nullptr || rte->inh || IS_DUMMY_REL(rel)) return;
    RelOptInfo* copy = makeNode(RelOptInfo);
    *copy = *rel;
    copy->indexlist = copy->pathlist = copy->partial_pathlist = copy->joininfo = NIL;
    copy->has_eclass_joins = copy->consider_parallel = false;
    ListCell* cell;
    foreach (cell, rel->indexlist)
        if (MethodsOf(lfirst_node(IndexOptInfo, cell)) != nullptr)
            copy->indexlist = lappend(copy->indexlist, lfirst(cell));
    if (copy->indexlist == NIL) return;
    foreach (cell, rel->pathlist)
        if (IsA(lfirst(cell), IndexPath) && MethodsOf(lfirst_node(IndexPath, cell)->indexinfo) != nullptr) return;
    List* all_keys = root->query_pathkeys;
    root->query_pathkeys = lappend(NIL, linitial(all_keys));
    create_index_paths(root, copy);
    root->query_pathkeys = all_keys;
    foreach (cell, copy->pathlist)
        add_path(rel, static_cast<Path*>(lfirst(cell)));
}

bool HasVectorPath(const RelOptInfo* rel) {
    ListCell* cell;
    foreach (cell, rel->pathlist)
        if (IsVectorPath(static_cast<Path*>(lfirst(cell)))) return true;
    return false;
}

// Beside each index scan in the order of a distance, offers the custom scan that does the same.
void AddVectorPaths(PlannerInfo* root, RelOptInfo* rel, Index rti, RangeTblEntry* rte) {
    if (rte->rtekind == RTE_RELATION) {
        AddFirstKeyPaths(root, rel, rte);
        const bool ours = Settings().enable_custom_scan && rel->baserestrictinfo != NIL && HasVectorPath(rel);
        if (ours && CorrectGinEstimates(root, rel, rte)) AddFirstKeyPaths(root, rel, rte);
    }
    if (previous_hook != nullptr) previous_hook(root, rel, rti, rte);
    if (rte->rtekind != RTE_RELATION) return;
    ListCell* cell;
    // add_path changes the list, and frees what it drops unless it is an index path.
    List* index_paths = NIL;
    foreach (cell, rel->pathlist) {
        Path* path = static_cast<Path*>(lfirst(cell));
        CheckParallelSafety(root, path);
        if (IsVectorPath(path)) index_paths = lappend(index_paths, path);
    }
    // The price of what is forbidden stands in the index path, and would be lost with a cost of ours.
    if (!Settings().enable_custom_scan || !enable_indexscan) return;
    foreach (cell, index_paths) {
        IndexPath* index_path = lfirst_node(IndexPath, cell);
        if (index_path->indexinfo->indrestrictinfo == NIL)
            add_path(rel, &MakeVectorPath(rel, index_path, NIL)->path);
        else
            AddFilterPaths(root, rel, index_path);
    }
}

}  // namespace

void InitVectorPaths() {
    RegisterCustomScanMethods(&kVectorScanMethods);
    previous_hook = set_rel_pathlist_hook;
    set_rel_pathlist_hook = &AddVectorPaths;
}

}  // namespace vecann

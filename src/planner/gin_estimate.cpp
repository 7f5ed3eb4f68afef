// Estimates of GIN conditions; see gin_estimate.h.
//
// Called in a query's planning, as the server's cost estimate of GIN indexes is, which takes the keys of a constant
// apart and reads the metapage as well. Here the entry tree is descended once for each key: a few pages.
#include "planner/gin_estimate.h"

#include "planner/gin_keys.h"

namespace vecann {

namespace {

// A condition on a column of a GIN index: column, operator, constant.
struct GinCondition {
    const IndexOptInfo* index;
    int column;  // of the index, from 0
    StrategyNumber strategy;
    const Const* query;
    bool keys_suffice;  // rows with all keys mostly meet it, although the operator class does not promise that
};

// Between how many rows the answer lies; `most` negative: not known.
struct RowBoundsOfKeys {
    double least, most;
};
constexpr RowBoundsOfKeys kUnknown = {0, -1};

bool FindCondition(PlannerInfo* root, const IndexOptInfo* index, const RestrictInfo* clause, GinCondition* condition) {
    if (!IsA(clause->clause, OpExpr)) return false;
    const OpExpr* call = castNode(OpExpr, clause->clause);
    if (list_length(call->args) != 2) return false;
    Node* left = static_cast<Node*>(linitial(call->args));
    for (int column = 0; column < index->nkeycolumns; ++column) {
        if (!match_index_to_operand(left, column, const_cast<IndexOptInfo*>(index))) continue;
        const Oid family = index->opfamily[column], collation = index->indexcollations[column];
        if (OidIsValid(collation) && collation != call->inputcollid) continue;
        const int strategy = get_op_opfamily_strategy(call->opno, family);
        if (strategy == 0) continue;
        Node* right = estimate_expression_value(root, static_cast<Node*>(lsecond(call->args)));
        if (!IsA(right, Const) || castNode(Const, right)->constisnull) return false;
        *condition = {index, column, static_cast<StrategyNumber>(strategy), castNode(Const, right),
                      get_opcode(call->opno) == F_JSONB_CONTAINS};
        return true;
    }
    return false;
}

// Rows under one key, as the index has them; negative: not known.
double RowsOfKey(GinState* gin, const GinKeys& keys, int32 key) {
    const GinPostings postings = FindGinPostings(gin, keys, key);
    return postings.tree == InvalidBlockNumber ? postings.count : RowsOfPostingTree(gin, postings.tree);
}

// Rows that wait in the index's pending list.
double PendingRows(Relation index) {
    const Buffer buffer = ReadBuffer(index, GIN_METAPAGE_BLKNO);
    LockBuffer(buffer, GIN_SHARE);
    const double rows = static_cast<double>(GinPageGetMeta(BufferGetPage(buffer))->nPendingHeapTuples);
    UnlockReleaseBuffer(buffer);
    return rows;
}

// As many rows as the rarest of the keys has that all must have, or as all others have together; and, where all are
// required and suffice, not fewer than if they had nothing to do with each other.
RowBoundsOfKeys BoundsOf(const GinCondition& condition, GinState* gin, double all) {
    GinKeys keys;
    const OffsetNumber attribute = static_cast<OffsetNumber>(condition.column + 1);
    if (ExtractGinKeys(gin, attribute, condition.strategy, condition.query->constvalue, &keys) != GinKeysKind::kKeys)
        return kUnknown;
    double rarest = all, sum = 0, independent = all;
    int32 required = 0;
    for (int32 i = 0; i < keys.count; ++i) {
        CHECK_FOR_INTERRUPTS();
        const bool counts = IsConsistent(&keys, i, GIN_FALSE, GIN_MAYBE) == GIN_FALSE;
        const double in_index = RowsOfKey(gin, keys, i);
        if (in_index < 0) return kUnknown;
        const double rows = Min(in_index, all);
        sum += rows;
        if (!counts) continue;
        ++required;
        rarest = Min(rarest, rows);
        independent *= rows / all;
    }
    const double pending = PendingRows(gin->index);
    if (required == 0) return {0, Min(sum + pending, all)};
    const bool suffice = condition.keys_suffice || IsConsistentWithAll(&keys) == GIN_TRUE;
    return {required == keys.count && suffice ? independent : 0, Min(rarest + pending, all)};
}

// In memory of its own: what the operator class leaves is gone afterwards. The planner holds a lock on the index.
RowBoundsOfKeys CountRows(const GinCondition& condition, double all) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "vecann GIN keys", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Relation index = index_open(condition.index->indexoid, NoLock);
    GinState gin;
    initGinState(&gin, index);
    const RowBoundsOfKeys bounds = BoundsOf(condition, &gin, all);
    index_close(index, NoLock);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return bounds;
}

// Estimates are taken to be right within this factor.
constexpr double kRight = 1.5;

bool CorrectClause(PlannerInfo* root, const RelOptInfo* rel, RestrictInfo* clause);

// The conditions under an OR, and under ANDs there.
bool CorrectParts(PlannerInfo* root, const RelOptInfo* rel, Expr* parts) {
    if (IsA(parts, RestrictInfo)) return CorrectClause(root, rel, reinterpret_cast<RestrictInfo*>(parts));
    if (!IsA(parts, BoolExpr)) return false;
    check_stack_depth();
    bool corrected = false;
    ListCell* cell;
    foreach (cell, castNode(BoolExpr, parts)->args)
        corrected = CorrectParts(root, rel, static_cast<Expr*>(lfirst(cell))) || corrected;
    return corrected;
}

// Sets the clause's selectivity where an index knows it to be another.
bool CorrectClause(PlannerInfo* root, const RelOptInfo* rel, RestrictInfo* clause) {
    if (clause->orclause != nullptr) {
        if (!CorrectParts(root, rel, clause->orclause)) return false;
        clause->norm_selec = -1;  // to be computed anew
        return true;
    }
    GinCondition condition;
    bool found = false;
    ListCell* cell;
    foreach (cell, rel->indexlist) {
        const IndexOptInfo* index = lfirst_node(IndexOptInfo, cell);
        if (index->relam != GIN_AM_OID || index->hypothetical || index->indpred != NIL) continue;
        found = FindCondition(root, index, clause, &condition);
        if (found) break;
    }
    if (!found) return false;
    const double all = Max(rel->tuples, 1.0);
    const RowBoundsOfKeys bounds = CountRows(condition, all);
    if (bounds.most < 0) return false;
    const double before = clause_selectivity(root, reinterpret_cast<Node*>(clause), 0, JOIN_INNER, nullptr) * all;
    const double rows = Max(Min(Max(before, bounds.least), bounds.most), 1.0);
    if (rows < before * kRight && before < rows * kRight) return false;
    // The server asks for it here from now on.
    clause->norm_selec = Min(rows / all, 1.0);
    return true;
}

// What the server does for a plain table.
void MakePathsAgain(PlannerInfo* root, RelOptInfo* rel) {
    rel->pathlist = rel->partial_pathlist = rel->ppilist = NIL;
    add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
    if (rel->consider_parallel && rel->lateral_relids == nullptr) {
        const int workers = compute_parallel_worker(rel, rel->pages, -1, max_parallel_workers_per_gather);
        if (workers > 0) add_partial_path(rel, create_seqscan_path(root, rel, nullptr, workers));
    }
    create_index_paths(root, rel);
    create_tidscan_paths(root, rel);
}

}  // namespace

bool CorrectGinEstimates(PlannerInfo* root, RelOptInfo* rel, const RangeTblEntry* rte) {
    const bool plain = rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_MATVIEW;
    if (!plain || rte->inh || rte->tablesample != nullptr || IS_DUMMY_REL(rel)) return false;
    // An estimate must not tell of rows that the user may not see. A partition does not know of its parent's policies.
    if (root->qual_security_level > 0) return false;
    bool corrected = false;
    ListCell* cell;
    // What another extension has added would not be made again.
    foreach (cell, rel->pathlist)
        if (IsA(lfirst(cell), CustomPath)) return false;
    foreach (cell, rel->baserestrictinfo)
        corrected = CorrectClause(root, rel, lfirst_node(RestrictInfo, cell)) || corrected;
    if (!corrected) return false;
    set_baserel_size_estimates(root, rel);
    MakePathsAgain(root, rel);
    return true;
}

}  // namespace vecann

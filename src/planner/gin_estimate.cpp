// Estimates of GIN conditions; see gin_estimate.h.
//
// Called in a query's planning, as the server's cost estimate of GIN indexes is, which takes the keys of a constant
// apart and reads the metapage as well. Here the entry tree is descended once for each key: a few pages.
#include "planner/gin_estimate.h"

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

// Rows of a posting tree: the fullest of its first leaves, for each leaf that the server's own scan expects. VACUUM
// leaves thin and empty ones, mostly where the oldest rows were. Negative: they do not tell.
double RowsOfTree(GinState* gin, BlockNumber root) {
    constexpr int kLeaves = 4;
    GinBtreeData postings;
    GinBtreeStack* stack = GinFirstPostingLeaf(&postings, gin->index, root);
    int most = 0;
    for (int i = 0; i < kLeaves; ++i) {
        const Page page = BufferGetPage(stack->buffer);
        if (!GinPageIsDeleted(page)) {
            int items;
            ItemPointerData before_all;
            ItemPointerSetMin(&before_all);
            const ItemPointer list = GinDataLeafPageGetItems(page, &items, before_all);
            if (list != nullptr) pfree(list);  // an empty leaf has none
            most = Max(most, items);
        }
        if (GinPageRightMost(page)) break;
        stack->buffer = ginStepRight(stack->buffer, gin->index, GIN_SHARE);
    }
    const double leaves = Max<uint32>(stack->predictNumber, 1);
    LockBuffer(stack->buffer, GIN_UNLOCK);
    freeGinBtreeStack(stack);
    return most == 0 && leaves > 1 ? -1 : most * leaves;
}

// Rows under one key, as the index has them; negative: not known.
double RowsOfKey(GinState* gin, OffsetNumber attribute, Datum key, GinNullCategory category) {
    GinBtreeData entries;
    ginPrepareEntryScan(&entries, attribute, key, category, gin);
    GinBtreeStack* stack = GinFindEntryLeaf(&entries);
    Page page = BufferGetPage(stack->buffer);
    double rows = 0;
    BlockNumber tree = InvalidBlockNumber;
    if (entries.findItem(&entries, stack)) {
        const IndexTuple entry = reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, stack->off)));
        if (GinIsPostingTree(entry))
            tree = GinGetPostingTree(entry);
        else
            rows = GinGetNPosting(entry);
    }
    // Before the posting tree is locked, for vacuum's sake, as in the server's scans.
    LockBuffer(stack->buffer, GIN_UNLOCK);
    freeGinBtreeStack(stack);
    return tree == InvalidBlockNumber ? rows : RowsOfTree(gin, tree);
}

// Rows that wait in the index's pending list.
double PendingRows(Relation index) {
    const Buffer buffer = ReadBuffer(index, GIN_METAPAGE_BLKNO);
    LockBuffer(buffer, GIN_SHARE);
    const double rows = static_cast<double>(GinPageGetMeta(BufferGetPage(buffer))->nPendingHeapTuples);
    UnlockReleaseBuffer(buffer);
    return rows;
}

// The keys of a condition, and what the operator class makes of them.
struct GinKeys {
    int32 count;
    Datum* values;
    GinNullCategory* categories;
    GinScanKeyData scan;
};

// False when they do not tell which rows meet the condition: parts of keys, or rows without any.
bool ExtractKeys(const GinCondition& condition, GinState* gin, GinKeys* keys) {
    const OffsetNumber attribute = static_cast<OffsetNumber>(condition.column + 1);
    bool *partial = nullptr, *nulls = nullptr;
    Pointer* extra = nullptr;
    int32 mode = GIN_SEARCH_MODE_DEFAULT;
    *keys = {};
    keys->values = reinterpret_cast<Datum*>(DatumGetPointer(FunctionCall7Coll(
        &gin->extractQueryFn[condition.column], gin->supportCollation[condition.column], condition.query->constvalue,
        PointerGetDatum(&keys->count), UInt16GetDatum(condition.strategy), PointerGetDatum(&partial),
        PointerGetDatum(&extra), PointerGetDatum(&nulls), PointerGetDatum(&mode))));
    constexpr int32 kMostKeys = 64;
    if (keys->values == nullptr || keys->count <= 0 || keys->count > kMostKeys || mode != GIN_SEARCH_MODE_DEFAULT)
        return false;
    const size_t n = static_cast<size_t>(keys->count);
    keys->categories = static_cast<GinNullCategory*>(palloc0(n * sizeof(GinNullCategory)));
    for (size_t i = 0; i < n; ++i) {
        if (partial != nullptr && partial[i]) return false;
        keys->categories[i] = nulls != nullptr && nulls[i] ? GIN_CAT_NULL_KEY : GIN_CAT_NORM_KEY;
    }
    GinScanKeyData* scan = &keys->scan;
    scan->nentries = scan->nuserentries = static_cast<uint32>(keys->count);
    scan->entryRes = static_cast<GinTernaryValue*>(palloc0(n * sizeof(GinTernaryValue)));
    scan->query = condition.query->constvalue;
    scan->queryValues = keys->values;
    scan->queryCategories = keys->categories;
    scan->extra_data = extra;
    scan->strategy = condition.strategy;
    scan->searchMode = mode;
    scan->attnum = attribute;
    ginInitConsistentFunction(gin, scan);
    return true;
}

// Does no row without this key meet the condition?
bool IsRequired(GinKeys* keys, int32 key) {
    memset(keys->scan.entryRes, GIN_MAYBE, static_cast<size_t>(keys->count) * sizeof(GinTernaryValue));
    keys->scan.entryRes[key] = GIN_FALSE;
    return keys->scan.triConsistentFn(&keys->scan) == GIN_FALSE;
}

// Do rows with all keys meet the condition? Keys may stand for a part of it only.
bool DoKeysSuffice(const GinCondition& condition, GinKeys* keys) {
    memset(keys->scan.entryRes, GIN_TRUE, static_cast<size_t>(keys->count) * sizeof(GinTernaryValue));
    return condition.keys_suffice || keys->scan.triConsistentFn(&keys->scan) == GIN_TRUE;
}

// As many rows as the rarest of the keys has that all must have, or as all others have together; and, where all are
// required and suffice, not fewer than if they had nothing to do with each other.
RowBoundsOfKeys BoundsOf(const GinCondition& condition, GinState* gin, double all) {
    GinKeys keys;
    if (!ExtractKeys(condition, gin, &keys)) return kUnknown;
    double rarest = all, sum = 0, independent = all;
    int32 required = 0;
    for (int32 i = 0; i < keys.count; ++i) {
        CHECK_FOR_INTERRUPTS();
        const bool counts = IsRequired(&keys, i);
        const double in_index = RowsOfKey(gin, keys.scan.attnum, keys.values[i], keys.categories[i]);
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
    return {required == keys.count && DoKeysSuffice(condition, &keys) ? independent : 0, Min(rarest + pending, all)};
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

// The custom scan node: rows in the order of a distance, each fetched once, its distance computed once. See README.md.
//
// Between calls it holds the pin on one page of the table, as an index scan does.
#include "planner/vector_scan.h"

#include "planner/vector_scan_state.h"

namespace vecann {

namespace {

// ---- set-up ------------------------------------------------------------------

// Projects a row of the table to the scan's tuple. What nothing in the plan refers to stays NULL, which the slot keeps
// from row to row; the distance is filled in later.
void InitColumns(VectorScanState* state) {
    const CustomScan* plan = PlanOf(state);
    Bitmapset* used = nullptr;
    pull_varattnos(reinterpret_cast<Node*>(plan->scan.plan.targetlist), static_cast<Index>(INDEX_VAR), &used);
    pull_varattnos(reinterpret_cast<Node*>(plan->scan.plan.qual), static_cast<Index>(INDEX_VAR), &used);
    pull_varattnos(reinterpret_cast<Node*>(RecheckOf(plan)), static_cast<Index>(INDEX_VAR), &used);
    List* tlist = NIL;
    ListCell* cell;
    foreach (cell, plan->custom_scan_tlist) {
        const TargetEntry* entry = lfirst_node(TargetEntry, cell);
        if (entry->resno - 1 != state->distance_at &&
            bms_is_member(entry->resno - FirstLowInvalidHeapAttributeNumber, used))
            tlist = lappend(tlist, lfirst(cell));
    }
    TupleTableSlot* slot = ScanSlot(state);
    memset(slot->tts_isnull, true, static_cast<size_t>(slot->tts_tupleDescriptor->natts) * sizeof(bool));
    // Without a parent, which would have the row read as a tuple of the scan.
    state->columns = ExecBuildProjectionInfo(tlist, state->row_context, slot, nullptr,
                                             RelationGetDescr(state->css.ss.ss_currentRelation));
}

// The operator as the query has it, but for the query's side: its value is computed once, and comes as a case value.
void InitDistance(VectorScanState* state) {
    const CustomScan* plan = PlanOf(state);
    OpExpr* distance = makeNode(OpExpr);
    *distance = *DistanceOf(plan);
    distance->args = list_copy(distance->args);
    ListCell* argument = list_nth_cell(distance->args, QueryArgOf(plan));
    Node* query = static_cast<Node*>(lfirst(argument));
    const Node* vector = static_cast<const Node*>(list_nth(distance->args, 1 - QueryArgOf(plan)));
    state->vector_column = IsA(vector, Var) ? reinterpret_cast<const Var*>(vector)->varattno : 0;
    get_typlenbyval(exprType(query), &state->query_length, &state->query_by_value);
    CaseTestExpr* value = makeNode(CaseTestExpr);
    value->typeId = exprType(query);
    value->typeMod = exprTypmod(query);
    value->collation = exprCollation(query);
    lfirst(argument) = value;
    state->collation = distance->inputcollid;
    state->query_arg = QueryArgOf(plan);
    state->distance = ExecInitExpr(reinterpret_cast<Expr*>(distance), nullptr);
    state->query = ExecInitExpr(static_cast<Expr*>(linitial(plan->custom_exprs)), &state->css.ss.ps);
}

// Does anybody look at the distance in what goes up? Not where the scan alone, or a LIMIT over it, is the plan: then
// columns that are for the order alone are taken off, and nothing above compares them.
bool IsDistanceSeen(const VectorScanState& state, const EState* estate) {
    const CustomScan* scan = PlanOf(&state);
    const Plan *plan = &scan->scan.plan, *top = estate->es_plannedstmt->planTree;
    if (plan->qual != NIL || FilterListOf(scan) != NIL) return true;
    if (top != plan) {
        if (!IsA(top, Limit) || outerPlan(top) != plan) return true;
        if (reinterpret_cast<const Limit*>(top)->limitOption != LIMIT_OPTION_COUNT) return true;  // WITH TIES
    }
    if (list_length(top->targetlist) != list_length(plan->targetlist)) return true;
    Bitmapset* used = nullptr;
    ListCell *cell, *shown;
    forboth(cell, plan->targetlist, shown, top->targetlist) if (!lfirst_node(TargetEntry, shown)->resjunk)
        pull_varattnos(static_cast<Node*>(lfirst(cell)), static_cast<Index>(INDEX_VAR), &used);
    return bms_is_member(state.distance_at + 1 - FirstLowInvalidHeapAttributeNumber, used);
}

void InitQuals(VectorScanState* state) {
    PlanState* ps = &state->css.ss.ps;
    List *early = NIL, *late = NIL;
    ListCell* cell;
    foreach (cell, ps->plan->qual) {
        Node* qual = static_cast<Node*>(lfirst(cell));
        Bitmapset* used = nullptr;
        pull_varattnos(qual, static_cast<Index>(INDEX_VAR), &used);
        const bool needs_distance = bms_is_member(state->distance_at + 1 - FirstLowInvalidHeapAttributeNumber, used);
        if (late != NIL || needs_distance)
            late = lappend(late, qual);
        else
            early = lappend(early, qual);
    }
    // The server has compiled all of them together.
    if (late == NIL) {
        state->early_quals = ps->qual;
    } else if (early == NIL) {
        state->late_quals = ps->qual;
    } else {
        state->early_quals = ExecInitQual(early, ps);
        state->late_quals = ExecInitQual(late, ps);
    }
}

void InitFilter(VectorScanState* state, EState* estate, int eflags) {
    FilterState* filter = &state->filter;
    const CustomScan* plan = PlanOf(state);
    filter->any = FilterListOf(plan) != NIL;
    if (!filter->any) return;
    filter->plan = FilterPlanFromList(FilterListOf(plan));
    filter->running = filter->plan.strategy;
    if (plan->custom_plans == NIL) return;
    filter->bitmap = ExecInitNode(static_cast<Plan*>(linitial(plan->custom_plans)), estate, eflags);
    state->css.custom_ps = lappend(NIL, filter->bitmap);
    filter->recheck = ExecInitQual(RecheckOf(plan), &state->css.ss.ps);
    Bitmapset* rechecked = nullptr;
    pull_varattnos(reinterpret_cast<Node*>(RecheckOf(plan)), static_cast<Index>(INDEX_VAR), &rechecked);
    filter->recheck_measures = bms_is_member(state->distance_at + 1 - FirstLowInvalidHeapAttributeNumber, rechecked);
    if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0) return;
    filter->member_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan bitmap", ALLOCSET_DEFAULT_SIZES);
    filter->returned_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan results", ALLOCSET_SMALL_SIZES);
}

void BeginVectorScan(CustomScanState* node, EState* estate, int eflags) {
    VectorScanState* state = StateOf(node);
    const CustomScan* plan = PlanOf(state);
    Relation table = node->ss.ss_currentRelation;
    state->distance_at = list_length(plan->custom_scan_tlist) - 1;
    state->row_context = CreateExprContext(estate);
    InitColumns(state);
    InitDistance(state);
    InitQuals(state);
    state->distance_seen = IsDistanceSeen(*state, estate);
    InitFilter(state, estate, eflags);
    InitRangeLimit(state);
    state->table_slot = table_slot_create(table, &estate->es_tupleTable);
    state->pending_slot = ExecInitExtraTupleSlot(estate, ScanSlot(state)->tts_tupleDescriptor, &TTSOpsMinimalTuple);
    if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0) return;
    state->query_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan query", ALLOCSET_DEFAULT_SIZES);
    state->pending_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan rows", ALLOCSET_DEFAULT_SIZES);
    ClearPending(state);
    state->index = index_open(IndexOf(plan), exec_rt_fetch(plan->scan.scanrelid, estate)->rellockmode);
    state->methods = FindVectorSearch(state->index->rd_indam->amcostestimate);
    if (state->methods == nullptr)
        elog(ERROR, "index \"%s\" has no vector search", RelationGetRelationName(state->index));
}
// ---- execution -----------------------------------------------------------------------

// What goes up for the scan's tuple.
TupleTableSlot* Project(VectorScanState* state) {
    ScanState* ss = &state->css.ss;
    if (ss->ps.ps_ProjInfo == nullptr) return ScanSlot(state);
    ss->ps.ps_ExprContext->ecxt_scantuple = ScanSlot(state);
    return ExecProject(ss->ps.ps_ProjInfo);
}

// Makes the next row the scan's tuple: the nearest one known, when nothing that is still to come may be nearer. A
// candidate's row is read as late as can be: mostly not at all when the query wants no more rows.
bool NextRow(VectorScanState* state) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (OutOfBudget(state)) return false;
        const bool may_go_out = MayGoOut(state);
        if (ReadNextBounded(state)) continue;
        if (may_go_out && MetIsNext(state) && FloorOf(state->filter.met[0]) <= Settled(*state)) {
            TestNearestMet(state);
            continue;
        }
        if (may_go_out && !state->pending.empty() && FloorOf(state->pending[0]) <= Settled(*state)) {
            const ItemPointerData tid = state->pending[0].tid;
            if (!PopPending(state)) continue;
            NoteReturned(state, RowAtHand(state, tid));
            break;
        }
        if (state->through && !state->filter.has_more) return false;
        if (state->through) {
            ReadExactAgain(state);
            continue;
        }
        if (!state->row_due) {
            NextCandidate(state);
            StopBeyondLimit(state);
            continue;
        }
        if (!TakeRow(state)) continue;
        const ArenaVec<PendingRow>& met = state->filter.met;
        const bool first = state->pending.empty() && (met.empty() || RowFarther(met[0], state->run));
        if (may_go_out && first && FloorOf(state->run) <= state->candidate.settled) {
            NoteReturned(state, state->run);
            break;
        }
        PushPending(state, state->run);
    }
    if (!state->filter.any) ++state->returned;
    return true;
}

// Instead of scanning, takes the row that a concurrent update has left for a second test of the quals (EvalPlanQual).
// False when there is no such row for this table. As with index scans, the order is not tested again.
bool TakeTestRow(VectorScanState* state, bool* passes) {
    EPQState* epq = EStateOf(state)->es_epq_active;
    if (epq == nullptr) return false;
    const Index table = PlanOf(state)->scan.scanrelid;
    const Index at = table - 1;
    *passes = false;
    if (epq->relsubs_done[at]) return true;
    TupleTableSlot* row = epq->relsubs_slot[at];
    if (row == nullptr) {
        if (epq->relsubs_rowmark[at] == nullptr) return false;
        row = state->table_slot;
        if (!EvalPlanQualFetchRowMark(epq, table, row)) ExecClearTuple(row);
    }
    epq->relsubs_done[at] = true;
    if (TupIsNull(row)) return true;
    PrepareQuery(state);
    *passes = FillAndTest(state, row, {nullptr, nullptr}, state->filter.bitmap != nullptr);
    return true;
}

TupleTableSlot* ExecVectorScan(CustomScanState* node) {
    VectorScanState* state = StateOf(node);
    ResetExprContext(node->ss.ps.ps_ExprContext);
    bool more;
    if (!TakeTestRow(state, &more)) {
        if (!state->started) {
            StartScan(state);
            StartRangeLimit(state);
        }
        more = NextRow(state);
    }
    if (more) return Project(state);
    ExecClearTuple(ScanSlot(state));
    return ExecClearTuple(node->ss.ps.ps_ResultTupleSlot);
}

// ---- the rest ------------------------------------------------------------------------

void ReScanVectorScan(CustomScanState* node) {
    VectorScanState* state = StateOf(node);
    ExecScanReScan(&node->ss);
    ExecClearTuple(state->table_slot);
    if (state->fetch != nullptr) table_index_fetch_reset(state->fetch);
    ClearPending(state);
    state->started = state->query_ready = false;
    FilterState* filter = &state->filter;
    if (filter->bitmap == nullptr) return;
    UpdateChangedParamSet(filter->bitmap, node->ss.ps.chgParam);
    // Otherwise the rows stay what they are: the same snapshot, the same conditions.
    if (filter->bitmap->chgParam != nullptr) filter->members_ready = false;
}

// What the search and the exact pass of this scan did.
SearchCounts ScanCounts(const VectorScanState* state) {
    SearchCounts counts = state->filter.bounds_counts;
    if (state->search != nullptr && state->filter.switched) AddCounts(&counts, state->search->counts);
    return counts;
}

void EndVectorScan(CustomScanState* node) {
    VectorScanState* state = StateOf(node);
    ExecClearTuple(state->table_slot);
    ExecClearTuple(state->pending_slot);
    const SearchCounts last = ScanCounts(state);
    if (state->search != nullptr) state->methods->close(state->search);
    if (state->filter.bounds_counts.codes > 0) KeepLastScan(last);
    if (state->fetch != nullptr) table_index_fetch_end(state->fetch);
    if (state->index != nullptr) index_close(state->index, NoLock);
    if (state->filter.bitmap != nullptr) ExecEndNode(state->filter.bitmap);
}

// What the strategies cost, for the rows that the query wants.
void ExplainCosts(const FilterPlan& plan, ExplainState* es) {
    for (int i = 0; i < kStrategies; ++i) {
        if (plan.cost[i] < 0) continue;
        const Strategy strategy = static_cast<Strategy>(i);
        ExplainPropertyFloat(psprintf("Cost of %s", StrategyName(strategy)), nullptr, plan.cost[i], 2, es);
    }
}

void ExplainFilter(VectorScanState* state, List* context, ExplainState* es) {
    const FilterState& filter = state->filter;
    if (!filter.any) return;
    ExplainPropertyText("Strategy", StrategyName(filter.plan.strategy), es);
    if (es->verbose && es->costs) ExplainCosts(filter.plan, es);
    if (filter.bitmap != nullptr) {
        Node* recheck = reinterpret_cast<Node*>(make_ands_explicit(RecheckOf(PlanOf(state))));
        ExplainPropertyText("Bitmap Cond", deparse_expression(recheck, context, es->verbose, false), es);
    }
    if (!es->analyze) return;
    if (state->started && filter.tried)
        ExplainPropertyText("Search Tried First",
                            filter.switched     ? "in vain"
                            : filter.by_members ? "gone on with, by the bitmap"
                                                : "enough",
                            es);
    else if (state->started && filter.switched)
        ExplainPropertyText("Switched", "to exact, while running", es);
    else if (state->started && filter.by_members)
        ExplainPropertyText("Switched", "to bitmap search, while running", es);
    else if (state->started && filter.running != filter.plan.strategy)
        ExplainPropertyText("Switched", psprintf("to %s, by the size of the bitmap", StrategyName(filter.running)), es);
    if (state->started && filter.loose) ExplainPropertyText("Bounds Too Loose", "gone on by likely ones", es);
    if (filter.members_ready) {
        ExplainPropertyInteger("Bitmap Rows", nullptr, static_cast<int64>(filter.members.rows()), es);
        ExplainPropertyInteger("Bitmap Lossy Pages", nullptr, static_cast<int64>(filter.members.whole_pages()), es);
    }
    if (filter.rows_bounded > 0)
        ExplainPropertyInteger("Rows Bounded by Codes", nullptr, static_cast<int64>(filter.rows_bounded), es);
    if (filter.budget_hit) ExplainPropertyText("Stopped", "by the limit of rows of a scan", es);
}

void ExplainVectorScan(CustomScanState* node, List* ancestors, ExplainState* es) {
    VectorScanState* state = StateOf(node);
    const CustomScan* plan = PlanOf(state);
    List* context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, ancestors);
    char* name = get_rel_name(IndexOf(plan));
    ExplainPropertyText("Index", name != nullptr ? quote_identifier(name) : "?", es);
    ExplainPropertyText("Order By",
                        deparse_expression(reinterpret_cast<Node*>(DistanceOf(plan)), context, es->verbose, false), es);
    ExplainRangeLimit(state, context, es);
    ExplainFilter(state, context, es);
    if (!es->analyze) return;
    SearchCounts counts = state->counts;
    if (state->search != nullptr) AddCounts(&counts, state->search->counts);
    ExplainPropertyInteger("Nodes Expanded", nullptr, static_cast<int64>(counts.expanded), es);
    ExplainPropertyInteger("Pages", nullptr, static_cast<int64>(counts.pages), es);
    ExplainPropertyInteger("Codes Scored", nullptr, static_cast<int64>(counts.codes), es);
    ExplainPropertyInteger("Exact Distances", nullptr, static_cast<int64>(counts.exact_distances), es);
    ExplainPropertyInteger("Heap Fetches", nullptr, static_cast<int64>(state->fetches), es);
    if (state->filter.bitmap != nullptr)
        ExplainPropertyInteger("Filter Tests", nullptr, static_cast<int64>(counts.filter_tests), es);
}

constexpr CustomExecMethods ExecMethods() {
    CustomExecMethods methods = {};
    methods.CustomName = kVectorScanName;
    methods.BeginCustomScan = &BeginVectorScan;
    methods.ExecCustomScan = &ExecVectorScan;
    methods.EndCustomScan = &EndVectorScan;
    methods.ReScanCustomScan = &ReScanVectorScan;
    methods.ExplainCustomScan = &ExplainVectorScan;
    return methods;
}
constexpr CustomExecMethods kExecMethods = ExecMethods();

Node* CreateVectorScan(CustomScan*) {
    VectorScanState* state = PallocZeroed<VectorScanState>();
    NodeSetTag(state, T_CustomScanState);
    state->css.methods = &kExecMethods;
    return reinterpret_cast<Node*>(state);
}

}  // namespace

const CustomScanMethods kVectorScanMethods = {kVectorScanName, &CreateVectorScan};

}  // namespace vecann

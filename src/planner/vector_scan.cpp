// The custom scan node: rows in the order of a distance, each fetched once, its distance computed once. See README.md.
//
// Between calls it holds the pin on one page of the table, as an index scan does.
#include "planner/vector_scan.h"

#include <algorithm>

#include "core/tid_map.h"
#include "pg/memory.h"
#include "planner/filter_bitmap.h"
#include "planner/filter_cost.h"
#include "planner/vector_search.h"

namespace vecann {

namespace {

// A row that waits for its turn. One without a tuple, for want of memory, is fetched again; one that has not been read
// yet has the distance of a row of the same value.
struct PendingRow {
    double distance;
    bool distance_null;
    bool unread;
    ItemPointerData tid;    // as the index has it
    ItemPointerData place;  // of the version that the snapshot sees
    MinimalTuple tuple;     // of the scan tuple's form
};

// Of a query with conditions. The rows of the bitmap and what is known of them live as long as the bitmap's parameters.
struct FilterState {
    bool any;           // there are conditions
    FilterPlan plan;    // with any
    PlanState* bitmap;  // null: there is none
    ExprState* recheck;
    Strategy running;  // in this scan
    bool switched;     // ... after having begun with another one
    bool budget_hit;   // the scan ended at the setting's limit of rows
    MemoryContext member_memory;
    Arena member_arena;
    TidSet members;
    bool members_ready;
    SearchFilter search;
    // Rows that went out while they came from a search, so that an exact pass need not bring them again.
    MemoryContext returned_memory;
    Arena returned_arena;
    TidMap returned;
    bool remembers;  // `returned` is complete
    // A post-filter's rows go out in rounds, of which each gathers some more rows than it returns.
    Gathering gathering;
    double round_left;
    uint64 first_fetches;  // the scan's count when the search began
    PendingRow last;       // went out last
    bool has_last;
    bool has_more;  // the last exact pass left out rows behind those it kept
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
    FmgrInfo operation;  // the same as a call, for values that the index knows
    Oid collation;
    int query_arg;
    int distance_at;  // the distance's place in the scan's tuple, from 0

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
    MemoryContext pending_memory;
    Arena arena;                   // over it
    ArenaVec<PendingRow> pending;  // a heap, nearest on top
    size_t pending_bytes;          // of their tuples
    TupleTableSlot* pending_slot;
};
static_assert(std::is_trivially_destructible_v<VectorScanState>);

VectorScanState* StateOf(CustomScanState* node) {
    return reinterpret_cast<VectorScanState*>(node);
}
const CustomScan* PlanOf(const VectorScanState* state) {
    return reinterpret_cast<const CustomScan*>(state->css.ss.ps.plan);
}
TupleTableSlot* ScanSlot(VectorScanState* state) {
    return state->css.ss.ss_ScanTupleSlot;
}
EState* EStateOf(VectorScanState* state) {
    return state->css.ss.ps.state;
}

Oid IndexOf(const CustomScan* plan) {
    return linitial_oid(static_cast<List*>(linitial(plan->custom_private)));
}
int QueryArgOf(const CustomScan* plan) {
    return linitial_int(static_cast<List*>(lsecond(plan->custom_private)));
}
List* FilterListOf(const CustomScan* plan) {
    return static_cast<List*>(lthird(plan->custom_private));
}
// The conditions that a bitmap answers.
List* RecheckOf(const CustomScan* plan) {
    return list_copy_tail(plan->custom_exprs, 1);
}
OpExpr* DistanceOf(const CustomScan* plan) {
    return castNode(OpExpr, llast_node(TargetEntry, plan->custom_scan_tlist)->expr);
}

// NULL is farther than all, NaN than all numbers.
double FloorOf(const PendingRow& row) {
    return row.distance_null ? get_float8_infinity() : OrderKey(row.distance);
}
bool RowFarther(const PendingRow& a, const PendingRow& b) {
    if (a.distance_null != b.distance_null) return a.distance_null;
    return OrderedBehind(a.distance, a.tid, b.distance, b.tid);
}

// ---- set-up ------------------------------------------------------------------

// Projects a row of the table to the scan's tuple. What nothing in the plan refers to stays NULL; the distance is
// filled in later.
void InitColumns(VectorScanState* state) {
    const CustomScan* plan = PlanOf(state);
    Bitmapset* used = nullptr;
    pull_varattnos(reinterpret_cast<Node*>(plan->scan.plan.targetlist), static_cast<Index>(INDEX_VAR), &used);
    pull_varattnos(reinterpret_cast<Node*>(plan->scan.plan.qual), static_cast<Index>(INDEX_VAR), &used);
    pull_varattnos(reinterpret_cast<Node*>(RecheckOf(plan)), static_cast<Index>(INDEX_VAR), &used);
    List* tlist = NIL;
    ListCell* cell;
    foreach (cell, plan->custom_scan_tlist) {
        TargetEntry* entry = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));
        Node* node = reinterpret_cast<Node*>(entry->expr);
        if (entry->resno - 1 == state->distance_at ||
            !bms_is_member(entry->resno - FirstLowInvalidHeapAttributeNumber, used))
            entry->expr = reinterpret_cast<Expr*>(makeNullConst(exprType(node), exprTypmod(node), exprCollation(node)));
        tlist = lappend(tlist, entry);
    }
    // Without a parent, which would have the row read as a tuple of the scan.
    state->columns = ExecBuildProjectionInfo(tlist, state->row_context, ScanSlot(state), nullptr,
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
    get_typlenbyval(exprType(query), &state->query_length, &state->query_by_value);
    CaseTestExpr* value = makeNode(CaseTestExpr);
    value->typeId = exprType(query);
    value->typeMod = exprTypmod(query);
    value->collation = exprCollation(query);
    lfirst(argument) = value;
    fmgr_info(distance->opfuncid, &state->operation);
    fmgr_info_set_expr(reinterpret_cast<fmNodePtr>(distance), &state->operation);
    state->collation = distance->inputcollid;
    state->query_arg = QueryArgOf(plan);
    state->distance = ExecInitExpr(reinterpret_cast<Expr*>(distance), nullptr);
    state->query = ExecInitExpr(linitial_node(Expr, plan->custom_exprs), &state->css.ss.ps);
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
    filter->bitmap = ExecInitNode(linitial_node(Plan, plan->custom_plans), estate, eflags);
    state->css.custom_ps = lappend(NIL, filter->bitmap);
    filter->recheck = ExecInitQual(RecheckOf(plan), &state->css.ss.ps);
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
    InitFilter(state, estate, eflags);
    state->table_slot = table_slot_create(table, &estate->es_tupleTable);
    state->pending_slot = ExecInitExtraTupleSlot(estate, ScanSlot(state)->tts_tupleDescriptor, &TTSOpsMinimalTuple);
    if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0) return;
    state->query_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan query", ALLOCSET_SMALL_SIZES);
    state->pending_memory = AllocSetContextCreate(estate->es_query_cxt, "vector scan rows", ALLOCSET_DEFAULT_SIZES);
    state->arena = MakeArena(state->pending_memory);
    state->pending.Init(&state->arena);
    state->index = index_open(IndexOf(plan), exec_rt_fetch(plan->scan.scanrelid, estate)->rellockmode);
    state->methods = FindVectorSearch(state->index->rd_indam->amcostestimate);
    if (state->methods == nullptr)
        elog(ERROR, "index \"%s\" has no vector search", RelationGetRelationName(state->index));
}

// ---- one row -------------------------------------------------------------------

// Computes the value of the query for the distances to come.
void PrepareQuery(VectorScanState* state) {
    if (state->query_ready) return;
    ExprContext* context = state->css.ss.ps.ps_ExprContext;
    MemoryContextReset(state->query_memory);
    bool is_null;
    Datum value = ExecEvalExprSwitchContext(state->query, context, &is_null);
    if (!is_null) {
        MemoryContext old = MemoryContextSwitchTo(state->query_memory);
        value = state->query_length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value))
                                          : datumCopy(value, state->query_by_value, state->query_length);
        MemoryContextSwitchTo(old);
    }
    state->row_context->caseValue_datum = value;
    state->row_context->caseValue_isNull = is_null;
    ResetExprContext(context);
    state->query_ready = true;
}

// Sets the scan's tuple to the columns of a row of the table, which must stay where it is.
void FillColumns(VectorScanState* state, TupleTableSlot* row) {
    ResetExprContext(state->row_context);
    state->row_context->ecxt_scantuple = row;
    TupleTableSlot* slot = ExecProject(state->columns);
    // for UPDATE and DELETE ... WHERE CURRENT OF
    slot->tts_tid = row->tts_tid;
    slot->tts_tableOid = row->tts_tableOid;
}

void SetDistance(VectorScanState* state, Datum value, bool is_null) {
    ScanSlot(state)->tts_values[state->distance_at] = value;
    ScanSlot(state)->tts_isnull[state->distance_at] = is_null;
}

// The distance of the row in the scan's context, whose indexed value may be known: then a vector that the table keeps
// out of line is not fetched.
Datum DistanceOfRow(VectorScanState* state, const SearchCandidate* known, bool* is_null) {
    const ExprContext* query = state->row_context;
    if (known == nullptr || !known->has_value || query->caseValue_isNull)
        return ExecEvalExprSwitchContext(state->distance, state->row_context, is_null);
    MemoryContext old = MemoryContextSwitchTo(query->ecxt_per_tuple_memory);
    LOCAL_FCINFO(call, 2);
    InitFunctionCallInfoData(*call, &state->operation, 2, state->collation, nullptr, nullptr);
    call->args[state->query_arg] = {query->caseValue_datum, false};
    call->args[1 - state->query_arg] = {known->value, false};
    const Datum distance = FunctionCallInvoke(call);
    MemoryContextSwitchTo(old);
    *is_null = call->isnull;
    return distance;
}

// Makes the scan's tuple of a row of the table, that of a candidate unless `known` is null; false when it does not pass
// the quals, with `recheck` those of the bitmap too.
bool FillAndTest(VectorScanState* state, TupleTableSlot* row, const SearchCandidate* known, bool recheck) {
    ExprContext* context = state->css.ss.ps.ps_ExprContext;
    ResetExprContext(context);
    FillColumns(state, row);
    context->ecxt_scantuple = ScanSlot(state);
    if (recheck && !ExecQual(state->filter.recheck, context)) {
        InstrCountFiltered2(state, 1);
        return false;
    }
    bool passes = ExecQual(state->early_quals, context);
    if (passes) {
        bool is_null;
        const Datum distance = DistanceOfRow(state, known, &is_null);
        SetDistance(state, distance, is_null);
        passes = ExecQual(state->late_quals, context);
    }
    if (!passes) InstrCountFiltered1(state, 1);
    return passes;
}

// What goes up for the scan's tuple.
TupleTableSlot* Project(VectorScanState* state) {
    ScanState* ss = &state->css.ss;
    if (ss->ps.ps_ProjInfo == nullptr) return ScanSlot(state);
    ss->ps.ps_ExprContext->ecxt_scantuple = ScanSlot(state);
    return ExecProject(ss->ps.ps_ProjInfo);
}

// ---- rows in order -----------------------------------------------------------------

void AddCounts(SearchCounts* sum, const SearchCounts& counts) {
    sum->expanded += counts.expanded;
    sum->pages += counts.pages;
    sum->codes += counts.codes;
    sum->exact_distances += counts.exact_distances;
    sum->filter_tests += counts.filter_tests;
}

void StartSearch(VectorScanState* state) {
    EState* estate = EStateOf(state);
    PrepareQuery(state);
    MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
    if (state->search == nullptr) {
        state->search = state->methods->open(state->index);
        // As an index scan does for an access method without finer predicate locks.
        if (!state->index->rd_indam->ampredlocks) PredicateLockRelation(state->index, estate->es_snapshot);
    }
    AddCounts(&state->counts, state->search->counts);
    const ExprContext* query = state->row_context;
    const SearchFilter* filter =
        state->filter.any && state->filter.running == Strategy::kBitmapSearch ? &state->filter.search : nullptr;
    // Entries killed on the primary may be visible to a snapshot of a standby.
    state->methods->start(state->search, {estate->es_snapshot, !TransactionStartedDuringRecovery(),
                                          query->caseValue_isNull, query->caseValue_datum, filter});
    MemoryContextSwitchTo(old);
    state->candidate.settled = -get_float8_infinity();
    state->through = state->row_due = state->run_known = false;
}

// Fetches the version of a row that the snapshot sees into the table's slot.
bool FetchRow(VectorScanState* state, ItemPointerData tid, bool* all_dead) {
    bool call_again = false;
    ++state->fetches;
    return table_index_fetch_tuple(state->fetch, &tid, EStateOf(state)->es_snapshot, state->table_slot, &call_again,
                                   all_dead);
}

void AddPending(VectorScanState* state, const PendingRow& row) {
    state->pending.Push(row);
    std::push_heap(state->pending.begin(), state->pending.end(), RowFarther);
}

// Must the conditions that the bitmap answers be tested on a row that a search found?
bool NeedsRecheck(const FilterState& filter, const ItemPointerData& tid) {
    if (filter.bitmap == nullptr) return false;
    return filter.running == Strategy::kPostFilter ||
           filter.members.Find(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid)) == Membership::kMaybe;
}

// Reads a row; true when it is visible and passes the quals. The scan's tuple is it then. `known`: the candidate whose
// row it is; null when that has gone by.
bool ReadRow(VectorScanState* state, ItemPointerData tid, const SearchCandidate* known) {
    pgstat_count_index_tuples(state->index, 1);
    bool all_dead = false;
    if (!FetchRow(state, tid, &all_dead)) {
        if (all_dead && known != nullptr) state->methods->kill(state->search);
        return false;
    }
    pgstat_count_heap_fetch(state->index);
    FilterState* filter = &state->filter;
    const bool passes = FillAndTest(state, state->table_slot, known, NeedsRecheck(*filter, tid));
    filter->gathering.Add(passes);
    if (!passes || filter->any) ++state->returned;
    return passes;
}

// The scan's tuple as a row that waits, without the tuple.
PendingRow RowAtHand(VectorScanState* state, ItemPointerData tid) {
    const TupleTableSlot* slot = ScanSlot(state);
    const bool is_null = slot->tts_isnull[state->distance_at];
    const double distance = is_null ? 0 : DatumGetFloat8(slot->tts_values[state->distance_at]);
    return {distance, is_null, false, tid, slot->tts_tid, nullptr};
}

// Reads the row of the candidate, or puts it off when its distance is known. True when the row has been read and passes
// the quals: it is the scan's tuple then.
bool TakeRow(VectorScanState* state) {
    state->row_due = false;
    const SearchCandidate& candidate = state->candidate;
    // A post-filter counts the rows that pass as they are found.
    const bool counted = state->filter.any && state->filter.running == Strategy::kPostFilter;
    if (candidate.same && state->run_known && !counted) {
        PendingRow row = state->run;
        row.unread = true;
        row.tid = candidate.tid;
        AddPending(state, row);
        return false;
    }
    state->run_known = false;
    if (!ReadRow(state, candidate.tid, &candidate)) return false;
    state->run = RowAtHand(state, candidate.tid);
    state->run_known = true;
    return true;
}

// Keeps the scan's tuple for later.
void PushPending(VectorScanState* state, PendingRow row) {
    if (state->pending_bytes < static_cast<size_t>(work_mem) * 1024) {
        MemoryContext old = MemoryContextSwitchTo(state->pending_memory);
        row.tuple = ExecCopySlotMinimalTuple(ScanSlot(state));
        MemoryContextSwitchTo(old);
        state->pending_bytes += row.tuple->t_len;
    }
    AddPending(state, row);
}

// Makes the nearest pending row the scan's tuple; false when it is none after all, or must wait longer.
bool PopPending(VectorScanState* state) {
    std::pop_heap(state->pending.begin(), state->pending.end(), RowFarther);
    const PendingRow row = state->pending[--state->pending.size];
    if (row.unread) {
        if (!ReadRow(state, row.tid, nullptr)) return false;
        const PendingRow read = RowAtHand(state, row.tid);
        if (!RowFarther(read, row)) return true;
        PushPending(state, read);
        return false;
    }
    if (row.tuple == nullptr) {
        bool all_dead;
        if (!FetchRow(state, row.tid, &all_dead)) elog(ERROR, "a row has vanished from the snapshot of the scan");
        FillColumns(state, state->table_slot);
        SetDistance(state, Float8GetDatum(row.distance), row.distance_null);
        return true;
    }
    state->pending_bytes -= row.tuple->t_len;
    TupleTableSlot *from = state->pending_slot, *to = ScanSlot(state);
    ExecStoreMinimalTuple(row.tuple, from, true);
    slot_getallattrs(from);
    ExecClearTuple(to);
    const size_t n = static_cast<size_t>(to->tts_tupleDescriptor->natts);
    memcpy(to->tts_values, from->tts_values, n * sizeof(Datum));
    memcpy(to->tts_isnull, from->tts_isnull, n * sizeof(bool));
    ExecStoreVirtualTuple(to);
    to->tts_tid = row.place;
    to->tts_tableOid = RelationGetRelid(state->css.ss.ss_currentRelation);
    return true;
}

// Up to what distance may pending rows go out?
double Settled(const VectorScanState& state) {
    if (state.through) return get_float8_infinity();
    return state.row_due ? state.candidate.nearest : state.candidate.settled;
}

// ---- rows of a bitmap ----------------------------------------------------------------

// Runs the bitmap unless its rows are known.
void LoadMembers(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (filter->members_ready) return;
    // Between bitmap and table nothing keeps the rows where they are: only a snapshot tells an old row from a new one.
    if (!IsMVCCSnapshot(EStateOf(state)->es_snapshot)) elog(ERROR, "a bitmap needs an MVCC snapshot");
    MemoryContextReset(filter->member_memory);
    filter->member_arena = MakeArena(filter->member_memory);
    // What the bitmap's nodes allocate on their way is theirs until the end of the query.
    MemoryContext old = MemoryContextSwitchTo(EStateOf(state)->es_query_cxt);
    ReadMembers(filter->bitmap, state->css.ss.ss_currentRelation, &filter->member_arena, &filter->members);
    MemoryContextSwitchTo(old);
    filter->members_ready = true;
}

// How a scan with a bitmap goes, now that the number of its rows is known: the exact pass or a search, which may give
// up when it has cost as much as the pass would.
void ChooseStrategy(VectorScanState* state) {
    FilterState* filter = &state->filter;
    const FilterPlan& plan = filter->plan;
    const double members = static_cast<double>(filter->members.rows()) +
                           static_cast<double>(filter->members.whole_pages()) * plan.rows_per_page;
    const double rate = members / plan.index_rows, wanted = plan.wanted * plan.members_per_row;
    const double exact = members * plan.row_cost();
    const double search = NodesForMembers(plan, wanted, rate) * plan.node_cost + wanted * plan.row_cost();
    const bool pass = plan.may_exact && (!plan.may_search || exact <= search || state->row_context->caseValue_isNull);
    filter->running = pass ? Strategy::kExact : Strategy::kBitmapSearch;
    filter->search = {&filter->members, wanted, 0};
    if (plan.may_exact)
        filter->search.most_nodes = static_cast<uint64>(Max(exact / plan.node_cost, Max(2 * plan.beam, 1.0)));
}

// Does an exact pass bring a row again that went out already?
bool WentOut(FilterState* filter, const ItemPointerData& tid) {
    return filter->returned.Find(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid)) != nullptr;
}

// Reads all rows of the bitmap and keeps the nearest, as many as fit work_mem, of those that have not gone out: with
// `behind`, of those behind the row that went out last.
void ReadExact(VectorScanState* state, bool behind) {
    FilterState* filter = &state->filter;
    const auto nearer = [](const PendingRow& a, const PendingRow& b) { return RowFarther(b, a); };
    const size_t most = Max<size_t>(static_cast<size_t>(work_mem) * 1024 / sizeof(PendingRow), 64);
    ArenaVec<PendingRow>* kept = &state->pending;
    filter->has_more = false;
    TidSet::Cursor cursor = {};
    uint32 block;
    uint16 offset;
    for (Membership m; (m = filter->members.Next(&cursor, &block, &offset)) != Membership::kOut;) {
        CHECK_FOR_INTERRUPTS();
        ItemPointerData tid;
        ItemPointerSet(&tid, block, offset);
        bool all_dead = false;
        if (WentOut(filter, tid) || !FetchRow(state, tid, &all_dead)) continue;
        if (!FillAndTest(state, state->table_slot, nullptr, m == Membership::kMaybe)) continue;
        const PendingRow row = RowAtHand(state, tid);
        if (behind && !RowFarther(row, filter->last)) continue;
        if (kept->size < most) {
            kept->Push(row);
            if (kept->size == most) std::make_heap(kept->begin(), kept->end(), nearer);
            continue;
        }
        filter->has_more = true;
        if (!nearer(row, (*kept)[0])) continue;
        std::pop_heap(kept->begin(), kept->end(), nearer);
        (*kept)[most - 1] = row;
        std::push_heap(kept->begin(), kept->end(), nearer);
    }
    std::make_heap(kept->begin(), kept->end(), RowFarther);
    state->through = true;
}

void OpenTable(VectorScanState* state) {
    if (state->fetch != nullptr) return;
    MemoryContext old = MemoryContextSwitchTo(EStateOf(state)->es_query_cxt);
    state->fetch = table_index_fetch_begin(state->css.ss.ss_currentRelation);
    MemoryContextSwitchTo(old);
}

// Goes on with the exact pass in place of a search; false when the plan does not allow it.
bool SwitchToExact(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (filter->bitmap == nullptr || !filter->plan.may_exact || filter->running == Strategy::kExact) return false;
    if (!filter->remembers) return false;
    LoadMembers(state);
    filter->running = Strategy::kExact;
    filter->switched = true;
    state->row_due = false;
    // What waits comes again. The row that went out last may still stand in the slot.
    ExecClearTuple(state->pending_slot);
    MemoryContextReset(state->pending_memory);
    state->arena = MakeArena(state->pending_memory);
    state->pending.Init(&state->arena);
    state->pending_bytes = 0;
    ReadExact(state, state->search->in_order && filter->has_last);
    return true;
}

// Has a search cost more than the exact pass would, by the plan?
bool CostsTooMuch(const VectorScanState& state) {
    const FilterState& filter = state.filter;
    if (filter.bitmap == nullptr || !filter.plan.may_exact || filter.running != Strategy::kPostFilter) return false;
    const double spent = static_cast<double>(state.search->counts.expanded) * filter.plan.node_cost +
                         static_cast<double>(state.fetches - filter.first_fetches) * filter.plan.fetch_cost;
    return spent > Max(filter.plan.cost[static_cast<int>(Strategy::kExact)],
                       filter.plan.cost[static_cast<int>(Strategy::kPostFilter)]);
}

// Asks the search for the next candidate; at its end, or when it costs too much, goes on in another way.
void NextCandidate(VectorScanState* state) {
    const VectorSearch& search = *state->search;
    if (state->filter.any && search.max_rows >= 0 && state->returned >= search.max_rows) {
        state->through = state->filter.budget_hit = true;
        return;
    }
    if (CostsTooMuch(*state) && SwitchToExact(state)) return;
    state->row_due = state->methods->next(state->search, &state->candidate);
    if (state->row_due) return;
    const bool complete = state->search->gave_up || !state->search->one_beam;
    state->through = !complete || !SwitchToExact(state) || state->through;
}

// May rows go out now? A search meets them not quite in their order: before a round of a post-filter begins, rows
// beyond it must have been found.
bool MayGoOut(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (!filter->any || filter->running != Strategy::kPostFilter || state->through || filter->round_left > 0)
        return true;
    if (!filter->gathering.Enough(static_cast<double>(state->pending.size))) return false;
    filter->round_left = filter->gathering.wanted;
    filter->gathering.NextRound();
    return true;
}

void StartScan(VectorScanState* state) {
    FilterState* filter = &state->filter;
    state->started = true;
    state->returned = 0;
    filter->switched = filter->has_last = filter->has_more = filter->budget_hit = false;
    if (filter->bitmap != nullptr) {
        MemoryContextReset(filter->returned_memory);
        filter->returned_arena = MakeArena(filter->returned_memory);
        filter->returned.Init(&filter->returned_arena, 0);
        filter->remembers = true;
    }
    filter->running = filter->plan.strategy;
    if (filter->any && filter->running != Strategy::kPostFilter) {
        PrepareQuery(state);
        LoadMembers(state);
        ChooseStrategy(state);
    }
    filter->first_fetches = state->fetches;
    filter->gathering = Gathering::Of(filter->plan.beam, filter->plan.wanted);
    filter->gathering.beam = Min(filter->plan.beam, 4 * filter->gathering.wanted);
    filter->round_left = 0;
    OpenTable(state);
    if (filter->any && filter->running == Strategy::kExact) {
        PrepareQuery(state);
        ReadExact(state, false);
    } else {
        StartSearch(state);
    }
}

// Keeps what later exact passes need to know of a row that goes out.
void NoteReturned(VectorScanState* state, const PendingRow& row) {
    FilterState* filter = &state->filter;
    filter->round_left -= 1;
    if (filter->bitmap == nullptr) return;
    filter->last = row;
    filter->has_last = true;
    if (filter->running == Strategy::kExact || !filter->remembers) return;
    // Without the memory for it the search goes on to its end.
    filter->remembers = filter->returned_arena.allocated < static_cast<size_t>(work_mem) * 1024;
    bool fresh;
    filter->returned.Add(ItemPointerGetBlockNumber(&row.tid), ItemPointerGetOffsetNumber(&row.tid), &fresh);
}

// May a search without conditions return no more rows, by its setting?
bool OutOfBudget(const VectorScanState* state) {
    return !state->filter.any && state->search->max_rows >= 0 && state->returned >= state->search->max_rows;
}

// Makes the next row the scan's tuple: the nearest one known, when nothing that is still to come may be nearer. A
// candidate's row is read as late as can be: mostly not at all when the query wants no more rows.
bool NextRow(VectorScanState* state) {
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (OutOfBudget(state)) return false;
        const bool may_go_out = MayGoOut(state);
        if (may_go_out && !state->pending.empty() && FloorOf(state->pending[0]) <= Settled(*state)) {
            const ItemPointerData tid = state->pending[0].tid;
            if (!PopPending(state)) continue;
            NoteReturned(state, RowAtHand(state, tid));
            break;
        }
        if (state->through && !state->filter.has_more) return false;
        if (state->through) {
            ReadExact(state, true);
            continue;
        }
        if (!state->row_due) {
            NextCandidate(state);
            continue;
        }
        if (!TakeRow(state)) continue;
        if (may_go_out && state->pending.empty() && FloorOf(state->run) <= state->candidate.settled) {
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
    *passes = FillAndTest(state, row, nullptr, state->filter.bitmap != nullptr);
    return true;
}

TupleTableSlot* ExecVectorScan(CustomScanState* node) {
    VectorScanState* state = StateOf(node);
    ResetExprContext(node->ss.ps.ps_ExprContext);
    bool more;
    if (!TakeTestRow(state, &more)) {
        if (!state->started) StartScan(state);
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
    ExecClearTuple(state->pending_slot);
    if (state->fetch != nullptr) table_index_fetch_reset(state->fetch);
    if (state->pending_memory != nullptr) MemoryContextReset(state->pending_memory);
    state->arena = MakeArena(state->pending_memory);
    state->pending.Init(&state->arena);
    state->pending_bytes = 0;
    state->started = state->query_ready = false;
    FilterState* filter = &state->filter;
    if (filter->bitmap == nullptr) return;
    UpdateChangedParamSet(filter->bitmap, node->ss.ps.chgParam);
    // Otherwise the rows stay what they are: the same snapshot, the same conditions.
    if (filter->bitmap->chgParam != nullptr) filter->members_ready = false;
}

void EndVectorScan(CustomScanState* node) {
    VectorScanState* state = StateOf(node);
    ExecClearTuple(state->table_slot);
    ExecClearTuple(state->pending_slot);
    if (state->search != nullptr) state->methods->close(state->search);
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
    if (state->started && filter.switched)
        ExplainPropertyText("Switched", "to exact, while running", es);
    else if (state->started && filter.running != filter.plan.strategy)
        ExplainPropertyText("Switched", psprintf("to %s, by the size of the bitmap", StrategyName(filter.running)), es);
    if (filter.members_ready) {
        ExplainPropertyInteger("Bitmap Rows", nullptr, static_cast<int64>(filter.members.rows()), es);
        ExplainPropertyInteger("Bitmap Lossy Pages", nullptr, static_cast<int64>(filter.members.whole_pages()), es);
    }
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

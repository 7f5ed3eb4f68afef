// Rows of the custom scan: from the table to the scan's tuple, and those that wait for their turn.
#include <algorithm>

#include "pg/recent_buffers.h"
#include "planner/vector_scan_state.h"

namespace vecann {

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

namespace {

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

// May the index know the distance of the candidate?
bool KnowsDistance(const VectorScanState* state, const SearchCandidate& candidate) {
    return candidate.has_value && !state->row_context->caseValue_isNull;
}

// Does the row in the scan's context have the vector itself, neither out of line nor compressed?
bool HasVectorAtHand(VectorScanState* state) {
    if (state->vector_column <= 0) return false;
    bool is_null;
    const Datum value = slot_getattr(state->row_context->ecxt_scantuple, state->vector_column, &is_null);
    const char* vector = DatumGetPointer(value);
    return is_null || (!VARATT_IS_EXTERNAL(vector) && !VARATT_IS_COMPRESSED(vector));
}

// The distance of the candidate by the value that the index has: a vector that the table keeps out of line is not
// fetched. False when the index does not know it after all.
bool DistanceByIndex(VectorScanState* state, Datum* distance, bool* is_null) {
    const Datum value = state->methods->value(state->search);
    if (value == 0) return false;
    const ExprContext* query = state->row_context;
    if (state->operation.fn_oid == InvalidOid) {
        OpExpr* expression = DistanceOf(PlanOf(state));
        fmgr_info_cxt(expression->opfuncid, &state->operation, EStateOf(state)->es_query_cxt);
        fmgr_info_set_expr(reinterpret_cast<fmNodePtr>(expression), &state->operation);
    }
    MemoryContext old = MemoryContextSwitchTo(query->ecxt_per_tuple_memory);
    LOCAL_FCINFO(call, 2);
    InitFunctionCallInfoData(*call, &state->operation, 2, state->collation, nullptr, nullptr);
    call->args[state->query_arg] = {query->caseValue_datum, false};
    call->args[1 - state->query_arg] = {value, false};
    *distance = FunctionCallInvoke(call);
    MemoryContextSwitchTo(old);
    *is_null = call->isnull;
    return true;
}

// The distance of the row in the scan's context.
Datum DistanceOfRow(VectorScanState* state, const KnownRow& known, bool* is_null) {
    if (known.row != nullptr && known.row->known) {
        *is_null = known.row->distance_null;
        return Float8GetDatum(known.row->distance);
    }
    const bool asks = known.candidate != nullptr && KnowsDistance(state, *known.candidate) && !HasVectorAtHand(state);
    Datum distance;
    if (asks && DistanceByIndex(state, &distance, is_null)) return distance;
    return ExecEvalExprSwitchContext(state->distance, state->row_context, is_null);
}

// Need the distance of a candidate's row not be computed? Nobody sees it, and the row goes out at once.
bool GoesUnmeasured(const VectorScanState& state, const KnownRow& known) {
    return known.candidate != nullptr && known.candidate->in_place && !state.distance_seen && state.pending.empty();
}

}  // namespace

bool FillAndTest(VectorScanState* state, TupleTableSlot* row, const KnownRow& known, bool recheck) {
    ExprContext* context = state->css.ss.ps.ps_ExprContext;
    ResetExprContext(context);
    FillColumns(state, row);
    context->ecxt_scantuple = ScanSlot(state);
    if (recheck && state->filter.recheck_measures) {
        bool is_null;
        const Datum distance = DistanceOfRow(state, known, &is_null);
        SetDistance(state, distance, is_null);
    }
    if (recheck && !ExecQual(state->filter.recheck, context)) {
        InstrCountFiltered2(state, 1);
        return false;
    }
    bool passes = ExecQual(state->early_quals, context);
    if (passes) {
        bool is_null = false;
        const Datum distance = GoesUnmeasured(*state, known) ? Float8GetDatum(known.candidate->nearest)
                                                             : DistanceOfRow(state, known, &is_null);
        SetDistance(state, distance, is_null);
        passes = ExecQual(state->late_quals, context);
    }
    if (!passes) InstrCountFiltered1(state, 1);
    return passes;
}

void AddCounts(SearchCounts* sum, const SearchCounts& counts) {
    sum->expanded += counts.expanded;
    sum->pages += counts.pages;
    sum->codes += counts.codes;
    sum->exact_distances += counts.exact_distances;
    sum->filter_tests += counts.filter_tests;
}

namespace {

// Asks for the rows that will probably go out, from memory into the processor's cache: each is three or four places
// that nothing has touched since the query before.
void AskForRows(const VectorScanState* state) {
    constexpr int kMostAsked = 32;
    const int most = Min(WantedOf(PlanOf(state)), kMostAsked);
    if (most <= 0 || state->methods->upcoming == nullptr) return;
    ItemPointerData tids[kMostAsked];
    const int n = state->methods->upcoming(state->search, tids, most);
    PrefetchRows(state->css.ss.ss_currentRelation, tids, n);
}

}  // namespace

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
    state->methods->start(state->search,
                          {estate->es_snapshot, !TransactionStartedDuringRecovery(), query->caseValue_isNull,
                           query->caseValue_datum, filter, static_cast<double>(WantedOf(PlanOf(state)))});
    MemoryContextSwitchTo(old);
    AskForRows(state);
    state->candidate.settled = -get_float8_infinity();
    state->through = state->row_due = state->run_known = false;
}

bool FetchRow(VectorScanState* state, ItemPointerData tid, bool* all_dead) {
    bool call_again = false;
    ++state->fetches;
    PinRecentRow(state->fetch, ItemPointerGetBlockNumber(&tid));
    if (!table_index_fetch_tuple(state->fetch, &tid, EStateOf(state)->es_snapshot, state->table_slot, &call_again,
                                 all_dead))
        return false;
    if (TTS_IS_BUFFERTUPLE(state->table_slot))
        NoteRecent(state->css.ss.ss_currentRelation, ItemPointerGetBlockNumber(&tid),
                   reinterpret_cast<const BufferHeapTupleTableSlot*>(state->table_slot)->buffer);
    return true;
}

namespace {

void AddPending(VectorScanState* state, const PendingRow& row) {
    state->pending_unread += row.unread ? 1 : 0;
    state->pending.Push(row);
    std::push_heap(state->pending.begin(), state->pending.end(), RowFarther);
}

// Must the conditions that the bitmap answers be tested on a row that a search found?
bool NeedsRecheck(const FilterState& filter, const ItemPointerData& tid) {
    if (filter.bitmap == nullptr) return false;
    // Rows that have waited unread may not be members at all.
    return (filter.running == Strategy::kPostFilter && !filter.by_members) ||
           filter.members.Find(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid)) != Membership::kIn;
}

// Reads a row; true when it is visible and passes the quals. The scan's tuple is it then.
bool ReadRow(VectorScanState* state, ItemPointerData tid, const KnownRow& known) {
    pgstat_count_index_tuples(state->index, 1);
    bool all_dead = false;
    if (!FetchRow(state, tid, &all_dead)) {
        const IndexPlace& place = known.candidate != nullptr ? known.candidate->place : known.row->in_index;
        if (all_dead) state->methods->kill(state->search, tid, place);
        return false;
    }
    pgstat_count_heap_fetch(state->index);
    const bool passes = FillAndTest(state, state->table_slot, known, NeedsRecheck(state->filter, tid));
    if (!passes || state->filter.any) ++state->returned;
    return passes;
}

// Does it take more to make the row's vector than to take it from the index: is it out of line, or computed?
bool IsVectorDear(const VectorScanState& state) {
    return state.vector_column <= 0 || state.filter.plan.found_distance < state.filter.plan.distance_cost;
}

// Puts the candidate among the rows that are to be tested.
void AddMet(VectorScanState* state) {
    const SearchCandidate& candidate = state->candidate;
    FilterState* filter = &state->filter;
    PendingRow row = {candidate.nearest, false, true, false, candidate.tid, candidate.tid, candidate.place, nullptr};
    if (candidate.same && state->run_known) {
        row.distance = state->run.distance;
        row.distance_null = state->run.distance_null;
    } else if (IsVectorDear(*state) && KnowsDistance(state, candidate)) {
        // The value is gone when the row is read.
        ResetExprContext(state->row_context);
        Datum distance;
        row.known = DistanceByIndex(state, &distance, &row.distance_null);
        if (row.known) row.distance = row.distance_null ? 0 : DatumGetFloat8(distance);
    }
    state->run_known = row.known || (candidate.same && state->run_known);
    if (row.known) state->run = row;
    filter->gathering.met += 1;
    filter->met.Push(row);
    std::push_heap(filter->met.begin(), filter->met.end(), RowFarther);
}

}  // namespace

PendingRow RowAtHand(VectorScanState* state, ItemPointerData tid) {
    const TupleTableSlot* slot = ScanSlot(state);
    const bool is_null = slot->tts_isnull[state->distance_at];
    const double distance = is_null ? 0 : DatumGetFloat8(slot->tts_values[state->distance_at]);
    return {distance, is_null, false, false, tid, slot->tts_tid, {}, nullptr};
}

bool TakeRow(VectorScanState* state) {
    state->row_due = false;
    const SearchCandidate& candidate = state->candidate;
    FilterState* filter = &state->filter;
    const bool gathers = filter->any && filter->running == Strategy::kPostFilter && filter->round_left <= 0;
    if (gathers && !filter->by_members) {
        AddMet(state);
        return false;
    }
    if (candidate.same && state->run_known && !gathers) {
        PendingRow row = state->run;
        row.unread = true;
        row.tid = candidate.tid;
        row.in_index = candidate.place;
        AddPending(state, row);
        return false;
    }
    state->run_known = false;
    const bool passes = ReadRow(state, candidate.tid, {&candidate, nullptr});
    filter->gathering.Add(passes);
    if (!passes) return false;
    state->run = RowAtHand(state, candidate.tid);
    state->run_known = true;
    return true;
}

void PushPending(VectorScanState* state, PendingRow row) {
    if (state->pending_bytes < static_cast<size_t>(work_mem) * 1024) {
        MemoryContext old = MemoryContextSwitchTo(state->pending_memory);
        row.tuple = ExecCopySlotMinimalTuple(ScanSlot(state));
        MemoryContextSwitchTo(old);
        state->pending_bytes += row.tuple->t_len;
    }
    AddPending(state, row);
}

bool PopPending(VectorScanState* state) {
    std::pop_heap(state->pending.begin(), state->pending.end(), RowFarther);
    const PendingRow row = state->pending[--state->pending.size];
    if (row.unread) {
        --state->pending_unread;
        if (EndedAtBudget(state)) return false;
        const bool passes = ReadRow(state, row.tid, {nullptr, &row});
        state->filter.gathering.Add(passes);
        if (!passes) return false;
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

void TestNearestMet(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (EndedAtBudget(state)) return;
    std::pop_heap(filter->met.begin(), filter->met.end(), RowFarther);
    const PendingRow row = filter->met[--filter->met.size];
    const bool passes = !IsOutside(state, row.tid) && ReadRow(state, row.tid, {nullptr, &row});
    filter->gathering.Test(passes);
    if (passes) PushPending(state, RowAtHand(state, row.tid));
}

bool MetIsNext(const VectorScanState* state) {
    const ArenaVec<PendingRow>& met = state->filter.met;
    return !met.empty() && (state->pending.empty() || RowFarther(state->pending[0], met[0]));
}

double Settled(const VectorScanState& state) {
    if (state.through) return get_float8_infinity();
    return state.row_due ? state.candidate.nearest : state.candidate.settled;
}

void ClearPending(VectorScanState* state) {
    ExecClearTuple(state->pending_slot);
    if (state->pending_memory != nullptr) MemoryContextReset(state->pending_memory);
    state->arena = MakeArena(state->pending_memory);
    state->pending.Init(&state->arena);
    state->filter.met.Init(&state->arena);
    state->pending_bytes = state->pending_unread = 0;
}

}  // namespace vecann

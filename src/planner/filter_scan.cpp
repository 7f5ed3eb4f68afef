// Conditions of the custom scan: the bitmap's rows, strategies and switches at run time, and when rows may go out. See
// README.md, "Filters".
#include "pg/recent_buffers.h"
#include "planner/vector_scan_state.h"

namespace vecann {

namespace {

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
    const double members = MembersOf(*filter);
    const double rate = members / plan.index_rows, wanted = plan.wanted * plan.members_per_row;
    const double exact = ExactCost(plan, members);
    const double search = NodesForMembers(plan, wanted, rate) * plan.node_cost + wanted * plan.found_cost();
    // Where the planner took the bitmap for a small one, nothing has been tried yet.
    const bool cheap = exact <= search && (plan.may_try || plan.wanted == 0 || !IsWorthTrying(plan, exact));
    const bool pass = plan.may_exact && (!plan.may_search || cheap || state->row_context->caseValue_isNull);
    filter->running = pass ? Strategy::kExact : Strategy::kBitmapSearch;
    if (!pass) filter->members.PrepareFind();
    filter->search = {&filter->members, wanted, 0};
    if (plan.may_exact)
        filter->search.most_nodes =
            static_cast<uint64>(Min(Max(exact / Max(plan.node_cost, 1e-9), Max(2 * plan.beam, 1.0)), 1e15));
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
    filter->by_members = false;
    filter->switched = true;
    state->row_due = false;
    // What waits comes again. The row that went out last may still stand in the slot.
    ClearPending(state);
    filter->has_last = filter->has_last && state->search->in_order;
    ReadExact(state);
    return true;
}

// What a post-filter has spent so far, and on rows of the table alone.
struct Spent {
    double all, rows;
};
Spent SpentBy(const VectorScanState& state) {
    const FilterPlan& plan = state.filter.plan;
    const double rows = static_cast<double>(state.fetches - state.filter.first_fetches) * plan.fetch_cost;
    return {rows + static_cast<double>(state.search->counts.expanded) * plan.node_cost, rows};
}

// The search of a post-filter goes on, and reads no rows that are not in the bitmap: nearly all that it reads pass
// then, so nothing is gained by testing them later. True when the scan is over.
bool GoOnByMembers(VectorScanState* state) {
    FilterState* filter = &state->filter;
    LoadMembers(state);
    filter->members.PrepareFind();
    filter->by_members = true;
    while (!filter->met.empty()) {
        CHECK_FOR_INTERRUPTS();
        TestNearestMet(state);
    }
    return state->through;
}

// What the exact pass would cost a post-filter that changes to it.
double ExactCost(const FilterState& filter) {
    return filter.members_ready ? ExactCost(filter.plan, MembersOf(filter))
                                : filter.plan.cost[static_cast<int>(Strategy::kExact)];
}

// In place of Gathering::kLuck for a search in front of an exact pass, which may cost a few hundredths of that.
constexpr double kLuckTried = 1.0 / 30;
// It may cost so much of the pass, whatever is hoped for.
constexpr double kShareTried = 0.5;

// Is what a post-filter still has to do, even at the best rate that the rows so far allow, more than the exact pass?
bool IsExactCheaper(const VectorScanState& state, const Spent& spent) {
    const FilterState& filter = state.filter;
    const Gathering& gathering = filter.gathering;
    // What comes before is too little to judge by.
    if (gathering.tested < gathering.beam / 2) return false;
    const double luck = filter.tried ? kLuckTried : Gathering::kLuck;
    const double met = gathering.MetAtBest(Max(gathering.wanted, filter.plan.wanted), luck);
    // The search is ahead of what it has handed out.
    const double read = Max(gathering.met, static_cast<double>(state.search->counts.expanded));
    const double left = Max(met - read, 0.0) * filter.plan.node_cost +
                        Max(met - gathering.met, 0.0) * spent.rows / Max(gathering.met, 1.0);
    return left > ExactCost(filter);
}

// Looks whether a post-filter goes worse than planned; true when the scan is over. The exact pass takes over when it
// would be through before, or once the search has cost as much (and what was planned). Have the rows cost more than the
// bitmap would, the search goes on with that.
bool Reconsider(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (filter->bitmap == nullptr || filter->running != Strategy::kPostFilter) return false;
    const FilterPlan& plan = filter->plan;
    const Spent spent = SpentBy(*state);
    if (plan.may_exact && IsExactCheaper(*state, spent)) {
        // The bitmap may be larger than the planner took it for.
        LoadMembers(state);
        if (IsExactCheaper(*state, spent) && SwitchToExact(state)) return true;
        if (plan.may_search && !filter->by_members) return GoOnByMembers(state);
    }
    if (!filter->tried && spent.all <= plan.cost[static_cast<int>(Strategy::kPostFilter)]) return false;
    if (spent.all > ExactCost(*filter) * (filter->tried ? kShareTried : 1.0) && SwitchToExact(state)) return true;
    if (!plan.may_search || filter->by_members || spent.rows <= plan.bitmap_cost) return false;
    return GoOnByMembers(state);
}

// Passes over the candidate's row when it is not in the bitmap.
void TestCandidate(VectorScanState* state) {
    if (!IsOutside(state, state->candidate.tid)) return;
    state->filter.gathering.Add(false);
    state->row_due = false;
    if (!state->candidate.same) state->run_known = false;
}

}  // namespace

bool IsOutside(VectorScanState* state, const ItemPointerData& tid) {
    const FilterState& filter = state->filter;
    if (!filter.by_members) return false;
    ++state->counts.filter_tests;
    if (filter.members.Find(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid)) != Membership::kOut)
        return false;
    ++state->returned;
    return true;
}

bool EndedAtBudget(VectorScanState* state) {
    const VectorSearch& search = *state->search;
    // The exact pass knows no such limit.
    if (state->filter.tried) return false;
    if (!state->filter.any || search.max_rows < 0 || state->returned < search.max_rows) return false;
    state->through = state->filter.budget_hit = true;
    state->filter.met.Clear();
    return true;
}

void NextCandidate(VectorScanState* state) {
    if (EndedAtBudget(state) || Reconsider(state)) return;
    state->row_due = state->methods->next(state->search, &state->candidate);
    if (state->row_due) {
        if (state->filter.by_members) TestCandidate(state);
        return;
    }
    const bool complete = state->filter.tried || state->search->gave_up || !state->search->one_beam;
    state->through = !complete || !SwitchToExact(state) || state->through;
}

namespace {

// The heap's first rows are nearly the nearest ones.
void AskForMet(const VectorScanState* state) {
    const ArenaVec<PendingRow>& met = state->filter.met;
    ItemPointerData tids[kAskedTogether];
    const int n = static_cast<int>(Min(met.size, static_cast<size_t>(kAskedTogether)));
    for (int i = 0; i < n; ++i)
        tids[i] = met[static_cast<size_t>(i)].tid;
    PrefetchRows(state->css.ss.ss_currentRelation, tids, n);
}

}  // namespace

bool MayGoOut(VectorScanState* state) {
    FilterState* filter = &state->filter;
    if (!filter->any || filter->running != Strategy::kPostFilter || state->through || filter->round_left > 0)
        return true;
    Gathering* gathering = &filter->gathering;
    if (gathering->met < filter->aim) return false;
    const auto waiting = [state] { return static_cast<double>(state->pending.size - state->pending_unread); };
    for (int i = 0; waiting() < gathering->wanted && !filter->met.empty(); ++i) {
        CHECK_FOR_INTERRUPTS();
        if (i % kAskedTogether == 0) AskForMet(state);
        TestNearestMet(state);
    }
    if (state->through) return true;
    filter->aim = gathering->Aim(waiting(), static_cast<double>(filter->met.size));
    if (filter->aim > gathering->met) return false;
    filter->round_left = gathering->wanted;
    gathering->NextRound();
    return true;
}

void StartScan(VectorScanState* state) {
    FilterState* filter = &state->filter;
    state->started = true;
    state->returned = 0;
    filter->switched = filter->loose = filter->has_last = filter->has_more = filter->budget_hit = false;
    filter->by_members = false;
    filter->bounds_counts = {};
    if (filter->bitmap != nullptr) {
        MemoryContextReset(filter->returned_memory);
        filter->returned_arena = MakeArena(filter->returned_memory);
        filter->returned.Init(&filter->returned_arena, 0);
        filter->remembers = true;
    }
    filter->running = filter->plan.strategy;
    filter->tried = false;
    // A search that ends at a distance would leave out what it has not met.
    if (filter->any && filter->running == Strategy::kExact && filter->plan.may_try && state->range.count == 0) {
        PrepareQuery(state);
        filter->tried = !state->row_context->caseValue_isNull;
        if (filter->tried) filter->running = Strategy::kPostFilter;
    }
    if (filter->any && filter->running != Strategy::kPostFilter) {
        PrepareQuery(state);
        LoadMembers(state);
        ChooseStrategy(state);
    }
    filter->first_fetches = state->fetches;
    filter->gathering = Gathering::Of(filter->plan.beam, filter->plan.wanted);
    filter->gathering.beam = Min(filter->plan.beam, 4 * filter->gathering.wanted);
    filter->aim = filter->gathering.beam;
    filter->round_left = 0;
    OpenTable(state);
    if (filter->any && filter->running == Strategy::kExact) {
        PrepareQuery(state);
        ReadExact(state);
    } else {
        StartSearch(state);
    }
}

void NoteReturned(VectorScanState* state, const PendingRow& row) {
    FilterState* filter = &state->filter;
    filter->round_left -= 1;
    if (filter->bitmap == nullptr) return;
    const bool late = filter->running == Strategy::kExact && filter->loose;
    if (!late || !filter->has_last || RowFarther(row, filter->last)) filter->last = row;
    filter->has_last = true;
    if ((filter->running == Strategy::kExact && !late) || !filter->remembers) return;
    // Without the memory for it the search goes on to its end, and may not give up.
    filter->remembers = filter->returned_arena.allocated < static_cast<size_t>(work_mem) * 1024;
    if (!filter->remembers) filter->search.most_nodes = 0;
    bool fresh;
    filter->returned.Add(ItemPointerGetBlockNumber(&row.tid), ItemPointerGetOffsetNumber(&row.tid), &fresh);
}

bool OutOfBudget(const VectorScanState* state) {
    return !state->filter.any && state->search->max_rows >= 0 && state->returned >= state->search->max_rows;
}

}  // namespace vecann

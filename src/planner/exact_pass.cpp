// The exact pass over the rows of a bitmap; see README.md, "Filters". Where the index bounds distances, rows are read
// in the order of their lower bounds when their turn comes; all others in the order of the table.
//
// No lock or pin on the index outlives a pass, and no bound: what is kept of them is a number for each row.
#include <algorithm>
#include <cfloat>

#include "pg/recent_buffers.h"
#include "planner/row_list.h"
#include "planner/vector_scan_state.h"

namespace vecann {

namespace {

// Does an exact pass bring a row again that went out already?
bool WentOut(FilterState* filter, const ItemPointerData& tid) {
    return filter->returned.Find(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid)) != nullptr;
}

int MostAhead(Relation table) {
    return get_tablespace_io_concurrency(table->rd_rel->reltablespace);
}

// Asks the disk for the pages of an exact pass before they are read, as a bitmap heap scan does: for some more at each
// page, up to effective_io_concurrency.
struct PagesAhead {
    TidSet::Cursor cursor;
    int asked;   // and not reached yet
    int target;  // so many
    int most;
    uint32 current;

    static PagesAhead Of(Relation table) { return {{}, 0, 0, MostAhead(table), InvalidBlockNumber}; }
    // The pass has come to a row of this page.
    void Reach(Relation table, const TidSet& members, uint32 block) {
        if (block == current || most == 0) return;
        current = block;
        uint32 next;
        if (asked > 0)
            --asked;
        else if (!members.NextPage(&cursor, &next))
            return;
        target = Min(2 * target + 1, most);
        for (; asked < target && members.NextPage(&cursor, &next); ++asked)
            PrefetchBlock(table, next);
    }
};

// Rows that the index bounds together.
constexpr int kBoundedTogether = 256;

// The last offset in use on a page of the table, of which the bitmap knows no more than that it has rows.
OffsetNumber LastOffset(Relation table, BlockNumber block) {
    if (table->rd_tableam != GetHeapamTableAmRoutine()) return MaxHeapTuplesPerPage;
    const Buffer buffer = ReadBuffer(table, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    const OffsetNumber last = PageGetMaxOffsetNumber(BufferGetPage(buffer));
    UnlockReleaseBuffer(buffer);
    return last;
}

// Some rows of the bitmap in order.
template <int kMost>
struct RowsTogether {
    ItemPointerData tids[kMost];
    Membership memberships[kMost];
    int count;
    BlockNumber whole = InvalidBlockNumber;  // a page that came in whole, and the last offset there
    OffsetNumber last = InvalidOffsetNumber;

    bool Next(Relation table, const TidSet& members, TidSet::Cursor* cursor) {
        count = 0;
        uint32 block;
        uint16 offset;
        Membership m;
        while (count < kMost && (m = members.Next(cursor, &block, &offset)) != Membership::kOut) {
            if (m == Membership::kMaybe && block != whole && members.IsWhole(block)) {
                CHECK_FOR_INTERRUPTS();
                last = LastOffset(table, block);
                whole = block;
            }
            if (block == whole && offset > last) {
                members.SkipPage(cursor);
                continue;
            }
            ItemPointerSet(&tids[count], block, offset);
            memberships[count++] = m;
        }
        return count > 0;
    }
    // Keeps those that `stays(i)`.
    template <class Stays>
    void Filter(Stays stays) {
        int kept = 0;
        for (int i = 0; i < count; ++i) {
            if (!stays(i)) continue;
            tids[kept] = tids[i];
            memberships[kept++] = memberships[i];
        }
        count = kept;
    }
};

// Is it a row for the exact pass? The scan's tuple is it then.
bool TakeExact(VectorScanState* state, ItemPointerData tid, Membership m) {
    bool all_dead = false;
    return FetchRow(state, tid, &all_dead) &&
           FillAndTest(state, state->table_slot, {nullptr, nullptr}, m == Membership::kMaybe);
}

size_t MostKept() {
    return Max<size_t>(static_cast<size_t>(work_mem) * 1024 / sizeof(PendingRow), 64);
}

// Keeps a row among the nearest, at most so many.
void KeepNearest(FilterState* filter, ArenaVec<PendingRow>* kept, const PendingRow& row, size_t most) {
    const auto nearer = [](const PendingRow& a, const PendingRow& b) { return RowFarther(b, a); };
    if (kept->size < most) {
        kept->Push(row);
        if (kept->size == most) std::make_heap(kept->begin(), kept->end(), nearer);
        return;
    }
    filter->has_more = true;
    if (!nearer(row, (*kept)[0])) return;
    std::pop_heap(kept->begin(), kept->end(), nearer);
    (*kept)[most - 1] = row;
    std::push_heap(kept->begin(), kept->end(), nearer);
}

// Reads all rows.
void ReadAll(VectorScanState* state) {
    FilterState* filter = &state->filter;
    const size_t most = MostKept();
    Relation table = state->css.ss.ss_currentRelation;
    PagesAhead ahead = PagesAhead::Of(table);
    TidSet::Cursor cursor = {};
    RowsTogether<kAskedTogether> rows;
    // By likely bounds rows have come late, and those that went out are known.
    const bool all = !filter->has_last || (filter->loose && filter->remembers);
    while (rows.Next(table, filter->members, &cursor)) {
        PrefetchRows(table, rows.tids, rows.count);
        for (int i = 0; i < rows.count; ++i) {
            CHECK_FOR_INTERRUPTS();
            const ItemPointerData tid = rows.tids[i];
            ahead.Reach(table, filter->members, ItemPointerGetBlockNumber(&tid));
            if (WentOut(filter, tid) || !TakeExact(state, tid, rows.memberships[i])) continue;
            const PendingRow row = RowAtHand(state, tid);
            if (all || RowFarther(row, filter->last)) KeepNearest(filter, &state->pending, row, most);
        }
    }
}

// ---- with bounds ---------------------------------------------------------------------

// No bound is NaN. An object, which sorting compiles in.
struct InFrontOf {
    bool operator()(const BoundedRow& a, const BoundedRow& b) const {
        if (a.nearest < b.nearest || a.nearest > b.nearest) return a.nearest < b.nearest;
        return NumberOf(a.tid) < NumberOf(b.tid);
    }
};
constexpr InFrontOf InFront;

// A float32 just not above x, which is a number. Without a jump: half of all conversions round up.
float RoundDown(double x) {
    const float rounded = static_cast<float>(Min(x, static_cast<double>(FLT_MAX)));
    return rounded - std::fabs(rounded) * 0x1p-23f - FLT_MIN;
}

// May a row that has been read go out before one that has not?
bool MayGoBefore(const PendingRow& row, const BoundedRow& unread) {
    return !row.distance_null && !OrderedBehind(row.distance, row.tid, unread.nearest, unread.tid);
}

// Keeps a row unread; when there is no more room, half of all go.
void KeepUnread(BoundedRows* bounded, const BoundedRow& row, size_t most) {
    if (bounded->is_cut && !InFront(row, bounded->cut)) return;
    bounded->rows.Push(row);
    if (bounded->rows.size < most) return;
    bounded->rows.size /= 2;
    BoundedRow* middle = bounded->rows.end();
    std::nth_element(bounded->rows.begin(), middle, middle + (most - bounded->rows.size), InFront);
    bounded->cut = *middle;
    bounded->is_cut = true;
}

// Reads rows that the index knows nothing of.
void ReadUnknown(VectorScanState* state, const RowsTogether<kBoundedTogether>& rows, int pages_ahead) {
    Relation table = state->css.ss.ss_currentRelation;
    for (int i = 0, asked = 0; i < rows.count; ++i) {
        CHECK_FOR_INTERRUPTS();
        if (i % kAskedTogether == 0) PrefetchRows(table, rows.tids + i, Min(kAskedTogether, rows.count - i));
        for (asked = Max(asked, i + 1); asked < rows.count && asked <= i + pages_ahead; ++asked) {
            const BlockNumber block = ItemPointerGetBlockNumber(&rows.tids[asked]);
            if (block != ItemPointerGetBlockNumber(&rows.tids[asked - 1])) PrefetchBlock(table, block);
        }
        if (TakeExact(state, rows.tids[i], rows.memberships[i])) state->pending.Push(RowAtHand(state, rows.tids[i]));
    }
}

size_t MostBounded() {
    return Max<size_t>(static_cast<size_t>(work_mem) * 1024 / sizeof(BoundedRow), 64);
}

// Asks for the bounds of all rows. False when the index knows of too few.
bool BoundAll(VectorScanState* state, RowBounds* bounds) {
    FilterState* filter = &state->filter;
    const size_t most = MostBounded();
    Relation table = state->css.ss.ss_currentRelation;
    const int pages_ahead = MostAhead(table);
    TidSet::Cursor cursor = {};
    RowsTogether<kBoundedTogether> rows;
    RowBound bound[kBoundedTogether];
    while (rows.Next(table, filter->members, &cursor)) {
        CHECK_FOR_INTERRUPTS();
        if (filter->returned.size() > 0) rows.Filter([&](int i) { return !WentOut(filter, rows.tids[i]); });
        MemoryContext old = MemoryContextSwitchTo(state->pending_memory);
        state->methods->bound(bounds, rows.tids, rows.count, bound);
        MemoryContextSwitchTo(old);
        const int all = rows.count;
        rows.Filter([&](int i) {
            if (!(bound[i].nearest > -get_float8_infinity())) return true;
            const float likely = RoundDown(bound[i].likely);
            const float nearest = filter->loose ? likely : RoundDown(bound[i].nearest);
            KeepUnread(&filter->bounded, {nearest, likely, rows.tids[i], rows.memberships[i]}, most);
            return false;
        });
        filter->rows_bounded += static_cast<uint64>(all - rows.count);
        ReadUnknown(state, rows, pages_ahead);
        if (state->pending.size >= MostKept()) return false;
    }
    return true;
}

// Goes over all rows by their bounds; false when the index has none. Behind a row that went out the order is that of
// distances, and nothing is saved.
bool ReadByBounds(VectorScanState* state) {
    FilterState* filter = &state->filter;
    const ExprContext* query = state->row_context;
    const VectorSearchMethods* methods = state->methods;
    if (!DoBoundsPay(filter->plan, MembersOf(*filter)) || methods->open_bounds == nullptr) return false;
    if (filter->has_last || query->caseValue_isNull) return false;
    MemoryContext old = MemoryContextSwitchTo(state->pending_memory);
    RowBounds* bounds = methods->open_bounds(state->index, query->caseValue_datum);
    MemoryContextSwitchTo(old);
    if (bounds == nullptr) return false;
    filter->bounded.must_be_certain = bounds->in_order;
    filter->bounded.rows.Reserve(Min(static_cast<size_t>(filter->members.rows()), MostBounded()));
    const bool through = BoundAll(state, bounds);
    const SearchCounts pass = {0, bounds->pages, bounds->codes, 0, 0};
    AddCounts(&filter->bounds_counts, pass);
    AddCounts(&state->counts, pass);
    methods->close_bounds(bounds);
    if (!through) ClearPending(state);
    return through;
}

void BeginPass(VectorScanState* state) {
    state->filter.has_more = false;
    state->through = true;
}

void EndPass(VectorScanState* state) {
    std::make_heap(state->pending.begin(), state->pending.end(), RowFarther);
}

// Brings the n nearest of the rows [from, end) to the front, in no order. Where they are few of many, nearly all of the
// others are passed over at once: a sample gives a bound that a few more than n are below.
void SelectNearest(BoundedRow* from, BoundedRow* end, size_t n) {
    constexpr size_t kSample = 256, kSpare = 6;
    const size_t all = static_cast<size_t>(end - from), rank = 2 * n * kSample / Max<size_t>(all, 1) + kSpare;
    if (rank < kSample / 4) {
        float sample[kSample];
        for (size_t i = 0; i < kSample; ++i)
            sample[i] = from[i * all / kSample].nearest;
        std::nth_element(sample, sample + rank, sample + kSample);
        const float bound = sample[rank];
        BoundedRow* behind = std::partition(from, end, [=](const BoundedRow& row) { return row.nearest <= bound; });
        if (static_cast<size_t>(behind - from) >= n) end = behind;
    }
    if (from + n < end) std::nth_element(from, from + n, end, InFront);
}

// Puts some more of the rows that have not been read in order: four times as many as there were.
void SortMore(BoundedRows* bounded) {
    constexpr size_t kSortedFirst = 128;
    BoundedRow* from = bounded->rows.begin() + bounded->sorted;
    const size_t left = bounded->rows.size - bounded->sorted, n = Min(left, Max(3 * bounded->sorted, kSortedFirst));
    SelectNearest(from, bounded->rows.end(), n);
    std::sort(from, from + n, InFront);
    bounded->sorted += n;
}

// Asks for those that will probably be read next, from memory and from the disk.
void AskForNext(BoundedRows* bounded, Relation table) {
    const auto block_of = [&](size_t i) { return ItemPointerGetBlockNumber(&bounded->rows[i].tid); };
    if (bounded->next % kAskedTogether == 0) {
        ItemPointerData tids[kAskedTogether];
        const size_t n = Min(bounded->sorted - bounded->next, static_cast<size_t>(kAskedTogether));
        for (size_t i = 0; i < n; ++i)
            tids[i] = bounded->rows[bounded->next + i].tid;
        PrefetchRows(table, tids, static_cast<int>(n));
    }
    bounded->ahead = Min(2 * bounded->ahead + 1, static_cast<size_t>(MostAhead(table)));
    bounded->asked = Max(bounded->asked, bounded->next + 1);
    for (; bounded->asked < Min(bounded->sorted, bounded->next + 1 + bounded->ahead); ++bounded->asked)
        PrefetchBlock(table, block_of(bounded->asked));
}

// After so many rows read it shows what the bounds are worth; none goes out before, if there are many.
constexpr size_t kReadBeforeLook = 64;
constexpr size_t kManyRows = 64 * kReadBeforeLook;

// May the pass go by likely bounds? A row may come late then, or not at all behind the limit of a distance range. Who
// forbids searches wants an exact answer.
bool IsToLook(const VectorScanState& state) {
    const FilterState& filter = state.filter;
    if (filter.bounded.rows.size < kManyRows || filter.bounded.next > kReadBeforeLook) return false;
    if (!filter.plan.may_search || filter.plan.wanted <= 0 || state.range.count > 0) return false;
    return !filter.loose && !filter.has_last && !filter.bounded.looked && !filter.bounded.must_be_certain;
}

// How many rows might still have to be read: those with bounds below the distance of the last row wanted among those
// that have been read. 0: too few have passed to tell.
double RowsLeft(const VectorScanState& state) {
    const BoundedRows& bounded = state.filter.bounded;
    const ArenaVec<PendingRow>& read = state.pending;
    const size_t wanted = static_cast<size_t>(Max(std::ceil(state.filter.plan.wanted), 1.0));
    if (read.size < wanted || read.size > 2 * kReadBeforeLook) return 0;
    double distances[2 * kReadBeforeLook];
    for (size_t i = 0; i < read.size; ++i)
        distances[i] = FloorOf(read[i]);
    std::nth_element(distances, distances + wanted - 1, distances + read.size);
    const double farthest = distances[wanted - 1];
    return static_cast<double>(std::count_if(bounded.rows.begin() + bounded.next, bounded.rows.end(),
                                             [=](const BoundedRow& row) { return row.nearest < farthest; }));
}

// Would it cost a good part of what the whole pass should have to read those?
bool AreLoose(const VectorScanState& state) {
    constexpr double kGoodPart = 0.25;
    const FilterPlan& plan = state.filter.plan;
    return RowsLeft(state) * plan.row_cost() > ExactCost(plan, MembersOf(state.filter)) * kGoodPart;
}

// The rest of the pass goes by likely bounds.
void UseLikelyBounds(VectorScanState* state) {
    FilterState* filter = &state->filter;
    BoundedRows* bounded = &filter->bounded;
    filter->loose = true;
    if (bounded->is_cut) {
        // Those that are not here may be likely ones.
        ClearPending(state);
        ReadExact(state);
        return;
    }
    for (size_t i = bounded->next; i < bounded->rows.size; ++i)
        bounded->rows[i].nearest = bounded->rows[i].likely;
    bounded->sorted = bounded->next;
}

}  // namespace

void ReadExact(VectorScanState* state) {
    BeginPass(state);
    if (!ReadByBounds(state)) ReadAll(state);
    EndPass(state);
}

void ReadExactAgain(VectorScanState* state) {
    ClearPending(state);
    BeginPass(state);
    ReadAll(state);
    EndPass(state);
}

bool ReadNextBounded(VectorScanState* state) {
    FilterState* filter = &state->filter;
    BoundedRows* bounded = &filter->bounded;
    const ArenaVec<PendingRow>& pending = state->pending;
    if (bounded->next == bounded->rows.size) {
        if (!bounded->is_cut || state->range.IsBeyond(bounded->cut.nearest)) return false;
        if (!pending.empty() && MayGoBefore(pending[0], bounded->cut)) return false;
        ReadExactAgain(state);
        return true;
    }
    if (bounded->next == bounded->sorted) SortMore(bounded);
    const BoundedRow row = bounded->rows[bounded->next];
    const bool look = IsToLook(*state);
    if (look && bounded->next == kReadBeforeLook) {
        bounded->looked = true;
        if (AreLoose(*state)) {
            UseLikelyBounds(state);
            return true;
        }
    }
    if (!pending.empty() && MayGoBefore(pending[0], row) && (!look || bounded->looked)) return false;
    if (state->range.IsBeyond(row.nearest)) {
        // So is what has been left out.
        bounded->rows.size = bounded->next;
        bounded->is_cut = false;
        state->range.reached = true;
        return true;
    }
    if (pending.size >= MostKept()) {
        ReadExactAgain(state);
        return true;
    }
    AskForNext(bounded, state->css.ss.ss_currentRelation);
    ++bounded->next;
    if (TakeExact(state, row.tid, row.membership)) {
        // Without its columns: few of the rows that are read go out, and those are read again.
        state->pending.Push(RowAtHand(state, row.tid));
        std::push_heap(state->pending.begin(), state->pending.end(), RowFarther);
    }
    return true;
}

}  // namespace vecann

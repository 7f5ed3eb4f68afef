// The custom scan's way into an hnsw index: a walk, handed out row by row. See planner/vector_search.h.
#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_walk.h"

namespace vecann {

namespace {

struct HnswVectorSearch : VectorSearch {
    HnswWalk walk;
    size_t next_row;  // of the node that the walk took last
    RowEntry last;    // handed out last
    float* numbers;   // of the last node whose value is known
    Datum value;      // the same as a value; 0: not made yet
    Datum restored;   // memory for it
};
static_assert(std::is_trivially_destructible_v<HnswVectorSearch>);

VectorSearch* Open(Relation index) {
    HnswVectorSearch* search = PallocZeroed<HnswVectorSearch>();
    search->index = index;
    HnswWalkInit(&search->walk);
    return search;
}

void KeepState(HnswVectorSearch* search) {
    search->counts = search->walk.ctx.counts;
    search->gave_up = search->walk.gave_up();
}

void Start(VectorSearch* base, const SearchQuery& query) {
    HnswVectorSearch* search = static_cast<HnswVectorSearch*>(base);
    HnswWalkReset(&search->walk, search->index);
    search->numbers = nullptr;
    search->value = search->restored = 0;
    search->walk.keep_exact = true;
    search->max_rows = Settings().hnsw_max_scan_tuples;
    search->next_row = 0;
    MemoryContext old = MemoryContextSwitchTo(search->walk.memory);
    HnswWalkStart(&search->walk, query);
    MemoryContextSwitchTo(old);
    search->in_order = search->walk.mode == IterativeScan::kStrictOrder;
    search->one_beam = search->walk.mode == IterativeScan::kOff;
    KeepState(search);
}

// Makes the value of the node that the walk took last, whose payload is exact.
void RestoreValue(HnswVectorSearch* search) {
    const HnswContext& ctx = search->walk.ctx;
    if (ctx.form.words) {
        if (search->restored != 0) pfree(DatumGetPointer(search->restored));
        search->value = search->restored =
            ctx.form.desc->words->restore(*static_cast<const WordsHeadData*>(search->walk.payload), ctx.form.dim);
        return;
    }
    if (search->numbers == nullptr) search->numbers = PallocArray<float>(static_cast<size_t>(ctx.form.dim));
    DecodePayload(ctx.form.payload, search->walk.payload, ctx.form.dim, search->numbers);
    search->value = search->restored = ctx.form.desc->restore(search->numbers, ctx.form.dim, search->restored);
}

Datum Value(VectorSearch* base) {
    HnswVectorSearch* search = static_cast<HnswVectorSearch*>(base);
    if (search->value == 0) {
        MemoryContext old = MemoryContextSwitchTo(search->walk.memory);
        RestoreValue(search);
        MemoryContextSwitchTo(old);
    }
    return search->value;
}

// Rows of the nodes that the walk will probably take next: of the nearest, one each.
int Upcoming(const VectorSearch* base, ItemPointerData* tids, int most) {
    const ArenaVec<ScoredNode>& results = static_cast<const HnswVectorSearch*>(base)->walk.results;
    constexpr size_t kMostSorted = 128;
    double limit = get_float8_infinity();
    if (results.size > static_cast<size_t>(most) && results.size <= kMostSorted) {
        double lower[kMostSorted];
        for (size_t i = 0; i < results.size; ++i)
            lower[i] = results[i].bounds.lower;
        std::nth_element(lower, lower + most - 1, lower + results.size);
        limit = lower[most - 1];
    }
    int n = 0;
    for (const ScoredNode& node : results) {
        if (n == most) break;
        if (node.slot.tid_count > 0 && node.bounds.lower <= limit) tids[n++] = node.slot.tids[0].tid;
    }
    return n;
}

SearchCandidate Candidate(const HnswVectorSearch& search) {
    const HnswWalk& walk = search.walk;
    SearchCandidate candidate = {search.last.tid, get_float8_infinity(),   get_float8_infinity(),
                                 false,           walk.payload != nullptr, false};
    // Rows that stand in the node may turn out dead, to be flagged.
    candidate.same = search.next_row > 1 && !walk.mixed && !search.last.in_line;
    // Late rows come in no order: none waits.
    if (!walk.recheck && !walk.apart) return candidate;
    // The rows of a node may differ in the last bit of their distances, under cosine: they wait for each other.
    const bool last_row = search.next_row == walk.rows.size;
    candidate.nearest = walk.bounds.lower;
    candidate.settled = walk.apart && last_row ? walk.bounds.upper : walk.bounds.lower;
    candidate.in_place = walk.apart && walk.rows.size == 1;
    candidate.place = {search.last.node, search.last.generation, search.last.tid_epoch, search.last.in_line};
    if (walk.last_wanted && last_row) candidate.settled = get_float8_infinity();
    return candidate;
}

bool Next(VectorSearch* base, SearchCandidate* candidate) {
    HnswVectorSearch* search = static_cast<HnswVectorSearch*>(base);
    HnswWalk* walk = &search->walk;
    if (search->next_row == walk->rows.size) {
        MemoryContext old = MemoryContextSwitchTo(walk->memory);
        const bool more = HnswWalkNext(walk);
        MemoryContextSwitchTo(old);
        search->value = 0;
        KeepState(search);
        search->next_row = 0;
        if (!more) walk->rows.Clear();
        if (!more) return false;
    }
    const NodeRow& row = walk->rows[search->next_row++];
    search->last = walk->entry;
    search->last.tid = row.tid;
    search->last.in_line = row.in_line;
    *candidate = Candidate(*search);
    return true;
}

void Kill(VectorSearch* base, const ItemPointerData& tid, const IndexPlace& place) {
    HnswVectorSearch* search = static_cast<HnswVectorSearch*>(base);
    HnswWalkKill(&search->walk, {tid, place.in_line, place.node, place.generation, place.epoch});
}

void Close(VectorSearch* base) {
    HnswVectorSearch* search = static_cast<HnswVectorSearch*>(base);
    HnswWalkEnd(&search->walk);
    pfree(search);
}

// The entry point speaks for all nodes: whether payloads are exact depends on the values.
SearchValues Values(Relation index) {
    HnswContext ctx;
    HnswOpen(&ctx, index, WriteMode::kLogged, CurrentMemoryContext);
    const HnswMetaData& meta = ctx.meta;
    const double element = ctx.desc->element == ElementKind::kFloat16 ? 2 : 4;
    // The dimensions of a value in words say nothing of its width; a few hundred bytes it may have.
    constexpr double kUsualWords = 500;
    SearchValues values = {ctx.form.words ? kUsualWords : element * ctx.form.dim, false,
                           HnswHasRows(meta) ? static_cast<double>(RowCodeSize(ctx.form.dim)) : 0};
    if (!ctx.form.may_be_exact || meta.entry == kInvalidId) return values;
    void* payload = palloc(ctx.form.payload_size);
    ProbedSlot probed;
    const int generation = static_cast<int>(meta.entry_generation & 0xFF);
    values.known = HnswProbe(&ctx, meta.entry, KindOfLevel(meta.entry_level), generation, &probed, payload) &&
                   HnswIsExact(payload);
    if (values.known && ctx.form.words) values.width = static_cast<double>(HnswPayloadBytes(ctx.form, payload));
    pfree(payload);
    return values;
}

constexpr VectorSearchMethods kMethods = {
    &hnsw_cost_estimate, &Open,   &Start,          &Next,          &Value,          &Upcoming, &Kill, &Close,
    &HnswSearchCost,     &Values, &HnswOpenBounds, &HnswBoundRows, &HnswCloseBounds};

}  // namespace

void HnswRegisterSearch() {
    RegisterVectorSearch(&kMethods);
}

}  // namespace vecann

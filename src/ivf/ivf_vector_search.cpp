// The custom scan's way into an ivf index: a walk, handed out row by row. See planner/vector_search.h.
#include "ivf/ivf_am.h"
#include "ivf/ivf_walk.h"

namespace vecann {

namespace {

struct IvfVectorSearch : VectorSearch {
    IvfWalk walk;
    float* numbers;
    Datum value;     // of the last candidate, or null
    Datum restored;  // memory for it
};
static_assert(std::is_trivially_destructible_v<IvfVectorSearch>);

VectorSearch* Open(Relation index) {
    IvfVectorSearch* search = PallocZeroed<IvfVectorSearch>();
    search->index = index;
    IvfWalkInit(&search->walk);
    return search;
}

void KeepState(IvfVectorSearch* search) {
    search->counts = search->walk.ctx.counts;
    search->gave_up = search->walk.gave_up;
}

void Start(VectorSearch* base, const SearchQuery& query) {
    IvfVectorSearch* search = static_cast<IvfVectorSearch*>(base);
    IvfWalkReset(&search->walk, search->index);
    search->numbers = nullptr;
    search->value = search->restored = 0;
    search->max_rows = -1;
    MemoryContext old = MemoryContextSwitchTo(search->walk.memory);
    IvfWalkStart(&search->walk, query);
    MemoryContextSwitchTo(old);
    search->in_order = false;
    search->one_beam = !search->walk.settings.iterative;
    KeepState(search);
}

// Makes the value of the row that the walk took last, when the index has it to the last bit.
void RestoreValue(IvfVectorSearch* search) {
    const IvfContext& ctx = search->walk.ctx;
    search->value = 0;
    // A certain distance, without error, is that of the value's own numbers.
    if (!search->walk.ordered || ctx.desc->unit_norm || search->walk.last.hit.error != 0) return;
    const char* payload = IvfWalkPayload(&search->walk);
    if (payload == nullptr) return;
    if (ctx.desc->words != nullptr) {
        if (search->restored != 0) pfree(DatumGetPointer(search->restored));
        search->value = search->restored =
            ctx.desc->words->restore(*reinterpret_cast<const WordsHeadData*>(payload), ctx.meta.dim);
        return;
    }
    if (search->numbers == nullptr) search->numbers = PallocArray<float>(static_cast<size_t>(ctx.meta.dim));
    DecodePayload(PayloadOf(ctx.meta), payload, ctx.meta.dim, search->numbers);
    search->value = search->restored = ctx.desc->restore(search->numbers, ctx.meta.dim, search->restored);
}

bool Next(VectorSearch* base, SearchCandidate* candidate) {
    IvfVectorSearch* search = static_cast<IvfVectorSearch*>(base);
    IvfWalk* walk = &search->walk;
    MemoryContext old = MemoryContextSwitchTo(walk->memory);
    const bool more = IvfWalkNext(walk);
    if (more) RestoreValue(search);
    MemoryContextSwitchTo(old);
    KeepState(search);
    if (!more) return false;
    const double nearest = walk->ordered ? walk->last.bounds.lower : get_float8_infinity();
    *candidate = {walk->last.hit.tid, nearest, walk->settled, false, search->value != 0, false};
    return true;
}

Datum Value(VectorSearch* base) {
    return static_cast<IvfVectorSearch*>(base)->value;
}

// Entries have no flag for rows that are dead: vacuum takes them out.
void Kill(VectorSearch*) {}

void Close(VectorSearch* base) {
    IvfVectorSearch* search = static_cast<IvfVectorSearch*>(base);
    IvfWalkEnd(&search->walk);
    pfree(search);
}

// Of an index that cannot be read.
constexpr int kUsualWidth = 1000;

SearchValues Values(Relation index) {
    IvfMetaData meta;
    // A broken index must not keep other plans from being made.
    if (!IvfPeekMeta(index, &meta)) return {static_cast<double>(kUsualWidth), false};
    const bool plain =
        meta.quantizer == static_cast<uint8>(Quantizer::kNone) && meta.metric != static_cast<uint8>(Metric::kCosine);
    if (HasWords(meta)) return {static_cast<double>(meta.dim) / BITS_PER_BYTE, plain};
    return {static_cast<double>(meta.element == static_cast<uint8>(ElementKind::kFloat16) ? 2 : 4) * meta.dim, plain};
}

constexpr VectorSearchMethods kFlatMethods = {
    &ivfflat_cost_estimate, &Open, &Start, &Next, &Value, nullptr, &Kill, &Close, &IvfSearchCost, &Values};
constexpr VectorSearchMethods kCompactMethods = {
    &ivfpq_cost_estimate, &Open, &Start, &Next, &Value, nullptr, &Kill, &Close, &IvfSearchCost, &Values};

}  // namespace

void IvfRegisterSearch() {
    RegisterVectorSearch(&kFlatMethods);
    RegisterVectorSearch(&kCompactMethods);
}

}  // namespace vecann

// The custom scan's way into an ivf index: a walk, handed out row by row. See planner/vector_search.h.
#include "ivf/ivf_am.h"
#include "ivf/ivf_walk.h"

namespace vecann {

namespace {

struct IvfVectorSearch : VectorSearch {
    IvfWalk walk;
};
static_assert(std::is_trivially_destructible_v<IvfVectorSearch>);

// Lists without a row of the range that is asked for, after which the search for it ends.
constexpr double kListsBeyond = 4;

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
    search->max_rows = -1;
    MemoryContext old = MemoryContextSwitchTo(search->walk.memory);
    IvfWalkStart(&search->walk, query);
    MemoryContextSwitchTo(old);
    search->in_order = false;
    // Few lists say little of where the range ends: as many again, and so many at least.
    const IvfMetaData& meta = search->walk.ctx.meta;
    search->beyond =
        static_cast<uint64>(kListsBeyond * Max(meta.built_rows, 1.0) / Max<double>(meta.open_lists(), 1.0)) + 1;
    search->one_beam = !search->walk.settings.iterative;
    KeepState(search);
}

bool Next(VectorSearch* base, SearchCandidate* candidate) {
    IvfVectorSearch* search = static_cast<IvfVectorSearch*>(base);
    IvfWalk* walk = &search->walk;
    MemoryContext old = MemoryContextSwitchTo(walk->memory);
    const bool more = IvfWalkNext(walk);
    MemoryContextSwitchTo(old);
    KeepState(search);
    if (!more) return false;
    const double nearest = walk->ordered ? walk->last.bounds.lower : get_float8_infinity();
    *candidate = {walk->last.hit.tid, nearest, walk->settled, false, walk->last.exact, false, {}};
    return true;
}

Datum Value(VectorSearch* base) {
    return IvfWalkValue(&static_cast<IvfVectorSearch*>(base)->walk);
}

// Entries have no flag for rows that are dead: vacuum takes them out.
void Kill(VectorSearch*, const ItemPointerData&, const IndexPlace&) {}

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
    if (!IvfPeekMeta(index, &meta)) return {static_cast<double>(kUsualWidth), false, 0};
    // Payloads beside codes are those of the build.
    const bool exact = meta.stored_exact != 0 || meta.quantizer == static_cast<uint8>(Quantizer::kNone);
    const bool plain = exact && meta.metric != static_cast<uint8>(Metric::kCosine);
    if (HasWords(meta)) return {static_cast<double>(meta.dim) / BITS_PER_BYTE, plain, 0};
    return {static_cast<double>(meta.element == static_cast<uint8>(ElementKind::kFloat16) ? 2 : 4) * meta.dim, plain,
            0};
}

constexpr VectorSearchMethods kFlatMethods = {
    &ivfflat_cost_estimate, &Open,   &Start,  &Next,   &Value, nullptr, &Kill, &Close,
    &IvfSearchCost,         &Values, nullptr, nullptr, nullptr};
constexpr VectorSearchMethods kCompactMethods = {
    &ivfpq_cost_estimate, &Open,   &Start,  &Next,   &Value, nullptr, &Kill, &Close,
    &IvfSearchCost,       &Values, nullptr, nullptr, nullptr};

}  // namespace

void IvfRegisterSearch() {
    RegisterVectorSearch(&kFlatMethods);
    RegisterVectorSearch(&kCompactMethods);
}

}  // namespace vecann

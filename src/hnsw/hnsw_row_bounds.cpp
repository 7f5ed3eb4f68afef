// Bounds of rows' distances by their codes, for the custom scan. Locks: one page at a time, share, for the time of
// scoring the codes wanted of it.
#include <algorithm>

#include "hnsw/hnsw_rows.h"
#include "pg/guc.h"
#include "pg/recent_buffers.h"

namespace vecann {

namespace {

// Codes scored in one call.
constexpr int kAtOnce = 32;

struct HnswRowBounds : RowBounds {
    HnswContext ctx;
    MemoryContext memory;
    IndexedVector query;
    RowCodeQuery code;
    float least;  // of a search distance
    RowMap map;
};
static_assert(std::is_trivially_destructible_v<HnswRowBounds>);

// A row of a call that has a place, and the page where that is.
struct PlacedRow {
    uint64 place;
    uint64 page;  // its number
    BlockNumber block;
    int row;
};

// Rows of one call, at most; more are taken in turn.
constexpr int kMostPlaced = 256;

// Finds the places of rows, and asks the processor for their codes; returns how many have one.
int FindPlaces(HnswRowBounds* b, const ItemPointerData* tids, int n, PlacedRow* placed) {
    const RowShape& shape = b->map.shape;
    int count = 0;
    for (int i = 0; i < n; ++i) {
        const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&tids[i]);
        if (!shape.Has(offset)) continue;
        const uint64 place = shape.PlaceOf(ItemPointerGetBlockNumberNoCheck(&tids[i]), offset);
        const uint64 page = shape.PageOf(place);
        const BlockNumber block = b->map.Find(page);
        if (block == 0) continue;
        placed[count++] = {place, page, block, i};
        PrefetchRecent(b->index, block, shape.OffsetOf(place), shape.code_size);
    }
    return count;
}

void Score(const HnswRowBounds& b, const char* const* codes, const PlacedRow* rows, int n, RowBound* out) {
    RowDistance distances[kAtOnce];
    RowCodeDistances(b.code, codes, n, distances);
    for (int i = 0; i < n; ++i) {
        const RowDistance& d = distances[i];
        const double nearest = HnswBounds(b.ctx.form, b.query, d.distance, {d.error, d.norm, false}).lower;
        const double likely = b.ctx.form.desc->order_value(Max(d.likely, b.least));
        out[rows[i].row] = {nearest, likely > nearest ? likely : nearest};
    }
}

// Scores the rows placed[0 .. n), which are all on one page.
void ScorePage(HnswRowBounds* b, const PlacedRow* placed, int n, RowBound* out) {
    const RowShape& shape = b->map.shape;
    LockedPage page(b->index, placed[0].block, BUFFER_LOCK_SHARE);
    ++b->pages;
    CheckOldSnapshot(b->ctx.snapshot, b->index, page.page());
    const uint32 number = static_cast<uint32>(placed[0].page);
    if (!HnswIsRowPage(b->ctx, page, PageKind::kRowCode, shape.generation, number)) return;
    b->codes += static_cast<uint64>(n);
    const char* codes[kAtOnce];
    for (int done = 0; done < n; done += kAtOnce) {
        const int some = Min(n - done, kAtOnce);
        for (int i = 0; i < some; ++i)
            codes[i] = static_cast<const char*>(page.page()) + shape.OffsetOf(placed[done + i].place);
        Score(*b, codes, placed + done, some, out);
    }
}

void BoundSome(HnswRowBounds* b, const ItemPointerData* tids, int n, RowBound* out) {
    std::fill(out, out + n, RowBound{-get_float8_infinity(), -get_float8_infinity()});
    PlacedRow placed[kMostPlaced];
    const int count = FindPlaces(b, tids, n, placed);
    for (int begin = 0, end; begin < count; begin = end) {
        CHECK_FOR_INTERRUPTS();
        for (end = begin + 1; end < count && placed[end].page == placed[begin].page;)
            ++end;
        ScorePage(b, placed + begin, end - begin, out);
    }
}

}  // namespace

RowBounds* HnswOpenBounds(Relation index, Datum query) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw row bounds", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    HnswRowBounds* b = PallocZeroed<HnswRowBounds>();
    b->index = index;
    b->in_order = static_cast<IterativeScan>(Settings().hnsw_iterative_scan) == IterativeScan::kStrictOrder;
    b->memory = memory;
    HnswOpen(&b->ctx, index, WriteMode::kLogged, memory);
    if (ActiveSnapshotSet()) b->ctx.snapshot = GetActiveSnapshot();
    bool has = HnswHasRows(b->ctx.meta);
    if (has) {
        const int dim = b->ctx.form.dim;
        float* centre = b->ctx.arena.Allocate<float>(static_cast<size_t>(dim));
        b->query.Init(&b->ctx.arena, b->ctx.form);
        has = HnswReadRowCentre(b->ctx, centre) && HnswExtractQuery(b->ctx.form, query, &b->query) &&
              std::isfinite(b->query.norm);
        if (has) {
            b->code.Init(&b->ctx.arena, b->ctx.form.code_metric(), dim);
            b->code.Set(b->query.vector, centre);
            b->least = b->code.metric == Metric::kL2 ? 0 : -get_float4_infinity();
            b->map.Init(&b->ctx, RowShape::Of(b->ctx.meta));
        }
    }
    MemoryContextSwitchTo(old);
    if (has) return b;
    MemoryContextDelete(memory);
    return nullptr;
}

void HnswBoundRows(RowBounds* bounds, const ItemPointerData* tids, int n, RowBound* out) {
    HnswRowBounds* b = static_cast<HnswRowBounds*>(bounds);
    MemoryContext old = MemoryContextSwitchTo(b->memory);
    const uint64 map_pages = b->map.pages_read;
    for (int done = 0; done < n; done += kMostPlaced)
        BoundSome(b, tids + done, Min(n - done, kMostPlaced), out + done);
    b->pages += b->map.pages_read - map_pages;
    MemoryContextSwitchTo(old);
}

void HnswCloseBounds(RowBounds* bounds) {
    MemoryContextDelete(static_cast<HnswRowBounds*>(bounds)->memory);
}

}  // namespace vecann

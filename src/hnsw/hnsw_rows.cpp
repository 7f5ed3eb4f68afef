// Row codes: their pages, the way to them, reading and writing one. See hnsw_rows.h. Locks: one page at a time; a new
// page is linked under its parent's lock and its own, in the order of the blocks.
#include "hnsw/hnsw_rows.h"

#include "storage/page_patch.h"

namespace vecann {

namespace {

// A page with fewer codes than these is not worth reading for one of them (above 1,984 dimensions).
constexpr size_t kLeastPerPage = 8;

}  // namespace

RowShape RowShape::Of(const HnswMetaData& meta) {
    const size_t size = RowCodeSize(static_cast<int>(meta.dim));
    return {
        size,           static_cast<uint32>(kRowPageRoom / size), meta.row_stride, meta.row_generation, meta.row_root,
        meta.row_centre};
}

bool HnswSuitsRows(const HnswMetaData& meta) {
    return meta.code_bits > 0 && meta.part_count == 0 && meta.dim * sizeof(float) <= kRowPageRoom &&
           kRowPageRoom / RowCodeSize(static_cast<int>(meta.dim)) >= kLeastPerPage;
}

size_t HnswRowPageBytes(const HnswMetaData& meta, PageKind kind) {
    const RowShape shape = RowShape::Of(meta);
    switch (kind) {
        case PageKind::kRowCode:
            return sizeof(RowPageData) + shape.per_page * shape.code_size;
        case PageKind::kRowCentre:
            return sizeof(RowPageData) + meta.dim * sizeof(float);
        default:
            return sizeof(RowPageData) + kRowMapEntries * sizeof(BlockNumber);
    }
}

bool HnswIsRowPage(const HnswContext& ctx, const LockedPage& page, PageKind kind, uint32 generation, uint32 number) {
    if (PageIsNew(page.page()) || !page.Is(kind)) return false;
    const RowPageData& head = *RowPageOf(page.page());
    // A page that has been formatted and not linked has no contents yet.
    const size_t end = kPageContents + HnswRowPageBytes(ctx.meta, kind);
    return reinterpret_cast<PageHeader>(page.page())->pd_lower >= end && head.generation == generation &&
           head.number == number;
}

void RowMap::Init(const HnswContext* context, const RowShape& shape_of_codes) {
    ctx = context;
    shape = shape_of_codes;
    pages_read = 0;
    at = kRowMapRoot;
    block = 0;
    root = nullptr;
    lost = false;
    entry = PallocArray<BlockNumber>(kRowMapEntries);
}

void RowMap::Forget() {
    if (root != nullptr) pfree(root);
    root = nullptr;
    at = kRowMapRoot;
}

bool RowMap::Read(BlockNumber from, uint32 number, BlockNumber* entries) {
    LockedPage page(ctx->index, from, BUFFER_LOCK_SHARE);
    ++pages_read;
    if (!HnswIsRowPage(*ctx, page, PageKind::kRowMap, shape.generation, number)) return false;
    memcpy(entries, RowMapOf(page.page()), kRowMapEntries * sizeof(BlockNumber));
    return true;
}

BlockNumber RowMap::FindMap(uint64 number) {
    if (number >= kMostRowPages || shape.root == 0) return 0;
    const uint32 wanted = static_cast<uint32>(number / kRowMapEntries);
    if (at == wanted) return block;
    if (root == nullptr) {
        BlockNumber* entries = PallocArray<BlockNumber>(kRowMapEntries);
        lost = !Read(shape.root, kRowMapRoot, entries);
        if (lost) memset(entries, 0, kRowMapEntries * sizeof(BlockNumber));
        root = entries;
    }
    at = kRowMapRoot;
    if (root[wanted] == 0) return 0;
    lost = !Read(root[wanted], wanted, entry);
    if (lost) return 0;
    at = wanted;
    return block = root[wanted];
}

BlockNumber RowMap::Find(uint64 number) {
    return FindMap(number) == 0 ? 0 : entry[number % kRowMapEntries];
}

bool HnswReadRowCentre(const HnswContext& ctx, float* centre) {
    if (!HnswHasRows(ctx.meta)) return false;
    LockedPage page(ctx.index, ctx.meta.row_centre, BUFFER_LOCK_SHARE);
    if (!HnswIsRowPage(ctx, page, PageKind::kRowCentre, ctx.meta.row_generation, 0)) return false;
    memcpy(centre, RowCentreOf(page.page()), ctx.meta.dim * sizeof(float));
    return true;
}

bool HnswReadRowCode(RowMap* map, const ItemPointerData& tid, char* code) {
    const RowShape& shape = map->shape;
    const OffsetNumber offset = ItemPointerGetOffsetNumber(&tid);
    if (!shape.Has(offset)) return false;
    const uint64 place = shape.PlaceOf(ItemPointerGetBlockNumber(&tid), offset), number = shape.PageOf(place);
    const BlockNumber block = map->Find(number);
    if (block == 0) return false;
    LockedPage page(map->ctx->index, block, BUFFER_LOCK_SHARE);
    if (!HnswIsRowPage(*map->ctx, page, PageKind::kRowCode, shape.generation, static_cast<uint32>(number)))
        return false;
    memcpy(code, static_cast<char*>(page.page()) + shape.OffsetOf(place), shape.code_size);
    return HasRowCode(code);
}

NewRowCode HnswMakeRowCode(HnswContext* ctx, const IndexedVector& value) {
    NewRowCode row = {RowShape::Of(ctx->meta), nullptr};
    if (!HnswHasRows(ctx->meta)) return row;
    const int dim = ctx->form.dim;
    float* centre = ctx->arena.Allocate<float>(static_cast<size_t>(dim));
    if (!HnswReadRowCentre(*ctx, centre)) return row;
    char* code = ctx->arena.Allocate<char>(row.shape.code_size);
    EncodeRowCode(value.vector, centre, dim, 0, code, ctx->form.scratch);
    row.code = code;
    return row;
}

namespace {

// A page of the index that is formatted and that nobody leads to. A crash leaves it so until codes are planted again.
BlockNumber AddRowPage(const HnswContext& ctx, PageKind kind) {
    LockedPage page(ctx.index, ExtendRelationLocked(ctx.index, MAIN_FORKNUM));
    HnswCheckIdRange(ctx.index, page.block(), ctx.meta.slots);
    PageTxn txn(ctx.index, ctx.mode);
    InitPage(txn.RegisterNew(page.buffer()), kind, 0);
    txn.Commit();
    return page.block();
}

// An entry of a map page, or of the root, and the page that it is to lead to.
struct RowLink {
    BlockNumber parent;
    uint32 parent_number;
    uint32 entry;
    PageKind kind;
    uint32 number;
};

// Links a new page where there is none yet. When another has done so meanwhile, or the map is another planting's by
// now, the page is left to the next planting.
void LinkRowPage(const HnswContext& ctx, uint32 generation, const RowLink& link) {
    const BlockNumber child = AddRowPage(ctx, link.kind);
    LockedPair pair(ctx.index, link.parent, child);
    if (!HnswIsRowPage(ctx, pair.a(), PageKind::kRowMap, generation, link.parent_number)) return;
    BlockNumber* at = RowMapOf(pair.a().page()) + link.entry;
    const Page page = pair.b().page();
    // A planting may have taken the new page for an old one.
    if (*at != 0 || !pair.b().Is(link.kind) || reinterpret_cast<PageHeader>(page)->pd_lower != kPageContents) return;
    PagePatch patch(ctx.index, ctx.mode);
    *patch.Edit(pair.a().buffer(), at) = child;
    *patch.Edit(pair.b().buffer(), RowPageOf(page)) = {generation, link.number};
    *patch.Edit(pair.b().buffer(), &reinterpret_cast<PageHeader>(page)->pd_lower) =
        static_cast<LocationIndex>(kPageContents + HnswRowPageBytes(ctx.meta, link.kind));
    patch.Commit();
}

// Writes a code into its page, unless that belongs to another planting by now.
void WriteRowCode(const HnswContext& ctx, BlockNumber block, uint64 place, const NewRowCode& row) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
    const uint32 number = static_cast<uint32>(row.shape.PageOf(place));
    if (!HnswIsRowPage(ctx, page, PageKind::kRowCode, row.shape.generation, number)) return;
    PagePatch patch(ctx.index, ctx.mode);
    patch.Put(page.buffer(), static_cast<char*>(page.page()) + row.shape.OffsetOf(place), row.code,
              row.shape.code_size);
    patch.Commit();
}

}  // namespace

void HnswPutRowCode(const HnswContext& ctx, const ItemPointerData& tid, const NewRowCode& row) {
    const OffsetNumber offset = ItemPointerGetOffsetNumber(&tid);
    const RowShape& shape = row.shape;
    // A row without a place has never had a code.
    if (row.code == nullptr || !shape.Has(offset)) return;
    const uint64 place = shape.PlaceOf(ItemPointerGetBlockNumber(&tid), offset), number = shape.PageOf(place);
    if (number >= kMostRowPages) return;
    const uint32 map_number = static_cast<uint32>(number / kRowMapEntries);
    const uint32 entry = static_cast<uint32>(number % kRowMapEntries);
    RowMap map;
    map.Init(&ctx, shape);
    // The map's page, then the page of codes, may have to be added; another may add them first.
    constexpr int kMostSteps = 3;
    for (int step = 0; step < kMostSteps; ++step) {
        CHECK_FOR_INTERRUPTS();
        map.Forget();
        const BlockNumber parent = map.FindMap(number), block = parent == 0 ? 0 : map.Find(number);
        if (block != 0) {
            WriteRowCode(ctx, block, place, row);
            return;
        }
        if (map.lost) return;
        if (parent == 0)
            LinkRowPage(ctx, shape.generation, {shape.root, kRowMapRoot, map_number, PageKind::kRowMap, map_number});
        else
            LinkRowPage(ctx, shape.generation,
                        {parent, map_number, entry, PageKind::kRowCode, static_cast<uint32>(number)});
    }
}

}  // namespace vecann

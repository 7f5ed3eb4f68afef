// Planting row codes: a look at all rows of the index, the middle of some of their vectors, then the codes, as many
// pages of them at a time as memory holds, the map, and last the meta page. Locks: one page at a time, share to copy a
// node page, exclusive to write.
#include <algorithm>

#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_tids.h"
#include "pg/temp_file.h"

namespace vecann {

namespace {

// The rows of a small table are read in a moment.
constexpr uint64 kLeastRows = 256;

// Places to a row, at most: a partial index of few rows would keep mostly empty pages.
constexpr uint64 kMostPlaces = 4;

// Each block of the table has places up to the largest offset; but where that is more than so many times what this
// share of the rows needs, the others have none: a few pages full of short rows would make every block's share as
// large.
constexpr double kPlacedShare = 0.98;
constexpr double kMostForAll = 1.25;

// The centre is the mean of so many vectors, evenly spread.
constexpr uint64 kCentreSample = 2000;

// Codes are planted anew when fewer of the rows looked at have one, on so many pages of nodes, evenly spread.
constexpr double kCoveredShare = 7.0 / 8;
constexpr BlockNumber kPagesLookedAt = 32;

// and when the index has grown by this share since.
constexpr uint64 kGrownShare = 8;

// Codes of rows at hand that are written at once.
constexpr uint64 kBytesAtHand = 4 * 1024 * 1024;

// Temporary files at most; each has a buffer.
constexpr uint64 kMostSpills = 256;

struct RowPlanter {
    HnswContext* ctx;
    Arena arena;
    RowShape shape;
    BlockNumber blocks;  // of the index
    PGAlignedBlock copy;
    ArenaVec<NodeRow> rows;           // of the node at hand
    ArenaVec<BlockNumber> old_pages;  // of plantings before
    size_t old_used;
    float* centre;
    float* vector;              // of the node at hand
    float* scratch;             // 2 x dim floats
    char* code;                 // of the node at hand
    char* codes;                // of the pages under way, per_page * code_size bytes each
    bool* has_any;              // of these pages
    uint64 first, count;        // of these
    uint64 at_once;             // so many at most
    TempFile* spills;           // place and code of each row, by at_once pages; null: all pages are under way
    uint64* spilled;            // rows of each
    const RowsAtHand* at_hand;  // null: rows are those of the node pages
    PlacedNode* placed;         // of these, by place
    uint64 placed_count;
};

struct RowCensus {
    uint64 rows;
    uint64 nodes;
    BlockNumber blocks;  // of the table, as far as rows tell
    uint64 with_offset[MaxHeapTuplesPerPage + 1];
};

// Calls visit(slot, rows) for every live node of a page, without a lock; the rows are those of its chain too.
template <class Visit>
void ForNodes(RowPlanter* p, BlockNumber block, Visit visit) {
    const HnswContext& ctx = *p->ctx;
    vacuum_delay_point();
    {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        if (PageIsNew(page.page()) || !page.Is(PageKind::kNode)) return;
        for (int i = 0; i < ctx.meta.slots; ++i)
            HnswCheckedSlot(ctx.meta, ctx.index, page, PageKind::kNode, IdOf(ctx.meta, block, i));
        memcpy(p->copy.data, page.page(), BLCKSZ);
    }
    for (int i = 0; i < ctx.meta.slots; ++i) {
        const SlotView slot = SlotAt(ctx.meta, p->copy.data, i);
        if (slot.state() != SlotState::kLive) continue;
        p->rows.Clear();
        if (slot.header->tid_chain == kInvalidId) {
            for (int t = 0; t < slot.header->tid_count; ++t)
                p->rows.Push({slot.tids[t].tid, true});
        } else {
            uint32 epoch;
            HnswReadRows(ctx, IdOf(ctx.meta, block, i), slot.header->generation, false, &p->rows, &epoch);
        }
        visit(slot);
    }
}

void CountRow(const ItemPointerData& tid, RowCensus* census) {
    const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&tid);
    if (offset > MaxHeapTuplesPerPage) return;
    ++census->rows;
    ++census->with_offset[offset];
    census->blocks = Max(census->blocks, ItemPointerGetBlockNumberNoCheck(&tid) + 1);
}

void CountSegments(Page page, RowCensus* census) {
    for (int i = 0; i < kSegmentsPerPage; ++i) {
        const TidSegmentData& segment = *SegmentAt(page, i);
        if (segment.in_use == 0) continue;
        for (int t = 0; t < Min<int>(segment.count, kSegmentTids); ++t)
            CountRow(segment.tids[t].tid, census);
    }
}

// A look at all rows: which offsets they have, and how far the table goes. Notes the pages of earlier plantings.
void CountRows(RowPlanter* p, RowCensus* census) {
    const HnswContext& ctx = *p->ctx;
    memset(static_cast<void*>(census), 0, sizeof(*census));
    if (p->at_hand != nullptr) {
        census->nodes = p->at_hand->nodes;
        for (uint64 i = 0; i < p->at_hand->count; ++i) {
            if (i % kRowsBetweenLooks == 0) CHECK_FOR_INTERRUPTS();
            CountRow(p->at_hand->rows[i].tid, census);
        }
        return;
    }
    for (BlockNumber block = kMetaBlock + 1; block < p->blocks; ++block) {
        vacuum_delay_point();
        p->old_pages.Reserve(p->old_pages.size + 1);  // no allocation under the lock
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
        if (PageIsNew(page.page())) continue;
        if (page.Is(PageKind::kNode)) {
            HnswForSlots(ctx, page, [&](uint32, const SlotView& slot) {
                if (slot.state() != SlotState::kLive) return;
                ++census->nodes;
                for (int t = 0; t < slot.header->tid_count; ++t)
                    CountRow(slot.tids[t].tid, census);
            });
        } else if (page.Is(PageKind::kTid)) {
            CountSegments(page.page(), census);
        } else if (HnswIsAnyRowPage(page)) {
            p->old_pages.Push(block);
        }
    }
}

uint32 ChooseStride(const RowCensus& census) {
    const double wanted = kPlacedShare * static_cast<double>(census.rows);
    uint64 below = 0;
    uint32 stride = 0;
    while (stride < MaxHeapTuplesPerPage && static_cast<double>(below) < wanted)
        below += census.with_offset[++stride];
    uint32 largest = MaxHeapTuplesPerPage;
    while (largest > stride && census.with_offset[largest] == 0)
        --largest;
    return static_cast<double>(largest) <= kMostForAll * static_cast<double>(stride) ? largest : stride;
}

// The vector of a payload.
void DecodeNode(RowPlanter* p, const SlotView& slot) {
    const HnswContext& ctx = *p->ctx;
    DecodeValue(ctx.form.rule(), slot.payload, p->vector, p->scratch);
}

// The middle of vectors.
struct VectorMean {
    double* sum;
    size_t dim;
    uint64 taken;

    void Add(const float* vector) {
        if (!std::isfinite(NormOf(vector, static_cast<int>(dim)))) return;
        ++taken;
        for (size_t i = 0; i < dim; ++i)
            sum[i] += static_cast<double>(vector[i]);
    }
};

// Looks at pages that hold as many nodes as the sample has, evenly spread; or at the vectors themselves.
void SetCentre(RowPlanter* p, uint64 nodes) {
    const size_t dim = static_cast<size_t>(p->ctx->form.dim);
    const uint64 step = Max<uint64>(nodes / kCentreSample, 1);
    VectorMean mean = {p->arena.Allocate<double>(dim), dim, 0};
    std::fill(mean.sum, mean.sum + dim, 0.0);
    if (p->at_hand != nullptr) {
        for (uint64 i = 0; i < nodes; i += step)
            mean.Add(p->at_hand->vectors + i * dim);
    } else {
        for (uint64 block = kMetaBlock + 1; block < p->blocks; block += step) {
            ForNodes(p, static_cast<BlockNumber>(block), [&](const SlotView& slot) {
                DecodeNode(p, slot);
                mean.Add(p->vector);
            });
        }
    }
    for (size_t i = 0; i < dim; ++i)
        p->centre[i] = static_cast<float>(mean.sum[i] / static_cast<double>(Max<uint64>(mean.taken, 1)));
    p->arena.Release(mean.sum, dim);
}

// Sorts the rows at hand by place; those without one are left out.
void PlaceRowsAtHand(RowPlanter* p) {
    const RowsAtHand& at_hand = *p->at_hand;
    p->placed = p->arena.Allocate<PlacedNode>(at_hand.count);
    for (uint64 i = 0; i < at_hand.count; ++i) {
        if (i % kRowsBetweenLooks == 0) CHECK_FOR_INTERRUPTS();
        const RowsAtHand::Row& row = at_hand.rows[i];
        const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&row.tid);
        if (!p->shape.Has(offset)) continue;
        const uint64 place = p->shape.PlaceOf(ItemPointerGetBlockNumberNoCheck(&row.tid), offset);
        p->placed[p->placed_count++] = {place, row.node};
    }
    const auto before = [](const PlacedNode& a, const PlacedNode& b) { return a.place < b.place; };
    // Those of a build mostly come in the order of the table.
    if (!std::is_sorted(p->placed, p->placed + p->placed_count, before))
        std::sort(p->placed, p->placed + p->placed_count, before);
}

// Codes the rows at hand that have their places on the pages under way.
void CodeRowsAtHand(RowPlanter* p) {
    const uint64 begin = p->first * p->shape.per_page, end = (p->first + p->count) * p->shape.per_page;
    const auto before = [](const PlacedNode& a, uint64 place) { return a.place < place; };
    const PlacedNode* rows = std::lower_bound(p->placed, p->placed + p->placed_count, begin, before);
    const PlacedNode* rows_end =
        std::lower_bound(rows, static_cast<const PlacedNode*>(p->placed) + p->placed_count, end, before);
    for (const PlacedNode* row = rows; row < rows_end; ++row)
        p->has_any[(row->place - begin) / p->shape.per_page] = true;
    RowEncodeTask task = {
        p->at_hand->vectors, p->at_hand->errors, p->centre, p->ctx->form.dim, rows, rows_end - rows, begin, p->codes};
    RunCompute(ComputeTask::kRowEncode, &task, p->at_hand->options);
}

// Begins with pages first .. first + count - 1.
void ClearPages(RowPlanter* p, uint64 first, uint64 count) {
    p->first = first;
    p->count = count;
    memset(p->codes, 0, count * p->shape.per_page * p->shape.code_size);
    memset(p->has_any, 0, count * sizeof(bool));
}

// Puts a code on its page, which is under way.
void PutCode(RowPlanter* p, uint64 place, const char* code) {
    const uint64 at = place - p->first * p->shape.per_page;
    memcpy(p->codes + at * p->shape.code_size, code, p->shape.code_size);
    p->has_any[at / p->shape.per_page] = true;
}

// The same, or keeps it until its page is.
void KeepCode(RowPlanter* p, uint64 place, const char* code) {
    if (p->spills == nullptr) {
        PutCode(p, place, code);
        return;
    }
    const uint64 spill = p->shape.PageOf(place) / p->at_once;
    p->spills[spill].Put(place);
    p->spills[spill].Write(code, p->shape.code_size);
    ++p->spilled[spill];
}

// Codes the rows of all nodes. The index grows meanwhile: what has no page is left out.
void CodeNodes(RowPlanter* p, uint64 pages) {
    const HnswContext& ctx = *p->ctx;
    for (BlockNumber block = kMetaBlock + 1; block < p->blocks; ++block) {
        ForNodes(p, block, [&](const SlotView& slot) {
            DecodeNode(p, slot);
            const float error = PayloadErrorOf(*ctx.desc, ctx.form.payload, ctx.form.dim, slot.payload).error;
            EncodeRowCode(p->vector, p->centre, ctx.form.dim,
                          HnswIsExact(slot.payload) ? 0 : static_cast<double>(error), p->code, p->scratch);
            for (const NodeRow& row : p->rows) {
                const OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&row.tid);
                if (!p->shape.Has(offset)) continue;
                const uint64 place = p->shape.PlaceOf(ItemPointerGetBlockNumberNoCheck(&row.tid), offset);
                if (p->shape.PageOf(place) < pages) KeepCode(p, place, p->code);
            }
        });
    }
}

void OpenSpills(RowPlanter* p, uint64 pages) {
    const uint64 count = (pages + p->at_once - 1) / p->at_once;
    p->spills = p->arena.Allocate<TempFile>(count);
    p->spilled = p->arena.Allocate<uint64>(count);
    for (uint64 i = 0; i < count; ++i) {
        p->spills[i].Create();
        p->spilled[i] = 0;
    }
}

void ReadSpill(RowPlanter* p, uint64 spill) {
    TempFile* file = &p->spills[spill];
    file->Rewind();
    for (uint64 i = 0; i < p->spilled[spill]; ++i) {
        if (i % kRowsBetweenLooks == 0) CHECK_FOR_INTERRUPTS();
        const uint64 place = file->Get<uint64>();
        file->Read(p->code, p->shape.code_size);
        PutCode(p, place, p->code);
    }
    file->Close();
}

// Writes a page of this planting, in place of an old one or as a new one.
BlockNumber WriteRowPage(RowPlanter* p, PageKind kind, uint32 number, const void* contents, size_t bytes) {
    const HnswContext& ctx = *p->ctx;
    vacuum_delay_point();
    Buffer buffer;
    if (p->old_used < p->old_pages.size) {
        buffer = ReadBuffer(ctx.index, p->old_pages[p->old_used++]);
        LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    } else {
        buffer = ExtendRelationLocked(ctx.index, MAIN_FORKNUM);
    }
    LockedPage page(ctx.index, buffer);
    HnswCheckIdRange(ctx.index, page.block(), ctx.meta.slots);
    PageTxn txn(ctx.index, ctx.mode);
    const Page edit = txn.RegisterNew(page.buffer());
    InitPage(edit, kind, HnswRowPageBytes(ctx.meta, kind));
    *RowPageOf(edit) = {p->shape.generation, number};
    memcpy(RowPageOf(edit) + 1, contents, bytes);
    txn.Commit();
    return page.block();
}

// As many pages as memory holds; rows at hand are all there, however little is coded at once.
uint64 PagesAtOnce(const RowPlanter& p, uint64 pages) {
    const uint64 most = static_cast<uint64>(maintenance_work_mem) * 1024 / 2;
    const uint64 memory = p.at_hand != nullptr ? Min(most, kBytesAtHand) : most;
    const uint64 fit = Max<uint64>(memory / (p.shape.per_page * p.shape.code_size), 1);
    return Min(p.at_hand != nullptr ? fit : Max(fit, pages / kMostSpills + 1), pages);
}

// Writes all codes; returns the blocks of their pages, 0 where there is no row.
BlockNumber* WriteCodes(RowPlanter* p, uint64 pages) {
    const size_t page_bytes = p->shape.per_page * p->shape.code_size;
    p->at_once = PagesAtOnce(*p, pages);
    BlockNumber* blocks = p->arena.Allocate<BlockNumber>(pages);
    p->codes = p->arena.Allocate<char>(p->at_once * page_bytes);
    p->has_any = p->arena.Allocate<bool>(p->at_once);
    if (p->at_hand == nullptr) {
        if (p->at_once < pages) OpenSpills(p, pages);
        ClearPages(p, 0, p->at_once);
        CodeNodes(p, pages);
    }
    for (uint64 first = 0; first < pages; first += p->at_once) {
        if (p->at_hand != nullptr || p->spills != nullptr) ClearPages(p, first, Min(p->at_once, pages - first));
        if (p->at_hand != nullptr) CodeRowsAtHand(p);
        if (p->spills != nullptr) ReadSpill(p, first / p->at_once);
        for (uint64 i = 0; i < p->count; ++i)
            blocks[first + i] = !p->has_any[i] ? 0
                                               : WriteRowPage(p, PageKind::kRowCode, static_cast<uint32>(first + i),
                                                              p->codes + i * page_bytes, page_bytes);
    }
    return blocks;
}

BlockNumber WriteMap(RowPlanter* p, const BlockNumber* blocks, uint64 pages) {
    BlockNumber* root = p->arena.Allocate<BlockNumber>(kRowMapEntries);
    BlockNumber* entries = p->arena.Allocate<BlockNumber>(kRowMapEntries);
    memset(root, 0, kRowMapEntries * sizeof(BlockNumber));
    constexpr size_t bytes = kRowMapEntries * sizeof(BlockNumber);
    for (uint64 first = 0; first < pages; first += kRowMapEntries) {
        memset(entries, 0, bytes);
        memcpy(entries, blocks + first, Min<uint64>(kRowMapEntries, pages - first) * sizeof(BlockNumber));
        const uint32 number = static_cast<uint32>(first / kRowMapEntries);
        root[number] = WriteRowPage(p, PageKind::kRowMap, number, entries, bytes);
    }
    return WriteRowPage(p, PageKind::kRowMap, kRowMapRoot, root, bytes);
}

// Tells readers and inserts which planting counts; `root` 0: none.
void SetRows(const HnswContext& ctx, const RowShape& shape, BlockNumber blocks) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PageTxn txn(ctx.index, ctx.mode);
    HnswMetaData* edit = HnswMetaOf(txn.Register(page.buffer()));
    edit->row_root = shape.root;
    edit->row_centre = shape.centre;
    edit->row_generation = shape.generation;
    edit->row_stride = shape.stride;
    edit->row_blocks = blocks;
    txn.Commit();
}

void Plant(RowPlanter* p) {
    HnswContext* ctx = p->ctx;
    p->blocks = RelationGetNumberOfBlocks(ctx->index);
    RowCensus* census = p->arena.Allocate<RowCensus>(1);
    CountRows(p, census);
    p->shape.stride = ChooseStride(*census);
    const uint64 places = static_cast<uint64>(census->blocks) * p->shape.stride;
    const uint64 pages = (places + p->shape.per_page - 1) / p->shape.per_page;
    if (census->rows < kLeastRows || places > kMostPlaces * census->rows || pages > kMostRowPages) return;
    SetCentre(p, census->nodes);
    if (p->at_hand != nullptr) PlaceRowsAtHand(p);
    const BlockNumber* blocks = WriteCodes(p, pages);
    p->shape.centre =
        WriteRowPage(p, PageKind::kRowCentre, 0, p->centre, static_cast<size_t>(ctx->form.dim) * sizeof(float));
    p->shape.root = WriteMap(p, blocks, pages);
}

void PlantFrom(HnswContext* ctx, const RowsAtHand* at_hand) {
    const bool wanted = HnswPlantsRows(*ctx);
    if (!wanted && !HnswHasRows(ctx->meta)) return;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw row codes", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    RowPlanter* p = PallocZeroed<RowPlanter>();
    p->ctx = ctx;
    p->at_hand = at_hand;
    p->arena = MakeArena(memory);
    p->rows.Init(&p->arena, kHnswInlineTids);
    p->old_pages.Init(&p->arena);
    const size_t dim = static_cast<size_t>(ctx->form.dim);
    p->vector = p->arena.Allocate<float>(dim);
    p->centre = p->arena.Allocate<float>(dim);
    p->scratch = p->arena.Allocate<float>(2 * dim);
    p->shape = RowShape::Of(ctx->meta);
    p->code = p->arena.Allocate<char>(p->shape.code_size);
    // Nobody follows the old map any more when its pages are written anew. After a crash on the way there are none.
    p->shape.root = p->shape.centre = 0;
    if (HnswHasRows(ctx->meta)) SetRows(*ctx, p->shape, 0);
    ++p->shape.generation;
    if (wanted) Plant(p);
    SetRows(*ctx, p->shape, wanted ? RelationGetNumberOfBlocks(ctx->index) : 0);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
}

}  // namespace

bool HnswPlantsRows(const HnswContext& ctx) {
    return HnswSuitsRows(ctx.meta) && HnswWantsRows(ctx.index);
}

void HnswPlantRows(HnswContext* ctx) {
    PlantFrom(ctx, nullptr);
}

void HnswPlantRowsAtHand(HnswContext* ctx, const RowsAtHand& at_hand) {
    PlantFrom(ctx, &at_hand);
}

namespace {

// What pages of nodes, evenly spread, tell of all rows.
struct RowSample {
    RowCensus census;
    uint64 coded;  // rows with a code
    uint64 pages;  // looked at
};

void LookAtSome(RowPlanter* p, RowSample* sample) {
    const HnswContext& ctx = *p->ctx;
    RowMap map;  // leads nowhere where there are no codes
    map.Init(&ctx, RowShape::Of(ctx.meta));
    const BlockNumber step = Max<BlockNumber>(p->blocks / kPagesLookedAt, 1);
    for (BlockNumber block = kMetaBlock + 1; block < p->blocks; block += Min(step, p->blocks - block)) {
        ++sample->pages;
        ForNodes(p, block, [&](const SlotView&) {
            for (const NodeRow& row : p->rows) {
                CountRow(row.tid, &sample->census);
                sample->coded += HnswReadRowCode(&map, row.tid, p->code) ? 1 : 0;
            }
        });
    }
}

// Would codes be planted, and have many rows none? Where a table has few rows on many pages nothing is planted, nor are
// all rows counted each time to find that out.
bool AreCodesDue(const RowPlanter& p, const RowSample& sample) {
    const RowCensus& census = sample.census;
    if (static_cast<double>(sample.coded) >= kCoveredShare * static_cast<double>(census.rows)) return false;
    const uint64 rows = census.rows * p.blocks / Max<uint64>(sample.pages, 1);
    const uint64 places = static_cast<uint64>(census.blocks) * ChooseStride(census);
    return rows >= kLeastRows && places <= kMostPlaces * rows;
}

}  // namespace

void HnswReplantRows(HnswContext* ctx) {
    const HnswMetaData& meta = ctx->meta;
    if (!HnswPlantsRows(*ctx)) {
        HnswPlantRows(ctx);  // takes away what there is
        return;
    }
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx->index);
    if (static_cast<uint64>(blocks) * meta.slots < kLeastRows) return;
    // Where there are none since the table was mostly empty, it may have filled up without new pages of the index.
    if (HnswHasRows(meta) && blocks - meta.row_blocks < meta.row_blocks / kGrownShare) return;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw row codes", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    RowPlanter* p = PallocZeroed<RowPlanter>();
    p->ctx = ctx;
    p->arena = MakeArena(memory);
    p->blocks = blocks;
    p->rows.Init(&p->arena, kHnswInlineTids);
    p->code = p->arena.Allocate<char>(RowCodeSize(ctx->form.dim));
    RowSample* sample = PallocZeroed<RowSample>();
    LookAtSome(p, sample);
    const bool due = AreCodesDue(*p, *sample);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    if (due) HnswPlantRows(ctx);
}

}  // namespace vecann

// The verifier: form of every page, chains, free lists, rows against the table. Locks: one page at a time, share, for a
// copy; pages are judged without it.
#include "ivf/ivf_verify.h"

#include "core/bit_set.h"
#include "ivf/ivf_codes.h"
#include "ivf/ivf_relearn.h"
#include "storage/verify_rows.h"

namespace vecann {

namespace {

struct IvfVerifier {
    Relation heap;
    VerifyReport* report;
    IvfContext ctx;
    Arena arena;
    BlockNumber blocks;
    uint32* generation;  // of list pages, by block
    uint16* kind;        // by block; 0: nothing that could be read
    BitSet on_chain;     // list pages
    BitSet bound;        // part pages
    BitSet listed;       // on a free list
    TidMap rows;         // every row of the index; its value is the block, its flags the slot
    IvfVector value;
    const float* codebook;
    char* entry;
    float* centroid;
    float* distances;  // to all centroids
    float* centroids;  // of all lists; null: they are too many to be kept
    BitSet closed;     // lists
    uint32 broken_centroids;
    MemoryContext memory;  // reset after each row
};

Page CopyPage(const IvfVerifier& v, BlockNumber block, PGAlignedBlock* copy) {
    LockedPage page(v.ctx.index, block, BUFFER_LOCK_SHARE, v.ctx.strategy);
    memcpy(copy->data, page.page(), BLCKSZ);
    return reinterpret_cast<Page>(copy->data);
}

// ---- every page ------------------------------------------------------------------

// The kind that a block must have by its place; kIvfList stands for list and part pages.
PageKind KindByPlace(const IvfMetaData& meta, BlockNumber block) {
    if (meta.structure > 0 && block < BehindFirstTapes(meta))
        return block == kMetaBlock + 1 ? PageKind::kIvfDirectory : PageKind::kIvfTape;
    return IvfKindByPlace(meta, block);
}

// A list page that vacuum has replaced, or has not finished, and has yet to take back.
bool IsOfAnother(const IvfVerifier& v, const ListView& view) {
    const uint32 owner = view.header->owner;
    return v.ctx.meta.strays != 0 && (view.header->structure != static_cast<uint16>(v.ctx.meta.structure) ||
                                      (owner != 0 && (owner > v.ctx.meta.lists || v.closed.Has(owner - 1))));
}

void CheckListPage(IvfVerifier* v, BlockNumber block, Page page) {
    const IvfMetaData& meta = v->ctx.meta;
    const ListView view = ListOf(meta, page);
    const ListPageData& header = *view.header;
    v->generation[block] = header.generation;
    if (header.owner == 0) return;
    if (header.owner > meta.lists) {
        BlockProblem(v->report, block, "belongs to list %u of %u", header.owner - 1, meta.lists);
        return;
    }
    int live = 0;
    for (int word = 0; word < LiveWords(meta); ++word)
        live += __builtin_popcount(view.live[word]);
    if (live != header.live) BlockProblem(v->report, block, "has %d rows and says %u", live, header.live);
    for (int slot = meta.slots; slot < LiveWords(meta) * 32; ++slot)
        if (view.IsLive(slot)) BlockProblem(v->report, block, "has a row in slot %d of %u", slot, meta.slots);
}

void CheckBlock(IvfVerifier* v, BlockNumber block, Page page) {
    const IvfMetaData& meta = v->ctx.meta;
    if (PageIsNew(page)) return;  // a crash after the relation was extended
    const PageHeader header = reinterpret_cast<PageHeader>(page);
    if (header->pd_special != BLCKSZ - MAXALIGN(sizeof(PageOpaqueData)) || OpaqueOf(page)->page_id != kPageId ||
        OpaqueOf(page)->format_version != kFormatVersion) {
        BlockProblem(v->report, block, "is not a vecann page of this version");
        return;
    }
    const PageKind kind = static_cast<PageKind>(OpaqueOf(page)->kind), expected = KindByPlace(meta, block);
    // Part pages of a structure that was replaced stay what they are, though this one may have no use for them.
    const bool part = expected == PageKind::kIvfList && kind == PageKind::kIvfPart &&
                      (PartPointers(meta) > 0 || meta.structure > 0 || meta.strays != 0);
    if (kind != expected && !part) {
        if (meta.strays != 0 && expected == PageKind::kIvfList &&
            (kind == PageKind::kIvfTape || kind == PageKind::kIvfDirectory || kind == PageKind::kIvfPart))
            return;
        BlockProblem(v->report, block, "has page kind %u", OpaqueOf(page)->kind);
        return;
    }
    v->kind[block] = OpaqueOf(page)->kind;
    const size_t contents = header->pd_lower - kPageContents;
    if (kind == PageKind::kIvfList && IsOfAnother(*v, ListOf(meta, page))) return;
    const bool fresh =
        (contents == 0 || contents == sizeof(ListPageData)) && (OpaqueOf(page)->flags & kPageListed) == 0;
    if (expected == PageKind::kIvfList && !fresh && contents != (part ? kPageRoom : meta.content_bytes))
        BlockProblem(v->report, block, "has its lower pointer at %u", header->pd_lower);
    if (kind == PageKind::kIvfList && !fresh) CheckListPage(v, block, page);
}

void CheckCentroid(void* arg, uint64 list, const float* numbers) {
    IvfVerifier* v = static_cast<IvfVerifier*>(arg);
    const size_t dim = v->ctx.meta.dim;
    bool sound = true;
    for (size_t i = 0; i < dim; ++i)
        sound &= v->closed.Has(list) ? std::isnan(numbers[i]) : std::isfinite(numbers[i]);
    v->broken_centroids += sound ? 0 : 1;
    if (v->centroids != nullptr) memcpy(v->centroids + list * dim, numbers, dim * sizeof(float));
}

void CheckBlocks(IvfVerifier* v) {
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        CheckBlock(v, block, CopyPage(*v, block, &copy));
    }
}

// ---- chains ----------------------------------------------------------------------

// Does a row of the page stand in its part `number`, as a whole or with a piece?
bool NeedsPart(const IvfMetaData& meta, const ListView& view, int number) {
    if (!HasStored(meta)) return view.header->live > 0;
    for (int slot = 0; slot < meta.slots; ++slot) {
        const int first = StoredPlaceOf(meta, slot).part;
        if (number >= first && number < first + meta.stored_each && view.IsLive(slot)) return true;
    }
    return false;
}

void TakeParts(IvfVerifier* v, BlockNumber block, const ListView& view) {
    PGAlignedBlock copy;
    const int parts = HasStored(v->ctx.meta) ? v->ctx.meta.stored_pages : v->ctx.meta.parts;
    for (int i = 0; i < parts; ++i) {
        const BlockNumber part = view.parts[i];
        if (part == 0 && !NeedsPart(v->ctx.meta, view, i)) continue;
        if (part >= v->blocks || v->kind[part] != static_cast<uint16>(PageKind::kIvfPart)) {
            BlockProblem(v->report, block, "its part %d is block %u, which is no part page", i, part);
            continue;
        }
        if (!v->bound.Add(part))
            BlockProblem(v->report, block, "its part %d, block %u, belongs to another page too", i, part);
        if (PartOf(CopyPage(*v, part, &copy))->head != block)
            BlockProblem(v->report, block, "its part %d, block %u, says that it belongs to another page", i, part);
    }
}

void TakeRows(IvfVerifier* v, BlockNumber block, const ListView& view) {
    const IvfMetaData& meta = v->ctx.meta;
    for (int slot = 0; slot < meta.slots; ++slot) {
        if (!view.IsLive(slot)) {
            ++v->report->free_slots;
            continue;
        }
        const BlockNumber row_block = ItemPointerGetBlockNumberNoCheck(&view.tids[slot]);
        const OffsetNumber row = ItemPointerGetOffsetNumberNoCheck(&view.tids[slot]);
        if (row == 0) {
            BlockProblem(v->report, block, "slot %d has no row", slot);
            continue;
        }
        ++v->report->heap_tids;
        bool fresh;
        TidMapEntry* entry = v->rows.Add(row_block, row, &fresh);
        if (!fresh) BlockProblem(v->report, block, "has row (%u,%u), which is in the index already", row_block, row);
        entry->value = block;
        entry->flags = static_cast<uint16>(slot);
    }
}

void CheckLink(IvfVerifier* v, uint32 list, const PageLink& link, BlockNumber from) {
    if (link.block >= v->blocks || v->kind[link.block] != static_cast<uint16>(PageKind::kIvfList))
        BlockProblem(v->report, from, "list %u leads to block %u, which is no list page", list, link.block);
    else if (v->generation[link.block] != link.generation)
        BlockProblem(v->report, from, "list %u leads to block %u of another generation", list, link.block);
}

// Walks one list. False where the chain breaks.
void WalkChain(IvfVerifier* v, uint32 list) {
    const ListEntryData entry = IvfReadEntry(v->ctx, list);
    BlockNumber from = DirectoryBlock(v->ctx.meta, list);
    if ((entry.alone == kListClosed) != v->closed.Has(list) ||
        (v->closed.Has(list) && entry.head.block != InvalidBlockNumber))
        BlockProblem(v->report, from, "list %u is closed and has pages", list);
    bool hint_met = entry.hint.block == InvalidBlockNumber;
    PGAlignedBlock copy;
    for (PageLink link = entry.head; link.block != InvalidBlockNumber;) {
        CHECK_FOR_INTERRUPTS();
        const int64 before = v->report->problem_count;
        CheckLink(v, list, link, from);
        if (v->report->problem_count > before) return;
        hint_met |= SameLink(link, entry.hint);
        if (!v->on_chain.Add(link.block)) {
            BlockProblem(v->report, from, "list %u leads to block %u a second time", list, link.block);
            return;
        }
        const ListView view = ListOf(v->ctx.meta, CopyPage(*v, link.block, &copy));
        if (view.header->owner != list + 1) {
            BlockProblem(v->report, link.block, "is in list %u and says %u", list, view.header->owner - 1);
            return;
        }
        if (view.header->structure != static_cast<uint16>(v->ctx.meta.structure)) {
            BlockProblem(v->report, link.block, "is of structure %u in a list of %u", view.header->structure,
                         v->ctx.meta.structure);
            return;
        }
        TakeParts(v, link.block, view);
        TakeRows(v, link.block, view);
        from = link.block;
        link = view.next();
    }
    if (!hint_met) BlockProblem(v->report, from, "the hint of list %u, block %u, is not in it", list, entry.hint.block);
}

void CheckOwners(IvfVerifier* v) {
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        if (v->kind[block] == static_cast<uint16>(PageKind::kIvfList) && !v->on_chain.Has(block)) {
            const Page page = CopyPage(*v, block, &copy);
            const ListView view = ListOf(v->ctx.meta, page);
            if (IsOfAnother(*v, view)) continue;
            if (view.header->owner != 0)
                BlockProblem(v->report, block, "says that it is in list %u, and is not", view.header->owner - 1);
            else
                TakeParts(v, block, view);
        }
    }
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        if (v->kind[block] != static_cast<uint16>(PageKind::kIvfPart) || v->bound.Has(block)) continue;
        const BlockNumber head = PartOf(CopyPage(*v, block, &copy))->head;
        if (head != 0 && v->ctx.meta.strays == 0)
            BlockProblem(v->report, block, "says that it belongs to block %u, and does not", head);
    }
}

void WalkFreeList(IvfVerifier* v, PageKind kind, BlockNumber head) {
    PGAlignedBlock copy;
    for (BlockNumber block = head; block != InvalidBlockNumber;) {
        CHECK_FOR_INTERRUPTS();
        if (block >= v->blocks || v->kind[block] != static_cast<uint16>(kind)) {
            VerifyProblem(v->report, "a free list leads to block %u, which is not a page of kind %u", block,
                          static_cast<unsigned>(kind));
            return;
        }
        if (!v->listed.Add(block)) {
            VerifyProblem(v->report, "a free list leads to block %u a second time", block);
            return;
        }
        const PageOpaqueData opaque = *OpaqueOf(CopyPage(*v, block, &copy));
        if ((opaque.flags & kPageListed) == 0) BlockProblem(v->report, block, "is on a free list but not flagged so");
        block = opaque.next;
    }
}

// ---- rows ------------------------------------------------------------------------

// Is the list that a row is in that of its nearest centroid, up to rounding?
bool NearEnough(const IvfVerifier& v, uint32 list) {
    float least = std::numeric_limits<float>::infinity(), largest = 0;
    // Rows of lists that stayed may be nearer to those that vacuum has made.
    if (v.ctx.meta.learnt_lists > 0) return true;
    for (uint32 i = 0; i < v.ctx.meta.lists; ++i) {
        least = Min(least, v.distances[i]);
        largest = Max(largest, v.distances[i]);
    }
    const double scale = v.value.norm * v.value.norm;
    // Where the squares overflow nothing is known. A build measures from the middle of a batch by matrix products:
    // their rounding goes by the largest numbers there are.
    if (!std::isfinite(largest) || !(scale < 1e30) || !(largest < 1e30F)) return true;
    return static_cast<double>(v.distances[list]) <=
           static_cast<double>(least) * (1 + 1e-3) + 1e-4 * scale + 1e-4 * static_cast<double>(largest) + 1e-30;
}

struct Measured {
    IvfVerifier* v;
    float (*l2)(const void* a, const void* b, size_t n);
};

void Measure(void* arg, uint64 record, const float* numbers) {
    const Measured* m = static_cast<Measured*>(arg);
    m->v->distances[record] = m->l2(m->v->value.vector, numbers, m->v->ctx.meta.dim);
}

void MeasureAll(IvfVerifier* v) {
    const IvfMetaData& meta = v->ctx.meta;
    if (meta.learnt_lists > 0) return;
    Measured measured = {v, Kernels().float32.l2_squared};
    if (v->centroids == nullptr) ForTapeRecords(v->ctx.index, CentroidTape(meta), meta.lists, Measure, &measured);
    for (uint32 list = 0; list < meta.lists && v->centroids != nullptr; ++list)
        Measure(&measured, list, v->centroids + static_cast<size_t>(list) * meta.dim);
}

// Is the payload beside a row's code what it would be now? `block` is the list page.
bool SameStored(IvfVerifier* v, BlockNumber block, const ListView& view, int slot) {
    const IvfMetaData& meta = v->ctx.meta;
    char* expected = PallocArray<char>(StoredBytes(meta));
    char* found = PallocArray<char>(StoredBytes(meta));
    IvfEncodeStored(v->ctx, v->value.plain, expected);
    const BlockNumber at = meta.stored_on_page > 0 ? view.parts[StoredPlaceOf(meta, slot).part] : block;
    return IvfReadStored(v->ctx, at, slot, view.tids[slot], found) && memcmp(expected, found, StoredBytes(meta)) == 0;
}

// Is a code as near to the row as the nearest one, up to rounding? A build rotates by matrix products, where a rotation
// is learnt, an insert row by row: codewords that are as near as each other may change places.
bool NearCode(const IvfVerifier& v, const char* found, const char* nearest) {
    const PqShape shape = IvfPqShape(v.ctx.meta);
    const size_t dim = v.ctx.meta.dim;
    float* decoded = PallocArray<float>(2 * dim);
    DecodePq(shape, v.codebook, reinterpret_cast<const uint8*>(found), decoded);
    DecodePq(shape, v.codebook, reinterpret_cast<const uint8*>(nearest), decoded + dim);
    const float scale = static_cast<float>(v.value.norm * v.value.norm);
    bool near = true;
    for (int s = 0; s < shape.m; ++s) {
        float errors[2] = {0, 0};
        for (int i = shape.first(s); i < shape.first(s) + shape.run(s); ++i)
            for (size_t c = 0; c < 2; ++c) {
                const float d = v.value.vector[i] - v.centroid[i] - decoded[c * dim + static_cast<size_t>(i)];
                errors[c] += d * d;
            }
        near &= errors[0] <= errors[1] * 1.001F + 1e-5F * scale;
    }
    return near;
}

// Is what the index has of a row what it would write for it now?
bool SameEntry(IvfVerifier* v, const ListView& view, int slot, uint32 list) {
    const IvfMetaData& meta = v->ctx.meta;
    if (HasPayload(meta)) {
        memcpy(v->entry, view.data + static_cast<size_t>(slot) * meta.entry_size, HeadBytes(meta));
        IvfReadParts(v->ctx, view.parts, v->entry);
        char* expected = PallocArray<char>(meta.entry_size);
        IvfEncodePayload(v->ctx, v->value, expected);
        return memcmp(expected, v->entry, meta.entry_size) == 0;
    }
    RowImage expected;
    ReadTapeRecord(v->ctx.index, CentroidTape(meta), list, v->centroid);
    IvfEncodeCode(v->ctx, v->codebook, v->value, v->centroid, &expected);
    const char* found = view.data + static_cast<size_t>(slot) * meta.entry_size;
    if (HasBlocks(meta)) {
        const char* block = view.data + static_cast<size_t>(slot / kBlockCodes) * BlockBytes(meta.m);
        UnpackLane(meta.m, reinterpret_cast<const uint8*>(block), slot % kBlockCodes,
                   reinterpret_cast<uint8*>(v->entry));
        found = v->entry;
    }
    if (memcmp(expected.entry, found, meta.entry_size) == 0) return true;
    return meta.matrix != 0 && NearCode(*v, found, expected.entry);
}

void CheckFound(IvfVerifier* v, const TidMapEntry& row) {
    const IvfMetaData& meta = v->ctx.meta;
    PGAlignedBlock copy;
    const ListView view = ListOf(meta, CopyPage(*v, row.value, &copy));
    const uint32 list = view.header->owner - 1;
    const int slot = row.flags & ~kRowInTable;
    MeasureAll(v);
    if (!NearEnough(*v, list))
        VerifyProblem(v->report, "row (%u,%u) is in list %u, which is not the nearest", row.block, row.offset, list);
    if (!SameEntry(v, view, slot, list))
        BlockProblem(v->report, row.value, "slot %d has row (%u,%u), which holds another vector", slot, row.block,
                     row.offset);
    if (HasStored(meta) && !SameStored(v, row.value, view, slot))
        BlockProblem(v->report, row.value, "slot %d has row (%u,%u), whose stored payload is another one", slot,
                     row.block, row.offset);
}

// One row that the snapshot sees, the partial index wants, and whose expressions are evaluated. `tid` is the root of
// its HOT chain.
void CheckRow(Relation, ItemPointer tid, Datum* values, bool* isnull, bool, void* arg) {
    IvfVerifier* v = static_cast<IvfVerifier*>(arg);
    if (isnull[0]) return;
    MemoryContext old = MemoryContextSwitchTo(v->memory);
    if (IvfExtract(v->ctx, values[0], &v->value)) {
        const BlockNumber block = ItemPointerGetBlockNumber(tid);
        const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
        const TidMapEntry* row = v->rows.Find(block, offset);
        if (row == nullptr)
            VerifyProblem(v->report, "row (%u,%u) is visible but not in the index", block, offset);
        else
            CheckFound(v, *row);
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(v->memory);
}

// ---- the whole -------------------------------------------------------------------

void InitVerifier(IvfVerifier* v) {
    const IvfMetaData& meta = v->ctx.meta;
    v->generation = v->arena.Allocate<uint32>(v->blocks);
    v->kind = v->arena.Allocate<uint16>(v->blocks);
    memset(v->generation, 0, v->blocks * sizeof(uint32));
    memset(v->kind, 0, v->blocks * sizeof(uint16));
    v->on_chain.Init(&v->arena, v->blocks);
    v->bound.Init(&v->arena, v->blocks);
    v->listed.Init(&v->arena, v->blocks);
    v->rows.Init(&v->arena, static_cast<size_t>(Max(meta.built_rows, 0.0)));
    IvfInitVector(v->ctx, &v->value);
    v->codebook = IvfReadCodebook(v->ctx);
    v->entry = v->arena.Allocate<char>(meta.entry_size);
    v->centroid = v->arena.Allocate<float>(meta.dim);
    v->distances = v->arena.Allocate<float>(meta.lists);
    const size_t numbers = static_cast<size_t>(meta.lists) * meta.dim;
    if (numbers * sizeof(float) <= static_cast<size_t>(maintenance_work_mem) * 1024)
        v->centroids = v->arena.Allocate<float>(numbers);
    v->memory = AllocSetContextCreate(CurrentMemoryContext, "ivf verify row", ALLOCSET_DEFAULT_SIZES);
}

// False when the rest of the index cannot be understood.
bool CheckMeta(IvfVerifier* v) {
    const IvfMetaData& meta = v->ctx.meta;
    const BlockNumber directory = (meta.lists + kEntriesPerPage - 1) / kEntriesPerPage;
    if ((meta.structure == 0 && meta.learnt_lists == 0 && meta.directory != kMetaBlock + 1) ||
        meta.directory == kMetaBlock || meta.centroids != meta.directory + directory)
        VerifyProblem(v->report, "block 0: the directory or the centroids are not where they belong");
    if (meta.dim != IndexDimensions(v->ctx.index))
        VerifyProblem(v->report, "block 0: has %u dimensions, the column has %d", meta.dim,
                      IndexDimensions(v->ctx.index));
    if (meta.element != static_cast<uint8>(v->ctx.desc->element) ||
        meta.metric != static_cast<uint8>(v->ctx.desc->metric))
        VerifyProblem(v->report, "block 0: is of another operator class");
    if (IvfBehindTapes(meta) > v->blocks) VerifyProblem(v->report, "block 0: the centroids go on behind the end");
    return v->report->problem_count == 0;
}

}  // namespace

void IvfVerify(Relation heap, Relation index, Snapshot snapshot, VerifyReport* report) {
    IvfVerifier v;
    memset(static_cast<void*>(&v), 0, sizeof(v));
    v.heap = heap;
    v.report = report;
    v.arena = MakeArena(CurrentMemoryContext);
    IvfOpen(&v.ctx, index);
    const IvfMetaData& meta = v.ctx.meta;
    v.ctx.strategy = GetAccessStrategy(BAS_BULKREAD);
    v.blocks = RelationGetNumberOfBlocks(index);
    InitVerifier(&v);
    if (!CheckMeta(&v)) return;
    IvfFindClosed(v.ctx, &v.arena, &v.closed);
    CheckBlocks(&v);
    ForTapeRecords(index, CentroidTape(meta), meta.lists, CheckCentroid, &v);
    if (v.broken_centroids > 0) VerifyProblem(report, "%u centroids hold NaN or infinity", v.broken_centroids);
    uint32 closed = 0;
    for (uint32 list = 0; list < meta.lists; ++list)
        closed += v.closed.Has(list) ? 1 : 0;
    if (closed != meta.closed) VerifyProblem(report, "%u lists are closed, the meta page says %u", closed, meta.closed);
    // Chains are followed only where the directory is one.
    if (report->problem_count > 0) return;
    for (uint32 list = 0; list < meta.lists; ++list)
        WalkChain(&v, list);
    CheckOwners(&v);
    WalkFreeList(&v, PageKind::kIvfList, meta.header.free_head[IvfListPagesOf(meta.structure)]);
    if (meta.strays == 0 && meta.header.free_head[IvfListPagesOf(meta.structure + 1)] != InvalidBlockNumber)
        VerifyProblem(report, "block 0: has a free list of another structure");
    WalkFreeList(&v, PageKind::kIvfPart, meta.header.free_head[kPartPages]);
    report->nodes = report->heap_tids;
    ForVisibleRows(heap, index, snapshot, CheckRow, &v);
    ForRowsNotInTable(heap, &v.rows, [report](const TidMapEntry& row) {
        VerifyProblem(report, "block %u: has the row (%u,%u), which the table does not have", row.value, row.block,
                      row.offset);
    });
    MemoryContextDelete(v.memory);
    FreeAccessStrategy(v.ctx.strategy);
}

}  // namespace vecann

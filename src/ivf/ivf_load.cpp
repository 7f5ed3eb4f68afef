// Writing a new structure: directory, tapes, and the lists one after another from the temporary file. Pages of a build
// are not logged here; those that vacuum adds to an index in use are, one by one.
#include "ivf/ivf_build.h"
#include "ivf/ivf_codes.h"
#include "ivf/ivf_known.h"

namespace vecann {

namespace {

// ---- meta page and directory -----------------------------------------------------

ListEntryData EmptyEntry() {
    return {{InvalidBlockNumber, 0}, {InvalidBlockNumber, 0}, 0, 1};
}

void WriteDirectory(NewPages* pages, uint32 lists) {
    ListEntryData entries[kEntriesPerPage];
    for (ListEntryData& entry : entries)
        entry = EmptyEntry();
    for (uint32 first = 0; first < lists; first += kEntriesPerPage) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(pages->index, pages->Take());
        const uint32 count = Min(kEntriesPerPage, lists - first);
        pages->Write(page.buffer(), PageKind::kIvfDirectory, entries, count * sizeof(ListEntryData));
    }
}

void StoreDirectory(const IvfBuild& build) {
    const IvfMetaData& meta = build.ctx.meta;
    for (uint32 first = 0; first < meta.lists; first += kEntriesPerPage) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(build.ctx.index, DirectoryBlock(meta, first), BUFFER_LOCK_EXCLUSIVE);
        const uint32 count = Min(kEntriesPerPage, meta.lists - first);
        build.pages.Write(page.buffer(), PageKind::kIvfDirectory, build.directory + first,
                          count * sizeof(ListEntryData));
    }
}

// ---- pages of a list -------------------------------------------------------------

// Fills the pages of one list after another. Each has its block before it is written, so that it can name the next.
struct ListWriter {
    IvfBuild* build;
    PGAlignedBlock image;  // contents of the page at hand
    PGAlignedBlock kept;   // what a page that vacuum has taken back had before it
    uint32 list;
    int slots;            // filled
    uint64 left;          // rows that will come, those in the image included
    uint64 stored;        // rows whose payloads have been taken
    PageLink link;        // to the page at hand
    BlockNumber* blocks;  // with stored payloads: of the list's pages, then the part pages of each; 0: not needed yet
    BlockNumber pages;    // of the list; with stored payloads
    BlockNumber page;     // of those: the page at hand
    PageLink first;
};

BlockNumber TakeBlock(ListWriter* writer) {
    LockedPage page(writer->build->ctx.index, writer->build->pages.Take());
    return page.block();
}

// A page for the list: one that vacuum has taken back, where lists are written anew, or a new one.
BlockNumber TakeListPage(ListWriter* writer) {
    const uint32* numbers = writer->build->list_numbers;
    const BlockNumber block =
        numbers != nullptr ? IvfTakeFreePage(writer->build->ctx, numbers[writer->list]) : InvalidBlockNumber;
    return block != InvalidBlockNumber ? block : TakeBlock(writer);
}

// The header and the part pages that a list page has before it is written: zeros for a new one. Good until the next
// call.
ListView KeptOf(ListWriter* writer, BlockNumber block) {
    const IvfContext& ctx = writer->build->ctx;
    const Page kept = reinterpret_cast<Page>(writer->kept.data);
    memset(ContentsOf(kept), 0, ctx.meta.live_at);
    if (writer->build->list_numbers != nullptr) {
        LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE);
        if (!PageIsNew(page.page())) memcpy(ContentsOf(kept), ContentsOf(page.page()), ctx.meta.live_at);
    }
    return ListOf(ctx.meta, kept);
}

// The part pages that the list page uses which has so many rows.
uint64 StoredPagesOf(const IvfMetaData& meta, uint64 rows) {
    return static_cast<uint64>(StoredPlaceOf(meta, static_cast<int>(rows) - 1).part + meta.stored_each);
}

// The pages of stored payloads come behind all list pages of the list.
void TakeListBlocks(ListWriter* writer) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    const uint64 full = (writer->left - 1) / meta.slots, parts = meta.stored_pages;
    if (writer->blocks != nullptr) pfree(writer->blocks);
    BlockNumber* next = writer->blocks = PallocArray<BlockNumber>((full + 1) * (1 + parts));
    for (uint64 page = 0; page <= full; ++page) {
        CHECK_FOR_INTERRUPTS();
        *next++ = TakeListPage(writer);
    }
    for (uint64 page = 0; page <= full; ++page) {
        CHECK_FOR_INTERRUPTS();
        const ListView kept = KeptOf(writer, writer->blocks[page]);
        const uint64 used = StoredPagesOf(meta, page < full ? meta.slots : writer->left - full * meta.slots);
        for (uint64 part = 0; part < parts; ++part)
            *next++ = kept.parts[part] != 0 || part >= used ? kept.parts[part] : TakeBlock(writer);
    }
    writer->pages = static_cast<BlockNumber>(full) + 1;
    writer->page = InvalidBlockNumber;
}

// The list's next page.
PageLink NextPage(ListWriter* writer) {
    const BlockNumber block =
        HasStored(writer->build->ctx.meta) ? writer->blocks[++writer->page] : TakeListPage(writer);
    return {block, KeptOf(writer, block).header->generation};
}

// The part pages of the list's page `page`.
const BlockNumber* StoredBlocks(const ListWriter* writer, uint64 page) {
    return writer->blocks + writer->pages + page * writer->build->ctx.meta.stored_pages;
}

ListView ImageOf(ListWriter* writer) {
    return ListOf(writer->build->ctx.meta, reinterpret_cast<Page>(writer->image.data));
}

void BeginPage(ListWriter* writer) {
    memset(writer->image.data, 0, BLCKSZ);
    writer->slots = 0;
}

void BeginList(ListWriter* writer, uint32 list) {
    writer->list = list;
    writer->left = writer->build->list_rows[list];
    writer->stored = 0;
    if (HasStored(writer->build->ctx.meta)) TakeListBlocks(writer);
    writer->first = writer->link = NextPage(writer);
    BeginPage(writer);
}

void WritePage(ListWriter* writer, BlockNumber block, PageKind kind, const char* contents, size_t bytes) {
    LockedPage page(writer->build->ctx.index, block, BUFFER_LOCK_EXCLUSIVE);
    writer->build->pages.Write(page.buffer(), kind, contents, bytes);
}

void WriteParts(ListWriter* writer, BlockNumber head, const BlockNumber* parts, const char* entry) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    PGAlignedBlock part;
    for (int i = 0; i < meta.parts; ++i) {
        const PartRange range = IvfPartRange(meta, i);
        memset(part.data, 0, BLCKSZ);
        PartOf(reinterpret_cast<Page>(part.data))->head = head;
        memcpy(PartBytes(reinterpret_cast<Page>(part.data)), entry + range.begin, range.end - range.begin);
        WritePage(writer, parts[i], PageKind::kIvfPart, part.data + kPageContents, kPageRoom);
    }
}

// Takes the payload of the next row of the list, and writes the page when it is full.
void WriteStored(ListWriter* writer, const char* record) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    const uint64 row = writer->stored++, page = row / meta.slots;
    const int slot = static_cast<int>(row % meta.slots);
    const StoredPlace place = StoredPlaceOf(meta, slot);
    const Page image = reinterpret_cast<Page>(writer->image.data);
    SpoolRow spooled;
    memcpy(static_cast<void*>(&spooled), record, sizeof(spooled));
    const char* payload = record + sizeof(spooled) + meta.entry_size;
    const StoredHeadData head = {spooled.tid, 0};
    const int on_page = Max<int>(meta.stored_on_page, 1);
    const bool full = slot % on_page == on_page - 1 || slot == meta.slots - 1 ||
                      writer->stored == writer->build->list_rows[writer->list];
    for (int i = 0; i < meta.stored_each; ++i) {
        if (slot % on_page == 0) memset(writer->image.data, 0, BLCKSZ);
        PartOf(image)->head = writer->blocks[page];
        const StoredPiece piece = StoredPieceOf(meta, i);
        char* at = PartBytes(image) + place.offset;
        memcpy(at, &head, sizeof(head));
        memcpy(at + sizeof(head), payload + piece.begin, piece.bytes);
        if (full)
            WritePage(writer, StoredBlocks(writer, page)[place.part + i], PageKind::kIvfPart,
                      writer->image.data + kPageContents, kPageRoom);
    }
}

// Writes the page at hand. `entry` is its entry, where it is a long one.
void EndPage(ListWriter* writer, const char* entry) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    const ListView view = ImageOf(writer);
    const PageLink link = writer->link;
    const ListView kept = KeptOf(writer, link.block);
    const uint32* numbers = writer->build->list_numbers;
    view.header->owner = (numbers != nullptr ? numbers[writer->list] : writer->list) + 1;
    view.header->generation = link.generation;
    view.header->epoch = kept.header->epoch;
    view.header->structure = static_cast<uint16>(meta.structure);
    view.header->live = static_cast<uint16>(writer->slots);
    writer->left -= static_cast<uint64>(writer->slots);
    for (int i = 0; i < meta.parts; ++i)
        view.parts[i] = kept.parts[i] != 0 ? kept.parts[i] : TakeBlock(writer);
    if (HasStored(meta))
        memcpy(view.parts, StoredBlocks(writer, writer->page), meta.stored_pages * sizeof(BlockNumber));
    writer->link = writer->left > 0 ? NextPage(writer) : PageLink{InvalidBlockNumber, 0};
    view.header->next = writer->link.block;
    view.header->next_generation = writer->link.generation;
    for (int i = 0; i < writer->slots; ++i)
        view.live[i / 32] |= 1U << (i % 32);
    WritePage(writer, link.block, PageKind::kIvfList, writer->image.data + kPageContents, meta.content_bytes);
    if (meta.parts > 0) WriteParts(writer, link.block, view.parts, entry);
    if (writer->left == 0) {
        const uint64 rows = writer->build->list_rows[writer->list];
        const float error =
            static_cast<float>(std::sqrt(writer->build->list_error[writer->list] / static_cast<double>(rows)));
        writer->build->directory[writer->list] = {writer->first, link, error, 1};
    }
    BeginPage(writer);
}

void WriteRow(ListWriter* writer, const char* record) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    SpoolRow row;
    memcpy(static_cast<void*>(&row), record, sizeof(row));
    RowImage image;
    image.stored = nullptr;
    image.tid = row.tid;
    image.entry = record + sizeof(row);
    memcpy(image.factors, row.factors, sizeof(row.factors));
    IvfFillSlot(meta, ImageOf(writer), writer->slots++, image);
    if (writer->slots == meta.slots || static_cast<uint64>(writer->slots) == writer->left) EndPage(writer, image.entry);
}

// ---- ranges of lists -------------------------------------------------------------

// Calls take(list, record) for each row of the file whose list lies in [first, end).
template <class Take>
void ForSpooled(IvfBuild* build, uint32 first, uint32 end, char* record, Take take) {
    const size_t bytes = build->record_bytes();
    build->spool.Rewind();
    for (uint64 i = 0; i < build->rows; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        build->spool.Read(record, bytes);
        uint32 list;
        memcpy(&list, record, sizeof(list));
        if (list >= first && list < end) take(list, record);
    }
}

// Writes lists that fit memory together.
void LoadRange(IvfBuild* build, ListWriter* writer, uint32 first, uint32 end, uint64 rows) {
    const size_t bytes = build->record_bytes();
    char* record = PallocArray<char>(bytes);
    char* sorted = PallocArray<char>(rows * bytes);
    uint64* at = PallocArray<uint64>(end - first);
    uint64 begin = 0;
    for (uint32 list = first; list < end; ++list) {
        at[list - first] = begin;
        begin += build->list_rows[list];
    }
    ForSpooled(build, first, end, record,
               [&](uint32 list, const char* from) { memcpy(sorted + at[list - first]++ * bytes, from, bytes); });
    const char* next = sorted;
    for (uint32 list = first; list < end; ++list) {
        CHECK_FOR_INTERRUPTS();
        if (build->list_rows[list] > 0) BeginList(writer, list);
        const uint64 in_list = build->list_rows[list];
        for (uint64 i = 0; i < in_list; ++i)
            WriteRow(writer, next + i * bytes);
        for (uint64 i = 0; i < in_list && HasStored(build->ctx.meta); ++i)
            WriteStored(writer, next + i * bytes);
        next += in_list * bytes;
    }
    pfree(at);
    pfree(sorted);
    pfree(record);
}

// Writes one list, however long it is, in the order of the file.
void LoadList(IvfBuild* build, ListWriter* writer, uint32 list) {
    if (build->list_rows[list] == 0) return;
    char* record = PallocArray<char>(build->record_bytes());
    BeginList(writer, list);
    ForSpooled(build, list, list + 1, record, [&](uint32, const char* from) { WriteRow(writer, from); });
    if (HasStored(build->ctx.meta))
        ForSpooled(build, list, list + 1, record, [&](uint32, const char* from) { WriteStored(writer, from); });
    pfree(record);
}

// Dimensions from which on signs are the codes where the index chooses: their errors fall with the dimensions. At 256 a
// search takes no longer than with sub-quantizers, on real data half as long, and the index is two thirds of the size.
constexpr int kManyDimensions = 256;

Quantizer ChosenQuantizer(const IvfOptions& options, int dim) {
    if (options.quantizer != Quantizer::kAuto) return options.quantizer;
    // The other options are about sub-quantizers.
    const bool asked = options.m > 0 || options.bits == 8 || options.opq;
    return asked || dim < kManyDimensions ? Quantizer::kPq : Quantizer::kRabitq;
}

// Dimensions of a sub-quantizer, where the index chooses: 16 codewords tell two of them well, 256 four.
void SetCodeShape(const IvfOptions& options, IvfMetaData* meta) {
    meta->bits = options.bits;
    const int most = IvfMostQuantizers(options, meta->dim);
    int m = options.m;
    if (meta->quantizer == static_cast<uint8>(Quantizer::kRabitq)) {
        meta->bits = 1;
        m = Min((meta->dim + 3) / 4, most);
    } else if (m == 0) {
        const int run = options.bits == 8 ? 4 : 2;
        m = Min((meta->dim + run - 1) / run, most);
    }
    if (m > most)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("m must be at most %d for %d dimensions", most, meta->dim)));
    meta->m = static_cast<uint16>(m);
}

// Has a class distances to centroids? What users make of our support functions may have none.
bool IsSearchable(const OpClassDesc& desc, bool compact) {
    switch (desc.metric) {
        case Metric::kHamming:
            return !compact;
        case Metric::kL2:
        case Metric::kInnerProduct:
        case Metric::kCosine:
            return desc.words == nullptr;
        default:
            return false;
    }
}

}  // namespace

int IvfMostQuantizers(const IvfOptions& options, int dim) {
    const int most = options.bits == 8 ? kMostSubQuantizers
                     : options.stored  ? kIvfMostBesideStored
                                       : kIvfMostBlockQuantizers;
    return Min(most, dim);
}

IvfMetaData IvfMakeMeta(const OpClassDesc& desc, int dim, const IvfOptions& options, bool trained) {
    const char* am = options.compact ? "ivfpq" : "ivfflat";
    const int most = Min(desc.max_dimensions, kIvfMostDimensions);
    if (!IsSearchable(desc, options.compact))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("access method \"%s\" has no use for what \"%s\" measures", am, desc.name)));
    if (dim > most)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for %s index", most, am)));
    IvfMetaData meta;
    memset(static_cast<void*>(&meta), 0, sizeof(meta));
    meta.dim = static_cast<uint16>(dim);
    meta.element = static_cast<uint8>(desc.element);
    meta.metric = static_cast<uint8>(desc.metric);
    meta.compact = options.compact;
    meta.trained = trained;
    // Without rows to learn from there are no codes.
    meta.quantizer = static_cast<uint8>(trained ? ChosenQuantizer(options, dim) : Quantizer::kNone);
    if (HasPayload(meta)) {
        meta.entry_size = static_cast<uint32>(IvfPayloadSize(meta));
    } else {
        SetCodeShape(options, &meta);
        meta.entry_size = static_cast<uint32>(IvfCodeBytes(meta));
        meta.factors = static_cast<uint16>(IvfCodeFactors(meta));
        if (options.stored) meta.stored = IvfStoredKind(meta);
        meta.stored_exact = options.stored ? 1 : 0;  // until a row is met whose payload is not
    }
    IvfLayOut(&meta);
    return meta;
}

BlockNumber IvfPlaceSkeleton(IvfMetaData* meta, BlockNumber first, const IvfNumbers& numbers) {
    meta->directory = first;
    meta->centroids = meta->directory + (meta->lists + kEntriesPerPage - 1) / kEntriesPerPage;
    BlockNumber next = meta->centroids + CentroidTape(*meta).Blocks(meta->lists);
    if (numbers.codebook != nullptr) {
        meta->codebook = next;
        next += CodebookTape(*meta).Blocks(meta->m);
    }
    if (numbers.matrix != nullptr) {
        meta->matrix = next;
        next += Tape{next, meta->dim}.Blocks(meta->dim);
    }
    meta->stamp = IvfNewStamp();
    return next;
}

void IvfWriteSkeleton(NewPages* pages, const IvfMetaData& meta, const IvfNumbers& numbers) {
    WriteDirectory(pages, meta.lists);
    WriteTape(pages, CentroidTape(meta), numbers.centroids, meta.lists);
    if (numbers.codebook != nullptr) WriteTape(pages, CodebookTape(meta), numbers.codebook, meta.m);
    if (numbers.matrix != nullptr) WriteTape(pages, {meta.matrix, meta.dim}, numbers.matrix, meta.dim);
}

void IvfLoadLists(IvfBuild* build) {
    const IvfMetaData& meta = build->ctx.meta;
    const uint64 most = Max<uint64>(build->memory_limit / build->record_bytes(), 1);
    build->Report(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseLoad);
    build->Report(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(build->rows));
    for (uint32 list = 0; list < meta.lists; ++list)
        build->directory[list] = EmptyEntry();
    ListWriter* writer = PallocZeroed<ListWriter>();
    writer->build = build;
    uint64 done = 0;
    for (uint32 first = 0, end; first < meta.lists; first = end) {
        uint64 rows = build->list_rows[first];
        for (end = first + 1; end < meta.lists && rows + build->list_rows[end] <= most; ++end)
            rows += build->list_rows[end];
        if (end == first + 1)
            LoadList(build, writer, first);
        else
            LoadRange(build, writer, first, end, rows);
        build->Report(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(done += rows));
    }
    if (build->list_numbers == nullptr) StoreDirectory(*build);
    pfree(writer);
}

}  // namespace vecann

// Writing a new index: meta page, directory, tapes, and the lists one after another from the temporary file. Pages are
// not logged here.
#include "ivf/ivf_build.h"
#include "ivf/ivf_codes.h"
#include "ivf/ivf_known.h"

namespace vecann {

namespace {

// ---- meta page and directory -----------------------------------------------------

ListEntryData EmptyEntry() {
    return {{InvalidBlockNumber, 0}, {InvalidBlockNumber, 0}, 0, 1};
}

void WriteDirectory(Relation index, ForkNumber fork, uint32 lists) {
    for (uint32 first = 0; first < lists; first += kEntriesPerPage) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(index, ExtendRelationLocked(index, fork));
        const uint32 count = Min(kEntriesPerPage, lists - first);
        START_CRIT_SECTION();
        InitPage(page.page(), PageKind::kIvfDirectory, count * sizeof(ListEntryData));
        for (uint32 i = 0; i < count; ++i)
            *EntryOf(page.page(), first + i) = EmptyEntry();
        MarkBufferDirty(page.buffer());
        if (fork == INIT_FORKNUM) log_newpage_buffer(page.buffer(), true);
        END_CRIT_SECTION();
    }
}

void StoreDirectory(const IvfBuild& build) {
    const IvfMetaData& meta = build.ctx.meta;
    for (uint32 first = 0; first < meta.lists; first += kEntriesPerPage) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(build.ctx.index, DirectoryBlock(meta, first), BUFFER_LOCK_EXCLUSIVE);
        const uint32 count = Min(kEntriesPerPage, meta.lists - first);
        memcpy(static_cast<void*>(EntryOf(page.page(), first)), build.directory + first, count * sizeof(ListEntryData));
        MarkBufferDirty(page.buffer());
    }
}

// ---- pages of a list -------------------------------------------------------------

// Fills the pages of one list after another; their blocks are the next of the fork.
struct ListWriter {
    const IvfBuild* build;
    PGAlignedBlock image;  // contents of the page at hand
    uint32 list;
    int slots;         // filled
    uint64 left;       // rows that will come, those in the image included
    BlockNumber next;  // block of the page at hand
    BlockNumber first;
};

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
    writer->first = writer->next;
    BeginPage(writer);
}

void WritePage(ListWriter* writer, PageKind kind, const char* contents, size_t bytes) {
    LockedPage page(writer->build->ctx.index, ExtendRelationLocked(writer->build->ctx.index, MAIN_FORKNUM));
    if (page.block() != writer->next) elog(ERROR, "a block of a new index is not where it was to be");
    InitPage(page.page(), kind, bytes);
    memcpy(ContentsOf(page.page()), contents, bytes);
    MarkBufferDirty(page.buffer());
    ++writer->next;
}

void WriteParts(ListWriter* writer, BlockNumber head, const char* entry) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    PGAlignedBlock part;
    for (int i = 0; i < meta.parts; ++i) {
        const PartRange range = IvfPartRange(meta, i);
        memset(part.data, 0, BLCKSZ);
        PartOf(reinterpret_cast<Page>(part.data))->head = head;
        memcpy(PartBytes(reinterpret_cast<Page>(part.data)), entry + range.begin, range.end - range.begin);
        WritePage(writer, PageKind::kIvfPart, part.data + kPageContents, kPageRoom);
    }
}

// Writes the page at hand. `entry` is its entry, where it is a long one.
void EndPage(ListWriter* writer, const char* entry) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    const ListView view = ImageOf(writer);
    const BlockNumber block = writer->next;
    view.header->owner = writer->list + 1;
    view.header->live = static_cast<uint16>(writer->slots);
    writer->left -= static_cast<uint64>(writer->slots);
    view.header->next = writer->left > 0 ? block + 1 + meta.parts : InvalidBlockNumber;
    for (int i = 0; i < meta.parts; ++i)
        view.parts[i] = block + 1 + static_cast<BlockNumber>(i);
    for (int i = 0; i < writer->slots; ++i)
        view.live[i / 32] |= 1U << (i % 32);
    WritePage(writer, PageKind::kIvfList, writer->image.data + kPageContents, meta.content_bytes);
    if (meta.parts > 0) WriteParts(writer, block, entry);
    if (writer->left == 0) {
        const uint64 rows = writer->build->list_rows[writer->list];
        const float error =
            static_cast<float>(std::sqrt(writer->build->list_error[writer->list] / static_cast<double>(rows)));
        writer->build->directory[writer->list] = {{writer->first, 0}, {block, 0}, error, 1};
    }
    BeginPage(writer);
}

void WriteRow(ListWriter* writer, const char* record) {
    const IvfMetaData& meta = writer->build->ctx.meta;
    SpoolRow row;
    memcpy(static_cast<void*>(&row), record, sizeof(row));
    RowImage image;
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
    const size_t bytes = sizeof(SpoolRow) + build->ctx.meta.entry_size;
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
    const size_t bytes = sizeof(SpoolRow) + build->ctx.meta.entry_size;
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
        for (uint64 i = 0; i < build->list_rows[list]; ++i, next += bytes)
            WriteRow(writer, next);
    }
    pfree(at);
    pfree(sorted);
    pfree(record);
}

// Writes one list, however long it is, in the order of the file.
void LoadList(IvfBuild* build, ListWriter* writer, uint32 list) {
    char* record = PallocArray<char>(sizeof(SpoolRow) + build->ctx.meta.entry_size);
    if (build->list_rows[list] > 0) BeginList(writer, list);
    ForSpooled(build, list, list + 1, record, [&](uint32, const char* from) { WriteRow(writer, from); });
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
    int most = kIvfMostBlockQuantizers, m = options.m;
    if (meta->quantizer == static_cast<uint8>(Quantizer::kRabitq)) {
        meta->bits = 1;
        m = Min((meta->dim + 3) / 4, most);
    } else if (m == 0) {
        const int run = options.bits == 8 ? 4 : 2;
        m = Min((meta->dim + run - 1) / run, most);
    }
    if (options.bits == 8) most = kMostSubQuantizers;
    if (m > meta->dim || m > most)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("m must be at most %d for %d dimensions", Min<int>(most, meta->dim), meta->dim)));
    meta->m = static_cast<uint16>(m);
}

}  // namespace

IvfMetaData IvfMakeMeta(const OpClassDesc& desc, int dim, const IvfOptions& options, bool trained) {
    if (dim > desc.max_dimensions)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("column cannot have more than %d dimensions for %s index", desc.max_dimensions,
                               options.compact ? "ivfpq" : "ivfflat")));
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
        meta.entry_size = static_cast<uint32>(PayloadSize(PayloadOf(meta), dim));
    } else {
        SetCodeShape(options, &meta);
        meta.entry_size = static_cast<uint32>(IvfCodeBytes(meta));
        meta.factors = static_cast<uint16>(IvfCodeFactors(meta));
    }
    IvfLayOut(&meta);
    return meta;
}

void IvfWriteSkeleton(Relation index, ForkNumber fork, IvfMetaData* meta, const float* centroids, const float* codebook,
                      const float* matrix) {
    meta->directory = kMetaBlock + 1;
    meta->centroids = meta->directory + (meta->lists + kEntriesPerPage - 1) / kEntriesPerPage;
    BlockNumber next = meta->centroids + CentroidTape(*meta).Blocks(meta->lists);
    if (codebook != nullptr) {
        meta->codebook = next;
        next += CodebookTape(*meta).Blocks(meta->m);
    }
    if (matrix != nullptr) meta->matrix = next;
    meta->stamp = IvfNewStamp();
    IvfWriteMeta(index, fork, *meta);
    WriteDirectory(index, fork, meta->lists);
    WriteTape(index, fork, CentroidTape(*meta), centroids, meta->lists);
    if (codebook != nullptr) WriteTape(index, fork, CodebookTape(*meta), codebook, meta->m);
    if (matrix != nullptr) WriteTape(index, fork, {meta->matrix, meta->dim}, matrix, meta->dim);
}

void IvfLoadLists(IvfBuild* build) {
    const IvfMetaData& meta = build->ctx.meta;
    const uint64 bytes = sizeof(SpoolRow) + meta.entry_size;
    const uint64 most = Max<uint64>(build->memory_limit / bytes, 1);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseLoad);
    pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, static_cast<int64>(build->rows));
    for (uint32 list = 0; list < meta.lists; ++list)
        build->directory[list] = EmptyEntry();
    ListWriter* writer = PallocZeroed<ListWriter>();
    writer->build = build;
    writer->next = RelationGetNumberOfBlocks(build->ctx.index);
    uint64 done = 0;
    for (uint32 first = 0, end; first < meta.lists; first = end) {
        uint64 rows = build->list_rows[first];
        for (end = first + 1; end < meta.lists && rows + build->list_rows[end] <= most; ++end)
            rows += build->list_rows[end];
        if (end == first + 1)
            LoadList(build, writer, first);
        else
            LoadRange(build, writer, first, end, rows);
        pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, static_cast<int64>(done += rows));
    }
    StoreDirectory(*build);
    LockedPage page(build->ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    IvfMetaOf(page.page())->built_rows = static_cast<double>(build->rows);
    IvfMetaOf(page.page())->probes = meta.probes;
    MarkBufferDirty(page.buffer());
    pfree(writer);
}

}  // namespace vecann

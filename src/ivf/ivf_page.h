// On-disk layout of ivf, and arithmetic over it. See README.md, "Layout".
//
// Invariants: all places on a list page follow from the meta page, which changes after the build only when vacuum puts
// another structure in the place of the first (and but for the heads of the free lists); a zeroed list or part page is
// a free one.
#pragma once

#include "opclass/opclass_desc.h"
#include "quant/payload.h"
#include "storage/free_list.h"

namespace vecann {

constexpr int kIvfDefaultLists = 100;
constexpr int kIvfMaxLists = 32768;
constexpr int kIvfMostParts = 8;
// A centroid of so many bits is a quarter of a megabyte.
constexpr int kIvfMostDimensions = 64000;
// Of 4 bits: a block of 32 codes with its factors fits a page.
constexpr int kIvfMostBlockQuantizers = 464;
// The same with room for pointers to the part pages of stored payloads.
constexpr int kIvfMostBesideStored = 440;

// kAuto is what an option may say, and never stands in an index.
enum class Quantizer : uint8 { kNone = 0, kSq8 = 1, kPq = 2, kRabitq = 3, kAuto = 255 };

struct IvfMetaData {
    MetaHeaderData header;
    uint16 dim;
    uint8 element;    // ElementKind
    uint8 metric;     // Metric
    uint8 quantizer;  // Quantizer
    uint8 bits;       // of a sub-quantizer
    uint16 m;         // sub-quantizers
    uint8 compact;    // 1: an index of ivfpq
    uint8 trained;    // 0: one list, because there was nothing to learn from
    uint16 factors;   // floats beside an entry
    uint32 lists;
    uint32 entry_size;  // bytes of a whole entry
    uint16 slots;       // of a list page
    uint16 parts;       // part pages of a long entry; 0: it fits the page
    uint16 live_at;     // places in a list page's contents
    uint16 factors_at;
    uint16 data_at;
    uint16 tids_at;
    uint32 content_bytes;  // of a list page
    BlockNumber directory;
    BlockNumber centroids;  // tape of lists x dim
    BlockNumber codebook;   // tape; 0: none
    BlockNumber matrix;     // tape of dim x dim, the rotation; 0: none
    uint32 probes;          // that reach the recall wished for; 0: not known
    double built_rows;      // in the index after the build
    float error_scale;      // of codes of pq: how far estimates err, relative to the codes' errors
    uint32 stamp;           // random, of the build; 0: none
    uint16 stored;          // PayloadKind of the payloads beside codes, plus 1; 0: none
    uint16 stored_pages;    // part pages that a list page has for them
    uint16 stored_on_page;  // payloads of a part page; 0: one takes several
    uint16 stored_each;     // part pages of one payload
    uint32 stored_exact;    // 1: those of the build all hold the values' own numbers
    uint32 strays;          // 1: there may be pages of another structure
    uint64 retired;         // the next transaction when this structure took the place of another; 0: it is the first
    uint32 structure;       // counts the structures; what list pages of this one say
    uint32 closed;          // lists whose numbers are free: vacuum has made others of their rows
    double learnt_rows;     // of the lists as they were learnt, once vacuum has made others; 0: it has not
    uint32 learnt_lists;    // the same
    uint32 reserved;

    uint32 open_lists() const { return lists - closed; }
    // The lists that one of those learnt stands for.
    double lists_each() const { return learnt_lists == 0 ? 1 : static_cast<double>(open_lists()) / learnt_lists; }
};
static_assert(sizeof(IvfMetaData) == 144);

// A list page's contents begin with it.
struct ListPageData {
    uint32 owner;       // the list plus 1; 0: the page is free
    uint32 generation;  // counts how often it was freed
    BlockNumber next;   // InvalidBlockNumber at the end
    uint32 next_generation;
    uint32 epoch;  // counts removals of rows
    uint16 live;   // rows
    uint16 structure;
};
static_assert(sizeof(ListPageData) == 24);

// A part page's contents begin with it; the bytes of the entry follow.
struct PartPageData {
    BlockNumber head;  // the list page that it belongs to for ever; 0: none yet
    uint32 reserved;
};
constexpr size_t kPartRoom = kPageRoom - sizeof(PartPageData);

// A stored payload, or a piece of one, begins with it.
struct StoredHeadData {
    ItemPointerData tid;  // whose it is
    uint16 reserved;
};
static_assert(sizeof(StoredHeadData) == 8);
constexpr size_t kStoredRoom = kPartRoom - sizeof(StoredHeadData);
// A row is written in one record: its list page, and so many part pages.
constexpr int kMostStoredEach = 3;

struct PageLink {
    BlockNumber block;
    uint32 generation;
};
inline bool SameLink(const PageLink& a, const PageLink& b) {
    return a.block == b.block && a.generation == b.generation;
}

struct ListEntryData {
    PageLink head;  // first page; InvalidBlockNumber while the list is empty
    PageLink hint;  // where an insert begins to look for room
    float error;    // of codes of pq: the root of the mean squared error
    uint32 alone;   // 1: no page behind the hint has room; kListClosed: its rows are in other lists
};
constexpr uint32 kListClosed = 2;
static_assert(sizeof(ListEntryData) == 24);
constexpr uint32 kEntriesPerPage = static_cast<uint32>(kPageRoom / sizeof(ListEntryData));

// Free lists. Those of list pages belong to structures: a page that has been laid out for one is of no use to another.
constexpr int kListPages = 0;
constexpr int kPartPages = 1;
constexpr int kListPagesOfOdd = 2;

// ---- arithmetic ------------------------------------------------------------------

inline IvfMetaData* IvfMetaOf(Page page) {
    return reinterpret_cast<IvfMetaData*>(ContentsOf(page));
}
inline BlockNumber DirectoryBlock(const IvfMetaData& meta, uint32 list) {
    return meta.directory + list / kEntriesPerPage;
}
inline ListEntryData* EntryOf(Page page, uint32 list) {
    return reinterpret_cast<ListEntryData*>(ContentsOf(page)) + list % kEntriesPerPage;
}
inline PartPageData* PartOf(Page page) {
    return reinterpret_cast<PartPageData*>(ContentsOf(page));
}
inline char* PartBytes(Page page) {
    return ContentsOf(page) + sizeof(PartPageData);
}

// The arrays of one list page, or of a copy of one. Holds no lock itself.
struct ListView {
    ListPageData* header;
    BlockNumber* parts;  // of a long entry, or of stored payloads
    uint32* live;        // a bit for each slot
    float* factors;      // factor f of slot s at f * slots + s
    char* data;          // entries, or blocks of 32 codes
    ItemPointerData* tids;

    bool IsLive(int slot) const { return ((live[slot / 32] >> (slot % 32)) & 1) != 0; }
    PageLink next() const { return {header->next, header->next_generation}; }
};
inline ListView ListOf(const IvfMetaData& meta, Page page) {
    char* at = ContentsOf(page);
    ListView view;
    view.header = reinterpret_cast<ListPageData*>(at);
    view.parts = reinterpret_cast<BlockNumber*>(at + sizeof(ListPageData));
    view.live = reinterpret_cast<uint32*>(at + meta.live_at);
    view.factors = reinterpret_cast<float*>(at + meta.factors_at);
    view.data = at + meta.data_at;
    view.tids = reinterpret_cast<ItemPointerData*>(at + meta.tids_at);
    return view;
}
inline int LiveWords(const IvfMetaData& meta) {
    return (meta.slots + 31) / 32;
}
// Bytes of a long entry that stand in the list page itself.
inline size_t HeadBytes(const IvfMetaData& meta) {
    return meta.parts > 0 ? static_cast<size_t>(meta.tids_at) - meta.data_at : meta.entry_size;
}

// Codes that stand in blocks of 32?
inline bool HasBlocks(const IvfMetaData& meta) {
    return meta.quantizer == static_cast<uint8>(Quantizer::kRabitq) ||
           (meta.quantizer == static_cast<uint8>(Quantizer::kPq) && meta.bits == 4);
}
inline bool HasPayload(const IvfMetaData& meta) {
    return meta.quantizer <= static_cast<uint8>(Quantizer::kSq8);
}
// Are vectors rotated before anything else?
inline bool IsRotated(const IvfMetaData& meta) {
    return meta.matrix != 0 || meta.quantizer == static_cast<uint8>(Quantizer::kRabitq);
}
// Are payloads the values themselves, in words (bit strings)?
inline bool HasWords(const IvfMetaData& meta) {
    return meta.element == static_cast<uint8>(ElementKind::kBit);
}
inline PayloadKind PayloadOf(const IvfMetaData& meta) {
    if (HasWords(meta)) return PayloadKind::kWords;
    if (meta.quantizer == static_cast<uint8>(Quantizer::kSq8)) return PayloadKind::kSq8;
    // Without lists the index keeps what they can be learnt from, to the last bit.
    const bool rounded = meta.metric == static_cast<uint8>(Metric::kCosine) && meta.trained == 0;
    return meta.element == static_cast<uint8>(ElementKind::kFloat16) && !rounded ? PayloadKind::kFloat16
                                                                                 : PayloadKind::kFloat32;
}

// Bytes of a payload.
size_t IvfPayloadSize(const IvfMetaData& meta);

// ---- stored payloads -------------------------------------------------------------

inline bool HasStored(const IvfMetaData& meta) {
    return meta.stored != 0;
}
inline PayloadKind StoredKind(const IvfMetaData& meta) {
    return static_cast<PayloadKind>(meta.stored - 1);
}
inline size_t StoredBytes(const IvfMetaData& meta) {
    return HasStored(meta) ? PayloadSize(StoredKind(meta), meta.dim) : 0;
}
// Where the payload of a slot stands: the first of its part pages among those of the list page, and the place there.
struct StoredPlace {
    int part;
    size_t offset;  // of its head, in PartBytes
};
inline StoredPlace StoredPlaceOf(const IvfMetaData& meta, int slot) {
    if (meta.stored_on_page == 0) return {slot * meta.stored_each, 0};
    const size_t step = sizeof(StoredHeadData) + StoredBytes(meta);
    return {slot / meta.stored_on_page, static_cast<size_t>(slot % meta.stored_on_page) * step};
}

// Pointers to part pages in a list page's header.
inline int PartPointers(const IvfMetaData& meta) {
    return meta.parts > 0 ? kIvfMostParts : meta.stored_pages;
}

// Lays the list pages out: needs dim, element, quantizer, m, bits, entry_size and stored.
void IvfLayOut(IvfMetaData* meta);

void IvfWriteMeta(Relation index, ForkNumber fork, const IvfMetaData& meta);
// Copies the meta page. Raises ERRCODE_INDEX_CORRUPTED when it is not one of ivf, or its sizes make no sense.
IvfMetaData IvfReadMeta(Relation index);
// The same without an error: false when it cannot be read.
bool IvfPeekMeta(Relation index, IvfMetaData* meta);
bool AreSoundSizes(const IvfMetaData& meta);

inline int IvfListPagesOf(uint32 structure) {
    return structure % 2 == 0 ? kListPages : kListPagesOfOdd;
}
FreeListKind IvfListPages(const IvfMetaData& meta);
FreeListKind IvfPartPages();

// ---- tapes -----------------------------------------------------------------------

constexpr int kTapeFloats = static_cast<int>(kPageRoom / sizeof(float));

// Records of so many floats in consecutive blocks.
struct Tape {
    BlockNumber first;
    int floats;  // of a record

    int per_page() const { return floats <= kTapeFloats ? kTapeFloats / floats : 0; }
    int pages_each() const { return floats <= kTapeFloats ? 1 : (floats + kTapeFloats - 1) / kTapeFloats; }
    BlockNumber Blocks(uint64 records) const {
        const uint64 each = static_cast<uint64>(per_page());
        return static_cast<BlockNumber>(each > 0 ? (records + each - 1) / each
                                                 : records * static_cast<uint64>(pages_each()));
    }
};
inline Tape CentroidTape(const IvfMetaData& meta) {
    return {meta.centroids, meta.dim};
}
// The block behind directory and tapes of the first structure, when that had one list and nothing learnt; they are kept
// for ever, so that who still reads it finds them.
inline BlockNumber BehindFirstTapes(const IvfMetaData& meta) {
    return kMetaBlock + 2 + CentroidTape(meta).Blocks(1);
}

// The block behind directory and tapes.
BlockNumber IvfBehindTapes(const IvfMetaData& meta);
// The kind of page that stands in a block of directory or tapes; kIvfList for all others.
PageKind IvfKindByPlace(const IvfMetaData& meta, BlockNumber block);

// Where pages of a new structure go: behind the last one, or into blocks that were reserved.
struct NewPages {
    Relation index;
    ForkNumber fork;
    BlockNumber next;  // of those reserved; InvalidBlockNumber: none are
    bool logged;       // page by page

    // A page to be written from scratch, pinned and exclusively locked.
    Buffer Take();
    // Writes one from contents. What is on a free list stays there.
    void Write(Buffer buffer, PageKind kind, const void* contents, size_t bytes) const;
};

// Raises ERRCODE_T_R_SERIALIZATION_FAILURE: what a search was reading is no longer there.
void IvfRaiseReplaced(Relation index);

// Writes a tape of so many records, one after another.
void WriteTape(NewPages* pages, const Tape& tape, const float* numbers, uint64 records);
void ReadTapeRecord(Relation index, const Tape& tape, uint64 record, float* out);
// Calls visit(arg, record, numbers) for all records in order; not under a lock where a record takes several pages.
void ForTapeRecords(Relation index, const Tape& tape, uint64 records,
                    void (*visit)(void* arg, uint64 record, const float* numbers), void* arg);

}  // namespace vecann

// On-disk layout of hnsw, and arithmetic over it. See README.md, "Layout".
//
// Invariants: ids are block * slots_per_page + slot, over node and upper pages alike; slots of both kinds have one form
// and size; a zeroed slot is a free one of generation 0.
#pragma once

#include "opclass/opclass_desc.h"
#include "quant/payload.h"
#include "quant/rabitq.h"
#include "storage/free_list.h"

namespace vecann {

constexpr int kHnswMinM = 2;
constexpr int kHnswDefaultM = 16;
constexpr int kHnswMaxM = 100;
constexpr int kHnswMinEfConstruction = 4;
constexpr int kHnswDefaultEfConstruction = 64;
constexpr int kHnswMaxEfConstruction = 1000;
constexpr int kHnswMaxLevel = 15;
constexpr int kHnswInlineTids = 2;
constexpr int kMaxCodeBits = 4;

constexpr uint32 kInvalidId = 0xFFFFFFFF;

enum class SlotState : uint8 { kFree = 0, kLive = 1, kDeleted = 2 };

constexpr uint16 kTidKilled = 0x0001;  // the row is dead to every snapshot

struct TidEntryData {
    ItemPointerData tid;
    uint16 flags;
};
static_assert(sizeof(TidEntryData) == 8 && alignof(TidEntryData) == 2);

// An edge: the neighbour's id, the low 8 bits of its generation, and the factors of its code (quant/rabitq.h).
using EdgeData = CodedEdge;

struct SlotHeaderData {
    uint32 generation;
    uint8 state;  // SlotState
    uint8 level;  // 0: node
    uint16 edge_count;
    uint32 up;         // slot of the same vector one layer up, or kInvalidId
    uint32 down;       // upper slots: slot one layer down
    uint32 tid_chain;  // nodes: first segment, or kInvalidId
    uint32 tid_epoch;  // nodes: how often vacuum removed TIDs
    uint16 tid_count;  // nodes: entries in use of the inline TIDs
    uint16 mixed;      // nodes: 1 when not all rows had the value of the first
    uint32 hash;       // nodes: of the first row's value, where values of the same numbers may differ; else 0
};
static_assert(sizeof(SlotHeaderData) == 32 && alignof(SlotHeaderData) == 4);

constexpr int kSegmentTids = 14;

// A segment of a node's TID chain; id = block * kSegmentsPerPage + slot. A zeroed
// segment (in_use 0) is a free one.
struct TidSegmentData {
    uint32 owner;             // node id
    uint32 owner_generation;  // full
    uint32 next;              // next segment or kInvalidId
    uint16 count;
    uint16 in_use;
    TidEntryData tids[kSegmentTids];
};
static_assert(sizeof(TidSegmentData) == 128);
constexpr int kSegmentsPerPage = static_cast<int>(kPageRoom / sizeof(TidSegmentData));
static_assert(kSegmentsPerPage == 63);

// Elements of a payload: dimensions, or the words of a sparse vector.
constexpr int kMostElements = 16001;

// A payload that does not fit its slot goes on in so many parts at most: 16,000 dimensions in float32.
constexpr int kMaxParts = 8;

// Where a part of a slot's payload is, and the generation that it has there as long as it is the slot's.
struct PartRefData {
    uint32 id;  // block * parts + place
    uint32 generation;
};

// A part of a payload: its dimensions follow as a payload of their own, with the head of the whole; of words, a
// reference to the next part stands between. Zeroed but for the generation it is a free one.
struct PartHeaderData {
    uint32 generation;  // counts how often the part was freed
    uint16 number;      // of the part in its payload
    uint16 in_use;
};
static_assert(sizeof(PartRefData) == 8 && sizeof(PartHeaderData) == 8);

struct HnswMetaData {
    MetaHeaderData header;
    uint32 dim;       // of the indexed type
    uint16 elements;  // of a whole payload: dimensions; words, at most
    uint16 m;
    uint16 ef_construction;
    uint8 element;        // ElementKind
    uint8 metric;         // Metric
    uint8 payload;        // PayloadKind
    uint8 code_bits;      // bits of a dimension in the codes of neighbours; 0: no codes
    uint16 code_dim;      // dimensions that the codes cover
    uint16 max_edges;     // R
    uint16 slots;         // of a node or upper page
    uint16 slot_size;     // bytes
    uint16 payload_size;  // what of a payload stands in the slot
    uint16 code_size;
    uint16 entry_level;
    uint32 entry;  // slot id in layer entry_level, or kInvalidId when the index is empty
    uint32 entry_generation;
    uint16 head_dim;    // elements in the slot; all of them when there are no parts
    uint16 part_count;  // parts that a slot refers to; of words 1, if not all fit the slot: the first of a chain
    uint16 part_dim;    // elements of a part; the last may have fewer
    uint16 part_size;   // bytes
    uint16 parts;       // of a page
    uint16 reserved;
    BlockNumber seed_root;    // root of the seed tree (hnsw_seeds.h); 0: there is none
    BlockNumber seed_blocks;  // blocks of the index when the tree was planted
    uint32 seed_changes;      // nodes that vacuum has freed since
    BlockNumber row_root;     // root of the map of row codes (hnsw_rows.h); 0: there are none
    BlockNumber row_centre;   // what they are relative to
    uint32 row_generation;    // of the last planting
    uint32 row_stride;        // places for the rows of a block of the table
    BlockNumber row_blocks;   // blocks of the index when codes were planted, or would have been; 0: not yet
};
static_assert(sizeof(HnswMetaData) == 104 && offsetof(HnswMetaData, seed_root) == 72);

constexpr int kNodeList = 0;
constexpr int kUpperList = 1;
constexpr int kTidList = 2;
constexpr int kPartList = 3;

// ---- arithmetic ------------------------------------------------------------------

inline HnswMetaData* HnswMetaOf(Page page) {
    return reinterpret_cast<HnswMetaData*>(ContentsOf(page));
}
inline BlockNumber BlockOfId(const HnswMetaData& meta, uint32 id) {
    return id / meta.slots;
}
inline int SlotOfId(const HnswMetaData& meta, uint32 id) {
    return static_cast<int>(id % meta.slots);
}
inline uint32 IdOf(const HnswMetaData& meta, BlockNumber block, int slot) {
    return block * meta.slots + static_cast<uint32>(slot);
}
inline PageKind KindOfLevel(int level) {
    return level == 0 ? PageKind::kNode : PageKind::kUpper;
}

// A view of one slot on a page (or on a copy of it). Holds no lock itself.
struct SlotView {
    SlotHeaderData* header;
    TidEntryData* tids;  // all zero in upper slots
    PartRefData* parts;  // part_count of them
    char* payload;       // of the first head_dim dimensions
    EdgeData* edges;
    char* codes;  // edges[i]'s at i * code_size

    SlotState state() const { return static_cast<SlotState>(header->state); }
};

// The view of the slot_size bytes of a slot.
inline SlotView SlotOver(const HnswMetaData& meta, char* at) {
    SlotView view;
    view.header = reinterpret_cast<SlotHeaderData*>(at);
    at += sizeof(SlotHeaderData);
    view.tids = reinterpret_cast<TidEntryData*>(at);
    at += kHnswInlineTids * sizeof(TidEntryData);
    view.parts = reinterpret_cast<PartRefData*>(at);
    at += meta.part_count * sizeof(PartRefData);
    view.payload = at;
    at += meta.payload_size;
    view.edges = reinterpret_cast<EdgeData*>(at);
    view.codes = at + meta.max_edges * sizeof(EdgeData);
    return view;
}

// The view of slot `slot` on a page of kind kNode or kUpper.
inline SlotView SlotAt(const HnswMetaData& meta, Page page, int slot) {
    return SlotOver(meta, ContentsOf(page) + static_cast<size_t>(slot) * meta.slot_size);
}

inline TidSegmentData* SegmentAt(Page page, int slot) {
    return reinterpret_cast<TidSegmentData*>(ContentsOf(page)) + slot;
}
inline BlockNumber BlockOfSegment(uint32 segment) {
    return segment / kSegmentsPerPage;
}
inline int SlotOfSegment(uint32 segment) {
    return static_cast<int>(segment % kSegmentsPerPage);
}

inline BlockNumber BlockOfPart(const HnswMetaData& meta, uint32 part) {
    return part / meta.parts;
}
inline int PlaceOfPart(const HnswMetaData& meta, uint32 part) {
    return static_cast<int>(part % meta.parts);
}
inline PartHeaderData* PartAt(const HnswMetaData& meta, Page page, int place) {
    return reinterpret_cast<PartHeaderData*>(ContentsOf(page) + static_cast<size_t>(place) * meta.part_size);
}
inline PayloadHeadData* PayloadOfPart(PartHeaderData* part) {
    return reinterpret_cast<PayloadHeadData*>(part + 1);
}
// Is a payload the value itself, in words?
inline bool HasWords(const HnswMetaData& meta) {
    return meta.payload == static_cast<uint8>(PayloadKind::kWords);
}
inline uint32 WordCountOf(const void* payload) {
    return static_cast<const WordsHeadData*>(payload)->count;
}
// Elements of the payload of this head.
inline int ElementsOf(const HnswMetaData& meta, const void* head) {
    return HasWords(meta) ? static_cast<int>(WordCountOf(head)) : meta.elements;
}
// Parts of it.
inline int PartsOf(const HnswMetaData& meta, const void* head) {
    if (!HasWords(meta) || meta.part_count == 0) return meta.part_count;
    const int rest = ElementsOf(meta, head) - meta.head_dim;
    return rest <= 0 ? 0 : (rest + meta.part_dim - 1) / meta.part_dim;
}
// Bytes of it in the slot.
inline size_t SlotPayloadBytes(const HnswMetaData& meta, const void* head) {
    if (!HasWords(meta)) return meta.payload_size;
    return sizeof(WordsHeadData) + sizeof(uint64) * Min<size_t>(WordCountOf(head), meta.head_dim);
}
// The first element of part `number`, and how many it has.
inline int PartBegin(const HnswMetaData& meta, int number) {
    return meta.head_dim + number * meta.part_dim;
}
inline int PartDims(const HnswMetaData& meta, const void* head, int number) {
    return Min<int>(meta.part_dim, ElementsOf(meta, head) - PartBegin(meta, number));
}

// L1 has no inner product that a code could estimate; its edges carry none.
inline bool MetricHasCodes(Metric metric) {
    return metric == Metric::kL2 || metric == Metric::kInnerProduct || metric == Metric::kCosine;
}

// The shape of the neighbours' codes; bits is 0 when there are none.
CodeShape HnswCodeShape(const HnswMetaData& meta);

// What CREATE INDEX asks for.
struct HnswShapeOptions {
    int m;
    int ef_construction;
    int payload;    // PayloadKind, or -1: chosen
    int code_bits;  // 1 .. 4, or 0: chosen
};

// Chooses payload, codes, R, slots per page and parts (README.md, "Layout"). Raises ERRCODE_PROGRAM_LIMIT_EXCEEDED for
// more dimensions than the operator class takes.
HnswMetaData HnswMakeMeta(const OpClassDesc& desc, int dim, const HnswShapeOptions& options);

// Writes the meta page of a fresh index as block 0 of `fork`; logged itself when the fork is INIT_FORKNUM.
void HnswWriteMeta(Relation index, ForkNumber fork, const HnswMetaData& meta);

// Copies the meta page. Raises ERRCODE_INDEX_CORRUPTED when it is not an hnsw one.
HnswMetaData HnswReadMeta(Relation index);

// The free list of each page kind; `meta` must outlive the result.
FreeListKind HnswFreeList(const HnswMetaData& meta, PageKind kind);

// Raises ERRCODE_PROGRAM_LIMIT_EXCEEDED when ids of `per_block` slots a block no longer fit 32 bits in this block.
void HnswCheckIdRange(Relation index, BlockNumber block, int per_block);

// Does what a payload says of its length fit the index?
inline bool IsSoundLength(const HnswMetaData& meta, const void* head) {
    return !HasWords(meta) || WordCountOf(head) <= meta.elements;
}

// Can the header be followed: counts within their arrays, a level that belongs on the page?
inline bool IsSoundSlot(const HnswMetaData& meta, PageKind kind, const SlotHeaderData& header) {
    if (header.state == static_cast<uint8>(SlotState::kFree)) return true;
    if (header.state > static_cast<uint8>(SlotState::kDeleted) || header.edge_count > meta.max_edges) return false;
    if (kind == PageKind::kNode) return header.level == 0 && header.tid_count <= kHnswInlineTids;
    return header.level >= 1 && header.level <= kHnswMaxLevel && header.tid_count == 0;
}

// The slot of an id on its page, which the caller holds locked. Raises ERRCODE_INDEX_CORRUPTED when the page is not of
// the kind, has no such slot, or the slot's header or the length of its payload cannot be followed.
SlotView HnswCheckedSlot(const HnswMetaData& meta, Relation index, const LockedPage& page, PageKind kind, uint32 id);

// The first free slot on a node, upper, tid or part page, -1 when there is none. The caller holds a content lock.
int HnswFindFreeSlot(const HnswMetaData& meta, Page page, PageKind kind);

}  // namespace vecann

// What the parts of the verifier share. Internal to hnsw_verify*.cpp.
//
// Pages are copied under a share lock and judged without it. The first pass (survey) notes what every block and slot
// claims to be; later passes follow links only into slots that the survey found.
#pragma once

#include "core/bit_set.h"
#include "hnsw/hnsw_parts.h"
#include "storage/verify_rows.h"

namespace vecann {

struct BlockBrief {
    BlockNumber next;
    uint16 kind;  // PageKind, or 0: nothing there that could be read
    uint16 flags;
};

struct SlotBrief {
    uint8 generation;  // low 8 bits
    uint8 state : 2;   // SlotState
    uint8 broken : 1;  // its header makes no sense: nothing of it is followed
    uint8 level : 5;
};
static_assert(sizeof(SlotBrief) == 2);

// Flags of a TidMapEntry.
constexpr uint16 kRowKilled = 0x0001;  // flagged in the index; kRowInTable is another

struct RowCodeCheck;  // hnsw_verify_rows.cpp

struct HnswVerifier {
    Relation heap;
    Relation index;
    Snapshot snapshot;
    VerifyReport* report;
    const OpClassDesc* desc;
    HnswMetaData meta;
    VectorForm form;
    float* vector;  // scratch, dim floats
    char* payload;  // scratch, two whole payloads
    Arena arena;
    BufferAccessStrategy strategy;  // for passes over all pages
    BlockNumber blocks;
    ArenaVec<BlockBrief> block;
    ArenaVec<SlotBrief> slot;  // by id
    BitSet reached;            // by id
    BitSet linked_segments;    // by segment id
    BitSet linked_parts;       // by part id
    uint64 tid_estimate;
    TidMap rows;              // every row pointer of the index; its value is the node
    int64 visible_rows;       // rows of the table that were found in the index
    RowCodeCheck* row_codes;  // null: none to check
};

// The meta page is block 0, so no node or upper slot has its ids. A problem of a slot, named in front.
void SlotProblem(HnswVerifier* v, uint32 id, const char* format, ...) pg_attribute_printf(3, 4);

// Copies a page under a share lock.
void CopyIndexPage(const HnswVerifier& v, BlockNumber block, BufferAccessStrategy strategy, PGAlignedBlock* copy);

inline Page PageOf(PGAlignedBlock* copy) {
    return reinterpret_cast<Page>(copy->data);
}

// Does the survey know a slot of this id on a page of `kind`?
inline bool SlotExists(const HnswVerifier& v, uint32 id, PageKind kind) {
    const BlockNumber block = BlockOfId(v.meta, id);
    return block < v.blocks && v.block[block].kind == static_cast<uint16>(kind) && SlotOfId(v.meta, id) < v.meta.slots;
}
inline SlotState StateOf(const HnswVerifier& v, uint32 id) {
    return static_cast<SlotState>(v.slot[id].state);
}

// Copies the page of a slot that exists and returns the view of the slot on the copy.
SlotView CopySlot(const HnswVerifier& v, uint32 id, PageKind kind, PGAlignedBlock* copy);

// The vector of a whole payload must hold numbers, and a unit vector must have norm 1.
void CheckPayload(HnswVerifier* v, uint32 id, const void* payload);

// hnsw_verify_parts.cpp: one part; the whole payload of a slot (false when a part is not what it should be); the parts
// of one slot that is not free, and the payload that they make up.
void SurveyPart(HnswVerifier* v, BlockNumber block, int place, const PartHeaderData& part);
bool WholePayload(HnswVerifier* v, const SlotView& slot, char* payload);
void CheckParts(HnswVerifier* v, uint32 id, const SlotView& slot);

// hnsw_verify_graph.cpp: parts, edges, towers, row pointers and their chains (fills v->rows); then what a search
// reaches.
void VerifyGraph(HnswVerifier* v);
void VerifyEntryPoint(HnswVerifier* v);
void CountUnreachable(HnswVerifier* v);

// hnsw_verify_seeds.cpp: the form of one page of seeds; then the tree, after the survey.
void SurveySeeds(HnswVerifier* v, BlockNumber block, Page page);
void VerifySeeds(HnswVerifier* v);

// hnsw_verify_rows.cpp: the pages of row codes; the code of a row whose value is indexable, if it has one.
void VerifyRowMap(HnswVerifier* v);
void VerifyRowCode(HnswVerifier* v, const ItemPointerData& tid, const IndexedVector& value);

// hnsw_verify_heap.cpp: every visible row is in the index, every row pointer points to a row.
void VerifyHeapToIndex(HnswVerifier* v);
void VerifyIndexToHeap(HnswVerifier* v);

}  // namespace vecann

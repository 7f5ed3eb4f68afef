// Row codes: a 4-bit code of each row's vector, in the order of the table (quant/row_code.h). See README.md, "Row
// codes".
//
// A query that has the TIDs of its rows, by a bitmap of other indexes, learns between which bounds their distances lie
// at a few dozen nanoseconds each, and reads only those that may be among the nearest. The graph cannot do that: it
// knows nodes, not rows, and they stand where their neighbours are.
//
// Invariant: what stands at the place of a TID is the code of the last vector that was indexed under it, or none. So of
// a row that a snapshot sees it is the row's own. Rows without a code are read.
#pragma once

#include "hnsw/hnsw_search.h"
#include "pg/compute_run.h"
#include "quant/row_code.h"

namespace vecann {

// Head of the pages of row codes, of all kinds. A page that says otherwise than who leads to it belongs to another
// planting by now: then nothing is known.
struct RowPageData {
    uint32 generation;  // of the planting
    uint32 number;      // of the page among those of its kind; kRowMapRoot for the map's root
};
static_assert(sizeof(RowPageData) == 8);

constexpr uint32 kRowMapRoot = 0xFFFFFFFF;
constexpr size_t kRowPageRoom = kPageRoom - sizeof(RowPageData);
// Of a map page, and of the root, whose entries are the map's pages. 0: there is no such page.
constexpr uint32 kRowMapEntries = static_cast<uint32>(kRowPageRoom / sizeof(BlockNumber));

inline RowPageData* RowPageOf(Page page) {
    return reinterpret_cast<RowPageData*>(ContentsOf(page));
}
inline BlockNumber* RowMapOf(Page page) {
    return reinterpret_cast<BlockNumber*>(RowPageOf(page) + 1);
}
inline float* RowCentreOf(Page page) {
    return reinterpret_cast<float*>(RowPageOf(page) + 1);
}
// Bytes of the contents of a page of this kind.
size_t HnswRowPageBytes(const HnswMetaData& meta, PageKind kind);
// Is it a page of any of the three kinds? The caller holds a content lock.
inline bool HnswIsAnyRowPage(const LockedPage& page) {
    return page.Is(PageKind::kRowCode) || page.Is(PageKind::kRowMap) || page.Is(PageKind::kRowCentre);
}

// Where codes are: that of the row at (block, offset) has the number block * stride + offset - 1 among all.
struct RowShape {
    size_t code_size;
    uint32 per_page;
    uint32 stride;  // offsets of a block of the table that have places
    uint32 generation;
    BlockNumber root;
    BlockNumber centre;

    static RowShape Of(const HnswMetaData& meta);
    // Has the offset a place?
    bool Has(OffsetNumber offset) const { return offset >= 1 && offset <= stride; }
    uint64 PlaceOf(BlockNumber block, OffsetNumber offset) const {
        return static_cast<uint64>(block) * stride + static_cast<uint64>(offset - 1);
    }
    uint64 PageOf(uint64 place) const { return place / per_page; }
    size_t OffsetOf(uint64 place) const {
        return kPageContents + sizeof(RowPageData) + static_cast<size_t>(place % per_page) * code_size;
    }
};
// The largest number of pages of codes that a map leads to.
constexpr uint64 kMostRowPages = static_cast<uint64>(kRowMapEntries) * kRowMapEntries;

// Could an index of this form have row codes: not without codes of neighbours (L1, words), nor with split payloads, nor
// with so many dimensions that a page holds less than eight codes (above 1,984).
bool HnswSuitsRows(const HnswMetaData& meta);
// Has it, by the meta page at hand?
inline bool HnswHasRows(const HnswMetaData& meta) {
    return meta.row_root != 0 && HnswSuitsRows(meta);
}

// The way from the numbers of pages to blocks, of which the map's page met last is kept. Holds no lock between calls.
struct RowMap {
    const HnswContext* ctx;
    RowShape shape;
    uint64 pages_read;
    uint32 at;           // the map page whose entries are at hand; kRowMapRoot: none
    BlockNumber block;   // where that page is
    BlockNumber* root;   // kRowMapEntries, once read; null before
    bool lost;           // the root, or the map page wanted, is another planting's by now
    BlockNumber* entry;  // kRowMapEntries

    // Memory belongs to the current context.
    void Init(const HnswContext* context, const RowShape& shape_of_codes);
    // The block of page `number`; 0: there is none.
    BlockNumber Find(uint64 number);
    // The map page that leads, or would lead, to page `number`; 0: there is none, or it is lost. Leaves its entries at
    // hand.
    BlockNumber FindMap(uint64 number);
    // Reads again what has changed.
    void Forget();

  private:
    bool Read(BlockNumber block, uint32 number, BlockNumber* entries);
};

// Is it a page of this planting? The caller holds a content lock.
bool HnswIsRowPage(const HnswContext& ctx, const LockedPage& page, PageKind kind, uint32 generation, uint32 number);

// Copies the centre, dim floats; false when it is of another planting.
bool HnswReadRowCentre(const HnswContext& ctx, float* centre);

// The code of a row that is to be indexed, and the planting that it belongs to: there may be another by the time it is
// written.
struct NewRowCode {
    RowShape shape;
    const char* code;  // null: there are none
};
// Encodes an extracted value, in the context's memory. To be called before HnswInsertRow, which changes the vector.
NewRowCode HnswMakeRowCode(HnswContext* ctx, const IndexedVector& value);
// Writes the code of a row that has been indexed, in the page that there is for it or in a new one. The caller holds no
// lock. Cancellable.
void HnswPutRowCode(const HnswContext& ctx, const ItemPointerData& tid, const NewRowCode& row);

// Copies the code of a row; false when there is none.
bool HnswReadRowCode(RowMap* map, const ItemPointerData& tid, char* code);

// Is an index of this form, with its options, to have row codes?
bool HnswPlantsRows(const HnswContext& ctx);

// Plants codes of all rows there are, in place of those there were: the end of a build, or VACUUM; there is no other
// such caller. None where the places would be four times the rows, or the rows are few. Memory: up to half of
// maintenance_work_mem; where that is less than all codes, they go through temporary files. Cancellable.
void HnswPlantRows(HnswContext* ctx);

// The rows of a build in memory, whose vectors are at hand, in any order.
struct RowsAtHand {
    struct Row {
        ItemPointerData tid;
        uint32 node;
    };
    const Row* rows;
    uint64 count;
    const float* vectors;  // dim numbers a node: what its payload says, rotated
    const float* errors;   // one a node: of its payload
    uint64 nodes;
    ComputeOptions options;
};
// What that takes beside its input for a row of its own node.
constexpr uint64 kRowAtHandBytes = sizeof(RowsAtHand::Row) + sizeof(float) + sizeof(PlacedNode);
// Loops over all rows look for interrupts each time after so many.
constexpr uint64 kRowsBetweenLooks = 4096;
// The same of rows at hand, in threads.
void HnswPlantRowsAtHand(HnswContext* ctx, const RowsAtHand& at_hand);

// Plants them where there are none, and anew where many rows have none and the index has grown since.
void HnswReplantRows(HnswContext* ctx);

// The planner's way to them: see VectorSearchMethods.
RowBounds* HnswOpenBounds(Relation index, Datum query);
void HnswBoundRows(RowBounds* bounds, const ItemPointerData* tids, int n, RowBound* out);
void HnswCloseBounds(RowBounds* bounds);

}  // namespace vecann

// Building the graph of a new index in memory and writing it page by page. See README.md, "Build".
//
// Use: HnswBulkInit; HnswBulkAdd for each row while there is room; HnswBulkWrite once. Of the index there is the meta
// page and nothing else, and nobody else sees it. Everything lives in one memory context, which the caller deletes.
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

// A distinct vector.
struct BulkNode {
    uint32 hash;
    ItemPointerData tid;  // of its first row
    uint32 value_hash;    // the same
    uint8 level;
    uint32 first_upper;  // its slots above layer 0 are numbered from here, layer 1 first
};

// A row of a vector.
struct BulkRow {
    uint32 node;
    ItemPointerData tid;
    uint32 value_hash;
};

struct BulkBuild {
    HnswContext* ctx;
    Relation heap;
    MemoryContext memory;
    Arena arena;
    uint64 memory_limit;
    size_t dim;
    float* vectors;   // capacity x dim; plain until they are all there, rotated then
    uint64 capacity;  // nodes
    ArenaVec<BulkNode> nodes;
    ArenaVec<BulkRow> more_rows;
    uint32* table;  // open addressing by hash: node + 1, 0 for an empty place
    uint64 places;  // a power of two
    double least_norm, largest_norm;
};
static_assert(std::is_trivially_destructible_v<BulkBuild>);

// Bytes that the build of `count` nodes takes at its peak.
uint64 HnswBulkMemory(const HnswMetaData& meta, uint64 count, int threads);

// `ctx` is open for the index in build mode; `expected` nodes are made room for if the limit (bytes) allows.
void HnswBulkInit(BulkBuild* bulk, HnswContext* ctx, Relation heap, uint64 memory_limit, uint64 expected);

// Takes a row; false, and nothing done, when the limit is reached or the vector is not finite.
bool HnswBulkAdd(BulkBuild* bulk, const IndexedVector& value, ItemPointer tid);

// Is the partition build at its best with what was collected? Under inner product with vectors of different lengths it
// is not: the nearest of a long list of short vectors are the few long ones, which no partition brings together
// (README.md, "Build").
bool HnswBulkSuits(const BulkBuild& bulk);

// Calls `take` with the plain numbers of every vector and row collected.
void HnswBulkEach(BulkBuild* bulk, void (*take)(void* arg, const float* plain, const BulkRow& row), void* arg);

// Builds the layers and writes them with their rows, then the entry point. Cancellable.
void HnswBulkWrite(BulkBuild* bulk);

}  // namespace vecann

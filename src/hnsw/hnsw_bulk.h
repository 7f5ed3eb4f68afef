// Building the graph of a new index in memory and writing it page by page. See README.md, "Build".
//
// Use: HnswBulkInit; HnswBulkAdd for each row while there is room; HnswBulkWrite once. Of the index there is the meta
// page and nothing else, and nobody else sees it. Everything lives in one memory context, which the caller deletes.
#pragma once

#include "hnsw/hnsw_bulk_write.h"
#include "hnsw/hnsw_tids.h"

namespace vecann {

// A row of a vector.
struct BulkRow {
    uint32 node;
    ItemPointerData tid;
    uint32 value_hash;
};

struct BulkBuild {
    BulkJobs jobs;
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

// So much is used whatever the limit: what a graph build needs beside its points is about half of it.
constexpr uint64 kLeastBulkNodes = 512, kLeastBulkBytes = 20 * 1024 * 1024;

// What a build of this limit has for edges that are being encoded.
uint64 BulkChunkBytes(uint64 memory_limit);

// Bytes that the build of `count` nodes takes at its peak.
uint64 HnswBulkMemory(const BulkJobs& jobs, uint64 count);
bool HnswBulkFits(const BulkJobs& jobs, uint64 count, uint64 memory_limit);

// `jobs.ctx` is open for the index in build mode; `expected` nodes are made room for if the limit (bytes) allows.
// Memory comes from the current context.
void HnswBulkInit(BulkBuild* bulk, const BulkJobs& jobs, uint64 memory_limit, uint64 expected);

// Takes a row of finite norm; false, and nothing done, when the limit is reached.
bool HnswBulkAdd(BulkBuild* bulk, const IndexedVector& value, ItemPointer tid);

// Is the partition build at its best with what was collected? Under inner product with vectors of different lengths it
// is not: the nearest of a long list of short vectors are the few long ones, which no partition brings together
// (README.md, "Build").
bool HnswBulkSuits(const BulkBuild& bulk);

// Calls `take` with the plain numbers of every vector and row collected.
void HnswBulkEach(BulkBuild* bulk, void (*take)(void* arg, const float* plain, const BulkRow& row), void* arg);

// Builds the layers and writes them with their rows, then the entry point. Cancellable.
void HnswBulkWrite(BulkBuild* bulk);

// A further row of a node that has been written.
void BulkAppendRow(const HnswContext& ctx, uint32 id, const NewRow& row);

}  // namespace vecann

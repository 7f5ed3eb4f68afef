// Building the graph of more rows than memory holds: by partitions that overlap, through temporary files. See
// README.md, "Build".
//
// Use: ExternalInit; ExternalAdd for each row; ExternalWrite once. Of the index there is the meta page and nothing
// else, and nobody else sees it. Memory comes from the context that is current at ExternalInit, and what a step needs
// from one below it that the step resets. The temporary files go with the transaction, however it ends.
#pragma once

#include "hnsw/hnsw_bulk_write.h"
#include "pg/temp_file.h"

namespace vecann {

// A row goes to so many partitions at most; the first is its own.
constexpr int kMostHomes = 2;
constexpr uint16 kNoPartition = PG_UINT16_MAX;

struct ExternalBuild {
    BulkJobs jobs;
    MemoryContext memory;  // of the build
    MemoryContext step;    // of a step of it
    Arena arena;           // over `memory`
    uint64 memory_limit;
    size_t dim;
    size_t payload_size;

    TempFile rows;  // of the table, in its order: RowHead, payload
    uint64 row_count;

    int partitions;
    uint64 capacity;      // nodes that one may have, guests among them
    uint64* guest_wish;   // of each partition: rows of others that would be its guests
    uint64* guest_seen;   // how many of those have come
    TempFile* part_rows;  // of each partition: NodeRecord, payload
    uint64* part_count;
    TempFile* guests;    // of each partition: nodes of others, with their payloads
    TempFile* backs;     // of each partition: lists that its nodes have in others
    uint64* first_node;  // of each partition, and the end
    uint64* guest_count;

    TempFile nodes;      // in order: NodeRecord, payload
    TempFile more_rows;  // further rows of nodes: BulkRow
    uint64 more_count;
    TempFile lists;   // of the nodes, each from its own partition
    TempFile merged;  // the neighbours that each node got

    ArenaVec<BulkNode> uppers;  // the nodes that stand in upper layers, and their numbers
    ArenaVec<uint32> upper_numbers;
    uint32 entry;  // node

    uint64 node_count() const { return first_node[partitions]; }
    uint64 node_record() const;
};
static_assert(std::is_trivially_destructible_v<ExternalBuild>);

struct RowHead {
    ItemPointerData tid;
    uint32 value_hash;
};

struct NodeRecord {
    RowHead row;  // the first
    uint16 homes[kMostHomes];
};

// Memory of a temporary file's buffer, and with it of the two that a partition has open at a time.
constexpr uint64 kFileBytes = BLCKSZ + 512, kPartitionBytes = 2 * kFileBytes;

// Nodes that one partition may have, guests among them.
uint64 ExternalCapacity(const BulkJobs& jobs, uint64 memory_limit);

void ExternalInit(ExternalBuild* build, const BulkJobs& jobs, uint64 memory_limit);

// Takes a row of finite norm, of which the plain numbers are set; fills in the rest.
void ExternalAdd(ExternalBuild* build, IndexedVector* value, ItemPointer tid);

// Builds the layers and writes them with their rows, then the entry point. Cancellable.
void ExternalWrite(ExternalBuild* build);

// ---- its steps -----------------------------------------------------------------------

// hnsw_divide.cpp: chooses the partitions and writes part_rows.
void ExternalDivide(ExternalBuild* build);

// hnsw_merge.cpp: builds the partitions' graphs and writes `lists` and `backs`; then the node pages and `merged`.
void ExternalBuildPartitions(ExternalBuild* build);
void ExternalMerge(ExternalBuild* build, const BulkLayout& layout);

}  // namespace vecann

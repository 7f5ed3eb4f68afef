// The steps of a build, which its files have of each other: ivf_build.cpp (reading the table), ivf_train.cpp (what is
// learnt from the sample), ivf_load.cpp (writing the lists). See README.md, "Build".
#pragma once

#include "core/rng.h"
#include "ivf/ivf_am.h"
#include "ivf/ivf_known.h"
#include "pg/compute_run.h"
#include "pg/temp_file.h"

namespace vecann {

// What a build takes at least, whatever maintenance_work_mem says.
constexpr uint64 kIvfLeastBuildBytes = 8 * 1024 * 1024;

// A row on its way to its list; the entry follows it in the temporary file, and the payload beside a code.
struct SpoolRow {
    uint32 list;
    ItemPointerData tid;
    uint16 reserved;
    float factors[3];
};
static_assert(sizeof(SpoolRow) == 24);

struct IvfBuild {
    IvfContext ctx;   // the meta page's contents as they grow
    bool relearning;  // in vacuum: there is no table, and no progress of CREATE INDEX to report
    // Batches come rotated, with their payloads; the lists' numbers in the index. Null: none of that.
    const uint32* list_numbers;
    Relation heap;
    IndexInfo* info;
    NewPages pages;
    IvfOptions options;
    uint64 memory_limit;
    int threads;
    size_t dim;
    double estimated;  // rows of the table
    IvfVector value;
    MemoryContext row_memory;

    Rng rng;
    float* sample;
    uint64 sample_room, sample_count, sample_seen;

    float* centroids;  // lists x dim
    float* codebook;   // null: none
    float* matrix;     // null: none

    float* batch;
    float* rotated;  // the same after the rotation; null: none
    ItemPointerData* batch_tids;
    uint64 batch_room, batch_count;
    int32* labels;
    char* entries;   // codes or payloads of a batch
    char* stored;    // payloads beside codes
    float* factors;  // of a batch: meta.factors each
    float* errors;   // of a batch of codes: squared
    TempFile spool;
    uint64* list_rows;
    double* list_error;  // sum of squared errors of codes
    ListEntryData* directory;
    uint64 rows;
    int64 seen;

    // A row in the temporary file.
    size_t record_bytes() const { return sizeof(SpoolRow) + ctx.meta.entry_size + StoredBytes(ctx.meta); }
    uint64 row_bytes() const { return dim * sizeof(float); }
    ComputeOptions jobs() const {
        ComputeOptions compute;
        compute.threads = threads;
        compute.progress = relearning ? nullptr : ReportIndexProgress;
        return compute;
    }
    // For batches of rows, which are counted as they are read.
    ComputeOptions quiet_jobs() const {
        ComputeOptions compute = jobs();
        compute.progress = nullptr;
        return compute;
    }
    IvfNumbers numbers() const { return {centroids, codebook, matrix}; }
    void Report(int param, int64 now) const {
        if (!relearning) pgstat_progress_update_param(param, now);
    }
};

// Sub-quantizers that an index of so many dimensions may have.
int IvfMostQuantizers(const IvfOptions& options, int dim);

// The meta page of an index without lists: dimensions, quantizer, layout.
IvfMetaData IvfMakeMeta(const OpClassDesc& desc, int dim, const IvfOptions& options, bool trained);

// Gives directory and tapes their places from block `first` on, and the structure its stamp. Returns the block behind.
BlockNumber IvfPlaceSkeleton(IvfMetaData* meta, BlockNumber first, const IvfNumbers& numbers);
// Writes directory and tapes.
void IvfWriteSkeleton(NewPages* pages, const IvfMetaData& meta, const IvfNumbers& numbers);

// How many rows to train on, and the number of lists wished for.
uint64 IvfSampleRows(const IvfBuild& build);
uint32 IvfListsWished(const IvfBuild& build);
// Learns centroids, and what codes need, from the sample.
void IvfTrain(IvfBuild* build);
// Learns meta.lists centroids alone. The sample is rotated where the index has a rotation, and so are they.
void IvfFindCentroids(IvfBuild* build);
// The lists of vectors: those of the nearest centroids.
void IvfFindLists(IvfBuild* build, const float* points, uint64 count, int32* labels);
// Learns how many lists a search should read, and how far codes err, by the sample and the lists that its rows are in;
// with `codebook` the codes too. The sample is rotated, as the centroids are; residuals take its place.
void IvfLearnSearch(IvfBuild* build, const int32* labels, bool codebook);
// Makes room for batches of rows, and the temporary file.
void IvfInitBatches(IvfBuild* build);
// Adds a row to the sample, or has it take the place of another.
void IvfSample(IvfBuild* build, const float* vector);
// Finds the lists of the batch, encodes it and sends it to the temporary file.
void IvfAssignBatch(IvfBuild* build);

// Writes the pages of all lists, and the directory where the lists have no other numbers.
void IvfLoadLists(IvfBuild* build);

}  // namespace vecann

// What a build learns from its sample, and what it does with each batch of rows. All jobs run in vecann_compute.so.
#include "ivf/ivf_build.h"

namespace vecann {

namespace {

constexpr uint64 kSampleOfList = 50;
constexpr uint64 kLeastSample = 10000;
// With fewer rows to learn from than these for each list, there are fewer lists.
constexpr uint64 kLeastRowsOfList = 10;
constexpr int kRounds = 12;  // of k-means, at most
constexpr uint16 kNoCell = 0xFFFF;

const char* AmName(const IvfOptions& options) {
    return options.compact ? "ivfpq" : "ivfflat";
}

void NoticeLittleData(const IvfBuild& build, uint32 wished) {
    ereport(NOTICE, (errmsg("%s index created with little data", AmName(build.options)),
                     errdetail("It has %u instead of %u lists.", build.ctx.meta.lists, wished),
                     errhint("REINDEX it when the table has more rows.")));
}

void FindCentroids(IvfBuild* build) {
    KMeansTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = build->sample;
    task.count = static_cast<int64>(build->sample_count);
    task.dim = static_cast<int32>(build->dim);
    task.clusters = static_cast<int32>(build->ctx.meta.lists);
    task.iterations = kRounds;
    task.seed = build->options.seed;
    task.centroids = build->centroids;
    RunCompute(ComputeTask::kKMeans, &task, build->jobs());
}

// The lists of the batch's rows.
void FindLists(IvfBuild* build) {
    uint16* cells = PallocArray<uint16>(build->batch_count);
    NearCellsTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = build->batch;
    task.count = static_cast<int64>(build->batch_count);
    task.dim = static_cast<int32>(build->dim);
    task.centroids = build->centroids;
    task.clusters = static_cast<int32>(build->ctx.meta.lists);
    task.most = 1;
    task.reach = 1;
    task.cells = cells;
    ComputeOptions jobs = build->jobs();
    jobs.progress = nullptr;  // rows are counted as they are read
    RunCompute(ComputeTask::kNearCells, &task, jobs);
    // Numbers whose squares leave float32 have no nearest cell.
    for (uint64 i = 0; i < build->batch_count; ++i)
        build->labels[i] = cells[i] == kNoCell ? 0 : cells[i];
    pfree(cells);
}

void EncodePayloads(IvfBuild* build) {
    for (uint64 i = 0; i < build->batch_count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        memcpy(build->value.plain, build->batch + i * build->dim, build->row_bytes());
        IvfRotate(build->ctx, &build->value);
        IvfEncodePayload(build->ctx.meta, build->value, build->entries + i * build->ctx.meta.entry_size);
    }
}

}  // namespace

uint32 IvfListsWished(const IvfBuild& build) {
    if (build.options.lists > 0) return build.options.lists;
    const double root = std::sqrt(Max(build.estimated, 1.0));
    return static_cast<uint32>(Min(Max(root, 1.0), static_cast<double>(kIvfMaxLists)));
}

uint64 IvfSampleRows(const IvfBuild& build) {
    if (build.options.sample > 0) return build.options.sample;
    return Max(kSampleOfList * IvfListsWished(build), kLeastSample);
}

void IvfTrain(IvfBuild* build) {
    pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseTrain);
    IvfMetaData* meta = &build->ctx.meta;
    const uint32 wished = IvfListsWished(*build);
    meta->lists = static_cast<uint32>(Max<uint64>(Min<uint64>(wished, build->sample_count / kLeastRowsOfList), 1));
    const uint64 bytes = meta->lists * build->row_bytes();
    if (bytes > build->memory_limit / 2)
        ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                        errmsg("maintenance_work_mem is too low to build index \"%s\"",
                               RelationGetRelationName(build->ctx.index)),
                        errdetail("The centroids of %u lists alone take %llu MB.", meta->lists,
                                  static_cast<unsigned long long>(bytes / (1024 * 1024))),
                        errhint("Set maintenance_work_mem to at least %llu MB, or ask for fewer lists.",
                                static_cast<unsigned long long>(2 * bytes / (1024 * 1024) + 1))));
    if (meta->lists < wished) NoticeLittleData(*build, wished);
    build->centroids = PallocArray<float>(meta->lists * build->dim);
    memset(build->centroids, 0, bytes);
    meta->trained = build->sample_count > 0;
    if (build->sample_count > 0) FindCentroids(build);
}

void IvfAssignBatch(IvfBuild* build) {
    if (build->batch_count == 0) return;
    const size_t entry_size = build->ctx.meta.entry_size;
    FindLists(build);
    EncodePayloads(build);
    for (uint64 i = 0; i < build->batch_count; ++i) {
        SpoolRow row;
        memset(static_cast<void*>(&row), 0, sizeof(row));
        row.list = static_cast<uint32>(build->labels[i]);
        row.tid = build->batch_tids[i];
        build->spool.Put(row);
        build->spool.Write(build->entries + i * entry_size, entry_size);
        ++build->list_rows[row.list];
    }
    build->rows += build->batch_count;
    build->batch_count = 0;
}

}  // namespace vecann

// What a build learns from its sample, and what it does with each batch of rows. All jobs run in vecann_compute.so.
#include "ivf/ivf_build.h"

#include <algorithm>

#include "ivf/ivf_codes.h"
#include "quant/value_payload.h"

namespace vecann {

namespace {

constexpr uint64 kSampleOfList = 50;
constexpr uint64 kLeastSample = 10000;
// With fewer rows to learn from than these for each list, there are fewer lists.
constexpr uint64 kLeastRowsOfList = 10;
constexpr int kRounds = 12;  // of k-means, at most
// So few rows say nothing about those that will come.
constexpr uint64 kLeastToLearn = 100;

constexpr uint64 kMostBatchRows = 65536, kLeastBatchRows = 64;

constexpr int kPqRounds = 12, kOpqRounds = 8;
constexpr int64 kPqSample = 65536, kOpqSample = 16384;

// For the number of lists that a search reads: queries, rows that they are compared with, and how many of the nearest
// count. The share that is to be in the lists leaves room for what codes lose.
constexpr uint64 kPairsRanked = 640, kLeastQueries = 64, kMostQueries = 200, kMostRanked = 50000;
// Vacuum, which nobody waits for, looks at more: its choice stands in for one that may have been lucky.
constexpr uint64 kVacuumTimes = 4;
constexpr double kNearestCounted = 10;
constexpr double kShareFound = 0.98;
// Of near rows, so many are nearer than the least distance that their codes are taken to allow for.
constexpr double kShareBounded = 0.95;
// The same where candidates are measured by stored payloads, which costs little.
constexpr double kShareBoundedStored = 0.98;
constexpr float kLeastErrorScale = 0.1F;

const char* AmName(const IvfOptions& options) {
    return options.compact ? "ivfpq" : "ivfflat";
}

void NoticeLittleData(const IvfBuild& build, uint32 wished) {
    const bool no_memory = build.sample_count == build.sample_room && build.sample_room < IvfSampleRows(build);
    if (build.ctx.meta.trained != 0 || no_memory) {
        ereport(NOTICE,
                (errmsg("%s index created with little data", AmName(build.options)),
                 errdetail("It has %u instead of %u lists.", build.ctx.meta.lists, wished),
                 no_memory ? errhint("More rows to learn from do not fit maintenance_work_mem. Raise it, and REINDEX.")
                           : errhint("REINDEX it when the table has more rows.")));
        return;
    }
    ereport(NOTICE, (errmsg("%s index created with little data", AmName(build.options)),
                     errdetail("It has one list of vectors, which every search reads."),
                     errhint("VACUUM makes lists when it has %llu rows; so does REINDEX.",
                             static_cast<unsigned long long>(IvfRowsToLearn(build.options)))));
}

// out = the vectors rotated, by the build's matrix or the fixed rotation.
void Rotate(IvfBuild* build, const float* points, uint64 count, float* out) {
    RotateTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = points;
    task.count = static_cast<int64>(count);
    task.dim = static_cast<int32>(build->dim);
    task.matrix = build->matrix;
    task.out = out;
    RunCompute(ComputeTask::kRotate, &task, build->quiet_jobs());
}

// Puts rotated vectors in the place of others.
float* Rotated(IvfBuild* build, float* points, uint64 count) {
    float* out = PallocArray<float>(count * build->dim);
    Rotate(build, points, count, out);
    pfree(points);
    return out;
}

// ---- how many lists a search should read -----------------------------------------

// Rows of the sample that are near to each other.
struct NearPair {
    uint64 query, row;
    float distance;  // L2 squared, or the negative inner product
};

// The nearest rows of the sample to one of them, and where their lists stand in the order of its search.
struct Ranking {
    IvfBuild* build;
    uint64 rows;     // of the sample, at even distances: it may be in the order of the lists
    uint64 nearest;  // so many count
    const int32* labels;
    float* distances;  // of the rows
    uint64* order;     // rows, then lists
    uint32* place;     // of each list
    ArenaVec<NearPair>* pairs;

    uint64 At(uint64 i) const { return i * build->sample_count / rows; }
};

void CountPlaces(const Ranking& r, uint64 query, uint64* counts) {
    const IvfBuild& build = *r.build;
    const bool product = build.ctx.desc->metric == Metric::kInnerProduct;
    // Never NaN, which is in no order: overflow in both directions counts as farthest.
    const auto distance = [&](const float* a, const float* b) {
        const float value =
            product ? -Kernels().float32.inner_product(a, b, build.dim) : Kernels().float32.l2_squared(a, b, build.dim);
        return value == value ? value : std::numeric_limits<float>::infinity();
    };
    const float* q = build.sample + query * build.dim;
    const auto nearer = [&r](uint64 a, uint64 b) { return r.distances[a] < r.distances[b]; };
    for (uint64 i = 0; i < build.ctx.meta.lists; ++i) {
        r.distances[i] = distance(q, build.centroids + i * build.dim);
        r.order[i] = i;
    }
    std::sort(r.order, r.order + build.ctx.meta.lists, nearer);
    for (uint32 i = 0; i < build.ctx.meta.lists; ++i)
        r.place[r.order[i]] = i;
    for (uint64 i = 0; i < r.rows; ++i) {
        r.distances[i] =
            r.At(i) == query ? std::numeric_limits<float>::infinity() : distance(q, build.sample + r.At(i) * build.dim);
        r.order[i] = i;
    }
    std::partial_sort(r.order, r.order + r.nearest, r.order + r.rows, nearer);
    for (uint64 i = 0; i < r.nearest; ++i) {
        const uint64 row = r.At(r.order[i]);
        ++counts[r.place[r.labels[row]]];
        r.pairs->Push({query, row, r.distances[r.order[i]]});
    }
}

// The number of lists in which most of the nearest neighbours stand, by some rows of the sample as queries among the
// others. Where the sample is less than a tenth of the table, this is rather too many than too few.
uint32 ProbesNeeded(IvfBuild* build, const int32* labels, ArenaVec<NearPair>* pairs) {
    const IvfMetaData& meta = build->ctx.meta;
    const uint64 rows = Min(build->sample_count, kMostRanked);
    if (rows < 2) return 1;
    // The ten nearest of the table are as far as so many of a sample of its rows.
    const double share = Min(static_cast<double>(rows) / Max(build->estimated, 1.0), 1.0);
    const uint64 nearest = Min(static_cast<uint64>(std::ceil(share * kNearestCounted)), rows - 1);
    Ranking r = {build, rows, nearest, labels, nullptr, nullptr, nullptr, pairs};
    const uint64 room = Max<uint64>(r.rows, meta.lists);
    r.distances = PallocArray<float>(room);
    r.order = PallocArray<uint64>(room);
    r.place = PallocArray<uint32>(meta.lists);
    uint64* counts = PallocArray<uint64>(meta.lists);
    memset(counts, 0, meta.lists * sizeof(uint64));
    const uint64 times = build->relearning ? kVacuumTimes : 1;
    const uint64 queries = Min(Max(times * kPairsRanked / nearest, kLeastQueries), Min(times * kMostQueries, rows));
    for (uint64 i = 0; i < queries; ++i) {
        CHECK_FOR_INTERRUPTS();
        CountPlaces(r, r.At(i * r.rows / queries), counts);
    }
    uint64 all = 0, found = 0;
    for (uint32 i = 0; i < meta.lists; ++i)
        all += counts[i];
    uint32 probes = 0;
    while (probes < meta.lists && static_cast<double>(found) < kShareFound * static_cast<double>(all))
        found += counts[probes++];
    pfree(counts);
    pfree(r.place);
    pfree(r.order);
    pfree(r.distances);
    return Max<uint32>(probes, 1);
}

// ---- codes -----------------------------------------------------------------------

// How far the estimates for near rows exceed their distances, relative to the errors of codes: all but a few of the
// pairs. The sample holds residuals by now; `labels` says of which centroids.
float ErrorScale(IvfBuild* build, const int32* labels, const ArenaVec<NearPair>& pairs) {
    if (pairs.empty()) return 1;
    const PqShape shape = IvfPqShape(build->ctx.meta);
    const size_t dim = build->dim;
    const bool product = IvfCodeMetric(*build->ctx.desc) == Metric::kInnerProduct;
    float* query = PallocArray<float>(dim);
    float* row = PallocArray<float>(dim);
    uint8_t* code = PallocArray<uint8_t>(shape.code_bytes());
    float* excess = PallocArray<float>(pairs.size);
    double errors = 0;
    for (size_t i = 0; i < pairs.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        const NearPair& pair = pairs[i];
        const float* of_query = build->centroids + static_cast<size_t>(labels[pair.query]) * dim;
        const float* of_row = build->centroids + static_cast<size_t>(labels[pair.row]) * dim;
        const float error = EncodePq(shape, build->codebook, build->sample + pair.row * dim, code);
        DecodePq(shape, build->codebook, code, row);
        double norm = 0;
        for (size_t d = 0; d < dim; ++d) {
            query[d] = build->sample[pair.query * dim + d] + of_query[d];
            row[d] += of_row[d];
            norm += static_cast<double>(query[d]) * static_cast<double>(query[d]);
        }
        const float estimate =
            product ? -Kernels().float32.inner_product(query, row, dim) : Kernels().float32.l2_squared(query, row, dim);
        const double unit = product ? std::sqrt(norm * static_cast<double>(error)) : std::sqrt(estimate);
        excess[i] = unit > 0 ? static_cast<float>((estimate - pair.distance) / unit) : 0;
        errors += static_cast<double>(error);
    }
    const double share = HasStored(build->ctx.meta) ? kShareBoundedStored : kShareBounded;
    const size_t most = static_cast<size_t>(share * static_cast<double>(pairs.size - 1));
    std::nth_element(excess, excess + most, excess + pairs.size);
    const double scale = product ? 1 : std::sqrt(errors / static_cast<double>(pairs.size));
    const float bound = scale > 0 ? excess[most] / static_cast<float>(scale) : 0;
    pfree(excess);
    pfree(code);
    pfree(row);
    pfree(query);
    return std::isfinite(bound) ? Max(bound, kLeastErrorScale) : 1;
}

// Puts residuals in the place of the sample's rows.
void MakeResiduals(IvfBuild* build, const int32* labels) {
    for (uint64 i = 0; i < build->sample_count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        float* point = build->sample + i * build->dim;
        const float* centroid = build->centroids + static_cast<uint64>(labels[i]) * build->dim;
        for (size_t d = 0; d < build->dim; ++d)
            point[d] -= centroid[d];
    }
}

// Learns the codebook from residuals.
void TrainCodebook(IvfBuild* build) {
    PqTrainTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = build->sample;
    task.count = static_cast<int64>(build->sample_count);
    task.shape = IvfPqShape(build->ctx.meta);
    task.iterations = kPqRounds;
    task.seed = build->options.seed;
    task.sample = kPqSample;
    build->codebook = task.codebook = PallocArray<float>(task.shape.codebook_floats());
    RunCompute(ComputeTask::kPqTrain, &task, build->jobs());
}

// Makes residuals of the sample, learns the rotation, and the codebook of what is rotated.
void TrainCodes(IvfBuild* build, const int32* labels, const ArenaVec<NearPair>& pairs) {
    const IvfMetaData& meta = build->ctx.meta;
    MakeResiduals(build, labels);
    const bool pq = meta.quantizer == static_cast<uint8>(Quantizer::kPq);
    if (pq && build->options.opq) {
        OpqTrainTask task;
        memset(static_cast<void*>(&task), 0, sizeof(task));
        task.points = build->sample;
        task.count = static_cast<int64>(build->sample_count);
        task.shape = IvfPqShape(meta);
        task.iterations = kOpqRounds;
        task.seed = build->options.seed;
        task.sample = kOpqSample;
        build->matrix = task.rotation = PallocArray<float>(build->dim * build->dim);
        RunCompute(ComputeTask::kOpqTrain, &task, build->jobs());
        build->sample = Rotated(build, build->sample, build->sample_count);
    }
    if (!pq || build->matrix != nullptr) build->centroids = Rotated(build, build->centroids, meta.lists);
    if (!pq) return;
    TrainCodebook(build);
    build->ctx.meta.error_scale = ErrorScale(build, labels, pairs);
}

void EncodePayloads(IvfBuild* build) {
    for (uint64 i = 0; i < build->batch_count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        memcpy(build->value.plain, build->batch + i * build->dim, build->row_bytes());
        IvfRotate(build->ctx, &build->value);
        IvfEncodePayload(build->ctx, build->value, build->entries + i * build->ctx.meta.entry_size);
    }
}

// Codes of sub-quantizers of the batch's rows; adds what their lists' errors are made of.
void EncodePq(IvfBuild* build, const float* points) {
    PqEncodeTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = points;
    task.count = static_cast<int64>(build->batch_count);
    task.shape = IvfPqShape(build->ctx.meta);
    task.codebook = build->codebook;
    task.centroids = build->centroids;
    task.labels = build->labels;
    task.codes = reinterpret_cast<uint8_t*>(build->entries);
    task.adds = build->factors;
    task.errors = build->errors;
    RunCompute(ComputeTask::kPqEncode, &task, build->quiet_jobs());
    const Metric metric = IvfCodeMetric(*build->ctx.desc);
    for (uint64 i = 0; i < build->batch_count; ++i) {
        build->factors[i] = IvfPqFactor(metric, build->factors[i], build->errors[i]);
        build->list_error[build->labels[i]] += static_cast<double>(build->errors[i]);
    }
}

void EncodeSignsOf(IvfBuild* build, const float* points) {
    SignEncodeTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = points;
    task.count = static_cast<int64>(build->batch_count);
    task.shape = IvfSignShape(build->ctx.meta);
    task.metric = IvfCodeMetric(*build->ctx.desc);
    task.centroids = build->centroids;
    task.labels = build->labels;
    task.codes = reinterpret_cast<uint8_t*>(build->entries);
    task.factors = reinterpret_cast<ListFactors*>(build->factors);
    RunCompute(ComputeTask::kSignEncode, &task, build->quiet_jobs());
}

// The payloads beside the codes of the batch's rows.
void EncodeStored(IvfBuild* build) {
    IvfMetaData* meta = &build->ctx.meta;
    for (uint64 i = 0; i < build->batch_count; ++i) {
        if (i % 1024 == 0) CHECK_FOR_INTERRUPTS();
        char* payload = build->stored + i * StoredBytes(*meta);
        IvfEncodeStored(build->ctx, build->batch + i * build->dim, payload);
        if (!IsExactPayload(payload)) meta->stored_exact = 0;
    }
}

}  // namespace

void IvfFindCentroids(IvfBuild* build) {
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

void IvfFindLists(IvfBuild* build, const float* points, uint64 count, int32* labels) {
    AssignTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.points = points;
    task.count = static_cast<int64>(count);
    task.dim = static_cast<int32>(build->dim);
    task.centroids = build->centroids;
    task.clusters = static_cast<int32>(build->ctx.meta.lists);
    task.labels = labels;
    RunCompute(ComputeTask::kAssign, &task, build->quiet_jobs());
}

void IvfLearnSearch(IvfBuild* build, const int32* labels, bool codebook) {
    Arena arena = MakeArena(CurrentMemoryContext);
    ArenaVec<NearPair> pairs;
    pairs.Init(&arena);
    IvfMetaData* meta = &build->ctx.meta;
    meta->probes = ProbesNeeded(build, labels, &pairs);
    if (meta->quantizer != static_cast<uint8>(Quantizer::kPq)) return;
    MakeResiduals(build, labels);
    if (codebook) TrainCodebook(build);
    meta->error_scale = ErrorScale(build, labels, pairs);
}

uint32 IvfListsWished(const IvfBuild& build) {
    if (build.options.lists > 0) return build.options.lists;
    const double root = std::sqrt(Max(build.estimated, 1.0));
    const uint64 fit = build.memory_limit / 4 / build.row_bytes();
    return static_cast<uint32>(Max<uint64>(Min<uint64>(static_cast<uint64>(root), Min<uint64>(fit, kIvfMaxLists)), 1));
}

uint64 IvfRowsToLearn(const IvfOptions& options) {
    if (options.sample > 0) return Max(options.sample, kLeastToLearn);
    return Max(kLeastRowsOfList * options.lists, kLeastSample);
}

void IvfSample(IvfBuild* build, const float* vector) {
    uint64 at = build->sample_count;
    ++build->sample_seen;
    if (at == build->sample_room)
        at = build->rng.Next() % build->sample_seen;
    else
        ++build->sample_count;
    if (at < build->sample_room) memcpy(build->sample + at * build->dim, vector, build->row_bytes());
}

uint64 IvfSampleRows(const IvfBuild& build) {
    if (build.options.sample > 0) return build.options.sample;
    return Max(kSampleOfList * IvfListsWished(build), kLeastSample);
}

void IvfTrain(IvfBuild* build) {
    build->Report(PROGRESS_CREATEIDX_SUBPHASE, kIvfPhaseTrain);
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
    // One list of vectors is what it is with rows and without.
    const bool nothing_to_learn = wished == 1 && meta->quantizer == static_cast<uint8>(Quantizer::kNone);
    const bool enough = nothing_to_learn || build->sample_count >= kLeastToLearn ||
                        (build->sample_count > 0 && HasPayload(*meta) && meta->lists == wished);
    if (!enough) {
        // Nothing to learn from: vectors as they are, in one list.
        *meta = IvfMakeMeta(*build->ctx.desc, static_cast<int>(build->dim), build->options, false);
        meta->lists = meta->probes = 1;
        // Nothing is rotated any more.
        build->value.vector = build->value.plain;
    }
    if ((meta->lists < wished || !enough) && !build->relearning) NoticeLittleData(*build, wished);
    build->centroids = PallocArray<float>(meta->lists * build->dim);
    memset(build->centroids, 0, meta->lists * build->row_bytes());
    if (!enough) return;
    if (build->sample_count == 0) {
        meta->probes = 1;
        return;
    }
    IvfFindCentroids(build);
    int32* labels = PallocArray<int32>(build->sample_count);
    IvfFindLists(build, build->sample, build->sample_count, labels);
    Arena arena = MakeArena(CurrentMemoryContext);
    ArenaVec<NearPair> pairs;
    pairs.Init(&arena);
    if (meta->compact != 0) meta->probes = ProbesNeeded(build, labels, &pairs);
    if (!HasPayload(*meta)) TrainCodes(build, labels, pairs);
    pfree(labels);
}

void IvfInitBatches(IvfBuild* build) {
    const IvfMetaData& meta = build->ctx.meta;
    const uint64 row = 2 * build->row_bytes() + build->record_bytes() + 64;
    build->batch_room = Min(Max(build->memory_limit / 4 / row, kLeastBatchRows), kMostBatchRows);
    build->batch = PallocArray<float>(build->batch_room * build->dim);
    if (IsRotated(meta) && build->list_numbers == nullptr)
        build->rotated = PallocArray<float>(build->batch_room * build->dim);
    build->batch_tids = PallocArray<ItemPointerData>(build->batch_room);
    build->labels = PallocArray<int32>(build->batch_room);
    build->entries = PallocArray<char>(build->batch_room * meta.entry_size);
    build->stored = PallocArray<char>(build->batch_room * StoredBytes(meta));
    build->factors = PallocArray<float>(build->batch_room * 3);
    build->errors = PallocArray<float>(build->batch_room);
    build->list_rows = PallocArray<uint64>(meta.lists);
    build->list_error = PallocArray<double>(meta.lists);
    build->directory = PallocArray<ListEntryData>(meta.lists);
    memset(build->list_rows, 0, meta.lists * sizeof(uint64));
    memset(build->list_error, 0, meta.lists * sizeof(double));
    build->spool.Create();
}

void IvfAssignBatch(IvfBuild* build) {
    if (build->batch_count == 0) return;
    const size_t entry_size = build->ctx.meta.entry_size;
    const IvfMetaData& meta = build->ctx.meta;
    const float* points = build->batch;
    if (build->rotated != nullptr) {
        Rotate(build, build->batch, build->batch_count, build->rotated);
        points = build->rotated;
    }
    IvfFindLists(build, points, build->batch_count, build->labels);
    const bool rewriting = build->list_numbers != nullptr;
    if (meta.quantizer == static_cast<uint8>(Quantizer::kPq))
        EncodePq(build, points);
    else if (!HasPayload(meta))
        EncodeSignsOf(build, points);
    else if (!rewriting)
        EncodePayloads(build);
    if (HasStored(meta) && !rewriting) EncodeStored(build);
    for (uint64 i = 0; i < build->batch_count; ++i) {
        SpoolRow row;
        memset(static_cast<void*>(&row), 0, sizeof(row));
        row.list = static_cast<uint32>(build->labels[i]);
        row.tid = build->batch_tids[i];
        for (int f = 0; f < meta.factors; ++f)
            row.factors[f] = build->factors[i * meta.factors + static_cast<uint64>(f)];
        build->spool.Put(row);
        build->spool.Write(build->entries + i * entry_size, entry_size);
        if (HasStored(meta)) build->spool.Write(build->stored + i * StoredBytes(meta), StoredBytes(meta));
        ++build->list_rows[row.list];
    }
    build->rows += build->batch_count;
    build->batch_count = 0;
}

}  // namespace vecann

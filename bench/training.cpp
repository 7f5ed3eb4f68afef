// FAISS's trainings beside ours on the same points with as many iterations: seconds, the error, and how long either
// goes without a look at a cancel.
//
// usage: training FILE DIM ROWS [CLUSTERS] [THREADS]
//   FILE: raw float32, DIM a row; its first ROWS rows are the points. The error of k-means is the mean squared distance
//   of all points to the nearest centroid, by one and the same assignment; that of a product quantizer or of OPQ the
//   mean squared distance to what the code decodes to, OPQ with one and the same training of codebooks on either's
//   rotation.
// build: make bench/build/training; run it with OPENBLAS_NUM_THREADS=1, and with OPENBLAS_CORETYPE as graph_build.cpp
// says, which the server does too.
#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/VectorTransform.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/ProductQuantizer.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <thread>

#include "compute_bench.h"

namespace vecann {
namespace {

// As a build of ivfpq has them.
constexpr int kKMeansRounds = 12, kPqRounds = 12, kOpqRounds = 8;
constexpr int64_t kPqPoints = 65536, kOpqPoints = 16384;

// The longest time between two looks of FAISS at its interrupt.
struct LookTimer : faiss::InterruptCallback {
    Clock::time_point last = Clock::now();
    double longest = 0;
    void Look() {
        longest = std::max(longest, SecondsSince(last));
        last = Clock::now();
    }
    bool want_interrupt() override {
        Look();
        return false;
    }
};

template <class Body>
void TimeFaiss(const char* what, int threads, Body body) {
    omp_set_num_threads(threads);
    LookTimer* timer = new LookTimer;
    faiss::InterruptCallback::instance.reset(timer);
    const auto start = Clock::now();
    const double before = ProcessorSeconds();
    body();
    timer->Look();
    printf("  FAISS %-26s %8.2f s, processor %8.2f s, %7.3f s without a look", what, SecondsSince(start),
           ProcessorSeconds() - before, timer->longest);
    faiss::InterruptCallback::instance.reset();
}

// Our task to its end, then cancelled at some moments of it: the longest time until it has ended.
template <class Task>
void TimeOurs(const char* what, ComputeTask kind, Task* task, int threads) {
    const Cost cost = TimeTask(kind, task, threads);
    double longest = 0;
    for (const double moment : {0.05, 0.3, 0.6, 0.9}) {
        Task again = *task;
        ComputeJob job;
        job.threads = threads;
        Status status;
        const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
        void* handle = api->start(&job, kind, &again, &status);
        std::this_thread::sleep_for(std::chrono::duration<double>(moment * cost.seconds));
        const auto start = Clock::now();
        job.cancel.store(1);
        api->join(handle);
        longest = std::max(longest, SecondsSince(start));
    }
    // what was cancelled has left something else there
    TimeTask(kind, task, threads);
    printf("  ours  %-26s %8.2f s, processor %8.2f s, %7.3f s to a cancel   ", what, cost.seconds, cost.processor,
           longest);
}

void PrintError(double error) {
    printf(" error %.6g\n", error);
    fflush(stdout);
}

double MeanDistance(const Data& data, const float* centroids, int clusters, int threads) {
    std::vector<int32_t> labels(static_cast<size_t>(data.count));
    std::vector<float> distances(labels.size());
    AssignTask task = {data.rows.data(), data.count, data.dim, centroids, clusters, labels.data(), distances.data()};
    TimeTask(ComputeTask::kAssign, &task, threads);
    return std::accumulate(distances.begin(), distances.end(), 0.0) / static_cast<double>(data.count);
}

void CompareKMeans(const Data& data, int clusters, int threads) {
    printf("k-means, %ld x %d, %d clusters, %d iterations, %d threads\n", static_cast<long>(data.count), data.dim,
           clusters, kKMeansRounds, threads);
    faiss::Clustering clustering(data.dim, clusters);
    clustering.niter = kKMeansRounds;
    clustering.max_points_per_centroid = static_cast<int>(data.count);
    clustering.min_points_per_centroid = 1;
    faiss::IndexFlatL2 index(data.dim);
    TimeFaiss("", threads, [&] { clustering.train(data.count, data.rows.data(), index); });
    PrintError(MeanDistance(data, clustering.centroids.data(), clusters, threads));
    std::vector<float> centroids(static_cast<size_t>(clusters) * static_cast<size_t>(data.dim));
    KMeansTask task = {data.rows.data(), data.count, data.dim, clusters, kKMeansRounds, 1, 0, centroids.data(), 0};
    TimeOurs("", ComputeTask::kKMeans, &task, threads);
    PrintError(MeanDistance(data, centroids.data(), clusters, threads));
}

// The mean squared error of our codes of the points.
double CodeError(const float* points, int64_t count, const PqShape& shape, const float* codebook, int threads) {
    std::vector<uint8_t> codes(static_cast<size_t>(count) * shape.code_bytes());
    std::vector<float> errors(static_cast<size_t>(count));
    PqEncodeTask task = {points, count, shape, codebook, nullptr, nullptr, codes.data(), nullptr, errors.data()};
    TimeTask(ComputeTask::kPqEncode, &task, threads);
    return std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(count);
}

// FAISS's codebook in our form: coordinate i of all codewords together.
std::vector<float> Transposed(const faiss::ProductQuantizer& pq) {
    std::vector<float> codebook(pq.M * pq.ksub * pq.dsub);
    for (size_t s = 0; s < pq.M; ++s)
        for (size_t j = 0; j < pq.ksub; ++j)
            for (size_t i = 0; i < pq.dsub; ++i)
                codebook[(s * pq.dsub + i) * pq.ksub + j] = pq.centroids[(s * pq.ksub + j) * pq.dsub + i];
    return codebook;
}

void ComparePq(const Data& data, const PqShape& shape, int threads) {
    const int64_t count = std::min(data.count, kPqPoints);
    printf("product quantizer %d x %d bits, %ld x %d, %d iterations, %d threads\n", shape.m, shape.bits,
           static_cast<long>(count), data.dim, kPqRounds, threads);
    faiss::ProductQuantizer pq(static_cast<size_t>(data.dim), static_cast<size_t>(shape.m),
                               static_cast<size_t>(shape.bits));
    pq.cp.max_points_per_centroid = static_cast<int>(count);
    pq.cp.min_points_per_centroid = 1;
    pq.cp.niter = kPqRounds;
    TimeFaiss("", threads, [&] { pq.train(static_cast<size_t>(count), data.rows.data()); });
    PrintError(CodeError(data.rows.data(), count, shape, Transposed(pq).data(), threads));
    std::vector<float> codebook(shape.codebook_floats());
    PqTrainTask task = {data.rows.data(), count, shape, kPqRounds, 1, 0, codebook.data(), 0};
    TimeOurs("", ComputeTask::kPqTrain, &task, threads);
    PrintError(CodeError(data.rows.data(), count, shape, codebook.data(), threads));
}

double RotatedError(const Data& data, const float* rotation, const PqShape& shape, int threads) {
    const int64_t count = std::min(data.count, kPqPoints);
    std::vector<float> rotated(static_cast<size_t>(count * data.dim)), codebook(shape.codebook_floats());
    RotateTask rotate = {data.rows.data(), count, data.dim, rotation, rotated.data()};
    TimeTask(ComputeTask::kRotate, &rotate, threads);
    PqTrainTask task = {rotated.data(), count, shape, kPqRounds, 1, 0, codebook.data(), 0};
    TimeTask(ComputeTask::kPqTrain, &task, threads);
    return CodeError(rotated.data(), count, shape, codebook.data(), threads);
}

void CompareOpq(const Data& data, const PqShape& shape, int threads) {
    const int64_t count = std::min(data.count, kOpqPoints);
    printf("OPQ for %d x %d bits, %ld x %d, %d rounds, %d threads\n", shape.m, shape.bits, static_cast<long>(count),
           data.dim, kOpqRounds, threads);
    faiss::ProductQuantizer pq(static_cast<size_t>(data.dim), static_cast<size_t>(shape.m),
                               static_cast<size_t>(shape.bits));
    faiss::OPQMatrix opq(data.dim, shape.m);
    opq.niter = kOpqRounds;
    opq.max_train_points = static_cast<size_t>(count);
    opq.pq = &pq;
    TimeFaiss("", threads, [&] { opq.train(count, data.rows.data()); });
    PrintError(RotatedError(data, opq.A.data(), shape, threads));
    std::vector<float> rotation(static_cast<size_t>(data.dim) * static_cast<size_t>(data.dim));
    OpqTrainTask task = {data.rows.data(), count, shape, kOpqRounds, 1, 0, rotation.data(), 0, 0};
    TimeOurs("", ComputeTask::kOpqTrain, &task, threads);
    PrintError(RotatedError(data, rotation.data(), shape, threads));
}

void CompareAll(const char* path, int dim, int64_t rows, int clusters, int threads) {
    Data data = Load(path, dim);
    data.count = std::min(rows, data.count);
    CompareKMeans(data, clusters, threads);
    // FAISS's runs all have the same length.
    for (const int run : {4, 2})
        if (dim % run == 0) ComparePq(data, {dim, dim / run, 4}, threads);
    if (dim % 4 == 0) ComparePq(data, {dim, dim / 4, 8}, threads);
    if (dim % 4 == 0) CompareOpq(data, {dim, dim / 4, 4}, threads);
}

}  // namespace
}  // namespace vecann

int main(int argc, char** argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: training FILE DIM ROWS [CLUSTERS] [THREADS]; see the opening comment\n");
        return 1;
    }
    try {
        vecann::CompareAll(argv[1], atoi(argv[2]), atoll(argv[3]), argc > 4 ? atoi(argv[4]) : 1000,
                           argc > 5 ? atoi(argv[5]) : 1);
    } catch (const std::exception& e) {
        fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

// Measures the graph build of the compute library without a server: seconds, memory, degrees, and the recall of a beam
// search with float32 distances over the graph, beside FAISS's insertion-built HNSW if asked.
//
// usage: graph_build [-d DATA] [-n COUNT] [-D DIM] [-r DEGREE] [-t THREADS] [-m l2|ip|cosine] [-s SEED] [-l] [-f]
//   DATA: mixture   Gaussian clusters of low intrinsic dimension (the default)
//         separate  the same, far from each other
//         smooth    one smooth cloud: a random net over a few latent coordinates
//         FILE      raw float32, DIM a row; the last 1000 rows are the queries
//   -l: begin the walk at the end of one through upper layers, graphs over each sixteenth point of the layer below
//   -f: build FAISS's HNSW (16 links, 64 candidates) on the same data and measure it too
// build: make bench/build/graph_build; run it with OPENBLAS_NUM_THREADS=1, and with OPENBLAS_CORETYPE=SkylakeX (or
// Haswell) where OpenBLAS does not know the processor. FILE from an npy file of bytes: read it with numpy and write
// array.reshape(-1, DIM).astype("float32").tofile(FILE).
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "compute/compute_abi.h"
#include "core/rng.h"
#include "kernels/kernel_table.h"

extern "C" const vecann::ComputeApi* vecann_compute_api(uint32_t version, vecann::Status* status) noexcept;
extern "C" void openblas_set_num_threads(int);

namespace vecann {
namespace {

constexpr int kQueries = 1000, kWanted = 10;

struct Options {
    std::string data = "mixture";
    int64_t count = 200000;
    int dim = 128, degree = 32, threads = 2;
    Metric metric = Metric::kL2;
    uint32_t seed = 1;
    bool faiss = false, layers = false;
};

struct Data {
    std::vector<float> base, queries;
    int64_t count;
    int dim;
};

using Clock = std::chrono::steady_clock;
double Since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

double Normal(Rng* rng) {
    return std::sqrt(-2 * std::log(rng->NextUnit())) * std::cos(6.283185307179586 * rng->NextUnit());
}

// Row i of a set: a cluster's centre plus a linear map of a few latent coordinates, or a sine net over them.
std::vector<float> Rows(const Options& options, int64_t n, uint64_t seed) {
    constexpr int kLatent = 16;
    const int clusters = options.data == "smooth" ? 1 : 256, dim = options.dim;
    const double apart = options.data == "separate" ? 30 : 1;
    std::vector<float> maps(static_cast<size_t>(clusters) * (kLatent + 1) * dim);
    Rng shape(99);
    for (float& x : maps)
        x = static_cast<float>(Normal(&shape));
    std::vector<float> rows(static_cast<size_t>(n) * dim);
#pragma omp parallel for
    for (int64_t i = 0; i < n; ++i) {
        Rng rng(Rng(seed + static_cast<uint64_t>(i)).Next());
        const float* map = maps.data() + static_cast<size_t>(rng.Next() % clusters) * (kLatent + 1) * dim;
        double latent[kLatent];
        for (double& x : latent)
            x = Normal(&rng);
        for (int j = 0; j < dim; ++j) {
            double x = apart * map[kLatent * dim + j];
            for (int l = 0; l < kLatent; ++l)
                x += 0.5 * latent[l] * map[l * dim + j];
            rows[static_cast<size_t>(i) * dim + j] =
                static_cast<float>(options.data == "smooth" ? std::sin(x) : x + 0.1 * Normal(&rng));
        }
    }
    return rows;
}

Data Load(const Options& options) {
    Data data = {{}, {}, options.count, options.dim};
    const size_t dim = static_cast<size_t>(options.dim);
    if (options.data == "mixture" || options.data == "separate" || options.data == "smooth") {
        data.base = Rows(options, options.count, 1000);
        data.queries = Rows(options, kQueries, uint64_t{1} << 40);
    } else {
        FILE* file = fopen(options.data.c_str(), "rb");
        if (file == nullptr) throw std::runtime_error("cannot read " + options.data);
        fseek(file, 0, SEEK_END);
        const int64_t rows = ftell(file) / static_cast<int64_t>(dim * sizeof(float));
        data.count = std::min(options.count, rows - kQueries);
        data.base.resize(static_cast<size_t>(data.count) * dim);
        data.queries.resize(kQueries * dim);
        rewind(file);
        if (fread(data.base.data(), sizeof(float), data.base.size(), file) != data.base.size()) abort();
        fseek(file, static_cast<long>((rows - kQueries) * static_cast<int64_t>(dim * sizeof(float))), SEEK_SET);
        if (fread(data.queries.data(), sizeof(float), data.queries.size(), file) != data.queries.size()) abort();
        fclose(file);
    }
    for (std::vector<float>* set : {&data.base, &data.queries})
        for (size_t i = 0; i < set->size(); i += dim) {
            float* row = set->data() + i;
            const float norm = std::sqrt(Kernels().float32.inner_product(row, row, dim));
            // for the inner product: lengths from 0.5 to 2
            const float scale = options.metric == Metric::kInnerProduct && set == &data.base
                                    ? static_cast<float>(std::exp2(2 * Rng(i).NextUnit() - 1)) / norm
                                : options.metric == Metric::kCosine ? 1 / norm
                                                                    : 1;
            for (size_t j = 0; j < dim; ++j)
                row[j] *= scale;
        }
    return data;
}

std::vector<faiss::Index::idx_t> Truth(const Data& data, Metric metric) {
    faiss::IndexFlat index(data.dim, metric == Metric::kInnerProduct ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2);
    index.add(data.count, data.base.data());
    std::vector<float> distances(kQueries * kWanted);
    std::vector<faiss::Index::idx_t> labels(kQueries * kWanted);
    index.search(kQueries, data.queries.data(), kWanted, distances.data(), labels.data());
    return labels;
}

// A layer: every stride-th point.
struct Layer {
    std::vector<float> points;
    std::vector<uint32_t> neighbours;
    std::vector<uint16_t> degrees;
    GraphBuildTask task;
};

Status RunBuild(GraphBuildTask* task, int* threads) {
    ComputeJob job;
    job.threads = *threads;
    Status status;
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    api->join(api->start(&job, ComputeTask::kGraphBuild, task, &status));
    *threads = job.threads;
    return job.status;
}

// From the highest to the lowest above the base.
std::vector<Layer> UpperLayers(const Options& options, const Data& data) {
    constexpr int64_t kStep = 16;
    std::vector<Layer> layers;
    for (int64_t stride = kStep; data.count / stride >= 2; stride *= kStep) {
        Layer layer;
        const int64_t count = (data.count + stride - 1) / stride;
        const size_t dim = static_cast<size_t>(data.dim);
        for (int64_t i = 0; i < data.count; i += stride)
            layer.points.insert(layer.points.end(), data.base.begin() + i * data.dim,
                                data.base.begin() + (i + 1) * data.dim);
        layer.neighbours.resize(static_cast<size_t>(count) * static_cast<size_t>(options.degree / 2));
        layer.degrees.resize(layer.points.size() / dim);
        layer.task = {layer.points.data(),
                      count,
                      data.dim,
                      options.metric,
                      options.degree / 2,
                      options.seed,
                      layer.neighbours.data(),
                      layer.degrees.data(),
                      0};
        int threads = options.threads;
        if (!RunBuild(&layer.task, &threads).ok()) abort();
        layers.insert(layers.begin(), std::move(layer));
    }
    return layers;
}

struct Walk {
    const Data& data;
    const GraphBuildTask& task;
    std::vector<uint32_t> seen;
    uint32_t round = 0;
    int64_t hops = 0, distances = 0;

    // Where to begin: the end of a greedy walk through the layers.
    uint32_t Descend(const std::vector<Layer>& layers, const float* query) {
        uint32_t at = task.entry;
        for (size_t l = 0; l < layers.size(); ++l) {
            Walk walk = {data, layers[l].task, std::vector<uint32_t>(layers[l].degrees.size())};
            const uint32_t from = l == 0 ? layers[l].task.entry : at * 16;
            at = walk.Search(query, 1, from)[0];
            distances += walk.distances;
        }
        return layers.empty() ? at : at * 16;
    }

    // The nearest kWanted by a beam of ef nodes.
    std::vector<uint32_t> Search(const float* query, size_t ef, uint32_t from) {
        struct Entry {
            float distance;
            uint32_t id;
            bool expanded;
        };
        std::vector<Entry> pool;
        ++round;
        const auto offer = [&](uint32_t id) {
            if (seen[id] == round) return;
            seen[id] = round;
            ++distances;
            const float* row = task.vectors + static_cast<size_t>(id) * data.dim;
            const size_t dim = static_cast<size_t>(data.dim);
            const float d = task.metric == Metric::kInnerProduct ? -Kernels().float32.inner_product(query, row, dim)
                                                                 : Kernels().float32.l2_squared(query, row, dim);
            if (pool.size() == ef && d >= pool.back().distance) return;
            if (pool.size() == ef) pool.pop_back();
            pool.insert(
                std::upper_bound(pool.begin(), pool.end(), d, [](float x, const Entry& e) { return x < e.distance; }),
                {d, id, false});
        };
        offer(from);
        for (;;) {
            const auto next = std::find_if(pool.begin(), pool.end(), [](const Entry& e) { return !e.expanded; });
            if (next == pool.end()) break;
            next->expanded = true;
            ++hops;
            const uint32_t id = next->id;
            for (int i = 0; i < task.degrees[id]; ++i)
                offer(task.neighbours[static_cast<int64_t>(id) * task.max_degree + i]);
        }
        std::vector<uint32_t> found;
        for (size_t i = 0; i < pool.size() && i < kWanted; ++i)
            found.push_back(pool[i].id);
        return found;
    }
};

template <class Ids>
double Recall(const Ids& found, const faiss::Index::idx_t* truth) {
    int hits = 0;
    for (size_t i = 0; i < found.size() && i < kWanted; ++i)
        hits += std::find(truth, truth + kWanted, static_cast<faiss::Index::idx_t>(found[i])) != truth + kWanted;
    return static_cast<double>(hits) / kWanted;
}

void MeasureGraph(const Data& data, const GraphBuildTask& task, const std::vector<Layer>& layers,
                  const std::vector<faiss::Index::idx_t>& truth) {
    double degree = 0;
    for (int64_t i = 0; i < data.count; ++i)
        degree += task.degrees[i];
    printf("degree %.1f;", degree / static_cast<double>(data.count));
    for (const size_t ef : {20, 40, 100}) {
        Walk walk = {data, task, std::vector<uint32_t>(static_cast<size_t>(data.count))};
        double recall = 0;
        for (int q = 0; q < kQueries; ++q) {
            const float* query = data.queries.data() + static_cast<size_t>(q) * data.dim;
            recall += Recall(walk.Search(query, ef, walk.Descend(layers, query)), truth.data() + q * kWanted);
        }
        printf("  ef %zu: %.4f (%.0f hops, %.0f dist)", ef, recall / kQueries, 1.0 * walk.hops / kQueries,
               1.0 * walk.distances / kQueries);
    }
    printf("\n");
}

void MeasureFaiss(const Options& options, const Data& data, const std::vector<faiss::Index::idx_t>& truth) {
    faiss::IndexHNSWFlat index(
        data.dim, 16, options.metric == Metric::kInnerProduct ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2);
    index.hnsw.efConstruction = 64;
    const auto start = Clock::now();
    index.add(data.count, data.base.data());
    printf("faiss hnsw: %.2f s;", Since(start));
    for (const int ef : {20, 40, 100}) {
        index.hnsw.efSearch = ef;
        std::vector<float> distances(kQueries * kWanted);
        std::vector<faiss::Index::idx_t> labels(kQueries * kWanted);
        index.search(kQueries, data.queries.data(), kWanted, distances.data(), labels.data());
        double recall = 0;
        for (int q = 0; q < kQueries; ++q)
            recall += Recall(
                std::vector<faiss::Index::idx_t>(labels.begin() + q * kWanted, labels.begin() + (q + 1) * kWanted),
                truth.data() + q * kWanted);
        printf("  ef %d: %.4f", ef, recall / kQueries);
    }
    printf("\n");
}

Options Parse(int argc, char** argv) {
    Options options;
    for (int c; (c = getopt(argc, argv, "d:n:D:r:t:m:s:fl")) != -1;) {
        switch (c) {
            case 'd':
                options.data = optarg;
                break;
            case 'n':
                options.count = atoll(optarg);
                break;
            case 'D':
                options.dim = atoi(optarg);
                break;
            case 'r':
                options.degree = atoi(optarg);
                break;
            case 't':
                options.threads = atoi(optarg);
                break;
            case 's':
                options.seed = static_cast<uint32_t>(atoi(optarg));
                break;
            case 'f':
                options.faiss = true;
                break;
            case 'l':
                options.layers = true;
                break;
            case 'm':
                options.metric = strcmp(optarg, "ip") == 0       ? Metric::kInnerProduct
                                 : strcmp(optarg, "cosine") == 0 ? Metric::kCosine
                                                                 : Metric::kL2;
                break;
            default:
                exit(2);
        }
    }
    return options;
}

// The most memory the process has had so far; `reset` begins anew with what it has now.
double PeakMegabytes(bool reset) {
    if (reset) std::ofstream("/proc/self/clear_refs") << 5;
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmHWM:" && status >> word) return std::stod(word) / 1024;
    return 0;
}

int Main(int argc, char** argv) {
    const Options options = Parse(argc, argv);
    openblas_set_num_threads(1);
    omp_set_num_threads(options.threads);
    const Data data = Load(options);
    const auto truth = Truth(data, options.metric);

    std::vector<uint32_t> neighbours(static_cast<size_t>(data.count) * static_cast<size_t>(options.degree));
    std::vector<uint16_t> degrees(static_cast<size_t>(data.count));
    GraphBuildTask task = {data.base.data(),  data.count,     data.dim, options.metric, options.degree, options.seed,
                           neighbours.data(), degrees.data(), 0};
    const double before = PeakMegabytes(true);
    int threads = options.threads;
    const auto start = Clock::now();
    const Status status = RunBuild(&task, &threads);
    const double seconds = Since(start);
    const double peak = PeakMegabytes(false);
    if (!status.ok()) {
        printf("failed: %s\n", status.message);
        return 1;
    }
    printf(
        "%s %lld x %d, R %d, %d threads: %.2f s, %.0f MB more (estimate %.0f); ", options.data.c_str(),
        static_cast<long long>(data.count), data.dim, options.degree, threads, seconds, peak - before,
        static_cast<double>(GraphBuildMemory(data.count, data.dim, options.degree, threads, options.metric)) / 1048576);
    MeasureGraph(data, task, options.layers ? UpperLayers(options, data) : std::vector<Layer>(), truth);
    if (options.faiss) MeasureFaiss(options, data, truth);
    return 0;
}

}  // namespace
}  // namespace vecann

int main(int argc, char** argv) {
    return vecann::Main(argc, argv);
}

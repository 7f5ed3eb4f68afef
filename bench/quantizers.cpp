// Measures what an IVF index is made of without a server: the scans of each level, trainings, and how often the ten
// nearest are among the best by estimate.
//
// usage: quantizers scan                          nanoseconds for a block of 32 codes, and for a query's tables
//        quantizers train FILE DIM [THREADS]      seconds of product quantizers and their rotation on all rows
//        quantizers cells FILE DIM LISTS SAMPLE [THREADS]   seconds of k-means, then of the assignment of all rows
//        quantizers recall FILE DIM LISTS [THREADS]         estimates of all rows; the last 500 are the queries
// FILE: raw float32, DIM a row. build: make bench/build/quantizers; run it as graph_build.cpp says.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "compute/task_arena.h"
#include "compute_bench.h"
#include "kernels/kernel_table.h"

namespace vecann {
namespace {

// The median of some runs, each of which calls body `calls` times; nanoseconds of a call.
template <class F>
double Nanoseconds(int calls, F body) {
    std::vector<double> runs;
    for (int run = 0; run < 200; ++run) {
        const auto start = Clock::now();
        for (int i = 0; i < calls; ++i)
            body();
        runs.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / calls);
    }
    std::nth_element(runs.begin(), runs.begin() + 20, runs.end());
    return runs[20];
}

void Scan() {
    constexpr int kBlocks = 32;
    std::mt19937 random(1);
    for (int level = 0; level < kSimdLevels; ++level) {
        if (!ForceSimdLevel(static_cast<SimdLevel>(level))) continue;
        for (const int dim : {128, 768}) {
            const int m = dim / 4;
            std::vector<uint8_t> codes(BlockBytes(m) * kBlocks), levels(static_cast<size_t>(m) * 16), rows(32 * 96);
            for (auto* bytes : {&codes, &levels, &rows})
                for (uint8_t& byte : *bytes)
                    byte = static_cast<uint8_t>(random());
            std::vector<float> factors(32 * kBlocks, 0.5f), estimates(32 * kBlocks), tables(96 * 256, 0.5f);
            std::vector<uint16_t> sums(32 * kBlocks);
            std::vector<uint32_t> masks(kBlocks);
            const BlockScan scan = {levels.data(), codes.data(), m, kBlocks, BlockBytes(m)};
            const BlockEstimate rule = {factors.data(), factors.data(), factors.data(), 128, 0, 1, 0, 1, 1};
            const BlockKernels& kernels = Kernels().block;
            const int calls = level == 0 ? 1 : 10;
            printf(
                "%-8s dim %3d m %3d: sums %.1f, below %.1f, estimates %.1f ns a block;", Kernels().name, dim, m,
                Nanoseconds(calls, [&] { kernels.sums(scan, sums.data()); }) / kBlocks,
                Nanoseconds(calls, [&] { kernels.below(scan, 1000, sums.data(), masks.data()); }) / kBlocks,
                Nanoseconds(calls, [&] { kernels.estimates(scan, rule, estimates.data(), masks.data()); }) / kBlocks);
            const int m8 = dim / 8;
            printf(" 8 bits m %d: %.1f ns for 32 codes;", m8, Nanoseconds(calls, [&] {
                       kernels.bytes(tables.data(), rows.data(), m8, static_cast<size_t>(m8), 32, estimates.data());
                   }));
            const PqShape shape = {dim, m, 4};
            std::vector<float> codebook(shape.codebook_floats(), 0.25f), query(static_cast<size_t>(dim), 0.5f);
            for (float& x : codebook)
                x = static_cast<float>(random() % 1000) * 0.01f;
            TaskArena memory;
            ScanTables scan_tables;
            scan_tables.Init(&memory.arena, m, 16);
            uint8_t code[256];
            const CodeShape signs = CodeShape::Make(dim, 1, dim);
            printf(" tables %.0f, of signs %.0f, encode %.0f ns\n",
                   Nanoseconds(10, [&] { SetProducts(shape, codebook.data(), query.data(), -2, &scan_tables); }),
                   Nanoseconds(10, [&] { SetSigns(signs, query.data(), &scan_tables); }),
                   Nanoseconds(10, [&] { EncodePq(shape, codebook.data(), query.data(), code); }));
        }
    }
}

void Train(const Data& data, int threads) {
    for (const PqShape& shape :
         {PqShape{data.dim, 32, 8}, PqShape{data.dim, data.dim / 4, 4}, PqShape{data.dim, data.dim / 2, 4}}) {
        std::vector<float> codebook(shape.codebook_floats());
        char name[64];
        for (const int iterations : {5, 10, 25}) {
            PqTrainTask task = {data.rows.data(), data.count, shape, iterations, 1, 0, codebook.data(), 0};
            snprintf(name, sizeof(name), "pq %d x %d bits, %d iterations", shape.m, shape.bits, iterations);
            RunTask(name, ComputeTask::kPqTrain, &task, threads);
            printf("    error %.6g\n", task.error);
        }
        for (const int64_t sample : {64, 256}) {
            PqTrainTask task = {data.rows.data(),           data.count,      shape, 10, 1,
                                sample * shape.codewords(), codebook.data(), 0};
            snprintf(name, sizeof(name), "  the same, sample of %ld", static_cast<long>(task.sample));
            RunTask(name, ComputeTask::kPqTrain, &task, threads);
            std::vector<uint8_t> codes(static_cast<size_t>(data.count) * shape.code_bytes());
            std::vector<float> errors(static_cast<size_t>(data.count));
            PqEncodeTask encode = {data.rows.data(), data.count,   shape,   codebook.data(), nullptr,
                                   nullptr,          codes.data(), nullptr, errors.data()};
            RunTask("  encode all", ComputeTask::kPqEncode, &encode, threads);
            printf("    error of all %.6g\n",
                   std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(data.count));
        }
        if (shape.bits == 8) continue;
        std::vector<float> rotation(static_cast<size_t>(data.dim) * static_cast<size_t>(data.dim));
        for (const int iterations : {5, 10, 20}) {
            OpqTrainTask task = {data.rows.data(), data.count, shape, iterations, 1, 16384, rotation.data(), 0, 0};
            snprintf(name, sizeof(name), "opq, sample 16384, %d iterations", iterations);
            RunTask(name, ComputeTask::kOpqTrain, &task, threads);
            printf("    error %.6g, plain %.6g\n", task.error, task.plain);
        }
    }
}

void Cells(const Data& data, int lists, int64_t sample, int threads) {
    std::vector<float> centroids(static_cast<size_t>(lists) * static_cast<size_t>(data.dim));
    KMeansTask task = {data.rows.data(), data.count, data.dim, lists, 10, 1, sample, centroids.data(), 0};
    RunTask("k-means, 10 iterations", ComputeTask::kKMeans, &task, threads);
    std::vector<int32_t> labels(static_cast<size_t>(data.count));
    std::vector<float> distances(labels.size());
    AssignTask assign = {data.rows.data(), data.count,      data.dim, centroids.data(), lists,
                         labels.data(),    distances.data()};
    RunTask("assignment of all", ComputeTask::kAssign, &assign, threads);
    printf("    objective %.6g, mean distance of all %.6g\n", task.objective,
           std::accumulate(distances.begin(), distances.end(), 0.0) / static_cast<double>(data.count));
}

constexpr int kQueries = 500, kWanted = 10, kMost = 200;

// A data set divided into lists, rows in the order of their lists.
struct Lists {
    int64_t count;
    int dim, lists;
    std::vector<float> rows, centroids;
    std::vector<int32_t> labels;
    std::vector<int64_t> begins;
    std::vector<float> queries;
    std::vector<std::vector<int64_t>> truth;  // the nearest rows of each query

    void Make(const Data& data, int lists_wanted, int threads);
    void FindTruth();
};

void Lists::Make(const Data& data, int lists_wanted, int threads) {
    count = data.count - kQueries;
    dim = data.dim;
    lists = lists_wanted;
    queries.assign(data.Row(count), data.Row(data.count));
    centroids.resize(static_cast<size_t>(lists) * static_cast<size_t>(dim));
    KMeansTask task = {data.rows.data(), count, dim, lists, 10, 1, 0, centroids.data(), 0};
    RunTask("k-means", ComputeTask::kKMeans, &task, threads);
    std::vector<int32_t> label(static_cast<size_t>(count));
    AssignTask assign = {data.rows.data(), count, dim, centroids.data(), lists, label.data(), nullptr};
    RunTask("assignment", ComputeTask::kAssign, &assign, threads);
    std::vector<int64_t> order(label.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return label[static_cast<size_t>(a)] < label[static_cast<size_t>(b)];
    });
    begins.assign(static_cast<size_t>(lists) + 1, count);
    for (int64_t i = count - 1; i >= 0; --i)
        begins[static_cast<size_t>(label[static_cast<size_t>(order[static_cast<size_t>(i)])])] = i;
    for (size_t l = static_cast<size_t>(lists); l-- > 0;)
        begins[l] = std::min(begins[l], begins[l + 1]);
    for (const int64_t row : order) {
        rows.insert(rows.end(), data.Row(row), data.Row(row + 1));
        labels.push_back(label[static_cast<size_t>(row)]);
    }
    FindTruth();
}

void Lists::FindTruth() {
    truth.resize(kQueries);
    std::vector<std::pair<float, int64_t>> distances(static_cast<size_t>(count));
    for (int q = 0; q < kQueries; ++q) {
        for (int64_t i = 0; i < count; ++i)
            distances[static_cast<size_t>(i)] = {
                Kernels().float32.l2_squared(&queries[static_cast<size_t>(q * dim)],
                                             &rows[static_cast<size_t>(i * dim)], static_cast<size_t>(dim)),
                i};
        std::partial_sort(distances.begin(), distances.begin() + kWanted, distances.end());
        for (int i = 0; i < kWanted; ++i)
            truth[static_cast<size_t>(q)].push_back(distances[static_cast<size_t>(i)].second);
    }
}

// Codes of all rows: blocks by list for 4 bits and signs, row codes for 8 bits.
struct Coded {
    int m;
    size_t code_bytes;
    bool eight;
    std::vector<uint8_t> codes;
    std::vector<float> add, scale;  // scale empty: 1
};

// Prints how many of the nearest are among the best by estimate. set(query, tables) makes a query's tables.
template <class Set>
void Recall(const char* name, const Lists& lists, const Coded& coded, ScanTables* tables, Set set) {
    const size_t n = static_cast<size_t>(lists.count);
    std::vector<float> estimates(n + kBlockCodes);
    std::vector<uint32_t> masks(n / kBlockCodes + 2);
    constexpr int kSteps[] = {10, 20, 30, 50, 100, kMost};
    double found[6] = {};
    for (int q = 0; q < kQueries; ++q) {
        const float* query = &lists.queries[static_cast<size_t>(q * lists.dim)];
        set(query, tables);
        std::vector<std::pair<float, int64_t>> best;
        for (int l = 0; l < lists.lists; ++l) {
            const int64_t begin = lists.begins[static_cast<size_t>(l)], end = lists.begins[static_cast<size_t>(l) + 1];
            const float base = Kernels().float32.l2_squared(query, &lists.centroids[static_cast<size_t>(l * lists.dim)],
                                                            static_cast<size_t>(lists.dim));
            const int count = static_cast<int>(end - begin), blocks = (count + 31) / 32;
            const uint8_t* rows = coded.codes.data() + static_cast<size_t>(begin) * coded.code_bytes;
            if (coded.eight) {
                Kernels().block.bytes(tables->values, rows, coded.m, coded.code_bytes, count, estimates.data());
                for (int i = 0; i < count; ++i)
                    estimates[static_cast<size_t>(i)] += base + coded.add[static_cast<size_t>(begin + i)];
            } else {
                std::vector<uint8_t> packed(BlockBytes(coded.m) * static_cast<size_t>(blocks));
                std::vector<float> add(static_cast<size_t>(blocks) * 32), scale(add);
                for (int b = 0; b < blocks; ++b)
                    PackBlock(coded.m, rows + static_cast<size_t>(b) * 32 * coded.code_bytes, coded.code_bytes,
                              std::min(32, count - b * 32), &packed[static_cast<size_t>(b) * BlockBytes(coded.m)]);
                std::copy_n(coded.add.begin() + begin, count, add.begin());
                if (!coded.scale.empty()) std::copy_n(coded.scale.begin() + begin, count, scale.begin());
                BlockScan scan = {nullptr, packed.data(), 0, blocks, BlockBytes(coded.m)};
                BlockEstimate rule = {
                    add.data(), coded.scale.empty() ? nullptr : scale.data(), nullptr, 128, 0, 0, base, 0, 0};
                tables->Fill(&scan, &rule);
                Kernels().block.estimates(scan, rule, estimates.data(), masks.data());
            }
            for (int i = 0; i < count; ++i)
                best.emplace_back(estimates[static_cast<size_t>(i)], begin + i);
        }
        std::partial_sort(best.begin(), best.begin() + kMost, best.end());
        const auto& truth = lists.truth[static_cast<size_t>(q)];
        for (int i = 0; i < kMost; ++i)
            for (int s = 0; s < 6; ++s)
                if (i < kSteps[s] &&
                    std::find(truth.begin(), truth.end(), best[static_cast<size_t>(i)].second) != truth.end())
                    found[s] += 1.0 / (kQueries * kWanted);
    }
    printf("%-28s %5zu bytes: recall@10 of the best 10 %.4f, 20 %.4f, 30 %.4f, 50 %.4f, 100 %.4f, 200 %.4f\n", name,
           coded.code_bytes, found[0], found[1], found[2], found[3], found[4], found[5]);
    fflush(stdout);
}

void RecallOfPq(const char* name, const Lists& lists, int m, int bits, int64_t sample, int threads) {
    const PqShape shape = {lists.dim, m, bits};
    std::vector<float> residuals(lists.rows), codebook(shape.codebook_floats());
    for (int64_t i = 0; i < lists.count; ++i)
        for (int j = 0; j < lists.dim; ++j)
            residuals[static_cast<size_t>(i * lists.dim + j)] -=
                lists.centroids[static_cast<size_t>(lists.labels[static_cast<size_t>(i)] * lists.dim + j)];
    PqTrainTask train = {residuals.data(), lists.count, shape, 10, 1, sample, codebook.data(), 0};
    RunTask(nullptr, ComputeTask::kPqTrain, &train, threads);
    Coded coded = {m, shape.code_bytes(), bits == 8, {}, {}, {}};
    coded.codes.resize(static_cast<size_t>(lists.count) * coded.code_bytes);
    coded.add.resize(static_cast<size_t>(lists.count));
    PqEncodeTask encode = {
        lists.rows.data(),  lists.count,      shape,  codebook.data(), lists.centroids.data(), lists.labels.data(),
        coded.codes.data(), coded.add.data(), nullptr};
    RunTask(nullptr, ComputeTask::kPqEncode, &encode, threads);
    TaskArena memory;
    ScanTables tables;
    tables.Init(&memory.arena, m, shape.codewords());
    Recall(name, lists, coded, &tables,
           [&](const float* query, ScanTables* t) { SetProducts(shape, codebook.data(), query, -2, t); });
}

// The lists after a rotation; the truth stays.
Lists Rotated(const Lists& lists, const float* matrix, int threads) {
    Lists out = lists;
    const auto rotate = [&](const std::vector<float>& from, std::vector<float>* to) {
        RotateTask task = {from.data(), static_cast<int64_t>(from.size()) / lists.dim, lists.dim, matrix, to->data()};
        RunTask(nullptr, ComputeTask::kRotate, &task, threads);
    };
    rotate(lists.rows, &out.rows);
    rotate(lists.centroids, &out.centroids);
    rotate(lists.queries, &out.queries);
    return out;
}

void RecallOfSigns(const Lists& rotated, int threads) {
    const CodeShape shape = CodeShape::Make(rotated.dim, 1, rotated.dim);
    Coded coded = {SignSubQuantizers(shape), SignCodeBytes(shape), false, {}, {}, {}};
    coded.codes.resize(static_cast<size_t>(rotated.count) * coded.code_bytes);
    std::vector<ListFactors> factors(static_cast<size_t>(rotated.count));
    SignEncodeTask task = {
        rotated.rows.data(),   rotated.count,      shape,         Metric::kL2, rotated.centroids.data(),
        rotated.labels.data(), coded.codes.data(), factors.data()};
    RunTask(nullptr, ComputeTask::kSignEncode, &task, threads);
    for (const ListFactors& f : factors) {
        coded.add.push_back(f.add);
        coded.scale.push_back(f.scale);
    }
    TaskArena memory;
    ScanTables tables;
    tables.Init(&memory.arena, coded.m, 16);
    Recall("rabitq", rotated, coded, &tables, [&](const float* query, ScanTables* t) { SetSigns(shape, query, t); });
}

void RecallOfAll(const Data& data, int count, int threads) {
    Lists lists;
    lists.Make(data, count, threads);
    const int dim = data.dim;
    RecallOfPq("pq d/8 x 4", lists, dim / 8, 4, 16384, threads);
    RecallOfPq("pq d/4 x 4", lists, dim / 4, 4, 4096, threads);
    RecallOfPq("pq d/4 x 4, sample 16384", lists, dim / 4, 4, 16384, threads);
    RecallOfPq("pq d/3 x 4", lists, dim / 3, 4, 16384, threads);
    RecallOfPq("pq d/2 x 4", lists, dim / 2, 4, 16384, threads);
    RecallOfPq("pq d/8 x 8", lists, dim / 8, 8, 65536, threads);
    RecallOfPq("pq d/4 x 8", lists, dim / 4, 8, 65536, threads);
    const Lists rotated = Rotated(lists, nullptr, threads);
    RecallOfSigns(rotated, threads);
    RecallOfPq("rotated pq d/4 x 4", rotated, dim / 4, 4, 16384, threads);
    RecallOfPq("rotated pq d/2 x 4", rotated, dim / 2, 4, 16384, threads);
    std::vector<float> matrix(static_cast<size_t>(dim) * static_cast<size_t>(dim)), residuals(lists.rows);
    for (size_t i = 0; i < residuals.size(); ++i)
        residuals[i] -=
            lists.centroids[static_cast<size_t>(lists.labels[i / static_cast<size_t>(dim)]) * static_cast<size_t>(dim) +
                            i % static_cast<size_t>(dim)];
    OpqTrainTask task = {residuals.data(), lists.count, {dim, dim / 4, 4}, 10, 1, 16384, matrix.data(), 0, 0};
    RunTask("opq d/4 x 4, sample 16384", ComputeTask::kOpqTrain, &task, threads);
    const Lists optimized = Rotated(lists, matrix.data(), threads);
    RecallOfPq("opq d/4 x 4", optimized, dim / 4, 4, 16384, threads);
    RecallOfPq("opq (for d/4) d/2 x 4", optimized, dim / 2, 4, 16384, threads);
}

}  // namespace
}  // namespace vecann

int main(int argc, char** argv) {
    using namespace vecann;
    const std::string what = argc > 1 ? argv[1] : "";
    const auto number = [&](int at, int otherwise) { return argc > at ? atoi(argv[at]) : otherwise; };
    try {
        if (what == "scan")
            Scan();
        else if (what == "train" && argc > 3)
            Train(Load(argv[2], atoi(argv[3])), number(4, 2));
        else if (what == "cells" && argc > 5)
            Cells(Load(argv[2], atoi(argv[3])), atoi(argv[4]), atoll(argv[5]), number(6, 2));
        else if (what == "recall" && argc > 4)
            RecallOfAll(Load(argv[2], atoi(argv[3])), atoi(argv[4]), number(5, 2));
        else
            throw std::runtime_error("usage: quantizers scan | train | cells | recall; see the opening comment");
    } catch (const std::exception& e) {
        fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

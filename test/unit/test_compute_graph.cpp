// Unit tests of the graph build: the form of the lists, reachability, independence of threads, recall, odd inputs,
// progress, cancel and memory. No server.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "compute/graph_kernels.h"
#include "compute/tasks.h"
#include "core/rng.h"
#include "kernels/kernel_table.h"

extern "C" const vecann::ComputeApi* vecann_compute_api(uint32_t version, vecann::Status* status) noexcept;

namespace vecann {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kMany = 3000;
#else
constexpr int64_t kMany = 5000;
#endif
constexpr uint32_t kNone = UINT32_MAX;

struct Graph {
    std::vector<uint32_t> neighbours;
    std::vector<uint16_t> degrees;
    uint32_t entry = 0;
    int degree = 0;
    Status status;

    const uint32_t* Row(int64_t i) const { return neighbours.data() + i * degree; }
};

struct Request {
    int dim;
    Metric metric = Metric::kL2;
    int degree = 32;
    int threads = 2;
    uint32_t seed = 1;
    int32_t rotated = 0;
};

GraphBuildTask TaskOf(const std::vector<float>& points, const Request& request, Graph* graph) {
    const int64_t count = static_cast<int64_t>(points.size()) / request.dim;
    graph->degree = request.degree;
    graph->neighbours.assign(static_cast<size_t>(count * request.degree), 12345);
    graph->degrees.assign(static_cast<size_t>(count), 54321);
    return {points.data(),
            count,
            request.dim,
            request.metric,
            request.degree,
            request.seed,
            graph->neighbours.data(),
            graph->degrees.data(),
            0,
            request.rotated};
}

void RunTask(ComputeJob* job, ComputeTask kind, void* task) {
    Status status;
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    void* handle = api->start(job, kind, task, &status);
    ASSERT_NE(handle, nullptr) << status.message;
    api->join(handle);
}

void RunJob(ComputeJob* job, GraphBuildTask* task) {
    RunTask(job, ComputeTask::kGraphBuild, task);
}

Graph Build(const std::vector<float>& points, const Request& request) {
    Graph graph;
    GraphBuildTask task = TaskOf(points, request, &graph);
    ComputeJob job;
    job.threads = request.threads;
    RunJob(&job, &task);
    graph.status = job.status;
    graph.entry = task.entry;
    return graph;
}

double Normal(Rng* rng) {
    return std::sqrt(-2 * std::log(rng->NextUnit())) * std::cos(6.283185307179586 * rng->NextUnit());
}

// Clusters `apart` from each other, of a few latent coordinates each.
std::vector<float> Clustered(int64_t count, int dim, double apart = 2, int clusters = 20) {
    constexpr int kLatent = 8;
    Rng shape(5);
    std::vector<double> maps(static_cast<size_t>(clusters) * (kLatent + 1) * static_cast<size_t>(dim));
    for (double& x : maps)
        x = Normal(&shape);
    std::vector<float> points;
    Rng rng(6);
    for (int64_t i = 0; i < count; ++i) {
        const double* map = maps.data() + rng.Next() % static_cast<uint64_t>(clusters) * (kLatent + 1) * dim;
        double latent[kLatent];
        for (double& x : latent)
            x = 0.5 * Normal(&rng);
        for (int j = 0; j < dim; ++j) {
            double x = apart * map[kLatent * dim + j] + 0.05 * Normal(&rng);
            for (int l = 0; l < kLatent; ++l)
                x += latent[l] * map[l * dim + j];
            points.push_back(static_cast<float>(x));
        }
    }
    return points;
}

double Distance(const float* a, const float* b, int dim, Metric metric) {
    double l2 = 0, product = 0;
    for (int j = 0; j < dim; ++j) {
        l2 += (double{a[j]} - b[j]) * (double{a[j]} - b[j]);
        product += double{a[j]} * b[j];
    }
    return metric == Metric::kInnerProduct ? -product : l2;
}

// The form of the lists, and that all nodes can be reached from the entry.
void CheckForm(const Graph& graph) {
    ASSERT_TRUE(graph.status.ok()) << graph.status.message;
    const size_t count = graph.degrees.size();
    if (count == 0) {
        EXPECT_EQ(graph.entry, kNone);
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        ASSERT_LE(graph.degrees[i], graph.degree);
        std::set<uint32_t> different;
        for (int n = 0; n < graph.degree; ++n) {
            const uint32_t id = graph.Row(static_cast<int64_t>(i))[n];
            if (n >= graph.degrees[i]) {
                ASSERT_EQ(id, kNone);
                continue;
            }
            ASSERT_LT(id, count);
            ASSERT_NE(id, i);
            ASSERT_TRUE(different.insert(id).second) << "node " << i << " lists " << id << " twice";
        }
    }
    std::vector<bool> reached(count);
    std::vector<uint32_t> queue = {graph.entry};
    ASSERT_LT(graph.entry, count);
    reached[graph.entry] = true;
    for (size_t at = 0; at < queue.size(); ++at)
        for (int n = 0; n < graph.degrees[queue[at]]; ++n) {
            const uint32_t id = graph.Row(queue[at])[n];
            if (!reached[id]) queue.push_back(id);
            reached[id] = true;
        }
    EXPECT_EQ(queue.size(), count) << "nodes that can be reached";
}

void CheckSorted(const Graph& graph, const std::vector<float>& points, int dim) {
    for (size_t i = 0; i < graph.degrees.size(); ++i)
        for (int n = 1; n < graph.degrees[i]; ++n) {
            const float* self = points.data() + i * static_cast<size_t>(dim);
            const uint32_t* row = graph.Row(static_cast<int64_t>(i));
            const double before =
                Distance(self, points.data() + static_cast<size_t>(row[n - 1]) * dim, dim, Metric::kL2);
            const double here = Distance(self, points.data() + static_cast<size_t>(row[n]) * dim, dim, Metric::kL2);
            ASSERT_LE(before, here * (1 + 1e-4) + 1e-6) << "node " << i;
        }
}

// recall@10 of a beam of `ef` nodes, for perturbed points as queries.
double Recall(const Graph& graph, const std::vector<float>& points, const Request& request, size_t ef) {
    const int dim = request.dim;
    const size_t count = graph.degrees.size();
    Rng rng(11);
    int hits = 0;
    constexpr int kQueries = 100, kWanted = 10;
    for (int q = 0; q < kQueries; ++q) {
        std::vector<float> query(points.begin() + static_cast<int64_t>(rng.Next() % count) * dim, points.end());
        query.resize(static_cast<size_t>(dim));
        for (float& x : query)
            x += static_cast<float>(0.1 * Normal(&rng));
        const auto distance = [&](uint32_t id) {
            return Distance(query.data(), points.data() + static_cast<size_t>(id) * dim, dim, request.metric);
        };
        std::vector<std::pair<double, uint32_t>> all, pool = {{distance(graph.entry), graph.entry}};
        for (uint32_t i = 0; i < count; ++i)
            all.emplace_back(distance(i), i);
        std::partial_sort(all.begin(), all.begin() + kWanted, all.end());
        std::set<uint32_t> seen = {graph.entry}, expanded;
        for (;;) {
            const auto next =
                std::find_if(pool.begin(), pool.end(), [&](const auto& e) { return expanded.count(e.second) == 0; });
            if (next == pool.end()) break;
            const uint32_t id = next->second;
            expanded.insert(id);
            for (int n = 0; n < graph.degrees[id]; ++n)
                if (seen.insert(graph.Row(id)[n]).second)
                    pool.emplace_back(distance(graph.Row(id)[n]), graph.Row(id)[n]);
            std::sort(pool.begin(), pool.end());
            if (pool.size() > ef) pool.resize(ef);
        }
        for (size_t i = 0; i < pool.size() && i < kWanted; ++i)
            hits += pool[i].first <= all[kWanted - 1].first;
    }
    return static_cast<double>(hits) / (kQueries * kWanted);
}

// Each level's kernels against plain loops.
TEST(GraphKernelsTest, LevelsAgree) {
    std::vector<const GraphKernels*> levels = {&kBaselineGraphKernels};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) levels.push_back(&kAvx2GraphKernels);
    if (__builtin_cpu_supports("avx512f")) levels.push_back(&kAvx512GraphKernels);
#endif
    Rng rng(2);
    for (const GraphKernels* level : levels) {
        for (const int n : {1, 2, 5, 15, 16, 17, 40, 333}) {
            // whole numbers, so that there are ties and no rounding
            std::vector<float> products(static_cast<size_t>(PaddedRow(n))), norms(products.size(), HUGE_VALF);
            std::vector<float> a, b, difference(static_cast<size_t>(n));
            for (size_t j = 0; j < static_cast<size_t>(n); ++j) {
                products[j] = static_cast<float>(rng.Next() % 50);
                norms[j] = static_cast<float>(rng.Next() % 50);
                a.push_back(static_cast<float>(rng.Next() % 9));
                b.push_back(static_cast<float>(rng.Next() % 9));
            }
            products[static_cast<size_t>(n / 2)] = -HUGE_VALF;
            std::vector<std::pair<float, int>> all;
            float l2 = 0;
            for (int j = 0; j < n; ++j) {
                if (j != n / 2)
                    all.emplace_back(norms[static_cast<size_t>(j)] - 2 * products[static_cast<size_t>(j)], j);
                const float d = a[static_cast<size_t>(j)] - b[static_cast<size_t>(j)];
                l2 += d * d;
            }
            const int start = n / 2 / kRowPad * kRowPad, padded = PaddedRow(n);
            std::sort(all.begin(), all.end(), [&](const auto& x, const auto& y) {
                const int x_place = (x.second - start + padded) % padded,
                          y_place = (y.second - start + padded) % padded;
                return x.first < y.first || (x.first == y.first && x_place < y_place);
            });
            for (const int k : {1, 3, 5, 16, 60}) {
                std::vector<NearKey> out(static_cast<size_t>(k));
                const int found = level->nearest_of_row(products.data(), norms.data(), n, start, k, out.data());
                ASSERT_EQ(found, std::min<int>(k, n - 1)) << level->name;
                for (size_t i = 0; i < static_cast<size_t>(found); ++i) {
                    EXPECT_EQ(out[i].key, all[i].first) << level->name << " " << n << " " << k;
                    EXPECT_EQ(out[i].index, all[i].second);
                }
            }
            EXPECT_EQ(Kernels().float32.l2_squared(a.data(), b.data(), static_cast<size_t>(n)), l2);
            EXPECT_EQ(level->centred_row(a.data(), b.data(), difference.data(), n), l2);
            EXPECT_EQ(difference[0], a[0] - b[0]);
            EXPECT_EQ(difference.back(), a.back() - b.back());
        }
    }
}

TEST(GraphBuildTest, ListsHaveTheirForm) {
    for (const int degree : {1, 2, 7, 32}) {
        const std::vector<float> points = Clustered(kMany, 24);
        Request request = {24};
        request.degree = degree;
        const Graph graph = Build(points, request);
        CheckForm(graph);
        CheckSorted(graph, points, 24);
    }
}

TEST(GraphBuildTest, SearchFindsTheNearest) {
    const std::vector<float> points = Clustered(kMany, 32);
    const Request request = {32};
    EXPECT_GE(Recall(Build(points, request), points, request, 40), 0.98);
}

TEST(GraphBuildTest, SearchFindsTheNearestByCosineAndInnerProduct) {
    std::vector<float> points = Clustered(kMany, 32);
    Rng rng(8);
    for (const Metric metric : {Metric::kCosine, Metric::kInnerProduct}) {
        for (size_t i = 0; i < points.size(); i += 32) {
            double norm = 0;
            for (size_t j = i; j < i + 32; ++j)
                norm += double{points[j]} * points[j];
            const double length = metric == Metric::kCosine ? 1 : 0.5 + 1.5 * rng.NextUnit();
            for (size_t j = i; j < i + 32; ++j)
                points[j] *= static_cast<float>(length / std::sqrt(norm));
        }
        const Request request = {32, metric};
        const Graph graph = Build(points, request);
        CheckForm(graph);
        EXPECT_GE(Recall(graph, points, request, 40), 0.95) << static_cast<int>(metric);
    }
}

// A walk from the one entry finds its way to clusters far from each other.
TEST(GraphBuildTest, SearchFindsSeparateClusters) {
    const std::vector<float> points = Clustered(2 * kMany, 32, 30, 40);
    const Request request = {32};
    const Graph graph = Build(points, request);
    CheckForm(graph);
    EXPECT_GE(Recall(graph, points, request, 40), 0.95);
}

TEST(GraphBuildTest, TheSeedAloneDecides) {
    const std::vector<float> points = Clustered(kMany, 16);
    Request request = {16};
    request.threads = 1;
    const Graph one = Build(points, request);
    request.threads = 3;
    const Graph three = Build(points, request);
    EXPECT_EQ(one.neighbours, three.neighbours);
    EXPECT_EQ(one.degrees, three.degrees);
    EXPECT_EQ(one.entry, three.entry);
    request.seed = 2;
    EXPECT_NE(Build(points, request).neighbours, one.neighbours);
}

TEST(GraphBuildTest, FewPoints) {
    for (const int64_t count : {0, 1, 2, 3, 5, 31, 33, 100, 511, 512, 513, 700}) {
        const std::vector<float> points = Clustered(count, 8);
        for (const int degree : {1, 32}) {
            Request request = {8};
            request.degree = degree;
            const Graph graph = Build(points, request);
            CheckForm(graph);
            CheckSorted(graph, points, 8);
            if (count >= 2 && count <= 5 && degree == 32) {
                EXPECT_GE(graph.degrees[0], 1);
            }
        }
    }
}

TEST(GraphBuildTest, OneDimension) {
    std::vector<float> points;
    for (int i = 0; i < 3000; ++i)
        points.push_back(static_cast<float>(i * 7919 % 3000));
    const Graph graph = Build(points, {1});
    CheckForm(graph);
    CheckSorted(graph, points, 1);
}

TEST(GraphBuildTest, ManyDimensions) {
    const std::vector<float> points = Clustered(600, 16000, 2, 3);
    const Graph graph = Build(points, {16000});
    CheckForm(graph);
    CheckSorted(graph, points, 16000);
}

TEST(GraphBuildTest, EqualPoints) {
    for (const int64_t count : {2, 600, 20000}) {
        const std::vector<float> points(static_cast<size_t>(count) * 4, 3.0f);
        CheckForm(Build(points, {4}));
    }
}

// Half of the points all but equal, far from the others, which have their own clusters far from each other.
TEST(GraphBuildTest, HeavyClustersAreNotIsolated) {
    std::vector<float> points = Clustered(2 * kMany, 16, 50);
    Rng rng(4);
    for (size_t i = 0; i < points.size() / 2; ++i)
        points[i] = 1000.0f + static_cast<float>(rng.NextUnit() * 1e-4);
    for (const int degree : {2, 32}) {
        Request request = {16};
        request.degree = degree;
        const Graph graph = Build(points, request);
        CheckForm(graph);
    }
}

// Squares of the values leave the range of float, or nothing is left of them.
TEST(GraphBuildTest, HugeAndTinyValues) {
    const std::vector<float> points = Clustered(2000, 8);
    const Graph plain = Build(points, {8});
    for (const int exponent : {100, -100}) {
        std::vector<float> scaled(points);
        for (float& x : scaled)
            x = std::ldexp(x, exponent);
        const Graph graph = Build(scaled, {8});
        CheckForm(graph);
        EXPECT_GE(Recall(graph, points, {8}, 40), 0.95);
    }
    std::vector<float> extreme(8 * 2000);
    Rng rng(3);
    for (float& x : extreme)
        x = rng.Next() % 2 == 0 ? 3.4e38f : -3.4e38f;
    for (const Metric metric : {Metric::kL2, Metric::kInnerProduct})
        CheckForm(Build(extreme, {8, metric}));
}

TEST(GraphBuildTest, ProgressRises) {
    const std::vector<float> points = Clustered(kMany, 64);
    Graph graph;
    GraphBuildTask task = TaskOf(points, {64}, &graph);
    ComputeJob job;
    Status status;
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    void* handle = api->start(&job, ComputeTask::kGraphBuild, &task, &status);
    int64_t last = 0;
    while (job.finished.load() == 0) {
        const int64_t done = job.done.load();
        EXPECT_GE(done, last);
        last = done;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    api->join(handle);
    EXPECT_GT(job.total.load(), 0);
    EXPECT_EQ(job.done.load(), job.total.load());
}

TEST(GraphBuildTest, CancelEndsIt) {
    const std::vector<float> points = Clustered(8 * kMany, 64), equal(points.size(), 1.0f);
    for (const std::vector<float>* set : {&points, &equal}) {
        Graph graph;
        GraphBuildTask task = TaskOf(*set, {64}, &graph);
        for (const int delay : {0, 30, 120}) {
            ComputeJob job;
            job.threads = 2;
            Status status;
            const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
            void* handle = api->start(&job, ComputeTask::kGraphBuild, &task, &status);
            std::this_thread::sleep_for(std::chrono::milliseconds(delay));
            const auto start = std::chrono::steady_clock::now();
            job.cancel.store(1);
            api->join(handle);
            EXPECT_EQ(job.status.code, StatusCode::kCancelled);
            EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
        }
    }
}

// Dimensions of a random direction each, like those of rotated vectors: half of them find what all find.
TEST(GraphBuildTest, FewerDimensionsOfRotatedVectors) {
    const int dim = 448;
    const std::vector<float> points = Clustered(3000, dim);
    Request all = {dim}, fewer = {dim};
    fewer.rotated = 1;
    const Graph with_all = Build(points, all), with_fewer = Build(points, fewer);
    CheckForm(with_fewer);
    EXPECT_NE(with_all.neighbours, with_fewer.neighbours);
    EXPECT_GE(Recall(with_fewer, points, fewer, 40), Recall(with_all, points, all, 40) - 0.02);
}

TEST(GraphBuildTest, OrderBringsNearNodesTogether) {
    Rng rng(5);
    std::vector<float> points;
    for (int i = 0; i < 4000 * 16; ++i)
        points.push_back(static_cast<float>(Normal(&rng)) + 20 * static_cast<float>(i / 16 % 4));
    std::vector<uint32_t> order(4000);
    Graph graph;
    GraphBuildTask task = TaskOf(points, {16}, &graph);
    task.order = order.data();
    ComputeJob job;
    RunJob(&job, &task);
    ASSERT_TRUE(job.status.ok());
    int near = 0;
    for (size_t i = 1; i < order.size(); ++i)
        near += order[i] % 4 == order[i - 1] % 4 ? 1 : 0;
    EXPECT_GT(near, 3000) << "of 4000 neighbours in the order, of one cluster";
    std::sort(order.begin(), order.end());
    for (uint32_t i = 0; i < order.size(); ++i)
        ASSERT_EQ(order[i], i) << "each node once";
}

TEST(GraphEncodeTest, AnOrderMovesTheRows) {
    constexpr int kDim = 70, kDegree = 4;
    constexpr uint32_t kCount = 300;
    Rng rng(6);
    std::vector<float> points;
    for (uint32_t i = 0; i < kCount * kDim; ++i)
        points.push_back(static_cast<float>(Normal(&rng)));
    std::vector<uint32_t> neighbours(kCount * kDegree), order(kCount);
    std::vector<uint16_t> degrees(kCount);
    for (uint32_t i = 0; i < kCount; ++i) {
        order[i] = i * 7 % kCount;
        degrees[i] = static_cast<uint16_t>(i % (kDegree + 1));
        for (uint32_t e = 0; e < kDegree; ++e)
            neighbours[i * kDegree + e] = (i + e + 1) % kCount;
    }
    GraphEncodeTask task;
    memset(static_cast<void*>(&task), 0, sizeof(task));
    task.vectors = points.data();
    task.neighbours = neighbours.data();
    task.degrees = degrees.data();
    task.max_degree = kDegree;
    task.shape = CodeShape::Make(kDim, 2, kDim);
    task.metric = Metric::kL2;
    const size_t code_size = task.shape.bytes();
    std::vector<CodedEdge> edges[2];
    std::vector<char> codes[2];
    for (int ordered = 0; ordered < 2; ++ordered) {
        edges[ordered].resize(kCount * kDegree);
        codes[ordered].resize(kCount * kDegree * code_size);
        task.order = ordered == 1 ? order.data() : nullptr;
        task.edges = edges[ordered].data();
        task.codes = codes[ordered].data();
        // in two chunks
        for (const int64_t first : {0, 100}) {
            task.first = first;
            task.count = first == 0 ? 100 : kCount - 100;
            ComputeJob job;
            RunTask(&job, ComputeTask::kGraphEncode, &task);
            ASSERT_TRUE(job.status.ok());
            task.edges += 100 * kDegree;
            task.codes += 100 * kDegree * code_size;
        }
    }
    for (uint32_t i = 0; i < kCount; ++i)
        for (uint32_t e = 0; e < degrees[order[i]]; ++e) {
            const size_t moved = i * kDegree + e, plain = order[i] * kDegree + e;
            EXPECT_EQ(edges[1][moved].add, edges[0][plain].add);
            EXPECT_EQ(memcmp(&codes[1][moved * code_size], &codes[0][plain * code_size], code_size), 0);
        }
}

TEST(NearCellsTest, NearestFirstWithinReach) {
    const int dim = 24, clusters = 40, most = 5;
    const float reach = 1.5f;
    const std::vector<float> points = Clustered(2000, dim), centroids = Clustered(clusters, dim);
    std::vector<uint16_t> cells(2000 * most), again(cells.size());
    NearCellsTask task = {points.data(), 2000, dim, centroids.data(), clusters, most, reach, cells.data()};
    for (const int threads : {1, 3}) {
        ComputeJob job;
        job.threads = threads;
        task.cells = threads == 1 ? cells.data() : again.data();
        RunTask(&job, ComputeTask::kNearCells, &task);
        ASSERT_TRUE(job.status.ok()) << job.status.message;
    }
    EXPECT_EQ(cells, again);
    for (size_t i = 0; i < 2000; ++i) {
        std::vector<double> distances;
        for (int c = 0; c < clusters; ++c)
            distances.push_back(
                Distance(points.data() + i * dim, centroids.data() + static_cast<size_t>(c) * dim, dim, Metric::kL2));
        std::vector<double> sorted = distances;
        std::sort(sorted.begin(), sorted.end());
        for (int n = 0; n < most; ++n) {
            const uint16_t cell = cells[i * most + static_cast<size_t>(n)];
            if (cell == UINT16_MAX) {
                EXPECT_GT(sorted[static_cast<size_t>(n)], reach * sorted[0] * (1 - 1e-3));
                break;
            }
            ASSERT_LT(cell, clusters);
            EXPECT_NEAR(distances[cell], sorted[static_cast<size_t>(n)], 1e-3 * sorted[static_cast<size_t>(n)] + 1e-3);
            EXPECT_LE(distances[cell], reach * sorted[0] * (1 + 1e-3) + 1e-3);
        }
    }
    const auto code = [&](void (*spoil)(NearCellsTask*)) {
        NearCellsTask bad = task;
        spoil(&bad);
        ComputeJob job;
        RunTask(&job, ComputeTask::kNearCells, &bad);
        return job.status.code;
    };
    EXPECT_EQ(code([](NearCellsTask* t) { t->most = 17; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](NearCellsTask* t) { t->clusters = 65535; }), StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](NearCellsTask* t) { t->dim = 0; }), StatusCode::kInvalidArgument);
}

TEST(GraphBuildTest, BadArgumentsAndTooLittleMemory) {
    std::vector<float> points = Clustered(1000, 4);
    Graph graph;
    const GraphBuildTask good = TaskOf(points, {4}, &graph);
    const auto code = [](GraphBuildTask task, uint64_t limit = 0) {
        ComputeJob job;
        job.memory_limit = limit;
        RunJob(&job, &task);
        return job.status.code;
    };
    for (const auto& spoil : std::vector<void (*)(GraphBuildTask*)>{
             [](GraphBuildTask* t) { t->dim = 0; }, [](GraphBuildTask* t) { t->count = -1; },
             [](GraphBuildTask* t) { t->max_degree = 0; }, [](GraphBuildTask* t) { t->max_degree = 70000; },
             [](GraphBuildTask* t) { t->metric = Metric::kL1; }, [](GraphBuildTask* t) { t->count = UINT32_MAX; }}) {
        GraphBuildTask task = good;
        spoil(&task);
        EXPECT_EQ(code(task), StatusCode::kInvalidArgument);
    }
    EXPECT_EQ(code(good, 100000), StatusCode::kOutOfMemory);
    EXPECT_EQ(code(good, GraphBuildMemory(1000, 4, 32)), StatusCode::kOk);
    points[77] = HUGE_VALF;
    EXPECT_EQ(code(good), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vecann

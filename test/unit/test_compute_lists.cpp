// Unit tests of the compute tasks behind lists: assignment, k-means in two stages, training of product quantizers and
// their rotation, batch encoding. Against brute force, for odd shapes and values, any number of threads, every level;
// cancel and memory. No server.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "compute/task_arena.h"
#include "compute/tasks.h"
#include "core/rng.h"
#include "kernels/kernel_table.h"
#include "quant/rotation.h"

extern "C" const vecann::ComputeApi* vecann_compute_api(uint32_t version, vecann::Status* status) noexcept;

namespace vecann {
namespace {

using Vector = std::vector<float>;

template <class Task>
Status RunTask(ComputeTask kind, Task* task, int threads = 2, uint64_t memory_limit = 0) {
    ComputeJob job;
    job.threads = threads;
    job.memory_limit = memory_limit;
    Status status;
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    void* handle = api->start(&job, kind, task, &status);
    EXPECT_NE(handle, nullptr) << status.message;
    api->join(handle);
    if (job.status.ok()) {
        EXPECT_EQ(job.done.load(), job.total.load());
    }
    return job.status;
}

// Seconds from `cancel` to the end of a job that runs long.
template <class Task>
double CancelLatency(ComputeTask kind, Task* task) {
    ComputeJob job;
    job.threads = 2;
    Status status;
    const ComputeApi* api = vecann_compute_api(kComputeAbiVersion, &status);
    void* handle = api->start(&job, kind, task, &status);
    EXPECT_NE(handle, nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    const auto start = std::chrono::steady_clock::now();
    job.cancel.store(1);
    api->join(handle);
    EXPECT_EQ(job.status.code, StatusCode::kCancelled) << job.status.message;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Vector Uniform(size_t n, uint32_t seed, float scale = 1) {
    Vector v(n);
    Rng rng(seed);
    for (float& x : v)
        x = scale * static_cast<float>(rng.NextUnit() - 0.5);
    return v;
}

// Few latent coordinates in many dimensions, so that a rotation has something to find.
Vector Correlated(int64_t count, int dim, uint32_t seed) {
    const int latent = std::max(1, dim / 4);
    const Vector net = Uniform(static_cast<size_t>(latent * dim), 77);
    Vector points = Uniform(static_cast<size_t>(count * dim), seed, 0.05f);
    const Vector inner = Uniform(static_cast<size_t>(count * latent), seed + 1);
    for (int64_t i = 0; i < count; ++i)
        for (int l = 0; l < latent; ++l)
            for (int j = 0; j < dim; ++j)
                points[i * dim + j] += inner[i * latent + l] * net[l * dim + j];
    return points;
}

double SquaredDistance(const float* a, const float* b, int dim) {
    double sum = 0;
    for (int j = 0; j < dim; ++j)
        sum += (double{a[j]} - b[j]) * (double{a[j]} - b[j]);
    return sum;
}

TEST(AssignTest, AgreesWithBruteForce) {
    for (const auto& [count, dim, clusters] :
         {std::tuple{0, 3, 2}, {1, 1, 1}, {300, 1, 5}, {700, 33, 40}, {513, 20, 2500}, {100, 200, 1025}})
        for (const float scale : {1.0f, 1e30f, 1e-30f}) {
            const Vector points = Uniform(static_cast<size_t>(count * dim), 1, scale);
            const Vector centroids = Uniform(static_cast<size_t>(clusters * dim), 2, scale);
            std::vector<int32_t> labels(static_cast<size_t>(count)), other(labels);
            Vector distances(labels.size());
            AssignTask task = {points.data(), count, dim, centroids.data(), clusters, labels.data(), distances.data()};
            ASSERT_TRUE(RunTask(ComputeTask::kAssign, &task, 3).ok());
            AssignTask again = task;
            again.labels = other.data();
            again.distances = nullptr;
            ASSERT_TRUE(RunTask(ComputeTask::kAssign, &again, 1).ok());
            EXPECT_EQ(labels, other);
            const double unit = scale == 1.0f ? 1 : double{scale} * scale;
            for (int i = 0; i < count; ++i) {
                double best = HUGE_VAL;
                for (int c = 0; c < clusters; ++c)
                    best = std::min(best, SquaredDistance(&points[i * dim], &centroids[c * dim], dim) / unit);
                const double own = SquaredDistance(&points[i * dim], &centroids[labels[i] * dim], dim) / unit;
                ASSERT_LE(own, best + 1e-5 * (1 + best)) << count << " " << dim << " " << clusters << " " << scale;
                if (scale == 1.0f) {
                    ASSERT_NEAR(distances[i], own, 1e-5 * (1 + own));
                }
                if (scale > 1) {
                    ASSERT_TRUE(std::isinf(distances[i]) || own == 0);
                }
            }
        }
}

TEST(AssignTest, RefusesWhatIsNoNumber) {
    Vector points(20, 1.0f), centroids(4, 1.0f);
    std::vector<int32_t> labels(10);
    AssignTask task = {points.data(), 10, 2, centroids.data(), 2, labels.data(), nullptr};
    points[7] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(RunTask(ComputeTask::kAssign, &task).code, StatusCode::kInvalidArgument);
    points[7] = 1;
    centroids[3] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(RunTask(ComputeTask::kAssign, &task).code, StatusCode::kInvalidArgument);
    centroids[3] = 1;
    EXPECT_TRUE(RunTask(ComputeTask::kAssign, &task).ok());
    for (const int32_t label : labels)
        EXPECT_EQ(label, 0);
    EXPECT_EQ(RunTask(ComputeTask::kAssign, &task, 1, 1000).code, StatusCode::kOutOfMemory);
    task.clusters = 0;
    EXPECT_EQ(RunTask(ComputeTask::kAssign, &task).code, StatusCode::kInvalidArgument);
}

TEST(AssignTest, CancelEndsItWithinASecond) {
    const Vector points = Uniform(200000 * 8, 1), centroids = Uniform(60000 * 8, 2);
    std::vector<int32_t> labels(200000);
    AssignTask task = {points.data(), 200000, 8, centroids.data(), 60000, labels.data(), nullptr};
    EXPECT_LT(CancelLatency(ComputeTask::kAssign, &task), 1.0);
}

TEST(StagedKMeansTest, IsNearlyAsGoodAndFillsAllClusters) {
    constexpr int kCount = 12000, kDim = 6, kClusters = kFlatClusters + 100;
    const Vector points = Uniform(kCount * kDim, 5);
    Vector one(static_cast<size_t>(kClusters * kDim)), three(one), flat(static_cast<size_t>(kFlatClusters * kDim));
    KMeansTask first = {points.data(), kCount, kDim, kClusters, 8, 3, 0, one.data(), 0};
    KMeansTask second = first, whole = first;
    second.centroids = three.data();
    whole.clusters = kFlatClusters;
    whole.centroids = flat.data();
    ASSERT_TRUE(RunTask(ComputeTask::kKMeans, &first, 1).ok());
    ASSERT_TRUE(RunTask(ComputeTask::kKMeans, &second, 3).ok());
    ASSERT_TRUE(RunTask(ComputeTask::kKMeans, &whole, 2).ok());
    EXPECT_EQ(one, three);
    EXPECT_LT(first.objective, 1.15 * whole.objective);
    std::vector<int32_t> labels(kCount), sizes(kClusters);
    AssignTask assign = {points.data(), kCount, kDim, one.data(), kClusters, labels.data(), nullptr};
    ASSERT_TRUE(RunTask(ComputeTask::kAssign, &assign).ok());
    for (const int32_t label : labels)
        ++sizes[label];
    EXPECT_LT(std::count(sizes.begin(), sizes.end(), 0), kClusters / 50);
}

TEST(StagedKMeansTest, OddInputs) {
    constexpr int kClusters = kFlatClusters + 1;
    Vector centroids(static_cast<size_t>(kClusters) * 2);
    // as many points as clusters, of few values, of huge ones; a sample
    Vector points = Uniform(static_cast<size_t>(kClusters) * 2, 6);
    KMeansTask task = {points.data(), kClusters, 2, kClusters, 3, 3, 0, centroids.data(), 0};
    EXPECT_TRUE(RunTask(ComputeTask::kKMeans, &task).ok());
    EXPECT_LT(task.objective, 1e-3);
    for (float& x : points)
        x = x > 0 ? 1.0f : 2.0f;
    EXPECT_TRUE(RunTask(ComputeTask::kKMeans, &task).ok());
    EXPECT_EQ(task.objective, 0);
    points = Uniform(static_cast<size_t>(kClusters) * 4, 6, 1e30f);
    task.points = points.data();
    task.count = 2 * kClusters;
    task.sample = kClusters + 10;
    EXPECT_TRUE(RunTask(ComputeTask::kKMeans, &task).ok());
    for (const float x : centroids)
        EXPECT_TRUE(std::isfinite(x));
    points[3] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(RunTask(ComputeTask::kKMeans, &task).code, StatusCode::kInvalidArgument);
    points[3] = 0;
    EXPECT_EQ(RunTask(ComputeTask::kKMeans, &task, 1, 4096).code, StatusCode::kOutOfMemory);
}

TEST(StagedKMeansTest, CancelEndsItWithinASecond) {
    const Vector points = Uniform(300000 * 16, 5);
    Vector centroids(20000 * 16);
    KMeansTask task = {points.data(), 300000, 16, 20000, 50, 3, 0, centroids.data(), 0};
    EXPECT_LT(CancelLatency(ComputeTask::kKMeans, &task), 1.0);
}

const PqShape kShapes[] = {{1, 1, 4}, {1, 1, 8}, {3, 2, 4}, {10, 7, 4}, {20, 5, 8}, {33, 8, 4}};

double MeanError(const PqShape& shape, const Vector& codebook, const Vector& points) {
    std::vector<uint8_t> code(shape.code_bytes());
    double sum = 0;
    const int64_t count = static_cast<int64_t>(points.size()) / shape.dim;
    for (int64_t i = 0; i < count; ++i)
        sum += EncodePq(shape, codebook.data(), &points[i * shape.dim], code.data());
    return sum / static_cast<double>(count);
}

TEST(PqTrainTest, DependsOnTheSeedAlone) {
    for (const PqShape& shape : kShapes) {
        const Vector points = Uniform(static_cast<size_t>(2000 * shape.dim), 8);
        Vector reference(shape.codebook_floats());
        PqTrainTask task = {points.data(), 2000, shape, 10, 5, 0, reference.data(), 0};
        ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task, 1).ok());
        const double error = task.error;
        for (int level = 0; level < kSimdLevels; ++level) {
            if (!ForceSimdLevel(static_cast<SimdLevel>(level))) continue;
            Vector codebook(reference.size(), 9.0f);
            task.codebook = codebook.data();
            ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task, 3).ok());
            EXPECT_EQ(codebook, reference) << level;
            EXPECT_EQ(task.error, error);
        }
        // the error is that before the last update
        EXPECT_LE(MeanError(shape, reference, points), error * 1.0001 + 1e-12);
        EXPECT_GE(MeanError(shape, reference, points), error * 0.9);
        Vector other(reference.size());
        task.codebook = other.data();
        task.seed = 6;
        ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task, 2).ok());
        EXPECT_NE(other, reference);
        EXPECT_NEAR(task.error, error, 0.15 * error);
    }
}

TEST(PqTrainTest, FindsTheValuesThatThereAre) {
    // 16 values in each coordinate: no error is left, however unlucky the start
    const PqShape shape = {4, 4, 4};
    Vector points(3000 * 4);
    Rng rng(3);
    for (float& x : points)
        x = static_cast<float>(rng.Next() % 16);
    Vector codebook(shape.codebook_floats());
    PqTrainTask task = {points.data(), 3000, shape, 40, 1, 0, codebook.data(), 0};
    ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task).ok());
    EXPECT_LT(MeanError(shape, codebook, points), 0.5);
}

TEST(PqTrainTest, FewerPointsThanCodewords) {
    for (const PqShape& shape : kShapes)
        for (const int count : {1, 2, 15, 16}) {
            const Vector points = Uniform(static_cast<size_t>(count * shape.dim), 8);
            Vector codebook(shape.codebook_floats(), 9.0f);
            PqTrainTask task = {points.data(), count, shape, 10, 5, 0, codebook.data(), 0};
            ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task).ok());
            EXPECT_LT(MeanError(shape, codebook, points), 1e-12) << count;
            for (const float x : codebook)
                ASSERT_LT(std::fabs(x), 1.0f);
        }
}

TEST(PqTrainTest, HugeTinyAndOddValues) {
    const PqShape shape = {6, 3, 4};
    Vector codebook(shape.codebook_floats()), plain(codebook);
    Vector points = Uniform(600, 8);
    PqTrainTask task = {points.data(), 100, shape, 10, 5, 0, plain.data(), 0};
    ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task).ok());
    task.codebook = codebook.data();
    for (const float scale : {0x1.0p100f, 0x1.0p-100f}) {
        Vector scaled(points);
        for (float& x : scaled)
            x *= scale;
        task.points = scaled.data();
        ASSERT_TRUE(RunTask(ComputeTask::kPqTrain, &task).ok());
        for (size_t i = 0; i < codebook.size(); ++i)
            EXPECT_EQ(codebook[i], plain[i] * scale);
    }
    task.points = points.data();
    for (const float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        points[5] = odd;
        EXPECT_EQ(RunTask(ComputeTask::kPqTrain, &task).code, StatusCode::kInvalidArgument);
    }
    points[5] = 0;
    EXPECT_EQ(RunTask(ComputeTask::kPqTrain, &task, 1, 500).code, StatusCode::kOutOfMemory);
    task.sample = 50;
    EXPECT_TRUE(RunTask(ComputeTask::kPqTrain, &task).ok());
    for (const PqShape& bad : {PqShape{6, 7, 4}, PqShape{6, 3, 5}, PqShape{6, 0, 4}}) {
        task.shape = bad;
        EXPECT_EQ(RunTask(ComputeTask::kPqTrain, &task).code, StatusCode::kInvalidArgument);
    }
    task.shape = shape;
    task.count = 0;
    EXPECT_EQ(RunTask(ComputeTask::kPqTrain, &task).code, StatusCode::kInvalidArgument);
}

TEST(PqTrainTest, CancelEndsItWithinASecond) {
    const PqShape shape = {32, 2, 8};
    const Vector points = Uniform(200000 * 32, 5);
    Vector codebook(shape.codebook_floats());
    PqTrainTask task = {points.data(), 200000, shape, 1000, 5, 0, codebook.data(), 0};
    EXPECT_LT(CancelLatency(ComputeTask::kPqTrain, &task), 1.0);
}

void ExpectOrthogonal(const Vector& rotation, int dim) {
    for (int i = 0; i < dim; ++i)
        for (int j = 0; j <= i; ++j) {
            double product = 0;
            for (int k = 0; k < dim; ++k)
                product += double{rotation[i * dim + k]} * rotation[j * dim + k];
            ASSERT_NEAR(product, i == j, 1e-4) << i << " " << j;
        }
}

TEST(OpqTrainTest, RotatesAndGains) {
    for (const auto& [shape, gain] : {std::pair{PqShape{1, 1, 4}, 1.05},
                                      {PqShape{5, 2, 4}, 1.0},
                                      {PqShape{32, 8, 4}, 0.9},
                                      {PqShape{70, 9, 8}, 0.95}}) {
        const size_t square = static_cast<size_t>(shape.dim * shape.dim);
        const Vector points = Correlated(3000, shape.dim, 4);
        Vector one(square), three(square);
        OpqTrainTask task = {points.data(), 3000, shape, 10, 2, 0, one.data(), 0, 0};
        ASSERT_TRUE(RunTask(ComputeTask::kOpqTrain, &task, 1).ok());
        ExpectOrthogonal(one, shape.dim);
        EXPECT_LT(task.error, gain * task.plain) << shape.dim;
        task.rotation = three.data();
        ASSERT_TRUE(RunTask(ComputeTask::kOpqTrain, &task, 3).ok());
        EXPECT_EQ(one, three);
    }
}

TEST(OpqTrainTest, DimensionsWithoutEnergyAndFewPoints) {
    const PqShape shape = {16, 4, 4};
    Vector rotation(256);
    for (const int count : {1, 2, 10, 500}) {
        Vector points = Uniform(static_cast<size_t>(count * 16), 4, 1e25f);
        for (size_t i = 0; i < points.size(); ++i)
            if (i % 16 >= 5) points[i] = 0;
        for (const bool nothing : {false, true}) {
            if (nothing) std::fill(points.begin(), points.end(), 0.0f);
            OpqTrainTask task = {points.data(), count, shape, 5, 2, 400, rotation.data(), 0, 0};
            ASSERT_TRUE(RunTask(ComputeTask::kOpqTrain, &task).ok());
            ExpectOrthogonal(rotation, 16);
        }
    }
    Vector points(160, 1.0f);
    points[9] = std::numeric_limits<float>::quiet_NaN();
    OpqTrainTask task = {points.data(), 10, shape, 5, 2, 0, rotation.data(), 0, 0};
    EXPECT_EQ(RunTask(ComputeTask::kOpqTrain, &task).code, StatusCode::kInvalidArgument);
    points[9] = 1;
    EXPECT_EQ(RunTask(ComputeTask::kOpqTrain, &task, 1, 1000).code, StatusCode::kOutOfMemory);
}

TEST(OpqTrainTest, CancelEndsItWithinASecond) {
    const PqShape shape = {256, 64, 4};
    const Vector points = Uniform(20000 * 256, 5);
    Vector rotation(256 * 256);
    OpqTrainTask task = {points.data(), 20000, shape, 1000, 5, 0, rotation.data(), 0, 0};
    EXPECT_LT(CancelLatency(ComputeTask::kOpqTrain, &task), 1.0);
}

TEST(ListEncodeTest, PqCodesAreThoseOfSingleVectors) {
    for (const PqShape& shape : kShapes) {
        constexpr int kCount = 600, kClusters = 7;
        const Vector points = Uniform(static_cast<size_t>(kCount * shape.dim), 8);
        const Vector centroids = Uniform(static_cast<size_t>(kClusters * shape.dim), 9);
        const Vector codebook = Uniform(shape.codebook_floats(), 10);
        std::vector<int32_t> labels(kCount);
        for (int i = 0; i < kCount; ++i)
            labels[i] = i % kClusters;
        std::vector<uint8_t> codes(kCount * shape.code_bytes());
        Vector adds(kCount), errors(kCount), residual(shape.dim), decoded(shape.dim);
        for (const bool lists : {false, true}) {
            PqEncodeTask task = {points.data(), kCount, shape, codebook.data()};
            task.codes = codes.data();
            task.errors = errors.data();
            if (lists) {
                task.centroids = centroids.data();
                task.labels = labels.data();
                task.adds = adds.data();
            }
            ASSERT_TRUE(RunTask(ComputeTask::kPqEncode, &task, 3).ok());
            for (int i = 0; i < kCount; ++i) {
                const float* centroid = &centroids[labels[i] * shape.dim];
                for (int j = 0; j < shape.dim; ++j)
                    residual[j] = points[i * shape.dim + j] - (lists ? centroid[j] : 0);
                std::vector<uint8_t> code(shape.code_bytes());
                EXPECT_EQ(EncodePq(shape, codebook.data(), residual.data(), code.data()), errors[i]);
                EXPECT_EQ(memcmp(code.data(), &codes[i * shape.code_bytes()], code.size()), 0);
                DecodePq(shape, codebook.data(), code.data(), decoded.data());
                if (lists) {
                    EXPECT_EQ(PqAdd(shape.dim, centroid, decoded.data()), adds[i]);
                }
            }
            labels[5] = -1;
            EXPECT_EQ(RunTask(ComputeTask::kPqEncode, &task).code,
                      lists ? StatusCode::kInvalidArgument : StatusCode::kOk);
            labels[5] = 5;
        }
    }
}

TEST(ListEncodeTest, SignCodesAreThoseOfSingleVectors) {
    for (const int dim : {1, 5, 64, 100}) {
        constexpr int kCount = 300;
        const CodeShape shape = CodeShape::Make(dim, 1, dim);
        const Vector points = Uniform(static_cast<size_t>(kCount * dim), 8);
        const Vector centroids = Uniform(static_cast<size_t>(2 * dim), 9);
        std::vector<int32_t> labels(kCount);
        for (int i = 0; i < kCount; ++i)
            labels[i] = i % 2;
        std::vector<uint8_t> codes(kCount * SignCodeBytes(shape));
        std::vector<ListFactors> factors(kCount);
        SignEncodeTask task = {points.data(),    kCount,        shape,        Metric::kL2,
                               centroids.data(), labels.data(), codes.data(), factors.data()};
        ASSERT_TRUE(RunTask(ComputeTask::kSignEncode, &task, 3).ok());
        Vector scratch(dim);
        for (int i = 0; i < kCount; ++i) {
            alignas(8) uint8_t code[64];
            ListFactors own;
            EncodeSigns(shape, Metric::kL2, &centroids[labels[i] * dim], &points[i * dim], code, &own, scratch.data());
            EXPECT_EQ(memcmp(&own, &factors[i], sizeof(own)), 0);
            EXPECT_EQ(memcmp(code, &codes[i * SignCodeBytes(shape)], SignCodeBytes(shape)), 0);
            for (int j = 0; j < dim; ++j)
                EXPECT_EQ(code[j / 8] >> (j % 8) & 1, points[i * dim + j] >= centroids[labels[i] * dim + j]);
        }
        task.metric = Metric::kL1;
        EXPECT_EQ(RunTask(ComputeTask::kSignEncode, &task).code, StatusCode::kInvalidArgument);
    }
}

TEST(ListEncodeTest, Rotates) {
    for (const int dim : {1, 6, 100}) {
        constexpr int kCount = 300;
        const Vector points = Uniform(static_cast<size_t>(kCount * dim), 8);
        const Vector matrix = Uniform(static_cast<size_t>(dim * dim), 9);
        Vector out(points.size()), one(dim), scratch(dim);
        RotateTask task = {points.data(), kCount, dim, matrix.data(), out.data()};
        ASSERT_TRUE(RunTask(ComputeTask::kRotate, &task, 3).ok());
        for (int i = 0; i < kCount; ++i) {
            ApplyMatrix(matrix.data(), dim, &points[i * dim], one.data());
            for (int j = 0; j < dim; ++j)
                ASSERT_NEAR(out[i * dim + j], one[j], 1e-4);
        }
        task.matrix = nullptr;
        ASSERT_TRUE(RunTask(ComputeTask::kRotate, &task, 3).ok());
        TaskArena memory;
        Rotation rotation;
        rotation.Init(&memory.arena, dim);
        for (int i = 0; i < kCount; ++i) {
            rotation.Apply(&points[i * dim], one.data(), scratch.data());
            ASSERT_EQ(memcmp(&out[i * dim], one.data(), sizeof(float) * static_cast<size_t>(dim)), 0);
        }
    }
}

}  // namespace
}  // namespace vecann

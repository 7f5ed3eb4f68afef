// The nearest centroid of each of many points.
#include <omp.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "compute/nearest_centroids.h"
#include "compute/training.h"
#include "compute/value_range.h"

namespace vecann {

namespace {

constexpr int kBlock = NearestCentroids::kBlock;
constexpr const char* kNotFinite = "assignment of a value that is infinite or not a number";

struct Scratch {
    NearestCentroids::Scratch search;
    std::vector<float> points, distances;
};

// The points themselves, or a copy of the rows, scaled.
const float* TakePoints(const AssignTask& task, const int32_t* rows, int64_t begin, int64_t end, int exponent,
                        std::vector<float>* copy) {
    const int64_t dim = task.dim;
    if (rows == nullptr && exponent == 0) return task.points + begin * dim;
    copy->resize(static_cast<size_t>(kBlock * dim));
    for (int64_t i = begin; i < end; ++i)
        ScaleByPower(task.points + (rows != nullptr ? rows[i] : i) * dim, copy->data() + (i - begin) * dim, dim,
                     exponent);
    return copy->data();
}

}  // namespace

void RunAssign(ComputeJob* job, AssignTask* task) {
    if (task->dim < 1 || task->count < 0 || task->clusters < 1)
        throw std::invalid_argument("assignment needs dim >= 1 and clusters >= 1");
    job->total.store(task->count);
    const int exponent =
        std::min(SafeExponent(job, task->points, task->count * task->dim, kNotFinite),
                 SafeExponent(job, task->centroids, static_cast<int64_t>(task->clusters) * task->dim, kNotFinite));
    AssignRows(job, *task, nullptr, exponent);
}

void AssignRows(ComputeJob* job, const AssignTask& task, const int32_t* rows, int exponent) {
    const int64_t centroid_values = static_cast<int64_t>(task.clusters) * task.dim;
    RequireMemory(
        job, "assignment",
        2 * NearestCentroids::Memory(task.dim, task.clusters) +
            job->threads * (NearestCentroids::ScratchMemory(task.dim, task.clusters) + 4.0 * kBlock * (task.dim + 1)));
    std::vector<float> scaled;
    const float* centroids = task.centroids;
    if (exponent != 0) {
        scaled.resize(static_cast<size_t>(centroid_values));
        ScaleByPower(centroids, scaled.data(), centroid_values, exponent);
        centroids = scaled.data();
    }
    NearestCentroids nearest(task.dim);
    nearest.Set(centroids, task.clusters);
    std::vector<Scratch> scratches(static_cast<size_t>(omp_get_max_threads()));
    RequireBlasBuffers(job->threads);
    ForSlices(job, task.count, kBlock, [&](int64_t begin, int64_t end) {
        Scratch& mine = scratches[static_cast<size_t>(omp_get_thread_num())];
        const int count = static_cast<int>(end - begin);
        const float* points = TakePoints(task, rows, begin, end, exponent, &mine.points);
        mine.distances.resize(kBlock);
        nearest.Find(points, count, task.labels + begin, mine.distances.data(), &mine.search);
        for (int i = 0; task.distances != nullptr && i < count; ++i)
            task.distances[begin + i] = std::ldexp(mine.distances[static_cast<size_t>(i)], -2 * exponent);
        job->done.fetch_add(count);
    });
}

}  // namespace vecann

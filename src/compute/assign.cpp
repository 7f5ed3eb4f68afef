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
    std::vector<float> scaled, distances;
};

}  // namespace

void RunAssign(ComputeJob* job, AssignTask* task) {
    if (task->dim < 1 || task->count < 0 || task->clusters < 1)
        throw std::invalid_argument("assignment needs dim >= 1 and clusters >= 1");
    const int64_t dim = task->dim, centroid_values = task->clusters * dim;
    RequireMemory(job, "assignment",
                  2 * NearestCentroids::Memory(task->dim, task->clusters) +
                      job->threads * (NearestCentroids::ScratchMemory(task->dim, task->clusters) +
                                      4.0 * kBlock * (task->dim + 1)));
    const int exponent = std::min(SafeExponent(job, task->points, task->count * dim, kNotFinite),
                                  SafeExponent(job, task->centroids, centroid_values, kNotFinite));
    std::vector<float> scaled;
    const float* centroids = task->centroids;
    if (exponent != 0) {
        scaled.resize(static_cast<size_t>(centroid_values));
        ScaleByPower(centroids, scaled.data(), centroid_values, exponent);
        centroids = scaled.data();
    }
    NearestCentroids nearest(task->dim);
    nearest.Set(centroids, task->clusters);
    std::vector<Scratch> scratches(static_cast<size_t>(omp_get_max_threads()));
    RequireBlasBuffers(job->threads);
    job->total.store(task->count);
    ForSlices(job, task->count, kBlock, [&](int64_t begin, int64_t end) {
        Scratch& mine = scratches[static_cast<size_t>(omp_get_thread_num())];
        const int count = static_cast<int>(end - begin);
        const float* points = task->points + begin * dim;
        if (exponent != 0) {
            mine.scaled.resize(static_cast<size_t>(kBlock * dim));
            ScaleByPower(points, mine.scaled.data(), count * dim, exponent);
            points = mine.scaled.data();
        }
        mine.distances.resize(kBlock);
        nearest.Find(points, count, task->labels + begin, mine.distances.data(), &mine.search);
        for (int i = 0; task->distances != nullptr && i < count; ++i)
            task->distances[begin + i] = std::ldexp(mine.distances[static_cast<size_t>(i)], -2 * exponent);
        job->done.fetch_add(count);
    });
}

}  // namespace vecann

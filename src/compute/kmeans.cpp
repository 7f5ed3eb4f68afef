// Lloyd's k-means. For many clusters in two stages: the points are divided into about the square root of as many parts,
// and each part gets clusters of its own, as many as its share of the points. A few iterations over all of them follow.
//
// Not faiss::Clustering, for three reasons measured on FAISS 1.7.3: its assignment is one large matrix product, which
// runs on one thread when BLAS is held to one; its handling of empty clusters cannot be cancelled and takes seconds per
// iteration where many points are equal (7 s for 32000 clusters); and it allocates inside OpenMP regions. Its flat
// index in Debian looks for the least of each row in plain code, which took as long as the product.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <queue>
#include <stdexcept>
#include <utility>
#include <vector>

#include "compute/nearest_centroids.h"
#include "compute/training.h"
#include "compute/value_range.h"

namespace vecann {

namespace {

// Work between two looks at `cancel`: some 0.1 s of a matrix product, some milliseconds of a plain loop.
constexpr int64_t kSliceOperations = int64_t{1} << 30;
constexpr int64_t kMinSliceRows = 8, kMaxSliceRows = NearestCentroids::kBlock;
constexpr int64_t kPlainSlice = int64_t{1} << 20;
constexpr const char* kNotFinite = "k-means over a value that is infinite or not a number";
// Points a part that the first stage of two looks at.
constexpr int kCoarseSample = 1024;
// Iterations over all points and clusters after the two stages.
constexpr int kLastIterations = 3;

// Memory that is not touched before it is used: zeroing gigabytes takes seconds.
template <class T>
std::unique_ptr<T[]> Uninitialised(int64_t n) {
    return std::unique_ptr<T[]>(new T[static_cast<size_t>(n)]);
}

class KMeans {
  public:
    KMeans(ComputeJob* job, const KMeansTask& task)
        : job_(job),
          dim_(task.dim),
          clusters_(task.clusters),
          count_(task.sample > 0 ? std::clamp<int64_t>(task.sample, task.clusters, task.count) : task.count),
          rng_(task.seed),
          nearest_(task.dim) {}

    // From random points, or from the centroids as they are.
    void Run(KMeansTask* task, bool warm);

  private:
    void CheckMemory(bool copies) const;
    void Prepare(const KMeansTask& task);
    double Assign(const float* centroids);
    void GroupByCluster();
    bool FillEmptyClusters();
    void MeanOf(int cluster, float* mean) const;

    const float* Point(int64_t i) const { return points_ + i * dim_; }

    ComputeJob* job_;
    const int64_t dim_;
    const int clusters_;
    const int64_t count_;  // points trained on
    Rng rng_;
    NearestCentroids nearest_;
    std::vector<NearestCentroids::Scratch> scratches_;  // of each thread
    const float* points_ = nullptr;
    int exponent_ = 0;  // points_ are the caller's times 2^exponent_
    std::unique_ptr<float[]> copy_;
    std::unique_ptr<int32_t[]> labels_;
    std::unique_ptr<float[]> distances_;
    std::unique_ptr<int32_t[]> order_;                  // points by cluster
    std::vector<std::pair<int64_t, int64_t>> members_;  // of each cluster: [begin, end) in order_
};

// Refuses before anything large is allocated.
void KMeans::CheckMemory(bool copies) const {
    const double point_bytes = static_cast<double>(dim_) * sizeof(float);
    const double per_point = 2 * sizeof(int32_t) + sizeof(float) + (copies ? point_bytes : 0);
    const double needed =
        per_point * static_cast<double>(count_) + NearestCentroids::Memory(static_cast<double>(dim_), clusters_) +
        32.0 * clusters_ +
        NearestCentroids::ScratchMemory(static_cast<double>(dim_), clusters_) * std::max(job_->threads, 1);
    if (job_->memory_limit == 0 || needed <= static_cast<double>(job_->memory_limit)) return;
    char text[160];
    snprintf(text, sizeof(text), "k-means of %lld points into %d clusters needs %.0f MB of memory, and may use %.0f MB",
             static_cast<long long>(count_), clusters_, std::ceil(needed / 1048576),
             std::floor(static_cast<double>(job_->memory_limit) / 1048576));
    throw OutOfMemory(text);
}

// Checks the points, takes the sample, and copies it if it has to be another array than the caller's: because it is a
// sample, or because squares of such values leave the range of float. The factor is a power of two, so that nothing is
// rounded.
void KMeans::Prepare(const KMeansTask& task) {
    CheckMemory(count_ < task.count);
    exponent_ = SafeExponent(job_, task.points, task.count * dim_, kNotFinite);
    const bool copies = count_ < task.count || exponent_ != 0;
    CheckMemory(copies);

    labels_ = Uninitialised<int32_t>(count_);
    distances_ = Uninitialised<float>(count_);
    order_ = Uninitialised<int32_t>(count_);
    members_.resize(static_cast<size_t>(clusters_));
    points_ = task.points;
    if (!copies) return;
    copy_ = Uninitialised<float>(count_ * dim_);
    SampleRows(job_, &rng_, task.count, count_, order_.get());
    ForSlices(job_, count_, std::max<int64_t>(kPlainSlice / dim_, 1), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const float* from = task.points + order_[i] * dim_;
            float* to = copy_.get() + i * dim_;
            if (exponent_ == 0)
                memcpy(to, from, sizeof(float) * static_cast<size_t>(dim_));
            else
                ScaleByPower(from, to, dim_, exponent_);
        }
    });
    points_ = copy_.get();
}

// The nearest centroid of each point. Returns the sum of the squared distances.
double KMeans::Assign(const float* centroids) {
    nearest_.Set(centroids, clusters_);
    scratches_.resize(static_cast<size_t>(omp_get_max_threads()));
    const int64_t operations = 2 * dim_ * clusters_;
    const int64_t rows = std::clamp(kSliceOperations / operations, kMinSliceRows, kMaxSliceRows);
    ForSlices(job_, count_, rows, [&](int64_t begin, int64_t end) {
        nearest_.Find(Point(begin), static_cast<int>(end - begin), labels_.get() + begin, distances_.get() + begin,
                      &scratches_[static_cast<size_t>(omp_get_thread_num())]);
        job_->done.fetch_add(end - begin, std::memory_order_relaxed);
    });
    // in order, so that the sum does not depend on the threads
    double sum = 0;
    for (int64_t i = 0; i < count_; ++i) {
        if (i % kPlainSlice == 0) CheckCancel(job_);
        sum += distances_[i];
    }
    return sum;
}

// Counting sort of the points by their label into order_; members_ says where each cluster stands.
void KMeans::GroupByCluster() {
    for (auto& range : members_)
        range = {0, 0};
    for (int64_t i = 0; i < count_; ++i)
        ++members_[static_cast<size_t>(labels_[i])].second;
    int64_t at = 0;
    for (auto& [begin, end] : members_) {
        const int64_t size = end;
        begin = end = at;
        at += size;
    }
    for (int64_t i = 0; i < count_; ++i) {
        if (i % kPlainSlice == 0) CheckCancel(job_);
        order_[members_[static_cast<size_t>(labels_[i])].second++] = static_cast<int32_t>(i);
    }
}

// Gives each empty cluster half of the points of the largest one at that time. There are at least as many points as
// clusters, so none stays empty. True if there was one.
bool KMeans::FillEmptyClusters() {
    std::priority_queue<std::pair<int64_t, int>> by_size;
    std::vector<int> empty;
    for (int c = 0; c < clusters_; ++c) {
        const auto& [begin, end] = members_[static_cast<size_t>(c)];
        if (begin == end)
            empty.push_back(c);
        else
            by_size.emplace(end - begin, c);
    }
    for (const int c : empty) {
        const int largest = by_size.top().second;
        by_size.pop();
        auto& [begin, end] = members_[static_cast<size_t>(largest)];
        const int64_t middle = begin + (end - begin + 1) / 2;
        members_[static_cast<size_t>(c)] = {middle, end};
        by_size.emplace(end - middle, c);
        end = middle;
        by_size.emplace(end - begin, largest);
    }
    return !empty.empty();
}

// A cluster may be most of the points, so this looks at `cancel` itself.
void KMeans::MeanOf(int cluster, float* mean) const {
    const auto [begin, end] = members_[static_cast<size_t>(cluster)];
    std::vector<double> sum(static_cast<size_t>(dim_), 0.0);
    const int64_t slice = std::max<int64_t>(kPlainSlice / dim_, 1);
    for (int64_t i = begin; i < end; ++i) {
        if ((i - begin) % slice == 0) CheckCancel(job_);
        const float* point = Point(order_[i]);
        for (int64_t j = 0; j < dim_; ++j)
            sum[static_cast<size_t>(j)] += point[j];
    }
    const double scale = 1.0 / static_cast<double>(end - begin);
    for (int64_t j = 0; j < dim_; ++j)
        mean[j] = static_cast<float>(sum[static_cast<size_t>(j)] * scale);
}

void KMeans::Run(KMeansTask* task, bool warm) {
    Prepare(*task);

    float* const centroids = task->centroids;
    if (warm) {
        ScaleByPower(centroids, centroids, clusters_ * dim_, exponent_);
    } else {
        std::vector<int32_t> first(static_cast<size_t>(clusters_));
        SampleRows(job_, &rng_, count_, clusters_, first.data());
        for (int c = 0; c < clusters_; ++c)
            memcpy(centroids + c * dim_, Point(first[static_cast<size_t>(c)]),
                   sizeof(float) * static_cast<size_t>(dim_));
    }

    RequireBlasBuffers(job_->threads);
    double previous = HUGE_VAL;
    for (int i = 0; i < task->iterations; ++i) {
        const double objective = Assign(centroids);
        GroupByCluster();
        const bool had_empty = FillEmptyClusters();
        ForSlices(job_, clusters_, 1, [&](int64_t begin, int64_t end) {
            for (int64_t c = begin; c < end; ++c)
                MeanOf(static_cast<int>(c), centroids + c * dim_);
        });
        task->objective = objective;
        if (objective >= previous && !had_empty) break;
        previous = objective;
    }
    if (exponent_ == 0) return;
    for (int64_t i = 0; i < clusters_ * dim_; ++i)
        centroids[i] = std::ldexp(centroids[i], -exponent_);
    task->objective = std::ldexp(task->objective, -2 * exponent_);
}

// How many of `clusters` each part gets: one if it has points, then more to whom they leave the most points a cluster.
std::vector<int> ShareClusters(const std::vector<int64_t>& sizes, int clusters) {
    std::vector<int> shares(sizes.size(), 0);
    std::priority_queue<std::pair<double, int>> crowded;
    for (size_t p = 0; p < sizes.size(); ++p) {
        if (sizes[p] == 0) continue;
        shares[p] = 1;
        --clusters;
        if (sizes[p] > 1) crowded.emplace(static_cast<double>(sizes[p]) / 1.5, -static_cast<int>(p));
    }
    for (; clusters > 0; --clusters) {
        const size_t p = static_cast<size_t>(-crowded.top().second);
        crowded.pop();
        if (++shares[p] < sizes[p])
            crowded.emplace(static_cast<double>(sizes[p]) / (shares[p] + 0.5), -static_cast<int>(p));
    }
    return shares;
}

// K-means in two stages, of all points or a sample of them.
class StagedKMeans {
  public:
    StagedKMeans(ComputeJob* job, const KMeansTask& task, int64_t count)
        : job_(job),
          dim_(task.dim),
          count_(count),
          parts_(static_cast<int>(std::sqrt(static_cast<double>(task.clusters)))),
          coarse_(static_cast<size_t>(parts_) * static_cast<size_t>(task.dim)) {}
    void Run(KMeansTask* task);

  private:
    void Divide(const KMeansTask& task);
    void Refine(KMeansTask* task);

    ComputeJob* job_;
    const int64_t dim_, count_;
    const int parts_;
    std::vector<float> coarse_;
    std::vector<int32_t> rows_;   // the points, by part
    std::vector<int64_t> sizes_;  // of each part
};

void StagedKMeans::Divide(const KMeansTask& task) {
    RequireMemory(job_, "k-means in two stages", 3.0 * sizeof(int32_t) * static_cast<double>(count_));
    KMeansTask coarse = task;
    coarse.clusters = parts_;
    coarse.sample = std::min<int64_t>(count_, int64_t{kCoarseSample} * parts_);
    coarse.centroids = coarse_.data();
    KMeans(job_, coarse).Run(&coarse, false);

    std::vector<int32_t> sample(static_cast<size_t>(count_));
    Rng rng(task.seed);
    SampleRows(job_, &rng, task.count, count_, sample.data());
    std::vector<int32_t> labels(static_cast<size_t>(count_));
    const int exponent = SafeExponent(job_, task.points, task.count * dim_, kNotFinite);
    AssignRows(job_, {task.points, count_, task.dim, coarse_.data(), parts_, labels.data(), nullptr}, sample.data(),
               exponent);

    sizes_.assign(static_cast<size_t>(parts_), 0);
    for (const int32_t label : labels)
        ++sizes_[static_cast<size_t>(label)];
    std::vector<int64_t> at(static_cast<size_t>(parts_), 0);
    for (size_t p = 1; p < at.size(); ++p)
        at[p] = at[p - 1] + sizes_[p - 1];
    rows_.resize(static_cast<size_t>(count_));
    for (size_t i = 0; i < labels.size(); ++i)
        rows_[static_cast<size_t>(at[static_cast<size_t>(labels[i])]++)] = sample[i];
}

void StagedKMeans::Refine(KMeansTask* task) {
    const std::vector<int> shares = ShareClusters(sizes_, task->clusters);
    const int64_t largest = *std::max_element(sizes_.begin(), sizes_.end());
    RequireMemory(job_, "k-means in two stages",
                  (static_cast<double>(dim_) + 8) * sizeof(float) * static_cast<double>(largest) +
                      4.0 * static_cast<double>(count_) +
                      NearestCentroids::ScratchMemory(static_cast<double>(dim_), NearestCentroids::kTile) *
                          std::max(job_->threads, 1));
    const std::unique_ptr<float[]> points = Uninitialised<float>(largest * dim_);
    task->objective = 0;
    int64_t row = 0, cluster = 0;
    for (int p = 0; p < parts_; ++p) {
        const int64_t size = sizes_[static_cast<size_t>(p)];
        if (size == 0) continue;
        for (int64_t i = 0; i < size; ++i) {
            if (i % kMaxSliceRows == 0) CheckCancel(job_);
            memcpy(points.get() + i * dim_, task->points + rows_[static_cast<size_t>(row + i)] * dim_,
                   sizeof(float) * static_cast<size_t>(dim_));
        }
        KMeansTask part = *task;
        part.points = points.get();
        part.count = size;
        part.clusters = shares[static_cast<size_t>(p)];
        part.seed = task->seed + static_cast<uint32_t>(p) + 1;
        part.sample = 0;
        part.centroids = task->centroids + cluster * dim_;
        KMeans(job_, part).Run(&part, false);
        task->objective += part.objective;
        row += size;
        cluster += part.clusters;
    }
}

void StagedKMeans::Run(KMeansTask* task) {
    Divide(*task);
    job_->done.store(count_ * (task->iterations + 1));
    Refine(task);
    job_->done.store(count_ * (2 * task->iterations + 1));
    KMeansTask last = *task;
    last.iterations = kLastIterations;
    KMeans(job_, last).Run(&last, true);
    task->objective = last.objective;
}

}  // namespace

void RunKMeans(ComputeJob* job, KMeansTask* task) {
    if (task->dim < 1 || task->clusters < 1 || task->count < task->clusters || task->iterations < 1 || task->sample < 0)
        throw std::invalid_argument(
            "k-means needs count >= clusters >= 1, dim >= 1, iterations >= 1 and no negative sample");
    if (task->count > INT32_MAX) throw std::invalid_argument("k-means takes at most 2147483647 points");
    const int64_t count =
        task->sample > 0 ? std::clamp<int64_t>(task->sample, task->clusters, task->count) : task->count;
    const bool staged = task->clusters > kFlatClusters;
    job->total.store(count * (staged ? 2 * task->iterations + 1 + kLastIterations : task->iterations));
    if (staged)
        StagedKMeans(job, *task, count).Run(task);
    else
        KMeans(job, *task).Run(task, false);
    job->done.store(job->total.load());
}

}  // namespace vecann

// Lloyd's k-means, with FAISS's flat index for the assignment of points to centroids.
//
// Not faiss::Clustering, for three reasons measured on FAISS 1.7.3: its assignment is one large matrix product, which
// runs on one thread when BLAS is held to one; its handling of empty clusters cannot be cancelled and takes seconds per
// iteration where many points are equal (7 s for 32000 clusters); and it allocates inside OpenMP regions. Uses only
// what FAISS 1.7.3 and 1.11 both have.
#include <faiss/IndexFlat.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/utils/distances.h>

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

#include "compute/tasks.h"
#include "compute/value_range.h"
#include "core/rng.h"

namespace vecann {

namespace {

// Work between two looks at `cancel`: some 0.1 s of a matrix product, some milliseconds of a plain loop.
constexpr int64_t kSliceOperations = int64_t{1} << 30;
constexpr int64_t kMinSliceRows = 8, kMaxSliceRows = 1024;
constexpr int64_t kPlainSlice = int64_t{1} << 20;

// FAISS's block sizes of the products: points by centroids. The block is what a thread allocates, and what should stay
// in its cache.
constexpr int kBlockPoints = 256, kBlockCentroids = 1024;

// FAISS asks between blocks of its distance computations.
struct JobInterrupt : faiss::InterruptCallback {
    const ComputeJob* job;
    explicit JobInterrupt(const ComputeJob* j) : job(j) {}
    bool want_interrupt() override { return job->cancel.load(std::memory_order_relaxed) != 0; }
};

// FAISS's global settings for the life of a task.
struct FaissScope {
    explicit FaissScope(const ComputeJob* job) {
        faiss::InterruptCallback::instance.reset(new JobInterrupt(job));
        faiss::distance_compute_blas_threshold = 1;
        faiss::distance_compute_blas_query_bs = kBlockPoints;
        faiss::distance_compute_blas_database_bs = kBlockCentroids;
    }
    ~FaissScope() { faiss::InterruptCallback::clear_instance(); }
    FaissScope(const FaissScope&) = delete;
    FaissScope& operator=(const FaissScope&) = delete;
};

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
          index_(task.dim) {}

    void Run(KMeansTask* task);

  private:
    void CheckMemory(bool copies) const;
    void SampleRows(int64_t from, int64_t wanted, int32_t* rows);
    void Prepare(const KMeansTask& task);
    void SetCentroids(const float* centroids);
    double Assign();
    void GroupByCluster();
    bool FillEmptyClusters();
    void MeanOf(int cluster, float* mean) const;

    const float* Point(int64_t i) const { return points_ + i * dim_; }

    ComputeJob* job_;
    const int64_t dim_;
    const int clusters_;
    const int64_t count_;  // points trained on
    Rng rng_;
    faiss::IndexFlatL2 index_;  // the centroids
    const float* points_ = nullptr;
    int exponent_ = 0;  // points_ are the caller's times 2^exponent_
    std::unique_ptr<float[]> copy_;
    std::unique_ptr<int64_t[]> labels_;
    std::unique_ptr<float[]> distances_;
    std::unique_ptr<int32_t[]> order_;                  // points by cluster
    std::vector<std::pair<int64_t, int64_t>> members_;  // of each cluster: [begin, end) in order_
};

// Refuses before anything large is allocated.
void KMeans::CheckMemory(bool copies) const {
    const double point_bytes = static_cast<double>(dim_) * sizeof(float);
    const double per_point = sizeof(int64_t) + sizeof(float) + sizeof(int32_t) + (copies ? point_bytes : 0);
    // the centroids are in the index; a thread has a block, norms, and the labels and distances of it
    const double per_thread = sizeof(float) * (1.0 * kBlockPoints * kBlockCentroids + clusters_ + 4.0 * kMaxSliceRows);
    const double needed = per_point * static_cast<double>(count_) + (point_bytes + 32) * clusters_ +
                          per_thread * std::max(job_->threads, 1);
    if (job_->memory_limit == 0 || needed <= static_cast<double>(job_->memory_limit)) return;
    char text[160];
    snprintf(text, sizeof(text), "k-means of %lld points into %d clusters needs %.0f MB of memory, and may use %.0f MB",
             static_cast<long long>(count_), clusters_, std::ceil(needed / 1048576),
             std::floor(static_cast<double>(job_->memory_limit) / 1048576));
    throw OutOfMemory(text);
}

// `wanted` of `from` row numbers, ascending, each set equally likely (Knuth, volume 2, algorithm 3.4.2 S). All of them
// draw no random numbers: whether the points had to be scaled must not change the start.
void KMeans::SampleRows(int64_t from, int64_t wanted, int32_t* rows) {
    int64_t taken = 0;
    for (int64_t row = 0; taken < wanted; ++row) {
        if (row % kPlainSlice == 0) CheckCancel(job_);
        if (wanted == from || static_cast<double>(from - row) * rng_.NextUnit() <= static_cast<double>(wanted - taken))
            rows[taken++] = static_cast<int32_t>(row);
    }
}

// Checks the points, takes the sample, and copies it if it has to be another array than the caller's: because it is a
// sample, or because squares of such values leave the range of float. The factor is a power of two, so that nothing is
// rounded.
void KMeans::Prepare(const KMeansTask& task) {
    CheckMemory(count_ < task.count);
    exponent_ =
        SafeExponent(job_, task.points, task.count * dim_, "k-means over a value that is infinite or not a number");
    const bool copies = count_ < task.count || exponent_ != 0;
    CheckMemory(copies);

    labels_ = Uninitialised<int64_t>(count_);
    distances_ = Uninitialised<float>(count_);
    order_ = Uninitialised<int32_t>(count_);
    members_.resize(static_cast<size_t>(clusters_));
    points_ = task.points;
    if (!copies) return;
    copy_ = Uninitialised<float>(count_ * dim_);
    SampleRows(task.count, count_, order_.get());
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

void KMeans::SetCentroids(const float* centroids) {
    index_.reset();
    index_.add(clusters_, centroids);
}

// The nearest centroid of each point. Returns the sum of the squared distances.
double KMeans::Assign() {
    const int64_t operations = 2 * dim_ * clusters_;
    const int64_t rows = std::clamp(kSliceOperations / operations, kMinSliceRows, kMaxSliceRows);
    ForSlices(job_, count_, rows, [&](int64_t begin, int64_t end) {
        index_.search(end - begin, Point(begin), 1, distances_.get() + begin, labels_.get() + begin);
        job_->done.fetch_add(end - begin, std::memory_order_relaxed);
    });
    // in order, so that the sum does not depend on the threads
    double sum = 0;
    for (int64_t i = 0; i < count_; ++i) {
        if (i % kPlainSlice == 0) CheckCancel(job_);
        if (labels_[i] < 0 || labels_[i] >= clusters_) throw std::runtime_error("FAISS found no nearest centroid");
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

void KMeans::Run(KMeansTask* task) {
    job_->total.store(count_ * task->iterations);
    Prepare(*task);

    float* const centroids = task->centroids;
    std::vector<int32_t> first(static_cast<size_t>(clusters_));
    SampleRows(count_, clusters_, first.data());
    for (int c = 0; c < clusters_; ++c)
        memcpy(centroids + c * dim_, Point(first[static_cast<size_t>(c)]), sizeof(float) * static_cast<size_t>(dim_));

    RequireBlasBuffers(job_->threads);
    double previous = HUGE_VAL;
    for (int i = 0; i < task->iterations; ++i) {
        SetCentroids(centroids);
        const double objective = Assign();
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
    job_->done.store(job_->total.load());
    if (exponent_ == 0) return;
    for (int64_t i = 0; i < clusters_ * dim_; ++i)
        centroids[i] = std::ldexp(centroids[i], -exponent_);
    task->objective = std::ldexp(task->objective, -2 * exponent_);
}

}  // namespace

void RunKMeans(ComputeJob* job, KMeansTask* task) {
    if (task->dim < 1 || task->clusters < 1 || task->count < task->clusters || task->iterations < 1 || task->sample < 0)
        throw std::invalid_argument(
            "k-means needs count >= clusters >= 1, dim >= 1, iterations >= 1 and no negative sample");
    if (task->count > INT32_MAX) throw std::invalid_argument("k-means takes at most 2147483647 points");
    FaissScope faiss_scope(job);
    KMeans(job, *task).Run(task);
}

}  // namespace vecann

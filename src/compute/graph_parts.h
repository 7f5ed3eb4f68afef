// What the phases of a graph build share: blocks of centred rows and their products, and the progress counter.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "compute/graph_kernels.h"
#include "compute/tasks.h"
#include "graph/edge.h"

namespace vecann {

// Rows of a space, copied one after another with `centre` taken off. Squared distances come from products, and those of
// points far from the origin would lose their digits.
struct RowBlock {
    std::vector<float> rows;   // count x Width(space)
    std::vector<float> norms;  // squared length of each, then infinity up to PaddedRow(count)

    void Gather(const GraphSpace& space, const uint32_t* ids, int count, const float* centre);
};

// Asks for the beginning of a row, enough for the processor to go on by itself.
inline void PrefetchRow(const float* row, int dim) {
    constexpr int kLine = 16, kLines = 8;
    for (int i = 0; i < dim && i < kLine * kLines; i += kLine)
        __builtin_prefetch(row + i);
}

// Coordinates of a row in a block.
inline int Width(const GraphSpace& space) {
    return static_cast<int>(space.dim) + (space.extra != nullptr ? 1 : 0);
}

// The mean of some of the points, evenly spread; Width(space) values.
void MeanOfSome(const GraphSpace& space, const uint32_t* ids, int64_t count, std::vector<float>* mean);

// products[i * PaddedRow(b_count) + j] = a_i . b_j; what lies between the rows is left as it is, and has to be finite.
void Products(const float* a, int a_count, const float* b, int b_count, int width, float* products);

// products[i * PaddedRow(count) + j] = rows_i . rows_j, likewise.
void ProductsOfAll(const float* rows, int count, int width, float* products);

// Progress over phases of estimated weight, which sum up to kProgressTotal.
constexpr int64_t kProgressTotal = 1000000;

class PhaseProgress {
  public:
    explicit PhaseProgress(ComputeJob* job) : job_(job) { job->total.store(kProgressTotal); }
    // Starts a phase of `total` steps; those before it are over.
    void Begin(int64_t weight, int64_t total) {
        base_ += weight_;
        weight_ = weight;
        total_ = std::max<int64_t>(total, 1);
        steps_.store(0);
        job_->done.store(base_);
    }
    void Add(int64_t steps) {
        const int64_t at = std::min(steps_.fetch_add(steps) + steps, total_);
        const int64_t done = base_ + static_cast<int64_t>(static_cast<double>(weight_) * static_cast<double>(at) /
                                                          static_cast<double>(total_));
        int64_t seen = job_->done.load();
        while (done > seen && !job_->done.compare_exchange_weak(seen, done)) {
        }
    }
    void End() { job_->done.store(kProgressTotal); }

  private:
    ComputeJob* job_;
    int64_t base_ = 0, weight_ = 0, total_ = 1;
    std::atomic<int64_t> steps_{0};
};

}  // namespace vecann

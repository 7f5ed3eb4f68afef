// Training of product quantizers; see pq_trainer.h. The nearest codewords are those of quant/pq.h's kernel, so that
// training and encoding agree to the bit, at every instruction set.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "compute/pq_trainer.h"
#include "compute/training.h"
#include "compute/value_range.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr int64_t kRowsBetweenLooks = 4096;
// An iteration that gains less than this share of the error is the last one.
constexpr double kLeastGain = 1e-4;

}  // namespace

// One sub-quantizer in training.
struct PqTrainer::Part {
    int run, words;
    int64_t count;
    std::vector<float> x;  // count x run
    std::vector<double> sums, errors;
    std::vector<int64_t> sizes, farthest;  // the point of a codeword that lies farthest off
    std::vector<float> reach;              // and how far, squared

    Part(int run_length, int codewords, int64_t points)
        : run(run_length), words(codewords), count(points), x(static_cast<size_t>(points * run_length)) {}

    const float* Point(int64_t i) const { return x.data() + i * run; }
    void SetCodeword(int j, const float* from, float* codewords) const {
        for (int i = 0; i < run; ++i)
            codewords[i * words + j] = from[i];
    }
    void Begin(const ComputeJob* job, Rng* rng, float* codewords) const;
    double Assign(const ComputeJob* job, const float* codewords);
    void Update(float* codewords);
};

// Random points; codewords that points do not suffice for repeat the first.
void PqTrainer::Part::Begin(const ComputeJob* job, Rng* rng, float* codewords) const {
    const int64_t wanted = std::min<int64_t>(words, count);
    std::vector<int32_t> first(static_cast<size_t>(words), 0);
    SampleRows(job, rng, count, wanted, first.data());
    for (int j = 0; j < words; ++j)
        SetCodeword(j, Point(first[static_cast<size_t>(j < wanted ? j : 0)]), codewords);
}

double PqTrainer::Part::Assign(const ComputeJob* job, const float* codewords) {
    const auto nearest = Kernels().codebook.nearest;
    const size_t n = static_cast<size_t>(words);
    sums.assign(n * static_cast<size_t>(run), 0.0);
    errors.assign(n, 0.0);
    sizes.assign(n, 0);
    farthest.assign(n, -1);
    reach.assign(n, 0.0f);
    double error = 0;
    for (int64_t i = 0; i < count; ++i) {
        if (i % kRowsBetweenLooks == 0) CheckCancel(job);
        float distance;
        const float* point = Point(i);
        const size_t j = static_cast<size_t>(nearest(point, codewords, run, words, &distance));
        double* sum = sums.data() + j * static_cast<size_t>(run);
        for (int d = 0; d < run; ++d)
            sum[d] += point[d];
        ++sizes[j];
        errors[j] += distance;
        if (distance > reach[j]) {
            reach[j] = distance;
            farthest[j] = i;
        }
        error += distance;
    }
    return error;
}

// The means; a codeword without points takes the farthest point of the one with the largest error that has not given
// one yet.
void PqTrainer::Part::Update(float* codewords) {
    std::vector<int> givers;
    for (int j = 0; j < words; ++j) {
        const size_t at = static_cast<size_t>(j);
        if (farthest[at] >= 0) givers.push_back(j);
        for (int d = 0; d < run && sizes[at] > 0; ++d)
            codewords[d * words + j] = static_cast<float>(sums[at * static_cast<size_t>(run) + static_cast<size_t>(d)] /
                                                          static_cast<double>(sizes[at]));
    }
    if (std::find(sizes.begin(), sizes.end(), 0) == sizes.end()) return;
    std::stable_sort(givers.begin(), givers.end(),
                     [&](int a, int b) { return errors[static_cast<size_t>(a)] > errors[static_cast<size_t>(b)]; });
    size_t next = 0;
    for (int j = 0; j < words && next < givers.size(); ++j)
        if (sizes[static_cast<size_t>(j)] == 0)
            SetCodeword(j, Point(farthest[static_cast<size_t>(givers[next++])]), codewords);
}

PqTrainer::PqTrainer(ComputeJob* job, const PqShape& shape, const float* points, int64_t count, const int32_t* rows,
                     int exponent)
    : job_(job), shape_(shape), points_(points), count_(count), rows_(rows), exponent_(exponent) {}

void PqTrainer::Gather(int s, float* to) const {
    const int run = shape_.run(s);
    for (int64_t i = 0; i < count_; ++i) {
        if (i % kRowsBetweenLooks == 0) CheckCancel(job_);
        const int64_t row = rows_ != nullptr ? rows_[i] : i;
        const float* from = points_ + row * shape_.dim + shape_.first(s);
        if (exponent_ == 0)
            memcpy(to + i * run, from, sizeof(float) * static_cast<size_t>(run));
        else
            ScaleByPower(from, to + i * run, run, exponent_);
    }
}

double PqTrainer::TrainPart(int s, float* codewords, int iterations, uint32_t seed, bool warm) const {
    Part part(shape_.run(s), shape_.codewords(), count_);
    Gather(s, part.x.data());
    Rng rng(seed + 0x100000001b3ull * static_cast<uint64_t>(s + 1));
    if (!warm) {
        memset(codewords, 0, sizeof(float) * shape_.part_floats());
        part.Begin(job_, &rng, codewords);
    }
    double error = 0, previous = HUGE_VAL;
    for (int i = 0; i < iterations; ++i) {
        error = part.Assign(job_, codewords);
        part.Update(codewords);
        job_->done.fetch_add(1, std::memory_order_relaxed);
        if (i > 0 && !(previous - error > kLeastGain * previous)) {
            job_->done.fetch_add(iterations - 1 - i, std::memory_order_relaxed);
            break;
        }
        previous = error;
    }
    return error;
}

double PqTrainer::Train(float* codebook, int iterations, uint32_t seed, bool warm) {
    std::vector<double> errors(static_cast<size_t>(shape_.m));
    ForSlices(job_, shape_.m, 1, [&](int64_t s, int64_t) {
        errors[static_cast<size_t>(s)] = TrainPart(
            static_cast<int>(s), codebook + static_cast<size_t>(s) * shape_.part_floats(), iterations, seed, warm);
    });
    double error = 0;
    for (const double e : errors)
        error += e;
    return error / static_cast<double>(count_);
}

void CheckPqArguments(const PqShape& shape, int64_t count, int32_t iterations, int64_t sample) {
    if (!shape.Legal()) throw std::invalid_argument("product quantization needs 1 <= m <= dim and 4 or 8 bits");
    if (count < 1 || count > INT32_MAX || iterations < 1 || sample < 0)
        throw std::invalid_argument(
            "training a product quantizer needs 1 to 2147483647 points, iterations >= 1 and no negative sample");
}

void RunPqTrain(ComputeJob* job, PqTrainTask* task) {
    CheckPqArguments(task->shape, task->count, task->iterations, task->sample);
    const int64_t count = task->sample > 0 ? std::min(task->sample, task->count) : task->count;
    RequireMemory(job, "training a product quantizer",
                  PqTrainer::Memory(task->shape, count, std::max(job->threads, 1)) +
                      (count < task->count ? 4.0 * static_cast<double>(count) : 0));
    job->total.store(static_cast<int64_t>(task->shape.m) * task->iterations);
    const int exponent = SafeExponent(job, task->points, task->count * task->shape.dim,
                                      "product quantization of a value that is infinite or not a number");
    std::vector<int32_t> rows;
    if (count < task->count) {
        rows.resize(static_cast<size_t>(count));
        Rng rng(task->seed);
        SampleRows(job, &rng, task->count, count, rows.data());
    }
    PqTrainer trainer(job, task->shape, task->points, count, rows.empty() ? nullptr : rows.data(), exponent);
    task->error = trainer.Train(task->codebook, task->iterations, task->seed, false);
    if (exponent == 0) return;
    task->error = std::ldexp(task->error, -2 * exponent);
    ScaleByPower(task->codebook, task->codebook, static_cast<int64_t>(task->shape.codebook_floats()), -exponent);
}

}  // namespace vecann

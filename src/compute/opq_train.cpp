// The rotation of optimized product quantization, without parameters (Ge, He, Ke, Sun, TPAMI 2014): in turns the
// codebook for the points as they are rotated, and the rotation R that brings them nearest to what their codes decode
// to, which is the orthogonal polar factor of (decoded)' (points).
//
// Not faiss::OPQMatrix: it trains each codebook anew, by matrix products for a few dimensions, with a singular value
// decomposition that nothing can interrupt. Here the codebook goes on from the last one, and the polar factor comes
// from Newton's iteration without inverses (Higham, Functions of Matrices, 2008, 8.3): matrix products alone, which see
// a cancel.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "compute/matrix_product.h"
#include "compute/pq_trainer.h"
#include "compute/task_arena.h"
#include "compute/training.h"
#include "compute/value_range.h"
#include "quant/rotation.h"

namespace vecann {

namespace {

constexpr int kBlock = 64;            // rows of a matrix that a thread multiplies
constexpr int64_t kPointRows = 4096;  // points of a product
constexpr int kFirstIterations = 6, kIterations = 3;
// What keeps directions without energy where they are, as a share of the matrix.
constexpr float kHold = 1e-4f;
constexpr int kMostNewton = 60;
constexpr float kOrthogonal = 1e-6f;

class Opq {
  public:
    Opq(ComputeJob* job, const OpqTrainTask& task, int64_t count, int exponent)
        : job_(job), task_(task), shape_(task.shape), dim_(task.shape.dim), count_(count), exponent_(exponent) {}
    void Run(OpqTrainTask* task);

  private:
    void TakePoints();
    void Rotate(const float* rotation);
    double TrainOn(const float* points, int iterations, bool warm);
    void Decode();
    void CrossProduct();
    void Polar(float* rotation);
    void RandomRotation(float* rotation) const;
    size_t Square() const { return static_cast<size_t>(dim_) * static_cast<size_t>(dim_); }

    ComputeJob* job_;
    const OpqTrainTask& task_;
    const PqShape shape_;
    const int dim_;
    const int64_t count_;
    const int exponent_;
    std::vector<float> points_, rotated_, decoded_, codebook_, cross_, gram_, next_;
};

void Opq::TakePoints() {
    std::vector<int32_t> rows(static_cast<size_t>(count_));
    Rng rng(task_.seed);
    SampleRows(job_, &rng, task_.count, count_, rows.data());
    points_.resize(static_cast<size_t>(count_ * dim_));
    ForSlices(job_, count_, kPointRows, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            ScaleByPower(task_.points + static_cast<int64_t>(rows[static_cast<size_t>(i)]) * dim_,
                         &points_[static_cast<size_t>(i * dim_)], dim_, exponent_);
    });
}

void Opq::Rotate(const float* rotation) {
    rotated_.resize(points_.size());
    ForSlices(job_, count_, kPointRows / 16, [&](int64_t begin, int64_t end) {
        const MatrixProduct product = {{points_.data() + begin * dim_, dim_},
                                       {rotation, dim_, true},
                                       static_cast<int>(end - begin),
                                       dim_,
                                       dim_,
                                       1,
                                       0,
                                       rotated_.data() + begin * dim_,
                                       dim_};
        product.Run();
    });
}

double Opq::TrainOn(const float* points, int iterations, bool warm) {
    PqTrainer trainer(job_, shape_, points, count_, nullptr, 0);
    return trainer.Train(codebook_.data(), iterations, task_.seed, warm);
}

// What the codes of the rotated points decode to.
void Opq::Decode() {
    decoded_.resize(points_.size());
    ForSlices(job_, count_, kPointRows / 16, [&](int64_t begin, int64_t end) {
        std::vector<uint8_t> code(shape_.code_bytes());
        for (int64_t i = begin; i < end; ++i) {
            EncodePq(shape_, codebook_.data(), &rotated_[static_cast<size_t>(i * dim_)], code.data());
            DecodePq(shape_, codebook_.data(), code.data(), &decoded_[static_cast<size_t>(i * dim_)]);
        }
    });
}

// cross = decoded' points: entry (i, j) is what rotated coordinate i should take of coordinate j.
void Opq::CrossProduct() {
    ForSlices(job_, dim_, kBlock, [&](int64_t begin, int64_t end) {
        for (int64_t first = 0; first < count_; first += kPointRows) {
            CheckCancel(job_);
            const MatrixProduct product = {{decoded_.data() + first * dim_ + begin, dim_, true},
                                           {points_.data() + first * dim_, dim_},
                                           static_cast<int>(end - begin),
                                           dim_,
                                           static_cast<int>(std::min(kPointRows, count_ - first)),
                                           1,
                                           first == 0 ? 0.0f : 1.0f,
                                           cross_.data() + begin * dim_,
                                           dim_};
            product.Run();
        }
    });
}

// From cross and the rotation so far to the next one. Newton-Schulz: Y <- 1.5 Y - 0.5 Y Y'Y brings all singular values
// of at most 1 to 1. Adding a little of the last rotation, of which the best one is a fixed point anyway, keeps those
// that are nothing from staying nothing.
void Opq::Polar(float* rotation) {
    double norm = 0;
    for (const float x : cross_)
        norm += static_cast<double>(x) * x;
    if (!(norm > 0)) return;
    const float scale = static_cast<float>(1 / std::sqrt(norm));
    for (size_t i = 0; i < Square(); ++i)
        cross_[i] = (cross_[i] * scale + kHold * rotation[i]) * (1 - kHold);
    std::vector<float> off(static_cast<size_t>(dim_));
    for (int n = 0; n < kMostNewton; ++n) {
        ForSlices(job_, dim_, kBlock, [&](int64_t begin, int64_t end) {
            const MatrixProduct product = {{cross_.data() + begin, dim_, true},
                                           {cross_.data(), dim_},
                                           static_cast<int>(end - begin),
                                           dim_,
                                           dim_,
                                           1,
                                           0,
                                           gram_.data() + begin * dim_,
                                           dim_};
            product.Run();
            for (int64_t i = begin; i < end; ++i) {
                float most = 0;
                for (int j = 0; j < dim_; ++j)
                    most = std::max(most, std::fabs(gram_[static_cast<size_t>(i * dim_ + j)] - (i == j ? 1.0f : 0.0f)));
                off[static_cast<size_t>(i)] = most;
            }
        });
        const bool last = *std::max_element(off.begin(), off.end()) < kOrthogonal;
        next_ = cross_;
        ForSlices(job_, dim_, kBlock, [&](int64_t begin, int64_t end) {
            const MatrixProduct product = {{cross_.data() + begin * dim_, dim_},
                                           {gram_.data(), dim_},
                                           static_cast<int>(end - begin),
                                           dim_,
                                           dim_,
                                           -0.5f,
                                           1.5f,
                                           next_.data() + begin * dim_,
                                           dim_};
            product.Run();
        });
        cross_.swap(next_);
        if (last) break;
    }
    memcpy(rotation, cross_.data(), sizeof(float) * Square());
}

// Column j is what the fixed rotation makes of axis j.
void Opq::RandomRotation(float* rotation) const {
    std::vector<float> axis(static_cast<size_t>(dim_)), out(axis), scratch(axis);
    TaskArena memory;
    Rotation fixed;
    fixed.Init(&memory.arena, dim_);
    for (int j = 0; j < dim_; ++j) {
        if (j % kBlock == 0) CheckCancel(job_);
        std::fill(axis.begin(), axis.end(), 0.0f);
        axis[static_cast<size_t>(j)] = 1;
        fixed.Apply(axis.data(), out.data(), scratch.data());
        for (int i = 0; i < dim_; ++i)
            rotation[static_cast<size_t>(i) * static_cast<size_t>(dim_) + static_cast<size_t>(j)] =
                out[static_cast<size_t>(i)];
    }
}

// Begins with no rotation or a random one: natural coordinates may well be good ones (pixels of an image), or the worst
// (all energy in a few). The random one serves where it is the better by a first codebook.
void Opq::Run(OpqTrainTask* task) {
    job_->total.store(static_cast<int64_t>(shape_.m) * (2 * kFirstIterations + kIterations * task->iterations));
    TakePoints();
    codebook_.resize(shape_.codebook_floats());
    cross_.resize(Square());
    gram_.resize(Square());
    RequireBlasBuffers(job_->threads);

    float* const rotation = task->rotation;
    task->plain = TrainOn(points_.data(), kFirstIterations, false);
    std::vector<float> plain_codebook = codebook_;
    RandomRotation(rotation);
    Rotate(rotation);
    task->error = TrainOn(rotated_.data(), kFirstIterations, false);
    if (task->plain < task->error) {
        task->error = task->plain;
        codebook_.swap(plain_codebook);
        rotated_ = points_;
        for (size_t i = 0; i < Square(); ++i)
            rotation[i] = i % (static_cast<size_t>(dim_) + 1) == 0 ? 1.0f : 0.0f;
    }
    for (int i = 0; i < task->iterations; ++i) {
        Decode();
        CrossProduct();
        Polar(rotation);
        Rotate(rotation);
        task->error = TrainOn(rotated_.data(), kIterations, true);
    }
    task->error = std::ldexp(task->error, -2 * exponent_);
    task->plain = std::ldexp(task->plain, -2 * exponent_);
}

}  // namespace

void RunOpqTrain(ComputeJob* job, OpqTrainTask* task) {
    CheckPqArguments(task->shape, task->count, task->iterations, task->sample);
    const int64_t count = task->sample > 0 ? std::min(task->sample, task->count) : task->count;
    const double dim = task->shape.dim;
    RequireMemory(job, "optimizing a product quantizer",
                  PqTrainer::Memory(task->shape, count, std::max(job->threads, 1)) +
                      (12 * dim + 4) * static_cast<double>(count) + 12 * dim * dim +
                      8.0 * static_cast<double>(task->shape.codebook_floats()));
    const int exponent = SafeExponent(job, task->points, task->count * task->shape.dim,
                                      "product quantization of a value that is infinite or not a number");
    Opq(job, *task, count, exponent).Run(task);
}

}  // namespace vecann

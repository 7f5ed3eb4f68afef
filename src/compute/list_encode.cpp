// Encoding for the lists of an index: codes of product quantizers, sign codes, and rotations, many points at once. Each
// point's result is its own, so nothing depends on the threads.
#include <cstring>
#include <stdexcept>
#include <vector>

#include "compute/matrix_product.h"
#include "compute/task_arena.h"
#include "compute/value_range.h"
#include "kernels/kernel_table.h"
#include "quant/rotation.h"

namespace vecann {

namespace {

constexpr int64_t kSlice = 256;  // points
constexpr const char* kNotFinite = "encoding of a value that is infinite or not a number";

}  // namespace

void RunPqEncode(ComputeJob* job, PqEncodeTask* task) {
    const PqShape& shape = task->shape;
    if (!shape.Legal() || task->count < 0 || (task->centroids != nullptr) != (task->labels != nullptr) ||
        (task->adds != nullptr && task->labels == nullptr))
        throw std::invalid_argument("encoding needs a legal shape, and centroids and labels together");
    const int64_t dim = shape.dim;
    SafeExponent(job, task->points, task->count * dim, kNotFinite);
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> residual(static_cast<size_t>(dim)), decoded(residual);
        for (int64_t i = begin; i < end; ++i) {
            const float* x = task->points + i * dim;
            const float* centroid = nullptr;
            if (task->labels != nullptr) {
                if (task->labels[i] < 0) throw std::invalid_argument("a point without a centroid");
                centroid = task->centroids + task->labels[i] * dim;
                for (int64_t j = 0; j < dim; ++j)
                    residual[static_cast<size_t>(j)] = x[j] - centroid[j];
                x = residual.data();
            }
            uint8_t* code = task->codes + static_cast<size_t>(i) * shape.code_bytes();
            const float error = EncodePq(shape, task->codebook, x, code);
            if (task->errors != nullptr) task->errors[i] = error;
            if (task->adds == nullptr) continue;
            DecodePq(shape, task->codebook, code, decoded.data());
            task->adds[i] = PqAdd(shape.dim, centroid, decoded.data());
        }
        job->done.fetch_add(end - begin);
    });
}

void RunSignEncode(ComputeJob* job, SignEncodeTask* task) {
    const CodeShape& shape = task->shape;
    if (shape.bits != 1 || shape.dim < 1 || task->count < 0 ||
        (task->metric != Metric::kL2 && task->metric != Metric::kInnerProduct))
        throw std::invalid_argument("sign codes have one bit, under L2 or the inner product");
    SafeExponent(job, task->points, task->count * shape.dim, kNotFinite);
    const size_t code_bytes = SignCodeBytes(shape);
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> scratch(static_cast<size_t>(shape.dim));
        std::vector<uint64_t> code(static_cast<size_t>(shape.words));
        for (int64_t i = begin; i < end; ++i) {
            if (task->labels[i] < 0) throw std::invalid_argument("a point without a centroid");
            EncodeSigns(shape, task->metric, task->centroids + static_cast<int64_t>(task->labels[i]) * shape.dim,
                        task->points + i * shape.dim, reinterpret_cast<uint8_t*>(code.data()), task->factors + i,
                        scratch.data());
            memcpy(task->codes + static_cast<size_t>(i) * code_bytes, code.data(), code_bytes);
        }
        job->done.fetch_add(end - begin);
    });
}

void RunRotate(ComputeJob* job, RotateTask* task) {
    if (task->dim < 1 || task->count < 0) throw std::invalid_argument("a rotation needs dim >= 1");
    const int64_t dim = task->dim;
    TaskArena memory;
    Rotation rotation;
    if (task->matrix == nullptr)
        rotation.Init(&memory.arena, task->dim);
    else
        RequireBlasBuffers(job->threads);
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> scratch(static_cast<size_t>(dim));
        for (int64_t i = begin; task->matrix == nullptr && i < end; ++i)
            rotation.Apply(task->points + i * dim, task->out + i * dim, scratch.data());
        if (task->matrix != nullptr) {
            const MatrixProduct product = {{task->points + begin * dim, task->dim},
                                           {task->matrix, task->dim, true},
                                           static_cast<int>(end - begin),
                                           task->dim,
                                           task->dim,
                                           1,
                                           0,
                                           task->out + begin * dim,
                                           task->dim};
            product.Run();
        }
        job->done.fetch_add(end - begin);
    });
}

}  // namespace vecann

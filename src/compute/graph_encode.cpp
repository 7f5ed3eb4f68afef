// Encoding the edges of a built graph: every node's neighbours, seen from the node (quant/rabitq.h).
#include <stdexcept>
#include <vector>

#include "compute/graph_parts.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr int64_t kSlice = 256;  // nodes
constexpr size_t kAhead = 2;     // neighbours

}  // namespace

void RunGraphEncode(ComputeJob* job, GraphEncodeTask* task) {
    const size_t dim = static_cast<size_t>(task->shape.dim), degree = static_cast<size_t>(task->max_degree);
    const size_t code_size = task->shape.bytes();
    if (task->shape.bits < 1 || task->max_degree < 1) throw std::invalid_argument("nothing to encode");
    const auto l2_squared = Kernels().float32.l2_squared;
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> scratch(dim);
        for (int64_t i = begin; i < end; ++i) {
            const size_t at = static_cast<size_t>(task->first + i), row = static_cast<size_t>(i);
            const size_t node = task->order != nullptr ? task->order[at] : at;
            const uint32_t* neighbours = task->neighbours + node * degree;
            for (size_t e = 0; e < task->degrees[node]; ++e) {
                if (e + kAhead < task->degrees[node])
                    PrefetchRow(task->vectors + neighbours[e + kAhead] * dim, task->shape.dim);
                EncodeNeighbour(task->shape, task->metric, task->vectors + node * dim,
                                task->vectors + neighbours[e] * dim, task->edges + row * degree + e,
                                task->codes + (row * degree + e) * code_size, scratch.data());
            }
            for (size_t e = 0; task->distances != nullptr && e < task->degrees[node]; ++e)
                task->distances[row * degree + e] =
                    l2_squared(task->vectors + node * dim, task->vectors + neighbours[e] * dim, dim);
        }
        job->done.fetch_add(end - begin);
    });
}

}  // namespace vecann

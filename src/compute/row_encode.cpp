// Encoding the rows of a table by their places (quant/row_code.h).
#include <stdexcept>
#include <vector>

#include "compute/tasks.h"
#include "quant/row_code.h"

namespace vecann {

namespace {

constexpr int64_t kSlice = 256;  // rows

}  // namespace

void RunRowEncode(ComputeJob* job, RowEncodeTask* task) {
    if (task->dim < 1 || task->count < 0) throw std::invalid_argument("row codes need count >= 0 and dim >= 1");
    const size_t dim = static_cast<size_t>(task->dim), size = RowCodeSize(task->dim);
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> scratch(dim);
        for (int64_t i = begin; i < end; ++i) {
            const PlacedNode& row = task->rows[i];
            EncodeRowCode(task->vectors + row.node * dim, task->centre, task->dim,
                          static_cast<double>(task->errors[row.node]),
                          task->out + (row.place - task->first_place) * size, scratch.data());
        }
        job->done.fetch_add(end - begin);
    });
}

}  // namespace vecann

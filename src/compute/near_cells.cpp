// The nearest centroids of many points: products by blocks, then the nearest of each row.
#include <omp.h>

#include <stdexcept>

#include "compute/graph_parts.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr int kBlock = 256;  // points
constexpr int32_t kMostCells = 16, kClusterLimit = 65535;
constexpr uint16_t kNone = 0xFFFF;

struct Scratch {
    RowBlock block;
    std::vector<float> products;
    std::vector<uint32_t> ids;
};

void TakeNear(const NearCellsTask& task, const NearKey* near, int found, float norm, uint16_t* cells) {
    // keys lack the point's own norm; rounding may leave a little less than nothing
    const float limit = found > 0 ? task.reach * std::max(near[0].key + norm, 0.0f) : 0;
    for (int i = 0; i < task.most; ++i)
        cells[i] = i < found && (i == 0 || near[i].key + norm <= limit) ? static_cast<uint16_t>(near[i].index) : kNone;
}

}  // namespace

void RunNearCells(ComputeJob* job, NearCellsTask* task) {
    if (task->dim < 1 || task->count < 0 || task->clusters < 1 || task->clusters >= kClusterLimit || task->most < 1 ||
        task->most > kMostCells)
        throw std::invalid_argument("near cells need dim >= 1, clusters from 1 to 65534 and 1 to 16 cells");
    RequireBlasBuffers(job->threads);
    const GraphKernels& kernels = BestGraphKernels();
    const auto l2_squared = Kernels().float32.l2_squared;
    const GraphSpace points = {task->points, task->dim, task->dim, nullptr, l2_squared};
    const GraphSpace centroids = {task->centroids, task->dim, task->dim, nullptr, l2_squared};
    std::vector<uint32_t> all(static_cast<size_t>(task->clusters));
    for (size_t i = 0; i < all.size(); ++i)
        all[i] = static_cast<uint32_t>(i);
    std::vector<float> centre;
    MeanOfSome(centroids, all.data(), task->clusters, &centre);
    RowBlock cells;
    cells.Gather(centroids, all.data(), task->clusters, centre.data());
    const int stride = PaddedRow(task->clusters);
    std::vector<Scratch> scratches(static_cast<size_t>(omp_get_max_threads()));
    job->total.store(task->count);
    ForSlices(job, task->count, kBlock, [&](int64_t begin, int64_t end) {
        Scratch& mine = scratches[static_cast<size_t>(omp_get_thread_num())];
        const int count = static_cast<int>(end - begin);
        mine.ids.clear();
        for (int64_t i = begin; i < end; ++i)
            mine.ids.push_back(static_cast<uint32_t>(i));
        mine.products.resize(static_cast<size_t>(kBlock) * static_cast<size_t>(stride));
        mine.block.Gather(points, mine.ids.data(), count, centre.data());
        Products(mine.block.rows.data(), count, cells.rows.data(), task->clusters, task->dim, mine.products.data());
        NearKey near[kMostCells];
        for (int i = 0; i < count; ++i) {
            const int found = kernels.nearest_of_row(mine.products.data() + static_cast<int64_t>(i) * stride,
                                                     cells.norms.data(), task->clusters, 0, task->most, near);
            TakeNear(*task, near, found, mine.block.norms[static_cast<size_t>(i)],
                     task->cells + (begin + i) * task->most);
        }
        job->done.fetch_add(count);
    });
}

}  // namespace vecann

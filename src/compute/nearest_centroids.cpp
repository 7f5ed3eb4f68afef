// Products with tiles of centroids; see nearest_centroids.h.
#include "compute/nearest_centroids.h"

#include "kernels/kernel_table.h"

namespace vecann {

void NearestCentroids::Set(const float* centroids, int clusters) {
    centroids_ = centroids;
    clusters_ = clusters;
    const GraphSpace space = {centroids, dim_, dim_, nullptr, Kernels().float32.l2_squared};
    std::vector<uint32_t> ids(static_cast<size_t>(clusters));
    for (size_t i = 0; i < ids.size(); ++i)
        ids[i] = static_cast<uint32_t>(i);
    MeanOfSome(space, ids.data(), clusters, &centre_);
    tiles_.resize(static_cast<size_t>((clusters + kTile - 1) / kTile));
    for (int first = 0, t = 0; first < clusters; first += kTile, ++t)
        tiles_[static_cast<size_t>(t)].Gather(space, ids.data() + first, std::min(kTile, clusters - first),
                                              centre_.data());
}

void NearestCentroids::Find(const float* points, int count, int32_t* labels, float* distances, Scratch* scratch) const {
    const GraphKernels& kernels = BestGraphKernels();
    const auto l2_squared = Kernels().float32.l2_squared;
    const GraphSpace space = {points, dim_, dim_, nullptr, l2_squared};
    scratch->ids.resize(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i)
        scratch->ids[static_cast<size_t>(i)] = static_cast<uint32_t>(i);
    scratch->block.Gather(space, scratch->ids.data(), count, centre_.data());
    scratch->keys.assign(static_cast<size_t>(count), __builtin_huge_valf());
    scratch->products.resize(static_cast<size_t>(kBlock) * PaddedRow(std::min(clusters_, kTile)));
    for (int i = 0; i < count; ++i)
        labels[i] = 0;
    for (int first = 0, t = 0; first < clusters_; first += kTile, ++t) {
        const RowBlock& tile = tiles_[static_cast<size_t>(t)];
        const int here = std::min(kTile, clusters_ - first);
        Products(scratch->block.rows.data(), count, tile.rows.data(), here, dim_, scratch->products.data());
        for (int i = 0; i < count; ++i) {
            NearKey near;
            const float* row = scratch->products.data() + static_cast<int64_t>(i) * PaddedRow(here);
            if (kernels.nearest_of_row(row, tile.norms.data(), here, 0, 1, &near) == 0) continue;
            float& least = scratch->keys[static_cast<size_t>(i)];
            if (!(near.key < least)) continue;
            least = near.key;
            labels[i] = first + near.index;
        }
    }
    // not from the products, which have lost digits
    for (int i = 0; i < count; ++i)
        distances[i] = l2_squared(points + static_cast<int64_t>(i) * dim_,
                                  centroids_ + static_cast<int64_t>(labels[i]) * dim_, static_cast<size_t>(dim_));
}

}  // namespace vecann

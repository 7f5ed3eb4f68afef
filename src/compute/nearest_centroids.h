// The nearest of many centroids: matrix products by tiles of centroids, then the least of each row. FAISS's flat index
// does the same in plain code; this takes the loops of the processor's level.
#pragma once

#include <cstdint>
#include <vector>

#include "compute/graph_parts.h"

namespace vecann {

class NearestCentroids {
  public:
    static constexpr int kBlock = 256;  // points of a call at most
    static constexpr int kTile = 1024;  // centroids of a product

    // What a thread needs.
    struct Scratch {
        RowBlock block;
        std::vector<float> products, keys;
        std::vector<uint32_t> ids;
    };

    explicit NearestCentroids(int dim) : dim_(dim) {}

    // The centroids stay where they are and must not move; what of them is kept is centred and in tiles.
    void Set(const float* centroids, int clusters);
    // The nearest of each of count <= kBlock points, the first of equals up to rounding, and its squared distance.
    // Finite points whose squares are finite.
    void Find(const float* points, int count, int32_t* labels, float* distances, Scratch* scratch) const;

    // Bytes that it keeps, and that a scratch takes.
    static double Memory(double dim, double clusters) { return sizeof(float) * (dim + 1) * (clusters + 16); }
    static double ScratchMemory(double dim, double clusters) {
        return sizeof(float) * kBlock * (dim + (clusters < kTile ? clusters + 16 : kTile) + 4);
    }

  private:
    int dim_;
    int clusters_ = 0;
    const float* centroids_ = nullptr;
    std::vector<float> centre_;
    std::vector<RowBlock> tiles_;
};

// The task's work, with the points numbered in `rows` where it is not null, all times 2^exponent. Finite values only;
// adds to the progress.
void AssignRows(ComputeJob* job, const AssignTask& task, const int32_t* rows, int exponent);

}  // namespace vecann

// Codebooks of product quantizers: Lloyd's k-means of each sub-quantizer, one thread each. Not FAISS's
// ProductQuantizer: its training takes a matrix product for four dimensions, five times as long, and cannot be
// cancelled (README.md).
#pragma once

#include <cstdint>
#include <vector>

#include "compute/tasks.h"

namespace vecann {

class PqTrainer {
  public:
    // Trains on `count` rows of points, all of them or those numbered in `rows`, times 2^exponent. What the arguments
    // point to stays until the trainer goes.
    PqTrainer(ComputeJob* job, const PqShape& shape, const float* points, int64_t count, const int32_t* rows,
              int exponent);

    // At most `iterations` more of each sub-quantizer, from the codebook as it is if `warm`. Returns the mean squared
    // error before the last update. Adds m * iterations to the progress.
    double Train(float* codebook, int iterations, uint32_t seed, bool warm);

    // Bytes beside its input and the codebook.
    static double Memory(const PqShape& shape, int64_t count, int threads) {
        return static_cast<double>(threads) *
               (sizeof(float) * (static_cast<double>(shape.sub_dim()) + 1) * static_cast<double>(count) +
                16.0 * static_cast<double>(shape.part_floats()));
    }

  private:
    struct Part;
    double TrainPart(int s, float* codewords, int iterations, uint32_t seed, bool warm) const;
    void Gather(int s, float* to) const;

    ComputeJob* job_;
    const PqShape shape_;
    const float* points_;
    int64_t count_;
    const int32_t* rows_;
    int exponent_;
};

// Throws invalid_argument unless it is a shape and a count to be trained.
void CheckPqArguments(const PqShape& shape, int64_t count, int32_t iterations, int64_t sample);

}  // namespace vecann

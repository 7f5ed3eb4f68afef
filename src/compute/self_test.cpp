// The self test: does the library work on this machine? Known answers from FAISS, OpenMP and BLAS.
#include <faiss/Index.h>
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "compute/tasks.h"
#include "core/rng.h"

extern "C" {
char* openblas_get_config(void);
char* openblas_get_corename(void);
// C = alpha A B + beta C, column-major (BLAS level 3)
int sgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const float* alpha,
           const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c, const int* ldc);
}

namespace vecann {

namespace {

// Four well separated clusters in eight dimensions; k-means must find their centres.
void CheckKMeans(ComputeJob* job) {
    constexpr int kDim = 8, kClusters = 4, kCount = 4000;
    std::vector<float> points(kDim * kCount), centroids(kDim * kClusters);
    Rng rng(42);
    for (int i = 0; i < kCount; ++i)
        for (int j = 0; j < kDim; ++j)
            points[i * kDim + j] =
                100.0f * static_cast<float>(i % kClusters) + static_cast<float>(rng.NextUnit()) - 0.5f;
    KMeansTask task = {points.data(), kCount, kDim, kClusters, 10, 1, 0, centroids.data(), 0};
    RunKMeans(job, &task);
    bool found[kClusters] = {};
    for (int c = 0; c < kClusters; ++c) {
        const long at = std::lround(centroids[c * kDim] / 100.0f);
        if (at >= 0 && at < kClusters && std::fabs(centroids[c * kDim] - 100.0f * static_cast<float>(at)) < 1.0f)
            found[at] = true;
    }
    // k-means++ is not used: two starts in one cluster are possible, but then the objective tells.
    const bool all = found[0] && found[1] && found[2] && found[3];
    if (!all && task.objective < 0.5 * kCount * kDim) throw std::runtime_error("k-means gave a wrong answer");
}

// The product of two matrices of ones.
void CheckProduct() {
    constexpr int kSize = 128;
    const std::vector<float> a(kSize * kSize, 1.0f);
    std::vector<float> c(kSize * kSize, 0.0f);
    const float one = 1, zero = 0;
    sgemm_("N", "N", &kSize, &kSize, &kSize, &one, a.data(), &kSize, a.data(), &kSize, &zero, c.data(), &kSize);
    for (const float x : c)
        if (x != kSize) throw std::runtime_error("a matrix product gave a wrong answer");
}

}  // namespace

void RunSelfTest(ComputeJob* job, SelfTestTask* task) {
    CheckKMeans(job);
    CheckProduct();
    int threads = 0;
    RegionError error;
#pragma omp parallel reduction(+ : threads)
    error.Guard([&] { ++threads; });
    error.Rethrow();
    task->threads = threads;
    snprintf(task->faiss_version, sizeof(task->faiss_version), "%d.%d.%d", FAISS_VERSION_MAJOR, FAISS_VERSION_MINOR,
             FAISS_VERSION_PATCH);
    snprintf(task->blas, sizeof(task->blas), "%s (%s)", openblas_get_config(), openblas_get_corename());
}

}  // namespace vecann

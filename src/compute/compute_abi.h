// The border between the server (zone P) and vecann_compute.so (zone X): plain data and function pointers, nothing
// else. The library is loaded with dlopen, so the version is checked before the first call.
//
// A job runs on one owner thread of the library, which owns every OpenMP region. The backend waits, polls its own
// interrupts and sets `cancel`; the job looks at `cancel` at least several times a second.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/status.h"
#include "kernels/metric.h"
#include "quant/pq.h"
#include "quant/rabitq.h"
#include "quant/rabitq_list.h"
#include "quant/value_payload.h"

namespace vecann {

constexpr uint32_t kComputeAbiVersion = 6;
constexpr const char* kComputeApiSymbol = "vecann_compute_api";

// Shared by the waiting backend and the owner thread.
struct ComputeJob {
    std::atomic<int32_t> cancel{0};
    std::atomic<int32_t> finished{0};
    std::atomic<int64_t> done{0};  // progress, in units of the task
    std::atomic<int64_t> total{0};
    int32_t threads = 1;        // in: at most; out: as many as the system would start
    uint64_t memory_limit = 0;  // bytes the job may take beside its input and output; 0: no limit
    Status status;              // valid once finished
};
static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<int32_t>::is_always_lock_free);

enum class ComputeTask : int32_t {
    kKMeans = 1,         // KMeansTask
    kSelfTest = 2,       // SelfTestTask
    kGraphBuild = 3,     // GraphBuildTask
    kGraphEncode = 4,    // GraphEncodeTask
    kNearCells = 5,      // NearCellsTask
    kPayloadEncode = 6,  // PayloadEncodeTask
    kAssign = 7,         // AssignTask
    kPqTrain = 8,        // PqTrainTask
    kOpqTrain = 9,       // OpqTrainTask
    kPqEncode = 10,      // PqEncodeTask
    kSignEncode = 11,    // SignEncodeTask
    kRotate = 12,        // RotateTask
    kRowEncode = 13,     // RowEncodeTask
    kSpin = 100,         // SpinTask; test builds only
};

// More clusters than this are found in two stages.
constexpr int32_t kFlatClusters = 4096;

// Lloyd's k-means under L2; with more than kFlatClusters clusters in two stages, which costs hardly anything of the
// objective and a fraction of the time. points: count x dim, centroids: clusters x dim, both row-major float32 in
// memory of the caller. Needs count >= clusters >= 1 and finite points. Progress counts assignments: points times
// iterations. The result depends on the seed, not on the number of threads. No cluster is left without points.
struct KMeansTask {
    const float* points;
    int64_t count;
    int32_t dim;
    int32_t clusters;
    int32_t iterations;  // at most; it ends when the objective no longer falls
    uint32_t seed;
    int64_t sample;  // train on a random sample of that many points; 0: on all
    float* centroids;
    double objective;  // out: sum of squared distances to the nearest centroid, before the last update
};

// The neighbour lists of one layer of a graph over `count` vectors: at most max_degree near neighbours of each, chosen
// so that a greedy walk finds its way (src/compute/README.md). No node lists itself or another one twice; every node
// can be reached from `entry`. count may be 0 and is below 2^32 - 1; dim and max_degree are at least 1, max_degree at
// most 1024. The result depends on the seed, not on the number of threads. Progress has no unit.
struct GraphBuildTask {
    const float* vectors;  // count x dim, row-major, finite
    int64_t count;
    int32_t dim;
    Metric metric;  // kL2, kInnerProduct, or kCosine, which wants vectors of length one
    int32_t max_degree;
    uint32_t seed;
    uint32_t* neighbours;       // out: count x max_degree, nearest first, the rest of a row 0xFFFFFFFF
    uint16_t* degrees;          // out: count
    uint32_t entry;             // out: near the middle of the vectors; 0xFFFFFFFF when there are none
    int32_t rotated = 0;        // in: the vectors are, at random: the first dimensions of many say which are near
    uint32_t* order = nullptr;  // out: the nodes, near ones near each other; may be null
};

// Codes of the neighbours of nodes first .. first + count - 1 of a graph whose lists look as GraphBuildTask leaves
// them, or of those that stand there in `order`. Fills level_sum, add and scale of the edges and their codes, for
// degrees[node] neighbours of each; progress counts nodes.
struct GraphEncodeTask {
    const float* vectors;   // of all nodes, rotated
    const uint32_t* order;  // may be null
    const uint32_t* neighbours;
    const uint16_t* degrees;
    int32_t max_degree;
    CodeShape shape;  // bits >= 1
    Metric metric;    // kL2 or kInnerProduct
    int64_t first;
    int64_t count;
    CodedEdge* edges;  // out: count x max_degree
    char* codes;       // out: count x max_degree codes of shape.bytes()
    float* distances;  // out: count x max_degree squared L2 distances; may be null
};

// The centroids nearest to each point under L2, of those whose squared distance is at most `reach` times that of the
// nearest: at most `most` of them, nearest first, the rest of a row 0xFFFF. Needs 1 <= clusters < 65535, most <= 16.
struct NearCellsTask {
    const float* points;  // count x dim
    int64_t count;
    int32_t dim;
    const float* centroids;  // clusters x dim
    int32_t clusters;
    int32_t most;
    float reach;
    uint16_t* cells;  // out: count x most
};

// The nearest centroid of each point under L2, the first of equals up to rounding, and its squared distance. Many
// centroids are as welcome as few. Refuses points and centroids that are not finite; progress counts points.
struct AssignTask {
    const float* points;  // count x dim
    int64_t count;
    int32_t dim;
    const float* centroids;  // clusters x dim
    int32_t clusters;
    int32_t* labels;   // out: count
    float* distances;  // out: count; may be null
};

// Trains the codebook of a product quantizer: k-means under L2 of each sub-quantizer. Points are vectors, or residuals
// v - centroid made by the caller. Any count from 1 on does: with fewer points than codewords some codewords are
// repeated and never used. Depends on the seed, not on the number of threads or the instruction set. Progress counts
// sub-quantizers times iterations.
struct PqTrainTask {
    const float* points;  // count x dim
    int64_t count;
    PqShape shape;
    int32_t iterations;  // at most
    uint32_t seed;
    int64_t sample;   // train on a random sample of that many points; 0: on all
    float* codebook;  // out: shape.codebook_floats()
    double error;     // out: mean squared distance of the points it was trained on to their codes
};

// A rotation after which product quantization loses less (OPQ: Ge, He, Ke, Sun, TPAMI 2014). Whoever uses it rotates
// everything, centroids and queries too: distances stay what they are. Limits and determinism as PqTrainTask, but BLAS
// may give other last bits on other processors.
struct OpqTrainTask {
    const float* points;  // count x dim
    int64_t count;
    PqShape shape;
    int32_t iterations;  // rounds of rotation and codebook; 10 get most of it
    uint32_t seed;
    int64_t sample;   // 0: all points
    float* rotation;  // out: dim x dim, in rows: y = rotation x
    double error;     // out: mean squared error with it, of a codebook of the last round
    double plain;     // out: that of the first round without it
};

// Row codes of points (quant/pq.h). With centroids, those of the residual points[i] - centroids[labels[i]].
struct PqEncodeTask {
    const float* points;  // count x dim
    int64_t count;
    PqShape shape;
    const float* codebook;
    const float* centroids = nullptr;
    const int32_t* labels = nullptr;
    uint8_t* codes;           // out: count x shape.code_bytes()
    float* adds = nullptr;    // out, with centroids: PqAdd of each; may be null
    float* errors = nullptr;  // out: squared distance to what the code decodes to; may be null
};

// Row codes and factors of rotated points against their rotated centroids (quant/rabitq_list.h).
struct SignEncodeTask {
    const float* points;  // count x dim
    int64_t count;
    CodeShape shape;  // one bit
    Metric metric;    // kL2 or kInnerProduct
    const float* centroids;
    const int32_t* labels;
    uint8_t* codes;        // out: count x SignCodeBytes(shape)
    ListFactors* factors;  // out: count
};

// out[i] = matrix points[i]; nothing overlaps.
struct RotateTask {
    const float* points;  // count x dim
    int64_t count;
    int32_t dim;
    const float* matrix;  // dim x dim in rows; null: the fixed rotation of quant/rotation.h
    float* out;           // count x dim
};

// What a graph build takes at most, beside the vectors and the lists: links from ten leaves of a point (sixteen for the
// inner product) and from as many of each eighth point, links back; the rows and products of a leaf or of a block and
// its leaders for each thread; a set's leaders. Vectors whose squares leave the range of float are copied, which comes
// on top.
inline uint64_t GraphBuildMemory(int64_t count, int32_t dim, int32_t max_degree, int threads = 1,
                                 Metric metric = Metric::kL2) {
    const uint64_t points = count > 0 ? static_cast<uint64_t>(count) : 0;
    const uint64_t row = (static_cast<uint64_t>(dim) + 1) * sizeof(float);
    const uint64_t leaf = points < 512 ? points : 512;
    const uint64_t leaders = points < 3200 ? 16 : points < 200000 ? points / 200 : 1000;
    const uint64_t thread = leaf * (row + 2048) + leaders * 1024 + 65536;
    const uint64_t links = metric == Metric::kInnerProduct ? 1536 : 600;
    const uint64_t per_point = links + 8 * static_cast<uint64_t>(max_degree);
    return points * per_point + thread * static_cast<uint64_t>(threads) + leaders * (row + 4 * leaders + 4096);
}

// Rotates values and encodes their payloads. vectors: count x dim; in: the plain numbers, out: what stands in the
// payloads, rotated. Progress counts values.
struct PayloadEncodeTask {
    PayloadRule rule;
    float* vectors;
    int64_t count;
    const uint32_t* hashes;  // of the plain numbers
    char* payloads;          // out: count x rule.size()
};

// A row of the table by its place among all codes, and its vector.
struct PlacedNode {
    uint64_t place;
    uint32_t node;
};

// Encodes row codes (quant/row_code.h) at their places. vectors: dim numbers a node; errors: one a node, by how much
// the vector is off. Progress counts rows.
struct RowEncodeTask {
    const float* vectors;
    const float* errors;
    const float* centre;
    int32_t dim;
    const PlacedNode* rows;
    int64_t count;
    uint64_t first_place;  // of out
    char* out;             // RowCodeSize(dim) bytes a place
};

// A small k-means and a matrix product with known answers.
struct SelfTestTask {
    char faiss_version[32];
    char blas[160];
    int32_t threads;  // that took part
};

enum class Injected : int32_t { kNothing = 0, kBadAlloc, kStdException, kUnknown };

// Keeps all threads busy, then throws; outside or inside an OpenMP region.
struct SpinTask {
    double seconds;
    Injected injected;
    bool in_region;
};

struct ComputeApi {
    uint32_t version;
    // Starts the owner thread; the caller has blocked all signals, so that the thread inherits that. Null: see status.
    void* (*start)(ComputeJob* job, ComputeTask task, void* argument, Status* status) noexcept;
    // Waits for the thread and frees the handle. Afterwards none of the job's threads touches the task; those of OpenMP
    // are about to exit.
    void (*join)(void* handle) noexcept;
};

// The symbol's type: null and a status when the versions differ.
using ComputeApiFunction = const ComputeApi* (*)(uint32_t version, Status* status);

}  // namespace vecann

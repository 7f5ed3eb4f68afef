// The partition build of a graph (PiPNN, arXiv 2602.21247): carve the points into overlapping leaves, link each point
// with its nearest in each of its leaves, choose among the links of each point by robust prune, and make all reachable.
// README.md has the figures.
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "compute/graph_carve.h"
#include "compute/graph_repair.h"
#include "compute/value_range.h"
#include "graph/robust_prune.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr int kLeafLinks = 5, kLoneLeafLinks = 64;  // of each point in a leaf; in the only one
constexpr int32_t kMaxDegree = 1024;
constexpr float kPruneMargin = 1.2f;
constexpr uint32_t kEntrySample = 16384;
constexpr int64_t kNodeSlice = 256;
constexpr GraphEdge kNoLink = {UINT64_MAX};
// Estimated shares of the time, of kProgressTotal.
constexpr int64_t kCarveWeight = 200000, kLeafWeight = 400000, kListWeight = 300000, kScatterWeight = 20000,
                  kChooseWeight = 60000;

// Tells ids that were seen from those that were not, over and over.
class SeenIds {
  public:
    SeenIds() : slots_(kSlots) {}
    void Clear() { ++round_; }
    bool Add(uint32_t id) {
        size_t at = (id * 0x9e3779b1u) >> 22;
        for (; slots_[at] >> 32 == round_; at = (at + 1) % kSlots)
            if (static_cast<uint32_t>(slots_[at]) == id) return false;
        slots_[at] = round_ << 32 | id;
        return true;
    }

  private:
    static constexpr size_t kSlots = 1024;  // at most kMaxPruneCandidates are taken
    static_assert(kSlots >= 2 * kMaxPruneCandidates);
    std::vector<uint64_t> slots_;
    uint64_t round_ = 1;
};

struct Scratch {
    RowBlock block;
    std::vector<float> mean, products;
    std::vector<NearKey> near;
    std::vector<GraphEdge> edges;
    SeenIds seen;
};

template <class T>
std::unique_ptr<T[]> Uninitialised(int64_t n) {
    return std::unique_ptr<T[]>(new T[static_cast<size_t>(n)]);
}

class GraphBuild {
  public:
    GraphBuild(ComputeJob* job, const GraphBuildTask& task)
        : job_(job),
          count_(static_cast<uint32_t>(task.count)),
          graph_{task.neighbours, task.degrees, count_, static_cast<uint32_t>(task.max_degree)},
          rule_{kPruneMargin, graph_.max_degree, graph_.max_degree / 2},
          progress_(job),
          scratch_(static_cast<size_t>(omp_get_max_threads())) {}

    void Run(GraphBuildTask* task);

  private:
    void CheckMemory(const GraphBuildTask& task, bool copies) const;
    void Prepare(const GraphBuildTask& task);
    void AugmentForInnerProduct();
    uint32_t ChooseEntry() const;
    void PlaceLinks();
    void LinkLeaf(int64_t leaf);
    void ListLinks(uint32_t node);
    void ScatterBackLinks();
    void Choose(uint32_t node);
    size_t Distinct(std::vector<GraphEdge>* edges, size_t most);
    template <class F>
    void ForNodes(int64_t weight, F body);
    Scratch& Mine() { return scratch_[static_cast<size_t>(omp_get_thread_num())]; }

    ComputeJob* job_;
    const uint32_t count_;
    const GraphView graph_;
    const PruneRule rule_;
    PhaseProgress progress_;
    std::vector<Scratch> scratch_;
    GraphSpace space_ = {};
    std::unique_ptr<float[]> copy_, extra_;
    LeafSet leaves_;
    int leaf_links_ = kLeafLinks;         // of each point in a leaf
    std::unique_ptr<uint32_t[]> order_;   // the nodes, near ones near each other
    std::unique_ptr<uint64_t[]> begins_;  // where each node's links begin
    std::unique_ptr<uint32_t[]> sizes_;   // how many are there
    std::unique_ptr<GraphEdge[]> links_;
    std::unique_ptr<uint64_t[]> back_begins_;
    std::unique_ptr<uint32_t[]> back_sizes_;
    std::unique_ptr<GraphEdge[]> back_links_;  // links by their target: the source and the distance
};

// Adds one to a counter that other threads add to as well; returns what it was.
uint32_t CountUp(uint32_t* counter) {
    return std::atomic_ref<uint32_t>(*counter).fetch_add(1, std::memory_order_relaxed);
}

// Refuses before anything large is allocated.
void GraphBuild::CheckMemory(const GraphBuildTask& task, bool copies) const {
    const uint64_t copy =
        copies ? sizeof(float) * static_cast<uint64_t>(task.count) * static_cast<uint64_t>(task.dim) : 0;
    const uint64_t needed = copy + GraphBuildMemory(task.count, task.dim, task.max_degree, job_->threads);
    if (job_->memory_limit == 0 || needed <= job_->memory_limit) return;
    char text[160];
    snprintf(text, sizeof(text), "building a graph of %lld vectors needs %.0f MB of memory, and may use %.0f MB",
             static_cast<long long>(task.count), std::ceil(static_cast<double>(needed) / 1048576),
             std::floor(static_cast<double>(job_->memory_limit) / 1048576));
    throw OutOfMemory(text);
}

void GraphBuild::Prepare(const GraphBuildTask& task) {
    CheckMemory(task, false);
    const int64_t dim = task.dim;
    const int exponent =
        SafeExponent(job_, task.vectors, task.count * dim, "a graph over a value that is infinite or not a number");
    space_ = {task.vectors, dim, nullptr, Kernels().float32.l2_squared};
    if (exponent != 0) {
        CheckMemory(task, true);
        copy_ = Uninitialised<float>(task.count * dim);
        ForSlices(job_, task.count, kNodeSlice, [&](int64_t begin, int64_t end) {
            ScaleByPower(task.vectors + begin * dim, copy_.get() + begin * dim, (end - begin) * dim, exponent);
        });
        space_.vectors = copy_.get();
    }
    if (task.metric == Metric::kInnerProduct) AugmentForInnerProduct();
}

// With the coordinate that brings all vectors to one length, the nearest are those of the largest product (Bachrach et
// al., RecSys 2014).
void GraphBuild::AugmentForInnerProduct() {
    extra_ = Uninitialised<float>(count_);
    const auto product = Kernels().float32.inner_product;
    ForSlices(job_, count_, kNodeSlice, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const float* row = space_.Row(static_cast<uint32_t>(i));
            extra_[i] = product(row, row, static_cast<size_t>(space_.dim));
        }
    });
    const float largest = *std::max_element(extra_.get(), extra_.get() + count_);
    for (int64_t i = 0; i < count_; ++i)
        extra_[i] = std::sqrt(largest - extra_[i]);
    space_.extra = extra_.get();
}

// Of an even sample, the point nearest to the mean of some.
uint32_t GraphBuild::ChooseEntry() const {
    const uint32_t sample = std::min(count_, kEntrySample);
    std::vector<double> sum(static_cast<size_t>(space_.dim));
    const auto sampled = [&](uint32_t i) { return static_cast<uint32_t>(static_cast<uint64_t>(i) * count_ / sample); };
    for (uint32_t i = 0; i < sample; ++i) {
        if (i % kNodeSlice == 0) CheckCancel(job_);
        for (int64_t j = 0; j < space_.dim; ++j)
            sum[static_cast<size_t>(j)] += space_.Row(sampled(i))[j];
    }
    std::vector<float> mean(sum.size());
    for (size_t j = 0; j < sum.size(); ++j)
        mean[j] = static_cast<float>(sum[j] / sample);
    GraphEdge best = kNoLink;
    for (uint32_t i = 0; i < sample; ++i) {
        if (i % kNodeSlice == 0) CheckCancel(job_);
        const float distance = space_.l2_squared(space_.Row(sampled(i)), mean.data(), mean.size());
        best = std::min(best, GraphEdge::Of(distance, sampled(i)));
    }
    return best.id();
}

// Lays out each node's links, leaf_links_ for each leaf it is in, and the order in which the nodes are visited.
void GraphBuild::PlaceLinks() {
    order_ = Uninitialised<uint32_t>(count_);
    sizes_ = std::make_unique<uint32_t[]>(count_);
    begins_ = Uninitialised<uint64_t>(int64_t{count_} + 1);
    uint32_t listed = 0;
    for (const uint32_t id : leaves_.members)
        if (sizes_[id]++ == 0) order_[listed++] = id;
    begins_[0] = 0;
    for (uint32_t i = 0; i < count_; ++i) {
        begins_[i + 1] = begins_[i] + sizes_[i] * static_cast<uint64_t>(leaf_links_);
        sizes_[i] = 0;
    }
    links_ = Uninitialised<GraphEdge>(static_cast<int64_t>(begins_[count_]));
}

// Links each point of the leaf with the nearest others.
void GraphBuild::LinkLeaf(int64_t leaf) {
    Scratch& scratch = Mine();
    const uint32_t* ids = leaves_.members.data() + leaves_.begins[static_cast<size_t>(leaf)];
    const int size =
        static_cast<int>(leaves_.begins[static_cast<size_t>(leaf) + 1] - leaves_.begins[static_cast<size_t>(leaf)]);
    MeanOfSome(space_, ids, size, &scratch.mean);
    scratch.block.Gather(space_, ids, size, scratch.mean.data());
    scratch.products.resize(static_cast<size_t>(kLeafPoints) * kLeafPoints);
    scratch.near.resize(static_cast<size_t>(leaf_links_));
    const float* norms = scratch.block.norms.data();
    Products(scratch.block.rows.data(), size, scratch.block.rows.data(), size, Width(space_), scratch.products.data());
    for (int i = 0; i < size; ++i) {
        const int found = NearestOfRow(scratch.products.data() + static_cast<int64_t>(i) * size, norms, size, i,
                                       leaf_links_, scratch.near.data());
        GraphEdge* to = links_.get() + begins_[ids[i]] + CountUp(&sizes_[ids[i]]) * static_cast<uint64_t>(leaf_links_);
        for (int n = 0; n < leaf_links_; ++n) {
            const NearKey near = scratch.near[static_cast<size_t>(n)];
            // rounding may leave a little less than nothing
            to[n] = n < found ? GraphEdge::Of(std::max(near.key + norms[i], 0.0f) + 0.0f, ids[near.index]) : kNoLink;
        }
    }
}

// Sorts and leaves the nearest `most` with different ids at the front.
size_t GraphBuild::Distinct(std::vector<GraphEdge>* edges, size_t most) {
    // Each id may stand there a few times; that many suffice but for rare cases, and those lose far links only.
    std::sort(edges->begin(), edges->end());
    SeenIds& seen = Mine().seen;
    seen.Clear();
    size_t kept = 0;
    for (const GraphEdge edge : *edges)
        if (kept < most && edge.key != kNoLink.key && seen.Add(edge.id())) (*edges)[kept++] = edge;
    return kept;
}

// Brings the node's links from all its leaves into one list, prunes it, and counts what is left at the targets.
void GraphBuild::ListLinks(uint32_t node) {
    std::vector<GraphEdge>& edges = Mine().edges;
    GraphEdge* links = links_.get() + begins_[node];
    edges.assign(links, links_.get() + begins_[node + 1]);
    size_t size = Distinct(&edges, kMaxPruneCandidates);
    size = RobustPrune(space_, rule_, edges.data(), size);
    std::copy_n(edges.data(), size, links);
    sizes_[node] = static_cast<uint32_t>(size);
    for (size_t i = 0; i < size; ++i)
        CountUp(&back_sizes_[links[i].id()]);
}

void GraphBuild::ScatterBackLinks() {
    back_begins_ = Uninitialised<uint64_t>(int64_t{count_} + 1);
    back_begins_[0] = 0;
    for (uint32_t i = 0; i < count_; ++i) {
        back_begins_[i + 1] = back_begins_[i] + back_sizes_[i];
        back_sizes_[i] = 0;
    }
    back_links_ = Uninitialised<GraphEdge>(static_cast<int64_t>(back_begins_[count_]));
    ForNodes(kScatterWeight, [&](uint32_t node) {
        const GraphEdge* links = links_.get() + begins_[node];
        for (uint32_t i = 0; i < sizes_[node]; ++i) {
            const uint32_t target = links[i].id();
            back_links_[back_begins_[target] + CountUp(&back_sizes_[target])] =
                GraphEdge::Of(links[i].distance(), node);
        }
    });
}

// The node's neighbours: its links in both directions, pruned once more when they are too many.
void GraphBuild::Choose(uint32_t node) {
    std::vector<GraphEdge>& edges = Mine().edges;
    const GraphEdge* links = links_.get() + begins_[node];
    edges.assign(links, links + sizes_[node]);
    edges.insert(edges.end(), back_links_.get() + back_begins_[node], back_links_.get() + back_begins_[node + 1]);
    size_t size = Distinct(&edges, kMaxPruneCandidates);
    if (size > graph_.max_degree) size = RobustPrune(space_, rule_, edges.data(), size);
    uint32_t* row = graph_.Row(node);
    for (size_t i = 0; i < size; ++i)
        row[i] = edges[i].id();
    graph_.degrees[node] = static_cast<uint16_t>(size);
}

template <class F>
void GraphBuild::ForNodes(int64_t weight, F body) {
    progress_.Begin(weight, count_);
    ForSlices(job_, count_, kNodeSlice, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            body(order_[i]);
        progress_.Add(end - begin);
    });
}

void GraphBuild::Run(GraphBuildTask* task) {
    task->entry = kNoNode;
    if (count_ > 0) {
        Prepare(*task);
        RequireBlasBuffers(job_->threads);
        leaves_ = Carve(job_, space_, count_, task->seed, &progress_, kCarveWeight);
        if (leaves_.count() == 1) leaf_links_ = kLoneLeafLinks;
        PlaceLinks();
        progress_.Begin(kLeafWeight, leaves_.count());
        ForSlices(job_, leaves_.count(), 1, [&](int64_t begin, int64_t) {
            LinkLeaf(begin);
            progress_.Add(1);
        });
        leaves_ = LeafSet();
        back_sizes_ = std::make_unique<uint32_t[]>(count_);
        ForNodes(kListWeight, [&](uint32_t node) { ListLinks(node); });
        ScatterBackLinks();
        ForNodes(kChooseWeight, [&](uint32_t node) { Choose(node); });
        links_.reset();
        back_links_.reset();
        task->entry = ChooseEntry();
        MakeReachable(job_, space_, graph_, task->entry);
        for (uint32_t i = 0; i < count_; ++i)
            std::fill(graph_.Row(i) + graph_.degrees[i], graph_.Row(i) + graph_.max_degree, kNoNode);
    }
    progress_.End();
}

}  // namespace

void RunGraphBuild(ComputeJob* job, GraphBuildTask* task) {
    const bool metric =
        task->metric == Metric::kL2 || task->metric == Metric::kInnerProduct || task->metric == Metric::kCosine;
    if (task->dim < 1 || task->count < 0 || task->max_degree < 1 || task->max_degree > kMaxDegree || !metric)
        throw std::invalid_argument(
            "a graph needs count >= 0, dim >= 1, max_degree from 1 to 1024 and L2, inner product or cosine");
    if (task->count >= kNoNode) throw std::invalid_argument("a graph takes at most 4294967294 vectors");
    GraphBuild(job, *task).Run(task);
}

}  // namespace vecann

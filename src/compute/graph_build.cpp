// The partition build of a graph (PiPNN, arXiv 2602.21247): carve the points into overlapping leaves, link each point
// with its nearest in each of its leaves, choose among the links of each point by robust prune, and make all reachable.
// README.md has the figures.
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "compute/graph_carve.h"
#include "compute/graph_repair.h"
#include "compute/value_range.h"
#include "core/rng.h"
#include "graph/robust_prune.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

// What was measured best. A query of an inner product lies outside of the points' sphere (AugmentForInnerProduct), so
// that a walk needs more, and links towards longer vectors among them.
struct Recipe {
    int fanout;         // leaves of a point, about half of them
    int links;          // of each point in a leaf, to the nearest
    int product_links;  // and to those of the largest inner product
    float margin;       // of the robust prune of a node's own links
    // And of those that, with the links back, are too many. The nearest must not take all the places: many points of
    // sparse regions have a link to a node of a dense one, and only its links back lead there.
    float crowded_margin;
};
constexpr Recipe kByDistance = {5, 5, 0, 1.2f, 1.0f}, kByProduct = {8, 5, 4, 1.3f, 1.1f};
// One point of so many is also linked with its nearest among these, which are those of other clusters before long.
constexpr uint32_t kSampleStride = 8;
constexpr int kSampleLinks = 12;
// A random point so many times farther (squared) than all links lies beyond a gap.
constexpr float kGap = 16;
constexpr int kLoneLeafFactor = 12;  // so many times the links where all points are in one leaf
constexpr int32_t kMaxDegree = 1024;
constexpr uint32_t kEntrySample = 16384;
constexpr int64_t kNodeSlice = 256;
constexpr size_t kAhead = 3;  // rows that are asked for
// Of rotated vectors the first dimensions are a random projection: so many tell which points may be near, within these
// bounds half of all; and so many, which of those are.
constexpr int64_t kLeastNearDims = 128, kMostNearDims = 192, kPruneDims = 384;
constexpr GraphEdge kNoLink = {UINT64_MAX};
// Estimated shares of the time, of kProgressTotal.
constexpr int64_t kCarveWeight = 130000, kLeafWeight = 370000, kSampleCarveWeight = 20000, kSampleLeafWeight = 80000,
                  kListWeight = 260000, kScatterWeight = 50000, kChooseWeight = 90000;

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
    std::vector<float> mean, products, product_row, product_norms;
    std::vector<NearKey> near;
    std::vector<GraphEdge> edges, chosen, far;
    SeenIds seen;
};

// A carving, and the links of each point in each of its leaves.
struct LinkedSet {
    LeafSet leaves;
    int near, product;

    int links() const { return near + product; }
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
          seed_(task.seed),
          recipe_(task.metric == Metric::kInnerProduct ? kByProduct : kByDistance),
          rule_{recipe_.margin, graph_.max_degree},
          refill_(graph_.max_degree / 2),
          progress_(job),
          scratch_(static_cast<size_t>(omp_get_max_threads())) {}

    void Run(GraphBuildTask* task);

  private:
    void CheckMemory(const GraphBuildTask& task, bool copies) const;
    void Prepare(const GraphBuildTask& task);
    void AugmentForInnerProduct();
    uint32_t ChooseEntry() const;
    void CarveSets();
    void PlaceLinks();
    void LinkSet(const LinkedSet& set, int64_t weight);
    void LinkLeaf(const LinkedSet& set, int64_t leaf);
    void PrepareProductLinks(const uint32_t* ids, int size);
    int ProductLinks(const float* row, const uint32_t* ids, int i, int size, int links, NearKey* out);
    void ListLinks(uint32_t node);
    void FarLinks(uint32_t node, const std::vector<GraphEdge>& near, std::vector<GraphEdge>* far) const;
    void ScatterBackLinks();
    void Choose(uint32_t node);
    size_t Distinct(std::vector<GraphEdge>* edges, size_t most);
    template <class F>
    void ForNodes(int64_t weight, F body);
    Rng RandomOf(uint32_t node) const { return Rng(seed_ ^ (node + 1) * 0xd1342543de82ef95ULL); }
    Scratch& Mine() { return scratch_[static_cast<size_t>(omp_get_thread_num())]; }

    ComputeJob* job_;
    const uint32_t count_;
    const GraphView graph_;
    const uint64_t seed_;
    const Recipe recipe_;
    const PruneRule rule_;
    const uint32_t refill_;  // links a node has at least, if it has the candidates
    const GraphKernels& kernels_ = BestGraphKernels();
    PhaseProgress progress_;
    std::vector<Scratch> scratch_;
    GraphSpace space_ = {};
    GraphSpace near_space_ = {};  // to find links in: with fewer dimensions where that will do
    std::unique_ptr<float[]> copy_, extra_;
    std::vector<LinkedSet> sets_;         // all points, and the sample
    std::unique_ptr<uint32_t[]> order_;   // the nodes, near ones near each other
    std::unique_ptr<uint64_t[]> begins_;  // where each node's links begin
    std::unique_ptr<uint32_t[]> sizes_;   // how many are there
    std::unique_ptr<GraphEdge[]> links_;
    std::unique_ptr<uint64_t[]> back_begins_;
    std::unique_ptr<uint32_t[]> back_sizes_;
    std::unique_ptr<GraphEdge[]> back_links_;  // links by their target: the source and the distance
};

// Adds to a counter that other threads add to as well; returns what it was.
uint32_t CountUp(uint32_t* counter, uint32_t by = 1) {
    return std::atomic_ref<uint32_t>(*counter).fetch_add(by, std::memory_order_relaxed);
}

// Refuses before anything large is allocated.
void GraphBuild::CheckMemory(const GraphBuildTask& task, bool copies) const {
    const uint64_t copy =
        copies ? sizeof(float) * static_cast<uint64_t>(task.count) * static_cast<uint64_t>(task.dim) : 0;
    const uint64_t needed = copy + GraphBuildMemory(task.count, task.dim, task.max_degree, job_->threads, task.metric);
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
    space_ = {task.vectors, dim, dim, nullptr, Kernels().float32.l2_squared};
    if (exponent != 0) {
        CheckMemory(task, true);
        copy_ = Uninitialised<float>(task.count * dim);
        ForSlices(job_, task.count, kNodeSlice, [&](int64_t begin, int64_t end) {
            ScaleByPower(task.vectors + begin * dim, copy_.get() + begin * dim, (end - begin) * dim, exponent);
        });
        space_.vectors = copy_.get();
    }
    if (task.metric == Metric::kInnerProduct) AugmentForInnerProduct();
    near_space_ = space_;
    // The extra coordinate has no share of what is left out.
    if (task.rotated == 0 || space_.extra != nullptr) return;
    near_space_.dim = std::min(dim, std::clamp(dim / 2, kLeastNearDims, kMostNearDims));
    space_.dim = std::min(dim, kPruneDims);
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

// Carves all points, and where they are more than a leaf, the sample.
void GraphBuild::CarveSets() {
    std::vector<uint32_t> all(count_);
    std::iota(all.begin(), all.end(), 0u);
    sets_.push_back({Carve(job_, near_space_, {std::move(all), seed_, recipe_.fanout, kCarveWeight}, &progress_),
                     recipe_.links, recipe_.product_links});
    if (sets_[0].leaves.count() == 1) {
        sets_[0].near *= kLoneLeafFactor;
        sets_[0].product *= kLoneLeafFactor;
        return;
    }
    std::vector<uint32_t> sample;
    for (uint32_t i = 0; i < count_; ++i) {
        if (i % kEntrySample == 0) CheckCancel(job_);
        if ((RandomOf(i).Next() >> 32) % kSampleStride == 0) sample.push_back(i);
    }
    if (sample.empty()) return;
    sets_.push_back(
        {Carve(job_, near_space_, {std::move(sample), seed_, recipe_.fanout, kSampleCarveWeight}, &progress_),
         kSampleLinks, recipe_.product_links});
}

// Lays out each node's links, of each set those of all leaves it is in, and the order in which the nodes are visited.
void GraphBuild::PlaceLinks() {
    order_ = Uninitialised<uint32_t>(count_);
    sizes_ = std::make_unique<uint32_t[]>(count_);
    begins_ = Uninitialised<uint64_t>(int64_t{count_} + 1);
    uint32_t listed = 0;
    for (const LinkedSet& set : sets_)
        for (const uint32_t id : set.leaves.members) {
            if (sizes_[id] == 0) order_[listed++] = id;
            sizes_[id] += static_cast<uint32_t>(set.links());
        }
    begins_[0] = 0;
    for (uint32_t i = 0; i < count_; ++i) {
        begins_[i + 1] = begins_[i] + sizes_[i];
        sizes_[i] = 0;
    }
    links_ = Uninitialised<GraphEdge>(static_cast<int64_t>(begins_[count_]));
}

// Where many distances are equal, the points of a leaf must not all choose the same few.
int TieStart(int member) {
    return member / kRowPad * kRowPad;
}

void GraphBuild::LinkSet(const LinkedSet& set, int64_t weight) {
    progress_.Begin(weight, set.leaves.count());
    ForSlices(job_, set.leaves.count(), 1, [&](int64_t begin, int64_t) {
        LinkLeaf(set, begin);
        progress_.Add(1);
    });
}

// Links each point of the leaf with others.
void GraphBuild::LinkLeaf(const LinkedSet& set, int64_t leaf) {
    Scratch& scratch = Mine();
    const int64_t begin = set.leaves.begins[static_cast<size_t>(leaf)],
                  end = set.leaves.begins[static_cast<size_t>(leaf) + 1];
    const uint32_t* ids = set.leaves.members.data() + begin;
    const int size = static_cast<int>(end - begin);
    const int64_t stride = PaddedRow(size);
    MeanOfSome(near_space_, ids, size, &scratch.mean);
    scratch.block.Gather(near_space_, ids, size, scratch.mean.data());
    scratch.products.resize(static_cast<size_t>(kLeafPoints) * kLeafPoints);
    scratch.near.resize(static_cast<size_t>(set.links()));
    const float* norms = scratch.block.norms.data();
    ProductsOfAll(scratch.block.rows.data(), size, Width(near_space_), scratch.products.data());
    if (set.product > 0) PrepareProductLinks(ids, size);
    for (int i = 0; i < size; ++i) {
        float* row = scratch.products.data() + i * stride;
        row[i] = -HUGE_VALF;
        int found = kernels_.nearest_of_row(row, norms, size, TieStart(i), set.near, scratch.near.data());
        if (set.product > 0) found += ProductLinks(row, ids, i, size, set.product, scratch.near.data() + found);
        GraphEdge* to = links_.get() + begins_[ids[i]] + CountUp(&sizes_[ids[i]], static_cast<uint32_t>(set.links()));
        for (int n = 0; n < set.links(); ++n) {
            const NearKey near = scratch.near[static_cast<size_t>(n)];
            // rounding may leave a little less than nothing
            to[n] = n < found ? GraphEdge::Of(std::max(near.key + norms[i], 0.0f), ids[near.index]) : kNoLink;
        }
    }
}

// What stands for the norms in keys that order by inner product: for the rows' centre c, x.y is (x-c).(y-c) + c.y but
// for what is the same for all y.
void GraphBuild::PrepareProductLinks(const uint32_t* ids, int size) {
    Scratch& scratch = Mine();
    scratch.product_row.assign(static_cast<size_t>(PaddedRow(size)), 0.0f);
    scratch.product_norms.assign(static_cast<size_t>(PaddedRow(size)), HUGE_VALF);
    for (int i = 0; i < size; ++i)
        scratch.product_norms[static_cast<size_t>(i)] =
            -2 *
            Kernels().float32.inner_product(scratch.mean.data(), space_.Row(ids[i]), static_cast<size_t>(space_.dim));
}

// The members with the largest inner product with member i, keyed like the nearest. `row` has products of rows with
// the extra coordinate.
int GraphBuild::ProductLinks(const float* row, const uint32_t* ids, int i, int size, int links, NearKey* out) {
    Scratch& scratch = Mine();
    const float centre = scratch.mean.back(), extra = space_.extra[ids[i]] - centre;
    for (int j = 0; j < size; ++j)
        scratch.product_row[static_cast<size_t>(j)] = row[j] - extra * (space_.extra[ids[j]] - centre);
    const int found = kernels_.nearest_of_row(scratch.product_row.data(), scratch.product_norms.data(), size,
                                              TieStart(i), links, out);
    for (int n = 0; n < found; ++n)
        out[n].key = scratch.block.norms[static_cast<size_t>(out[n].index)] - 2 * row[out[n].index];
    return found;
}

// Sorts, and brings the nearest `most` with different ids to the front; returns how many there are.
size_t GraphBuild::Distinct(std::vector<GraphEdge>* edges, size_t most) {
    std::sort(edges->begin(), edges->end());
    SeenIds& seen = Mine().seen;
    seen.Clear();
    size_t kept = 0;
    for (const GraphEdge edge : *edges)
        if (kept < most && edge.key != kNoLink.key && seen.Add(edge.id())) (*edges)[kept++] = edge;
    return kept;
}

// The nearest links of a point in a cluster larger than its leaves all stay inside, and a walk that came to the wrong
// cluster would not leave it. So a node that keeps few links, `near`, gets some to random points, until one of those
// lies behind a neighbour or is not much farther than those: where clusters are not far apart that is the first.
void GraphBuild::FarLinks(uint32_t node, const std::vector<GraphEdge>& near, std::vector<GraphEdge>* far) const {
    far->clear();
    if (near.size() >= refill_) return;
    const size_t most = std::min<size_t>(refill_ - near.size(), graph_.max_degree / 4);
    const float gap = near.empty() ? 0 : kGap * near.back().distance();
    Rng rng = RandomOf(node);
    for (size_t i = 0; i < most; ++i) {
        const uint32_t id = static_cast<uint32_t>(rng.Next() % count_);
        const GraphEdge edge = GraphEdge::Of(space_.Distance(node, id), id);
        if (id == node || edge.distance() < gap || Falls(space_, rule_.margin, near.data(), near.size(), edge)) return;
        far->push_back(edge);
    }
}

// Brings the node's links from all its leaves into one list, prunes it, and counts what is left at the targets.
void GraphBuild::ListLinks(uint32_t node) {
    Scratch& scratch = Mine();
    GraphEdge* links = links_.get() + begins_[node];
    const size_t room = begins_[node + 1] - begins_[node];
    std::vector<GraphEdge>& edges = scratch.edges;
    edges.assign(links, links + room);
    edges.resize(Distinct(&edges, kMaxPruneCandidates));
    if (near_space_.dim < space_.dim) {
        for (size_t i = 0; i < edges.size(); ++i) {
            if (i + kAhead < edges.size())
                PrefetchRow(space_.Row(edges[i + kAhead].id()), static_cast<int>(space_.dim));
            edges[i] = GraphEdge::Of(space_.Distance(node, edges[i].id()), edges[i].id());
        }
        std::sort(edges.begin(), edges.end());
    }
    const auto fallen = edges.begin() + static_cast<int64_t>(RobustPrune(space_, rule_, edges.data(), edges.size()));
    std::vector<GraphEdge>& chosen = scratch.chosen;
    chosen.assign(edges.begin(), fallen);
    FarLinks(node, chosen, &scratch.far);
    scratch.far.insert(scratch.far.end(), fallen, edges.end());
    const size_t most = std::min(std::max<size_t>(chosen.size(), refill_), room);
    for (const GraphEdge edge : scratch.far) {
        if (chosen.size() >= most) break;
        const auto same = [&](GraphEdge other) { return other.id() == edge.id(); };
        if (std::none_of(chosen.begin(), chosen.end(), same)) chosen.push_back(edge);
    }
    std::sort(chosen.begin(), chosen.end());
    std::copy(chosen.begin(), chosen.end(), links);
    sizes_[node] = static_cast<uint32_t>(chosen.size());
    for (const GraphEdge edge : chosen)
        CountUp(&back_sizes_[edge.id()]);
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

// The node's neighbours: its links in both directions, pruned once more when they are too many, and then the nearest of
// those that fell.
void GraphBuild::Choose(uint32_t node) {
    std::vector<GraphEdge>& edges = Mine().edges;
    const GraphEdge* links = links_.get() + begins_[node];
    edges.assign(links, links + sizes_[node]);
    edges.insert(edges.end(), back_links_.get() + back_begins_[node], back_links_.get() + back_begins_[node + 1]);
    size_t size = Distinct(&edges, kMaxPruneCandidates);
    if (size > graph_.max_degree) {
        RobustPrune(space_, {recipe_.crowded_margin, graph_.max_degree}, edges.data(), size);
        size = graph_.max_degree;
        std::sort(edges.begin(), edges.begin() + static_cast<int64_t>(size));
    }
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
        CarveSets();
        PlaceLinks();
        LinkSet(sets_[0], kLeafWeight);
        if (sets_.size() > 1) LinkSet(sets_[1], kSampleLeafWeight);
        sets_.clear();
        back_sizes_ = std::make_unique<uint32_t[]>(count_);
        ForNodes(kListWeight, [&](uint32_t node) { ListLinks(node); });
        ScatterBackLinks();
        ForNodes(kChooseWeight, [&](uint32_t node) { Choose(node); });
        links_.reset();
        back_links_.reset();
        task->entry = ChooseEntry();
        if (task->order != nullptr) std::copy_n(order_.get(), count_, task->order);
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

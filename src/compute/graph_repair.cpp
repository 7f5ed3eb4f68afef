// Reachability: a breadth-first tree from the entry, extended until it holds all nodes. Edges of the tree stay, so that
// what is reached stays reached, and each round reaches one node more at least.
#include "compute/graph_repair.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_set>

#include "graph/reach.h"

namespace vecann {

namespace {

constexpr size_t kBeam = 24;                          // of the search for near reached nodes
constexpr uint32_t kWalkSteps = 65536;                // between two looks at `cancel`
constexpr size_t kFirstBatch = 16, kMaxBatch = 4096;  // lost nodes searched for at the same time

class Repair {
  public:
    Repair(ComputeJob* job, const GraphSpace& space, const GraphView& graph)
        : job_(job), space_(space), graph_(graph), parent_(graph.count), queue_(graph.count) {}

    uint32_t Run(uint32_t entry);

  private:
    void Walk() {
        do
            CheckCancel(job_);
        while (tree_.Advance(graph_, kWalkSteps));
    }
    std::vector<GraphEdge> NearReached(uint32_t node) const;
    bool Link(uint32_t from, uint32_t to);
    void LinkSomewhere(uint32_t to, const std::vector<GraphEdge>& near);

    ComputeJob* job_;
    const GraphSpace& space_;
    const GraphView& graph_;
    uint32_t entry_ = 0;
    std::vector<uint32_t> parent_, queue_;
    ReachTree tree_ = {};
};

// A beam search from the entry and from those neighbours of the node that are reached.
std::vector<GraphEdge> Repair::NearReached(uint32_t node) const {
    std::vector<GraphEdge> pool;  // sorted
    std::vector<uint32_t> expanded;
    std::unordered_set<uint32_t> seen;
    const auto offer = [&](uint32_t id) {
        if (!tree_.Reached(id) || !seen.insert(id).second) return;
        const GraphEdge edge = GraphEdge::Of(space_.Distance(node, id), id);
        if (pool.size() == kBeam && !(edge < pool.back())) return;
        if (pool.size() == kBeam) pool.pop_back();
        pool.insert(std::upper_bound(pool.begin(), pool.end(), edge), edge);
    };
    offer(entry_);
    for (uint32_t i = 0; i < graph_.degrees[node]; ++i)
        offer(graph_.Row(node)[i]);
    for (;;) {
        const auto next = std::find_if(pool.begin(), pool.end(), [&](GraphEdge e) {
            return std::find(expanded.begin(), expanded.end(), e.id()) == expanded.end();
        });
        if (next == pool.end()) return pool;
        const uint32_t id = next->id();
        expanded.push_back(id);
        for (uint32_t i = 0; i < graph_.degrees[id]; ++i)
            offer(graph_.Row(id)[i]);
    }
}

// Makes the edge if `from` has a place for it, or has an edge that the tree does without.
bool Repair::Link(uint32_t from, uint32_t to) {
    uint32_t* row = graph_.Row(from);
    uint32_t degree = graph_.degrees[from];
    if (degree == graph_.max_degree) {
        uint32_t gone = degree;
        while (gone > 0 && parent_[row[gone - 1]] == from)
            --gone;
        if (gone == 0) return false;
        std::copy(row + gone, row + degree, row + gone - 1);
        --degree;
    }
    const float distance = space_.Distance(from, to);
    uint32_t at = degree;
    for (; at > 0 && distance < space_.Distance(from, row[at - 1]); --at)
        row[at] = row[at - 1];
    row[at] = to;
    graph_.degrees[from] = static_cast<uint16_t>(degree + 1);
    tree_.Add(from, to);
    return true;
}

void Repair::LinkSomewhere(uint32_t to, const std::vector<GraphEdge>& near) {
    for (const GraphEdge edge : near)
        if (Link(edge.id(), to)) return;
    // A leaf of the tree always has a place; the last reached is one.
    for (uint32_t i = tree_.tail; i-- > 0;)
        if (Link(tree_.queue[i], to)) return;
    throw std::runtime_error("no node has a place for an edge");
}

uint32_t Repair::Run(uint32_t entry) {
    entry_ = entry;
    tree_.parent = parent_.data();
    tree_.queue = queue_.data();
    tree_.Start(graph_.count, entry);
    Walk();
    uint32_t made = 0, at = 0;
    std::vector<uint32_t> lost;
    std::vector<std::vector<GraphEdge>> near;
    for (size_t batch = kFirstBatch; tree_.tail < graph_.count; batch = std::min(batch * 2, kMaxBatch)) {
        lost.clear();
        for (; at < graph_.count && lost.size() < batch; ++at)
            if (!tree_.Reached(at)) lost.push_back(at);
        near.assign(lost.size(), {});
        ForSlices(job_, static_cast<int64_t>(lost.size()), 8, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                near[static_cast<size_t>(i)] = NearReached(lost[static_cast<size_t>(i)]);
        });
        for (size_t i = 0; i < lost.size(); ++i) {
            if (tree_.Reached(lost[i])) continue;
            LinkSomewhere(lost[i], near[i]);
            ++made;
            Walk();
        }
    }
    return made;
}

}  // namespace

uint32_t MakeReachable(ComputeJob* job, const GraphSpace& space, const GraphView& graph, uint32_t entry) {
    return Repair(job, space, graph).Run(entry);
}

}  // namespace vecann

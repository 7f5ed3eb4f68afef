// Carving: recursive partition around random leaders. A set's points go to their nearest few leaders, so that the parts
// overlap; parts of at most kLeafPoints are leaves, small ones joined with near ones first.
#include "compute/graph_carve.h"

#include <omp.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "core/rng.h"

namespace vecann {

namespace {

// Leaders of a set: this share of its points, within these bounds, and not more than one for kPointsPerLeader points.
constexpr double kLeaderShare = 0.005;
constexpr int64_t kMinLeaders = 8, kMaxLeaders = 1000, kPointsPerLeader = 128;
constexpr int kSecondFanout = 2;
// A part with more than this of its set's points is split at random: its points are too alike for leaders.
constexpr double kHardlySmaller = 0.9;
constexpr int64_t kRandomShared = 16;  // points that all leaves of a random split have in common
// Larger sets are split by all threads together, smaller ones by one each.
constexpr int64_t kSharedSplit = 16384;
constexpr int kBlockRows = 256;
// Leaves below this size are joined with others.
constexpr size_t kSmallLeaf = 256;

using Ids = std::vector<uint32_t>;

struct Part {
    Ids ids;  // ascending
    int depth;
    uint64_t seed;
};

// A set's leaders and where its points go.
struct Split {
    int leaders;
    int fanout;
    std::vector<float> centre;
    RowBlock leader_rows;
    std::vector<uint16_t> nearest;  // fanout for each point
};

struct Scratch {
    RowBlock block;
    std::vector<float> products;
    std::vector<NearKey> near;
};

class Carver {
  public:
    Carver(ComputeJob* job, const GraphSpace& space, CarvePlan plan, PhaseProgress* progress)
        : job_(job),
          space_(space),
          plan_(std::move(plan)),
          progress_(progress),
          scratch_(static_cast<size_t>(omp_get_max_threads())) {}

    LeafSet Run();

  private:
    Split ChooseLeaders(const Part& part);
    void Assign(const Part& part, Split* split, int64_t begin, int64_t end);
    std::vector<Ids> Gather(const Part& part, const Split& split) const;
    void JoinSmall(const Split& split, std::vector<Ids>* children);
    std::vector<Part> Children(const Part& part, const Split& split);
    void SplitTogether(Part part);
    void SplitAlone(Part part, LeafSet* leaves);
    Scratch& Mine() { return scratch_[static_cast<size_t>(omp_get_thread_num())]; }

    ComputeJob* job_;
    const GraphSpace& space_;
    CarvePlan plan_;
    PhaseProgress* progress_;
    std::vector<Scratch> scratch_;
    std::vector<Part> parts_;  // to be split by one thread each
};

uint64_t ChildSeed(uint64_t seed, uint64_t child) {
    return Rng(seed ^ (child + 1) * 0xd1342543de82ef95ULL).Next();
}

// One leader from each of as many equal stretches of the set.
Split Carver::ChooseLeaders(const Part& part) {
    const int64_t size = static_cast<int64_t>(part.ids.size());
    const int64_t wanted =
        std::clamp(static_cast<int64_t>(kLeaderShare * static_cast<double>(size)), kMinLeaders, kMaxLeaders);
    Split split;
    split.leaders = static_cast<int>(std::min(wanted, size / kPointsPerLeader + 2));
    split.fanout = part.depth == 0 ? plan_.fanout : part.depth == 1 ? kSecondFanout : 1;
    split.fanout = std::min(split.fanout, split.leaders);
    Rng rng(part.seed);
    Ids leaders;
    for (int64_t i = 0; i < split.leaders; ++i) {
        const int64_t begin = i * size / split.leaders, end = (i + 1) * size / split.leaders;
        leaders.push_back(part.ids[static_cast<size_t>(
            begin + static_cast<int64_t>(rng.Next() % static_cast<uint64_t>(end - begin)))]);
    }
    MeanOfSome(space_, leaders.data(), split.leaders, &split.centre);
    split.leader_rows.Gather(space_, leaders.data(), split.leaders, split.centre.data());
    split.nearest.resize(part.ids.size() * static_cast<size_t>(split.fanout));
    return split;
}

// The nearest leaders of the set's points [begin, end).
void Carver::Assign(const Part& part, Split* split, int64_t begin, int64_t end) {
    const GraphKernels& kernels = BestGraphKernels();
    Scratch& scratch = Mine();
    const int width = Width(space_), leaders = split->leaders, stride = PaddedRow(leaders);
    scratch.products.resize(static_cast<size_t>(kBlockRows) * static_cast<size_t>(stride));
    scratch.near.resize(static_cast<size_t>(split->fanout));
    for (int64_t at = begin; at < end; at += kBlockRows) {
        const int rows = static_cast<int>(std::min<int64_t>(kBlockRows, end - at));
        scratch.block.Gather(space_, part.ids.data() + at, rows, split->centre.data());
        Products(scratch.block.rows.data(), rows, split->leader_rows.rows.data(), leaders, width,
                 scratch.products.data());
        for (int r = 0; r < rows; ++r) {
            kernels.nearest_of_row(scratch.products.data() + static_cast<int64_t>(r) * stride,
                                   split->leader_rows.norms.data(), leaders, 0, split->fanout, scratch.near.data());
            uint16_t* to = split->nearest.data() + (at + r) * split->fanout;
            for (int f = 0; f < split->fanout; ++f)
                to[f] = static_cast<uint16_t>(scratch.near[static_cast<size_t>(f)].index);
        }
    }
}

std::vector<Ids> Carver::Gather(const Part& part, const Split& split) const {
    std::vector<size_t> sizes(static_cast<size_t>(split.leaders));
    for (const uint16_t leader : split.nearest)
        ++sizes[leader];
    std::vector<Ids> children(sizes.size());
    for (size_t c = 0; c < sizes.size(); ++c)
        children[c].reserve(sizes[c]);
    const uint16_t* leader = split.nearest.data();
    for (const uint32_t id : part.ids)
        for (int f = 0; f < split.fanout; ++f)
            children[*leader++].push_back(id);
    return children;
}

// Joins children that make small leaves, smallest first, with the child of the nearest leader with which the leaf is
// not too large. A joined child is left empty.
void Carver::JoinSmall(const Split& split, std::vector<Ids>* children) {
    const int leaders = split.leaders;
    const int stride = PaddedRow(leaders);
    std::vector<float> products(static_cast<size_t>(leaders) * static_cast<size_t>(stride));
    const float* rows = split.leader_rows.rows.data();
    Products(rows, leaders, rows, leaders, Width(space_), products.data());
    std::vector<int> order(static_cast<size_t>(leaders));
    std::iota(order.begin(), order.end(), 0);
    const auto size = [&](int c) { return (*children)[static_cast<size_t>(c)].size(); };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return size(a) < size(b); });
    Ids joined;
    for (const int c : order) {
        if (size(c) == 0 || size(c) >= kSmallLeaf) continue;
        int best = -1;
        float best_key = 0;
        for (int other = 0; other < leaders; ++other) {
            if (other == c || size(other) == 0 || size(other) + size(c) > static_cast<size_t>(kLeafPoints)) continue;
            const float key =
                split.leader_rows.norms[static_cast<size_t>(other)] -
                2 * products[static_cast<size_t>(c) * static_cast<size_t>(stride) + static_cast<size_t>(other)];
            if (best < 0 || key < best_key) {
                best = other;
                best_key = key;
            }
        }
        if (best < 0) continue;
        Ids& from = (*children)[static_cast<size_t>(c)];
        Ids& to = (*children)[static_cast<size_t>(best)];
        joined.clear();
        std::set_union(from.begin(), from.end(), to.begin(), to.end(), std::back_inserter(joined));
        to.swap(joined);
        Ids().swap(from);
    }
}

// Leaves of random points, with some in common.
void SplitAtRandom(const Part& part, std::vector<Part>* out) {
    Ids ids = part.ids;
    Rng rng(part.seed);
    for (size_t i = ids.size() - 1; i > 0; --i)
        std::swap(ids[i], ids[rng.Next() % (i + 1)]);
    const Ids shared(ids.begin(), ids.begin() + kRandomShared);
    const int64_t rest = static_cast<int64_t>(ids.size()) - kRandomShared;
    const int64_t leaves = (rest + kLeafPoints - kRandomShared - 1) / (kLeafPoints - kRandomShared);
    for (int64_t i = 0; i < leaves; ++i) {
        Ids leaf(shared);
        leaf.insert(leaf.end(), ids.begin() + kRandomShared + i * rest / leaves,
                    ids.begin() + kRandomShared + (i + 1) * rest / leaves);
        std::sort(leaf.begin(), leaf.end());
        out->push_back({std::move(leaf), part.depth + 1, 0});
    }
}

std::vector<Part> Carver::Children(const Part& part, const Split& split) {
    std::vector<Ids> children = Gather(part, split);
    JoinSmall(split, &children);
    const double hardly = kHardlySmaller * static_cast<double>(part.ids.size());
    std::vector<Part> out;
    for (size_t c = 0; c < children.size(); ++c) {
        if (children[c].empty()) continue;
        const bool leaf = children[c].size() <= static_cast<size_t>(kLeafPoints);
        Part child = {std::move(children[c]), part.depth + 1, ChildSeed(part.seed, c)};
        if (!leaf && static_cast<double>(child.ids.size()) > hardly)
            SplitAtRandom(child, &out);
        else
            out.push_back(std::move(child));
    }
    return out;
}

void Carver::SplitTogether(Part part) {
    if (static_cast<int64_t>(part.ids.size()) <= kSharedSplit) {
        parts_.push_back(std::move(part));
        return;
    }
    const int64_t size = static_cast<int64_t>(part.ids.size());
    Split split = ChooseLeaders(part);
    ForSlices(job_, size, kBlockRows, [&](int64_t begin, int64_t end) {
        Assign(part, &split, begin, end);
        if (part.depth == 0) progress_->Add(end - begin);
    });
    std::vector<Part> children = Children(part, split);
    Ids().swap(part.ids);
    split = Split();
    for (Part& child : children)
        SplitTogether(std::move(child));
}

void Carver::SplitAlone(Part part, LeafSet* leaves) {
    const int64_t size = static_cast<int64_t>(part.ids.size());
    if (size <= kLeafPoints) {
        leaves->members.insert(leaves->members.end(), part.ids.begin(), part.ids.end());
        leaves->begins.push_back(static_cast<int64_t>(leaves->members.size()));
        return;
    }
    std::vector<Part> children;
    {
        Split split = ChooseLeaders(part);
        for (int64_t at = 0; at < size; at += kBlockRows) {
            CheckCancel(job_);
            Assign(part, &split, at, std::min(at + kBlockRows, size));
        }
        children = Children(part, split);
    }
    Ids().swap(part.ids);
    for (Part& child : children)
        SplitAlone(std::move(child), leaves);
}

LeafSet Carver::Run() {
    progress_->Begin(plan_.weight / 2, static_cast<int64_t>(plan_.ids.size()));
    Part root = {std::move(plan_.ids), 0, plan_.seed};
    SplitTogether(std::move(root));
    const int64_t parts = static_cast<int64_t>(parts_.size());
    progress_->Begin(plan_.weight - plan_.weight / 2, parts);
    std::vector<LeafSet> results(parts_.size());
    ForSlices(job_, parts, 1, [&](int64_t begin, int64_t) {
        SplitAlone(std::move(parts_[static_cast<size_t>(begin)]), &results[static_cast<size_t>(begin)]);
        progress_->Add(1);
    });
    LeafSet all;
    size_t members = 0, leaves = 1;
    for (const LeafSet& result : results) {
        members += result.members.size();
        leaves += static_cast<size_t>(result.count());
    }
    all.members.reserve(members);
    all.begins.reserve(leaves);
    for (LeafSet& result : results) {
        const int64_t base = static_cast<int64_t>(all.members.size());
        all.members.insert(all.members.end(), result.members.begin(), result.members.end());
        for (size_t i = 1; i < result.begins.size(); ++i)
            all.begins.push_back(base + result.begins[i]);
        result = LeafSet();
    }
    return all;
}

}  // namespace

LeafSet Carve(ComputeJob* job, const GraphSpace& space, CarvePlan plan, PhaseProgress* progress) {
    return Carver(job, space, std::move(plan), progress).Run();
}

}  // namespace vecann

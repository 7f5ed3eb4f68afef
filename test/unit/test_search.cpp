// Unit tests of what a graph search is made of: the beam, the visited set, the choice of neighbours.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <set>
#include <vector>

#include "core/beam.h"
#include "core/visited_set.h"
#include "graph/select_neighbours.h"

namespace vecann {
namespace {

// An arena that frees everything at its end, as a memory context does.
struct ContextArena {
    std::deque<std::vector<char>> blocks;
    Arena arena;

    ContextArena() {
        arena.ctx = this;
        arena.allocate = [](void* ctx, size_t bytes) -> void* {
            auto& all = static_cast<ContextArena*>(ctx)->blocks;
            all.emplace_back(bytes + 1);
            return all.back().data();
        };
        arena.release = [](void*, void*) {};
    }
};

BeamEntry Entry(float distance, uint32_t id, bool live = true) {
    return {distance, id, 0, live, false};
}

std::vector<uint32_t> Ids(const Beam& beam) {
    std::vector<uint32_t> ids;
    for (const BeamEntry& entry : beam)
        ids.push_back(entry.id);
    return ids;
}

TEST(BeamTest, KeepsTheNearestSorted) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 3, false);
    for (const auto& [distance, id] : {std::pair{5.f, 1u}, {1.f, 2u}, {4.f, 3u}, {3.f, 4u}, {9.f, 5u}})
        beam.Offer(Entry(distance, id));
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{2, 4, 3}));
    EXPECT_FALSE(beam.Admits(4.f));
    EXPECT_TRUE(beam.Admits(3.9f));
}

TEST(BeamTest, TombstonesTakeNoPlace) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 2, false);
    for (uint32_t i = 0; i < 50; ++i)
        beam.Offer(Entry(0.01f * static_cast<float>(i), 100 + i, false));
    beam.Offer(Entry(5, 1));
    beam.Offer(Entry(6, 2));
    EXPECT_EQ(beam.live_count(), 2u);
    // A third live one evicts the farthest, and what lies behind the last live one goes too.
    beam.Offer(Entry(5.5f, 3));
    EXPECT_EQ(beam.live_count(), 2u);
    EXPECT_EQ(Ids(beam).back(), 3u);
    EXPECT_FALSE(beam.Admits(5.6f));
}

TEST(BeamTest, ExpandsNearestFirstAndReturnsToNewerNearerOnes) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 4, false);
    beam.Offer(Entry(2, 2));
    beam.Offer(Entry(3, 3));
    EXPECT_EQ(beam.NextToExpand()->id, 2u);
    beam.Offer(Entry(1, 1));
    EXPECT_EQ(beam.NextToExpand()->id, 1u);
    EXPECT_EQ(beam.NextToExpand()->id, 3u);
    EXPECT_EQ(beam.NextToExpand(), nullptr);
}

// Whatever the order of offers, a resumable beam returns every live node once; with everything offered before the first
// return, in order of distance.
TEST(BeamTest, ResumableBeamReturnsEverythingInOrder) {
    std::mt19937 random(7);
    for (const uint32_t capacity : {1u, 2u, 10u, 100u}) {
        ContextArena memory;
        Beam beam;
        beam.Init(&memory.arena, capacity, true);
        std::vector<float> distances;
        for (uint32_t i = 0; i < 3000; ++i) {
            const float d = static_cast<float>(random() % 1000);
            const bool live = random() % 4 != 0;
            if (live) distances.push_back(d);
            beam.Offer(Entry(d, i, live));
        }
        std::sort(distances.begin(), distances.end());
        std::vector<float> got;
        std::set<uint32_t> expanded;
        BeamEntry entry;
        do {
            while (const BeamEntry* next = beam.NextToExpand())
                EXPECT_TRUE(expanded.insert(next->id).second);
            if (!beam.PopFront(&entry)) break;
            EXPECT_TRUE(entry.live);
            got.push_back(entry.distance);
        } while (true);
        EXPECT_EQ(got, distances) << "capacity " << capacity;
    }
}

TEST(BeamTest, PopAnyDrainsWithoutExpansion) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 5, true);
    for (uint32_t i = 0; i < 100; ++i)
        beam.Offer(Entry(static_cast<float>((i * 37) % 100), i, i % 2 == 0));
    BeamEntry entry;
    std::vector<float> got;
    while (beam.PopAny(&entry))
        got.push_back(entry.distance);
    EXPECT_EQ(got.size(), 50u);
    EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
}

TEST(BeamTest, NotResumableForgetsTheRest) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 3, false);
    for (uint32_t i = 0; i < 10; ++i)
        beam.Offer(Entry(static_cast<float>(i), i));
    BeamEntry entry;
    int n = 0;
    while (beam.NextToExpand() != nullptr) {
    }
    while (beam.PopFront(&entry))
        ++n;
    EXPECT_EQ(n, 3);
}

TEST(BeamTest, InfiniteDistancesAreOrdered) {
    ContextArena memory;
    Beam beam;
    beam.Init(&memory.arena, 2, true);
    for (uint32_t i = 0; i < 5; ++i)
        beam.Offer(Entry(INFINITY, i));
    beam.Offer(Entry(1, 9));
    int n = 0;
    BeamEntry entry;
    while (beam.NextToExpand() != nullptr || beam.PopFront(&entry)) {
        if (beam.empty() && n > 20) break;
        ++n;
    }
    EXPECT_FALSE(beam.PopFront(&entry));
}

TEST(VisitedSetTest, BitmapAndHashAgreeWithASet) {
    for (const uint64_t space :
         {uint64_t{0}, uint64_t{1000}, uint64_t{1} << 20, (uint64_t{1} << 20) + 1, uint64_t{1} << 32}) {
        ContextArena memory;
        VisitedSet visited;
        visited.Init(&memory.arena, space);
        std::set<uint32_t> truth;
        std::mt19937 random(3);
        for (int i = 0; i < 20000; ++i) {
            const uint32_t id = random() % 5000 * 7;  // beyond the announced space, too
            EXPECT_EQ(visited.Contains(id), truth.count(id) == 1);
            EXPECT_EQ(visited.Add(id), truth.insert(id).second);
        }
        if (space > (uint64_t{1} << 20)) {
            EXPECT_TRUE(visited.Add(0xFFFFFFFE));
            EXPECT_FALSE(visited.Add(0xFFFFFFFE));
        }
    }
}

float Squared(const void* a, const void* b, size_t dim) {
    float sum = 0;
    for (size_t i = 0; i < dim; ++i) {
        const float d = static_cast<const float*>(a)[i] - static_cast<const float*>(b)[i];
        sum += d * d;
    }
    return sum;
}

std::vector<Candidate> CandidatesOnALine(const std::vector<float>& points) {
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < points.size(); ++i)
        candidates.push_back({points[i] * points[i], static_cast<uint32_t>(i), 0, &points[i]});
    return candidates;
}

TEST(SelectNeighboursTest, RefusesTheOccluded) {
    // The chooser stands at 0. 2 and 3 lie behind 1; -1.5 is on the other side.
    const std::vector<float> points = {3, 1, -1.5f, 2};
    std::vector<Candidate> candidates = CandidatesOnALine(points);
    const size_t n = SelectNeighbours(candidates.data(), candidates.size(), 4, 0, Squared, 1);
    ASSERT_EQ(n, 2u);
    EXPECT_EQ(candidates[0].id, 1u);
    EXPECT_EQ(candidates[1].id, 2u);
}

TEST(SelectNeighboursTest, RefillsFromTheNearestRefused) {
    const std::vector<float> points = {3, 1, -1.5f, 2};
    std::vector<Candidate> candidates = CandidatesOnALine(points);
    const size_t n = SelectNeighbours(candidates.data(), candidates.size(), 4, 3, Squared, 1);
    ASSERT_EQ(n, 3u);
    EXPECT_EQ(candidates[2].id, 3u);  // 2 comes before 3
}

TEST(SelectNeighboursTest, RespectsTheMaximumAndKeepsACandidateOnce) {
    std::mt19937 random(5);
    std::vector<float> points(200 * 8);
    for (float& x : points)
        x = static_cast<float>(random() % 1000) / 100;
    std::vector<Candidate> candidates;
    const std::vector<float> origin(8, 5.f);
    for (uint32_t i = 0; i < 200; ++i)
        candidates.push_back({Squared(origin.data(), &points[i * 8], 8), i, 0, &points[i * 8]});
    const size_t n = SelectNeighbours(candidates.data(), candidates.size(), 16, 16, Squared, 8);
    EXPECT_EQ(n, 16u);
    std::set<uint32_t> ids;
    for (const Candidate& c : candidates)
        ids.insert(c.id);
    EXPECT_EQ(ids.size(), 200u);
    for (size_t i = 1; i < n; ++i)
        EXPECT_LE(candidates[i - 1].distance, candidates[i].distance);
    EXPECT_EQ(SelectNeighbours(candidates.data(), 0, 16, 16, Squared, 8), 0u);
}

}  // namespace
}  // namespace vecann

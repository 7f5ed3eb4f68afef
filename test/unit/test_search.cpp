// Unit tests of what a graph search is made of: the beam, the visited set, the choice of neighbours.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "compute/task_arena.h"
#include "core/beam.h"
#include "core/visited_set.h"
#include "graph/select_neighbours.h"

namespace vecann {
namespace {

std::vector<uint32_t> Ids(const Beam& beam) {
    std::vector<uint32_t> ids;
    for (const BeamEntry& entry : beam)
        ids.push_back(entry.id);
    return ids;
}

// What the beam must hold whatever happens to it.
void ExpectSound(const Beam& beam) {
    EXPECT_TRUE(std::is_sorted(beam.begin(), beam.end(), Nearer));
    EXPECT_LE(beam.live_count(), beam.capacity());
    EXPECT_EQ(std::count_if(beam.begin(), beam.end(), [](const BeamEntry& entry) { return entry.live; }),
              beam.live_count());
}

TEST(BeamTest, KeepsTheNearestSorted) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 3);
    for (const auto& [distance, id] : {std::pair{5.f, 1u}, {1.f, 2u}, {4.f, 3u}, {3.f, 4u}, {9.f, 5u}})
        beam.Offer(distance, id);
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{2, 4, 3}));
    EXPECT_EQ(beam.live_count(), 3u);
    ExpectSound(beam);
    beam.Clear();
    EXPECT_EQ(Ids(beam), std::vector<uint32_t>());
    uint32_t id;
    EXPECT_FALSE(beam.NextToExpand(&id));
    EXPECT_FALSE(beam.PopUnexpanded(&id));
}

TEST(BeamTest, EqualDistancesAreOrderedById) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 3);
    for (const uint32_t id : {7u, 3u, 9u, 1u, 5u})
        beam.Offer(2, id);
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{1, 3, 5}));
    for (uint32_t id; beam.NextToExpand(&id);) {
    }
    beam.Widen(3);
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{7, 9}));
}

TEST(BeamTest, DeadOnesTakeNoPlace) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 2);
    uint32_t id;
    for (uint32_t i = 0; i < 50; ++i) {
        beam.Offer(0.01f * static_cast<float>(i), 100 + i);
        ASSERT_TRUE(beam.NextToExpand(&id));
        EXPECT_EQ(id, 100 + i);
        beam.MarkDead();
        EXPECT_EQ(beam.live_count(), 0u);
    }
    beam.Offer(5, 1);
    beam.Offer(6, 2);
    EXPECT_EQ(beam.live_count(), 2u);
    EXPECT_EQ(Ids(beam).back(), 2u);
    // A third live one evicts the farthest, and what lies behind the last live one goes too.
    beam.Offer(5.5f, 3);
    EXPECT_EQ(beam.live_count(), 2u);
    EXPECT_EQ(Ids(beam).back(), 3u);
    beam.Offer(5.6f, 4);
    EXPECT_EQ(Ids(beam).back(), 3u);
    ExpectSound(beam);
}

TEST(BeamTest, ADeadOneMakesRoomForTheNearestThatFellOut) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 2);
    for (uint32_t i = 1; i <= 5; ++i)
        beam.Offer(static_cast<float>(i), i);
    uint32_t id;
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 1u);
    beam.MarkDead();
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{1, 2, 3}));
    EXPECT_EQ(beam.live_count(), 2u);
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 2u);
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 3u);
    EXPECT_FALSE(beam.NextToExpand(&id));
}

TEST(BeamTest, ExpandsNearestFirstAndReturnsToNewerNearerOnes) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 4);
    uint32_t id;
    beam.Offer(2, 2);
    beam.Offer(3, 3);
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 2u);
    beam.Offer(1, 1);
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 1u);
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 3u);
    EXPECT_FALSE(beam.NextToExpand(&id));
}

TEST(BeamTest, PeeksAtWhatIsExpandedNext) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 4);
    uint32_t id;
    uint32_t next[4];
    EXPECT_EQ(beam.PeekNext(next, 4), 0);
    for (uint32_t i = 2; i <= 4; ++i)
        beam.Offer(static_cast<float>(i), i);
    ASSERT_TRUE(beam.NextToExpand(&id));
    beam.Offer(1, 1);
    ASSERT_EQ(beam.PeekNext(next, 2), 2);
    EXPECT_EQ(next[0], 1u);
    EXPECT_EQ(next[1], 3u);
    ASSERT_EQ(beam.PeekNext(next, 4), 3);
    EXPECT_EQ(next[2], 4u);
    // Looking changes nothing.
    ASSERT_TRUE(beam.NextToExpand(&id));
    EXPECT_EQ(id, 1u);
}

// With everything offered before the first is expanded, a beam that is widened again and again returns every live node
// once and in order, and expands every node once.
TEST(BeamTest, WidenedBeamReturnsEverythingInOrder) {
    std::mt19937 random(7);
    for (const uint32_t capacity : {1u, 2u, 10u, 100u}) {
        TaskArena memory;
        Beam beam;
        beam.Init(&memory.arena, capacity);
        std::vector<std::pair<float, uint32_t>> expected;
        std::set<uint32_t> dead;
        for (uint32_t i = 0; i < 3000; ++i) {
            const float d = static_cast<float>(random() % 1000);
            if (random() % 4 == 0)
                dead.insert(i);
            else
                expected.push_back({d, i});
            beam.Offer(d, i);
        }
        std::sort(expected.begin(), expected.end());
        std::vector<std::pair<float, uint32_t>> got;
        std::set<uint32_t> expanded;
        uint32_t more = capacity;
        while (true) {
            uint32_t id;
            while (beam.NextToExpand(&id)) {
                EXPECT_TRUE(expanded.insert(id).second);
                if (dead.count(id) == 1) beam.MarkDead();
            }
            ExpectSound(beam);
            if (beam.live_count() == 0) break;
            EXPECT_TRUE(beam.live_count() == more || got.size() + beam.live_count() == expected.size());
            for (const BeamEntry& entry : beam)
                if (entry.live) got.push_back({entry.distance, entry.id});
            more = 1 + random() % (2 * capacity);
            beam.Widen(more);
        }
        EXPECT_EQ(got, expected) << "capacity " << capacity;
        EXPECT_EQ(expanded.size(), 3000u);
    }
}

// With offers between the expansions, as in a search, still no node is lost or expanded twice.
TEST(BeamTest, WidenedBeamExpandsEveryNodeOnce) {
    std::mt19937 random(11);
    for (const uint32_t capacity : {1u, 3u, 40u}) {
        TaskArena memory;
        Beam beam;
        beam.Init(&memory.arena, capacity);
        std::set<uint32_t> expanded;
        uint32_t offered = 1;
        beam.Offer(500, 0);
        do {
            uint32_t id;
            while (beam.NextToExpand(&id)) {
                EXPECT_TRUE(expanded.insert(id).second);
                if (random() % 3 == 0) beam.MarkDead();
                for (int i = 0; i < 5 && offered < 2000; ++i)
                    beam.Offer(static_cast<float>(random() % 1000), offered++);
                ExpectSound(beam);
            }
            beam.Widen(capacity);
        } while (beam.begin() != beam.end());
        EXPECT_EQ(expanded.size(), offered) << "capacity " << capacity;
        EXPECT_EQ(offered, 2000u);
    }
}

TEST(BeamTest, PopUnexpandedDrainsWhatWasNotExpanded) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 5);
    for (uint32_t i = 0; i < 100; ++i)
        beam.Offer(static_cast<float>((i * 37) % 100), i);
    uint32_t id;
    std::set<uint32_t> seen;
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(beam.NextToExpand(&id));
        seen.insert(id);
    }
    std::vector<uint32_t> distances;
    while (beam.PopUnexpanded(&id)) {
        EXPECT_TRUE(seen.insert(id).second);
        distances.push_back((id * 37) % 100);
    }
    EXPECT_EQ(distances.size(), 97u);
    EXPECT_EQ(seen.size(), 100u);
    EXPECT_TRUE(std::is_sorted(distances.begin(), distances.end()));
}

TEST(BeamTest, InfiniteDistancesAreOrdered) {
    TaskArena memory;
    Beam beam;
    beam.Init(&memory.arena, 2);
    for (uint32_t i = 0; i < 5; ++i)
        beam.Offer(INFINITY, i);
    beam.Offer(1, 9);
    EXPECT_EQ(Ids(beam), (std::vector<uint32_t>{9, 0}));
    std::vector<uint32_t> expanded;
    for (int round = 0; round < 4; ++round) {
        uint32_t id;
        while (beam.NextToExpand(&id))
            expanded.push_back(id);
        beam.Widen(2);
    }
    EXPECT_EQ(expanded, (std::vector<uint32_t>{9, 0, 1, 2, 3, 4}));
}

TEST(VisitedSetTest, BitmapAndHashAgreeWithASet) {
    for (const uint64_t space :
         {uint64_t{0}, uint64_t{1000}, uint64_t{1} << 20, (uint64_t{1} << 20) + 1, uint64_t{1} << 32}) {
        TaskArena memory;
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

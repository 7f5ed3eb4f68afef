// Unit tests of src/core: the arena vector's growth and accounting, the random generator, sorting by digits, Status.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/radix_sort.h"
#include "core/rng.h"
#include "core/status.h"

namespace vecann {
namespace {

// An arena over malloc that counts its live blocks.
struct CountingArena {
    Arena arena;
    int live = 0;

    CountingArena() {
        arena.ctx = this;
        arena.allocate = [](void* ctx, size_t bytes) {
            ++static_cast<CountingArena*>(ctx)->live;
            return malloc(bytes > 0 ? bytes : 1);
        };
        arena.release = [](void* ctx, void* block) {
            --static_cast<CountingArena*>(ctx)->live;
            free(block);
        };
    }
};

struct Edge {
    uint32_t node;
    float distance;
};

TEST(ArenaTest, AllocateAndReleaseAreCounted) {
    CountingArena counting;
    Arena& arena = counting.arena;
    double* a = arena.Allocate<double>(10);
    char* b = arena.Allocate<char>(3);
    EXPECT_EQ(arena.allocated, 83u);
    EXPECT_EQ(counting.live, 2);
    arena.Release(a, 10);
    EXPECT_EQ(arena.allocated, 3u);
    arena.Release(b, 3);
    arena.Release<int>(nullptr, 5);
    EXPECT_EQ(arena.allocated, 0u);
    EXPECT_EQ(counting.live, 0);
}

TEST(ArenaVecTest, StartsEmptyWithoutAllocating) {
    CountingArena counting;
    ArenaVec<int> v;
    v.Init(&counting.arena);
    EXPECT_TRUE(v.empty());
    EXPECT_EQ(v.begin(), v.end());
    EXPECT_EQ(counting.live, 0);
}

TEST(ArenaVecTest, KeepsItsElementsWhileItGrows) {
    CountingArena counting;
    ArenaVec<Edge> v;
    v.Init(&counting.arena);
    for (uint32_t i = 0; i < 10000; ++i) {
        v.Push({i, static_cast<float>(i) / 2});
        ASSERT_EQ(v.size, i + 1);
        ASSERT_GE(v.capacity, v.size);
    }
    for (uint32_t i = 0; i < 10000; ++i) {
        ASSERT_EQ(v[i].node, i);
        ASSERT_EQ(v[i].distance, static_cast<float>(i) / 2);
    }
    EXPECT_EQ(counting.live, 1) << "the outgrown blocks are released";
    EXPECT_EQ(counting.arena.allocated, v.capacity * sizeof(Edge));
    counting.arena.Release(v.data, v.capacity);
    EXPECT_EQ(counting.arena.allocated, 0u);
    EXPECT_EQ(counting.live, 0);
}

TEST(ArenaVecTest, PushesAnElementOfItself) {
    CountingArena counting;
    ArenaVec<int> v;
    v.Init(&counting.arena, 1);
    v.Push(42);
    while (v.size < v.capacity)
        v.Push(0);
    v.Push(v[0]);
    EXPECT_EQ(v[v.size - 1], 42);
    counting.arena.Release(v.data, v.capacity);
}

TEST(ArenaVecTest, GrowsGeometrically) {
    CountingArena counting;
    ArenaVec<char> v;
    v.Init(&counting.arena);
    int growths = 0;
    size_t capacity = 0;
    for (int i = 0; i < 1000000; ++i) {
        v.Push('x');
        if (v.capacity != capacity) ++growths;
        capacity = v.capacity;
    }
    EXPECT_LE(growths, 20);
    counting.arena.Release(v.data, v.capacity);
}

TEST(ArenaVecTest, ReserveIsExactForABigStepAndNeverShrinks) {
    CountingArena counting;
    ArenaVec<int> v;
    v.Init(&counting.arena, 100);
    EXPECT_EQ(v.capacity, 100u);
    int* block = v.data;
    v.Reserve(50);
    EXPECT_EQ(v.data, block);
    EXPECT_EQ(v.capacity, 100u);
    v.Reserve(1000);
    EXPECT_EQ(v.capacity, 1000u);
    EXPECT_EQ(v.size, 0u);
    counting.arena.Release(v.data, v.capacity);
}

TEST(ArenaVecTest, ClearKeepsTheBlock) {
    CountingArena counting;
    ArenaVec<int> v;
    v.Init(&counting.arena);
    for (int i = 0; i < 100; ++i)
        v.Push(i);
    const size_t capacity = v.capacity;
    v.Clear();
    EXPECT_TRUE(v.empty());
    EXPECT_EQ(v.capacity, capacity);
    v.Push(7);
    EXPECT_EQ(v[0], 7);
    int sum = 0;
    for (int x : v)
        sum += x;
    EXPECT_EQ(sum, 7);
    counting.arena.Release(v.data, v.capacity);
}

// The first outputs of splitmix64 for seed 1234567, as published with the reference implementation's test vectors.
TEST(RngTest, IsSplitmix64) {
    Rng rng(1234567);
    EXPECT_EQ(rng.Next(), 6457827717110365317ULL);
    EXPECT_EQ(rng.Next(), 3203168211198807973ULL);
    EXPECT_EQ(rng.Next(), 9817491932198370423ULL);
    EXPECT_EQ(rng.Next(), 4593380528125082431ULL);
    EXPECT_EQ(rng.Next(), 16408922859458223821ULL);
}

TEST(RngTest, UnitLiesInTheHalfOpenIntervalAndIsUniform) {
    Rng rng(1);
    double sum = 0, low = 2, high = -1;
    const int n = 200000;
    for (int i = 0; i < n; ++i) {
        const double u = rng.NextUnit();
        ASSERT_GT(u, 0.0);
        ASSERT_LE(u, 1.0);
        sum += u;
        low = u < low ? u : low;
        high = u > high ? u : high;
    }
    EXPECT_NEAR(sum / n, 0.5, 0.005);
    EXPECT_LT(low, 0.001);
    EXPECT_GT(high, 0.999);
}

TEST(RngTest, SeedsGiveDifferentStreams) {
    std::set<uint64_t> seen;
    for (uint64_t seed = 0; seed < 1000; ++seed)
        seen.insert(Rng(seed).Next());
    EXPECT_EQ(seen.size(), 1000u);
}

TEST(StatusTest, StartsOk) {
    Status status;
    EXPECT_TRUE(status.ok());
    EXPECT_STREQ(status.message, "");
}

TEST(StatusTest, SetCutsTheMessageAndAlwaysTerminatesIt) {
    Status status;
    const std::string text(1000, 'x');
    status.Set(StatusCode::kInternal, text.c_str());
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(std::string(status.message), std::string(255, 'x'));
    status.Set(StatusCode::kCancelled, "short");
    EXPECT_STREQ(status.message, "short");
    status.Set(StatusCode::kInternal, nullptr);
    EXPECT_STREQ(status.message, "");
    const std::string exact(255, 'y');
    status.Set(StatusCode::kInternal, exact.c_str());
    EXPECT_EQ(std::string(status.message), exact);
}

TEST(RadixSortTest, SortsWhatStdSortSorts) {
    Rng rng(5);
    const uint64_t masks[] = {~uint64_t{0}, 0, 0xFF, 0x7FF00000, uint64_t{3} << 62, 0x3FFFF003F};
    for (const uint64_t mask : masks)
        for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{1000}, size_t{5000}}) {
            std::vector<uint64_t> numbers(count), other(count);
            for (uint64_t& number : numbers)
                number = (rng.Next() & mask) | (uint64_t{1} << 40);
            std::vector<uint64_t> expected = numbers;
            std::sort(expected.begin(), expected.end());
            const uint64_t* sorted = RadixSort(numbers.data(), count, other.data());
            EXPECT_TRUE(std::equal(expected.begin(), expected.end(), sorted)) << mask << " " << count;
        }
}

}  // namespace
}  // namespace vecann

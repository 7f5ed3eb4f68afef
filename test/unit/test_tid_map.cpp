// Unit tests of core/tid_map.h, against std::map: growth, neighbouring rows, extreme keys, iteration.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "core/rng.h"
#include "core/tid_map.h"

namespace vecann {
namespace {

Arena MallocArena() {
    Arena arena;
    arena.ctx = nullptr;
    arena.allocate = [](void*, size_t bytes) { return malloc(bytes > 0 ? bytes : 1); };
    arena.release = [](void*, void* block) { free(block); };
    return arena;
}

// A map whose places are given back at the end of the test.
struct OwnedMap {
    Arena arena = MallocArena();
    TidMap map;

    explicit OwnedMap(size_t expected) { map.Init(&arena, expected); }
    ~OwnedMap() { free(map.begin()); }
};

TEST(TidMapTest, AddThenFind) {
    OwnedMap owned(0);
    TidMap& map = owned.map;
    bool fresh = false;
    EXPECT_EQ(map.Find(7, 3), nullptr);
    TidMapEntry* entry = map.Add(7, 3, &fresh);
    EXPECT_TRUE(fresh);
    EXPECT_EQ(entry->flags, 0);
    EXPECT_EQ(entry->value, 0u);
    entry->value = 42;
    entry->flags = 0x8001;
    EXPECT_EQ(map.Add(7, 3, &fresh), entry);
    EXPECT_FALSE(fresh);
    EXPECT_EQ(map.Find(7, 3)->value, 42u);
    EXPECT_EQ(map.Find(7, 3)->flags, 0x8001);
    EXPECT_EQ(map.Find(3, 7), nullptr);
    EXPECT_EQ(map.size(), 1u);
}

TEST(TidMapTest, OffsetZeroIsNoRow) {
    OwnedMap owned(4);
    EXPECT_EQ(owned.map.Find(0, 0), nullptr);
    EXPECT_EQ(owned.map.Find(5, 0), nullptr);
}

TEST(TidMapTest, ExpectedEntriesFitWithoutGrowth) {
    for (const size_t expected : {size_t{0}, size_t{1}, size_t{10}, size_t{11}, size_t{1000}, size_t{43690}}) {
        OwnedMap owned(expected);
        const size_t allocated = owned.arena.allocated;
        bool fresh;
        for (size_t i = 0; i < expected; ++i)
            owned.map.Add(static_cast<uint32_t>(i), 1, &fresh);
        EXPECT_EQ(owned.arena.allocated, allocated) << expected;
    }
}

TEST(TidMapTest, AgreesWithAnOrdinaryMap) {
    OwnedMap owned(0);
    TidMap& map = owned.map;
    std::map<std::pair<uint32_t, uint16_t>, uint32_t> reference;
    Rng rng(1);
    for (uint32_t i = 0; i < 50000; ++i) {
        // Dense rows as a table has them, and now and then any key at all.
        const uint64_t r = rng.Next();
        const uint32_t block = r % 7 == 0 ? static_cast<uint32_t>(r >> 32) : static_cast<uint32_t>((r >> 32) % 400);
        const uint16_t offset = static_cast<uint16_t>(r % 7 == 1 ? 65535 : 1 + (r >> 20) % 120);
        bool fresh = false;
        TidMapEntry* entry = map.Add(block, offset, &fresh);
        EXPECT_EQ(fresh, reference.count({block, offset}) == 0);
        entry->value = i;
        reference[{block, offset}] = i;
    }
    bool fresh = false;
    map.Add(0xFFFFFFFF, 65535, &fresh)->value = 9;
    reference[{0xFFFFFFFF, 65535}] = 9;
    EXPECT_EQ(map.size(), reference.size());
    for (const auto& [key, value] : reference) {
        const TidMapEntry* entry = map.Find(key.first, key.second);
        ASSERT_NE(entry, nullptr);
        EXPECT_EQ(entry->value, value);
    }
    EXPECT_EQ(map.Find(1000000, 1), nullptr);
    size_t seen = 0;
    for (const TidMapEntry& entry : map) {
        if (entry.offset == 0) continue;
        ++seen;
        EXPECT_EQ(reference.count({entry.block, entry.offset}), 1u);
    }
    EXPECT_EQ(seen, reference.size());
}

}  // namespace
}  // namespace vecann

// Unit tests of core/tid_set.h, against std::map: single rows, whole pages, the bound on memory, the order of a pass.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "core/tid_set.h"

namespace vecann {
namespace {

constexpr uint32_t kMostOffset = 291;

// A set whose blocks are given back at the end of the test.
struct OwnedSet {
    std::vector<void*> blocks;
    Arena arena;
    TidSet set;

    OwnedSet(uint64_t table_blocks, size_t memory) {
        arena.ctx = &blocks;
        arena.allocate = [](void* ctx, size_t bytes) {
            void* block = malloc(bytes > 0 ? bytes : 1);
            static_cast<std::vector<void*>*>(ctx)->push_back(block);
            return block;
        };
        arena.release = [](void*, void*) {};
        set.Init(&arena, table_blocks, kMostOffset, memory);
    }
    ~OwnedSet() {
        for (void* block : blocks)
            free(block);
    }
};

using Row = std::pair<uint32_t, uint32_t>;

std::vector<std::pair<Row, Membership>> Pass(const TidSet& set) {
    std::vector<std::pair<Row, Membership>> rows;
    TidSet::Cursor cursor = {};
    uint32_t block;
    uint16_t offset;
    for (Membership m; (m = set.Next(&cursor, &block, &offset)) != Membership::kOut;)
        rows.push_back({{block, offset}, m});
    return rows;
}

TEST(TidSetTest, Empty) {
    OwnedSet owned(100, 1 << 20);
    EXPECT_EQ(owned.set.Find(0, 1), Membership::kOut);
    EXPECT_EQ(owned.set.Find(99, 291), Membership::kOut);
    EXPECT_EQ(owned.set.rows(), 0u);
    EXPECT_TRUE(Pass(owned.set).empty());
}

TEST(TidSetTest, RowsAndPages) {
    OwnedSet owned(10, 1 << 20);
    const uint16_t first[] = {1, 63, 64, 65, 291};
    const uint16_t second[] = {2};
    owned.set.AddRows(3, first, 5, false);
    owned.set.AddPage(5);
    owned.set.AddRows(9, second, 1, true);
    owned.set.AddRows(10, second, 1, true);  // beyond the table
    owned.set.AddPage(11);
    EXPECT_EQ(owned.set.rows(), 6u);
    EXPECT_EQ(owned.set.row_pages(), 2u);
    EXPECT_EQ(owned.set.whole_pages(), 1u);
    EXPECT_EQ(owned.set.Find(3, 64), Membership::kIn);
    EXPECT_EQ(owned.set.Find(3, 66), Membership::kOut);
    EXPECT_EQ(owned.set.Find(3, 0), Membership::kOut);
    EXPECT_EQ(owned.set.Find(3, 60000), Membership::kOut);
    EXPECT_EQ(owned.set.Find(5, 200), Membership::kMaybe);
    EXPECT_EQ(owned.set.Find(9, 2), Membership::kMaybe);
    EXPECT_EQ(owned.set.Find(10, 2), Membership::kOut);
    EXPECT_EQ(owned.set.Find(11, 2), Membership::kOut);
    const auto rows = Pass(owned.set);
    ASSERT_EQ(rows.size(), 5 + 291 + 1u);
    EXPECT_EQ(rows[4].first, Row(3, 291));
    EXPECT_EQ(rows[5].first, Row(5, 1));
    EXPECT_EQ(rows[5].second, Membership::kMaybe);
    EXPECT_EQ(rows.back().first, Row(9, 2));
}

TEST(TidSetTest, WithoutMemoryPagesComeInWhole) {
    OwnedSet owned(1000, 0);
    const uint16_t row[] = {7};
    owned.set.AddRows(4, row, 1, false);
    EXPECT_EQ(owned.set.rows(), 0u);
    EXPECT_EQ(owned.set.Find(4, 8), Membership::kMaybe);
    EXPECT_EQ(Pass(owned.set).size(), kMostOffset);
}

TEST(TidSetTest, AgainstMap) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        Rng rng{seed};
        const uint32_t blocks = 1 + static_cast<uint32_t>(rng.Next() % 3000);
        OwnedSet owned(blocks, seed % 3 == 0 ? 20000 : 1 << 24);
        std::map<Row, Membership> truth;
        for (uint32_t block = 0; block < blocks; block += 1 + static_cast<uint32_t>(rng.Next() % 9)) {
            if (rng.Next() % 20 == 0) {
                owned.set.AddPage(block);
                for (uint32_t o = 1; o <= kMostOffset; ++o)
                    truth[{block, o}] = Membership::kMaybe;
                continue;
            }
            const bool maybe = rng.Next() % 4 == 0;
            std::vector<uint16_t> offsets;
            for (uint32_t o = 1; o <= kMostOffset; o += 1 + static_cast<uint32_t>(rng.Next() % 200))
                offsets.push_back(static_cast<uint16_t>(o));
            const uint64_t whole = owned.set.whole_pages();
            owned.set.AddRows(block, offsets.data(), static_cast<int>(offsets.size()), maybe);
            if (owned.set.whole_pages() > whole)
                for (uint32_t o = 1; o <= kMostOffset; ++o)
                    truth[{block, o}] = Membership::kMaybe;
            else
                for (uint16_t o : offsets)
                    truth[{block, o}] = maybe ? Membership::kMaybe : Membership::kIn;
        }
        const auto rows = Pass(owned.set);
        ASSERT_EQ(rows.size(), truth.size());
        size_t i = 0;
        for (const auto& [row, membership] : truth) {
            ASSERT_EQ(rows[i].first, row);
            ASSERT_EQ(rows[i].second, membership);
            ASSERT_EQ(owned.set.Find(row.first, row.second), membership);
            ++i;
        }
        std::vector<uint32_t> pages;
        for (const auto& entry : truth)
            if (pages.empty() || pages.back() != entry.first.first) pages.push_back(entry.first.first);
        TidSet::Cursor cursor = {};
        uint32_t block;
        for (const uint32_t page : pages) {
            ASSERT_TRUE(owned.set.NextPage(&cursor, &block));
            ASSERT_EQ(block, page);
        }
        ASSERT_FALSE(owned.set.NextPage(&cursor, &block));
        for (int probe = 0; probe < 2000; ++probe) {
            const Row row(static_cast<uint32_t>(rng.Next() % (blocks + 5)), static_cast<uint32_t>(rng.Next() % 400));
            const auto at = truth.find(row);
            ASSERT_EQ(owned.set.Find(row.first, row.second), at == truth.end() ? Membership::kOut : at->second);
        }
    }
}

}  // namespace
}  // namespace vecann

// A set of heap rows that does not change once it is built: whole pages of a table, and single rows of others. It tells
// whether a row is in it, and hands the rows out in the order of the table.
//
// Pages of single rows are found by open addressing and hold one bit for each row; whole pages are one bit each. When
// the memory for single rows is used up, further pages come in whole.
#pragma once

#include "core/bit_set.h"

namespace vecann {

enum class Membership : uint8_t {
    kOut,
    kIn,
    kMaybe,  // the page or the row is to be tested again
};

class TidSet {
  public:
    // For a table of `blocks` pages with at most `most_offset` rows each, rows beginning at 1. `memory` bounds what
    // single rows take, in bytes.
    void Init(Arena* arena, uint64_t blocks, uint32_t most_offset, size_t memory) {
        arena_ = arena;
        blocks_ = blocks;
        most_offset_ = most_offset;
        words_per_page_ = (most_offset + 64) / 64;
        const size_t page_bytes = words_per_page_ * sizeof(uint64_t) + sizeof(Page) + kPlacesPerPage * sizeof(uint32_t);
        most_pages_ = memory / page_bytes;
        pages_.Init(arena);
        words_.Init(arena);
        places_.Init(arena);
        whole_.Init(arena, 0);
        rows_ = whole_pages_ = hashed_ = 0;
    }

    // Makes room for so many pages of single rows.
    void Reserve(size_t pages) {
        const size_t n = pages < most_pages_ ? pages : most_pages_;
        pages_.Reserve(n);
        words_.Reserve(n * words_per_page_);
    }

    // Adds rows of a page, or all of it when there is no room for them. Each page is added once, in ascending order.
    // What lies beyond the table is left out.
    void AddRows(uint32_t block, const uint16_t* offsets, int count, bool maybe) {
        if (block >= blocks_ || count == 0) return;
        if (pages_.size >= most_pages_) {
            AddPage(block);
            return;
        }
        const size_t first = words_.size;
        words_.Reserve(first + words_per_page_);
        words_.size += words_per_page_;
        memset(words_.data + first, 0, words_per_page_ * sizeof(uint64_t));
        for (int i = 0; i < count; ++i) {
            const uint32_t offset = offsets[i];
            if (offset == 0 || offset > most_offset_) continue;
            uint64_t* word = &words_[first + offset / 64];
            const uint64_t bit = uint64_t{1} << (offset % 64);
            rows_ += (*word & bit) == 0 ? 1 : 0;
            *word |= bit;
        }
        pages_.Push({block, maybe});
    }
    // Adds a page whose rows are all to be tested again.
    void AddPage(uint32_t block) {
        if (block >= blocks_) return;
        if (whole_.bits() == 0) whole_.Init(arena_, blocks_);
        if (whole_.Add(block)) ++whole_pages_;
    }

    // Find does it for itself the first time; who holds a lock then calls it before. A pass over all rows does without.
    void PrepareFind() const {
        if (hashed_ < pages_.size) HashPages();
    }
    Membership Find(uint32_t block, uint32_t offset) const {
        if (offset == 0 || offset > most_offset_) return Membership::kOut;
        if (whole_pages_ > 0 && whole_.Has(block)) return Membership::kMaybe;
        PrepareFind();
        if (places_.empty()) return Membership::kOut;
        const uint32_t at = places_[PlaceOf(block)];
        if (at == 0) return Membership::kOut;
        const uint64_t word = words_[static_cast<size_t>(at - 1) * words_per_page_ + offset / 64];
        if (((word >> (offset % 64)) & 1) == 0) return Membership::kOut;
        return pages_[at - 1].maybe ? Membership::kMaybe : Membership::kIn;
    }

    // Did the page come in whole?
    bool IsWhole(uint32_t block) const { return whole_pages_ > 0 && block < blocks_ && whole_.Has(block); }

    uint64_t rows() const { return rows_; }  // on pages of single rows
    uint64_t row_pages() const { return pages_.size; }
    uint64_t whole_pages() const { return whole_pages_; }

    // Where a pass over all rows stands.
    struct Cursor {
        size_t page;       // of those with single rows
        uint64_t block;    // of whole pages
        uint32_t offset;   // the one handed out last
        bool whole_first;  // the current page is a whole one
        bool in_page;
    };
    // The next row in the order of the table, every possible offset of whole pages included; kOut at the end.
    Membership Next(Cursor* cursor, uint32_t* block, uint16_t* offset) const {
        for (;;) {
            if (!cursor->in_page && !EnterPage(cursor)) return Membership::kOut;
            while (++cursor->offset <= most_offset_) {
                *offset = static_cast<uint16_t>(cursor->offset);
                if (cursor->whole_first) {
                    *block = static_cast<uint32_t>(cursor->block);
                    return Membership::kMaybe;
                }
                const uint64_t word =
                    words_[cursor->page * words_per_page_ + cursor->offset / 64] >> (cursor->offset % 64);
                if (word == 0) {
                    cursor->offset |= 63;  // the rest of the word
                    continue;
                }
                cursor->offset += static_cast<uint32_t>(__builtin_ctzll(word));
                *offset = static_cast<uint16_t>(cursor->offset);
                *block = pages_[cursor->page].block;
                return pages_[cursor->page].maybe ? Membership::kMaybe : Membership::kIn;
            }
            LeavePage(cursor);
        }
    }
    // Passes over the rows of the page where the cursor stands that have not been handed out.
    void SkipPage(Cursor* cursor) const { cursor->offset = most_offset_; }
    // The page after the one where the cursor stands, the first one at the beginning; false at the end.
    bool NextPage(Cursor* cursor, uint32_t* block) const {
        if (cursor->in_page) LeavePage(cursor);
        if (!EnterPage(cursor)) return false;
        *block = cursor->whole_first ? static_cast<uint32_t>(cursor->block) : pages_[cursor->page].block;
        return true;
    }

  private:
    struct Page {
        uint32_t block;
        bool maybe;
    };
    static constexpr size_t kPlacesPerPage = 2;  // at least, so that half of them stay empty

    // Goes to the nearer of the next page of either kind; false when there is none.
    bool EnterPage(Cursor* cursor) const {
        if (whole_pages_ > 0)
            while (cursor->block < blocks_ && !whole_.Has(cursor->block))
                ++cursor->block;
        const bool whole = whole_pages_ > 0 && cursor->block < blocks_;
        const bool single = cursor->page < pages_.size;
        if (!whole && !single) return false;
        cursor->whole_first = whole && (!single || cursor->block < pages_[cursor->page].block);
        cursor->offset = 0;
        cursor->in_page = true;
        return true;
    }
    static void LeavePage(Cursor* cursor) {
        cursor->in_page = false;
        if (cursor->whole_first)
            ++cursor->block;
        else
            ++cursor->page;
    }
    // Where a page stands, or the empty place for it.
    size_t PlaceOf(uint32_t block) const {
        const size_t mask = places_.size - 1;
        const uint64_t hash = block * 0x9e3779b97f4a7c15ULL;
        size_t at = static_cast<size_t>(hash >> 32) & mask;
        while (places_[at] != 0 && pages_[places_[at] - 1].block != block)
            at = (at + 1) & mask;
        return at;
    }
    void HashPages() const {
        size_t n = 64;
        while (n < pages_.size * kPlacesPerPage)
            n *= 2;
        arena_->Release(places_.data, places_.capacity);
        places_.Init(arena_, n);
        places_.size = n;
        memset(places_.data, 0, n * sizeof(uint32_t));
        for (size_t i = 0; i < pages_.size; ++i)
            places_[PlaceOf(pages_[i].block)] = static_cast<uint32_t>(i + 1);
        hashed_ = pages_.size;
    }

    Arena* arena_;
    uint64_t blocks_;
    uint32_t most_offset_;
    uint32_t words_per_page_;
    size_t most_pages_;
    ArenaVec<Page> pages_;      // ascending
    ArenaVec<uint64_t> words_;  // words_per_page_ for each of them
    BitSet whole_;              // empty until there is such a page
    // 1 + index into pages_, 0: empty; of the first hashed_ pages.
    mutable ArenaVec<uint32_t> places_;
    mutable size_t hashed_;
    uint64_t rows_, whole_pages_;
};
static_assert(std::is_trivially_destructible_v<TidSet>);

}  // namespace vecann

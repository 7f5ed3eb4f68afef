// A map from heap row pointers (block, offset) to 32-bit values, with 16 bits of flags each: open addressing over an
// ArenaVec. Offset 0 is no row, so it marks the empty places. Nothing is ever removed.
//
// Pointers to entries hold until the next Add.
#pragma once

#include "core/arena.h"

namespace vecann {

struct TidMapEntry {
    uint32_t block;
    uint16_t offset;  // 0: an empty place
    uint16_t flags;
    uint32_t value;
};
static_assert(sizeof(TidMapEntry) == 12);

class TidMap {
  public:
    // `expected` entries fit without growth.
    void Init(Arena* arena, size_t expected) {
        places_.Init(arena);
        count_ = 0;
        size_t places = kFewestPlaces;
        while (!Fits(expected, places))
            places *= 2;
        Resize(places);
    }
    size_t size() const { return count_; }

    // The entry of a row; null when there is none.
    TidMapEntry* Find(uint32_t block, uint16_t offset) {
        if (offset == 0) return nullptr;
        TidMapEntry* at = Place(block, offset);
        return at->offset != 0 ? at : nullptr;
    }
    // The entry of a row (`offset` > 0), `*fresh` telling whether it was just made, with flags and value 0.
    TidMapEntry* Add(uint32_t block, uint16_t offset, bool* fresh) {
        TidMapEntry* at = Place(block, offset);
        *fresh = at->offset == 0;
        if (!*fresh) return at;
        if (!Fits(count_ + 1, places_.size)) {
            Resize(places_.size * 2);
            at = Place(block, offset);
        }
        ++count_;
        *at = {block, offset, 0, 0};
        return at;
    }
    // All places, the empty ones too.
    TidMapEntry* begin() { return places_.begin(); }
    TidMapEntry* end() { return places_.end(); }

  private:
    static constexpr size_t kFewestPlaces = 16;

    // At most two thirds of the places are taken.
    static bool Fits(size_t entries, size_t places) { return entries <= places / 3 * 2; }

    TidMapEntry* Place(uint32_t block, uint16_t offset) {
        const uint64_t key = (static_cast<uint64_t>(block) << 16) | offset;
        const uint64_t hash = key * 0x9e3779b97f4a7c15ULL;
        const size_t mask = places_.size - 1;
        size_t at = static_cast<size_t>(hash ^ (hash >> 32)) & mask;
        for (;; at = (at + 1) & mask) {
            TidMapEntry& entry = places_[at];
            if (entry.offset == 0 || (entry.block == block && entry.offset == offset)) return &entry;
        }
    }
    void Resize(size_t places) {
        ArenaVec<TidMapEntry> old = places_;
        places_.Init(old.arena, places);
        places_.size = places;
        memset(static_cast<void*>(places_.data), 0, places * sizeof(TidMapEntry));
        for (const TidMapEntry& entry : old)
            if (entry.offset != 0) *Place(entry.block, entry.offset) = entry;
        old.arena->Release(old.data, old.capacity);
    }

    ArenaVec<TidMapEntry> places_;  // a power of two of them
    size_t count_;
};
static_assert(std::is_trivially_destructible_v<TidMap>);

}  // namespace vecann

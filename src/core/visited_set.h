// The set of slot ids a search has seen: a bitmap while the id space is small, an open-addressing hash above (a search
// sees a few thousand of possibly billions). Ids that appear after Init (a growing index) are taken in both forms.
#pragma once

#include "core/arena.h"

namespace vecann {

class VisitedSet {
  public:
    // `id_space`: one more than the largest id expected.
    void Init(Arena* arena, uint64_t id_space) {
        bits_.Init(arena);
        table_.Init(arena);
        count_ = 0;
        hashed_ = id_space > kBitmapIds;
        if (hashed_)
            ResizeTable(kInitialTable);
        else
            GrowBitmap(id_space);
    }
    bool Contains(uint32_t id) const {
        if (!hashed_) return id / 64 < bits_.size && ((bits_[id / 64] >> (id % 64)) & 1) != 0;
        return table_[Find(id)] == Stored(id);
    }
    // False when the id was there already.
    bool Add(uint32_t id) {
        if (!hashed_) {
            if (id / 64 >= bits_.size) GrowBitmap(static_cast<uint64_t>(id) + 1);
            uint64_t& word = bits_[id / 64];
            const uint64_t bit = uint64_t{1} << (id % 64);
            const bool fresh = (word & bit) == 0;
            word |= bit;
            return fresh;
        }
        size_t at = Find(id);
        if (table_[at] == Stored(id)) return false;
        if ((count_ + 1) * 2 > table_.size) {
            ResizeTable(table_.size * 2);
            at = Find(id);
        }
        table_[at] = Stored(id);
        ++count_;
        return true;
    }

  private:
    static constexpr uint64_t kBitmapIds = uint64_t{1} << 18;
    static constexpr size_t kInitialTable = 4096;

    // 64 bits, so that 0 can mean an empty place for every 32-bit id.
    static uint64_t Stored(uint32_t id) { return static_cast<uint64_t>(id) + 1; }

    size_t Find(uint32_t id) const {
        const size_t mask = table_.size - 1;
        size_t at = static_cast<size_t>((id * 0x9e3779b97f4a7c15ULL) >> 32) & mask;
        while (table_[at] != 0 && table_[at] != Stored(id))
            at = (at + 1) & mask;
        return at;
    }
    void GrowBitmap(uint64_t ids) {
        const size_t words = static_cast<size_t>((ids + 63) / 64);
        const size_t old = bits_.size;
        if (words == old) return;
        bits_.Reserve(words);
        bits_.size = words;
        memset(bits_.data + old, 0, (words - old) * sizeof(uint64_t));
    }
    void ResizeTable(size_t places) {
        ArenaVec<uint64_t> old = table_;
        table_.Init(old.arena, places);
        table_.size = places;
        memset(table_.data, 0, places * sizeof(uint64_t));
        for (const uint64_t stored : old)
            if (stored != 0) table_[Find(static_cast<uint32_t>(stored - 1))] = stored;
        old.arena->Release(old.data, old.capacity);
    }

    ArenaVec<uint64_t> bits_;
    ArenaVec<uint64_t> table_;
    size_t count_;
    bool hashed_;
};

}  // namespace vecann

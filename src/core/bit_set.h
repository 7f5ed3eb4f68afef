// One bit for each id below a bound that is known in advance. What lies beyond is never in it.
#pragma once

#include "core/arena.h"

namespace vecann {

class BitSet {
  public:
    // All bits below `bits` off.
    void Init(Arena* arena, uint64_t bits) {
        const size_t n = static_cast<size_t>((bits + 63) / 64);
        words_.Init(arena, n);
        words_.size = n;
        Clear();
    }
    void Clear() {
        if (words_.size > 0) memset(words_.data, 0, words_.size * sizeof(uint64_t));
    }
    uint64_t bits() const { return static_cast<uint64_t>(words_.size) * 64; }
    bool Has(uint64_t i) const { return i < bits() && ((words_[i / 64] >> (i % 64)) & 1) != 0; }
    // False when it was there already or lies beyond.
    bool Add(uint64_t i) {
        if (i >= bits() || Has(i)) return false;
        words_[i / 64] |= uint64_t{1} << (i % 64);
        return true;
    }
    void Remove(uint64_t i) {
        if (i < bits()) words_[i / 64] &= ~(uint64_t{1} << (i % 64));
    }

  private:
    ArenaVec<uint64_t> words_;
};

}  // namespace vecann

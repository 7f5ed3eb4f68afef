// The beam of a graph search: a pool of the nearest known nodes, sorted by distance, of which each is expanded or not,
// and an overflow of the nodes that fell out of the pool.
//
// The distance of a node in the beam may be an estimate; it orders the walk and nothing else. The search loop is: while
// NextToExpand() finds a node, expand it and Offer() its neighbours. Widen() makes room for more once the pool is
// settled: the loop goes on from there, without repeating work. A node that turns out not to count (deleted, no rows)
// is given up by MarkDead() and takes no place of the capacity.
#pragma once

#include <algorithm>
#include <limits>

#include "core/arena.h"

namespace vecann {

struct BeamEntry {
    float distance;
    uint32_t id;
    bool live;  // takes a place of the capacity
    bool expanded;
};

// Without a jump: nobody could predict it.
inline bool Nearer(const BeamEntry& a, const BeamEntry& b) {
    return (a.distance < b.distance) | ((a.distance == b.distance) & (a.id < b.id));
}

class Beam {
  public:
    // `capacity` >= 1.
    void Init(Arena* arena, uint32_t capacity) {
        pool_.Init(arena, capacity + 1);
        overflow_.Init(arena);
        capacity_ = capacity;
        Clear();
    }
    void Clear() {
        pool_.Clear();
        overflow_.Clear();
        cursor_ = 0;
        live_ = 0;
        heaped_ = false;
    }

    // A node met for the first time; counts as live until it is marked dead.
    void Offer(float distance, uint32_t id) {
        const BeamEntry entry = {distance, id, true, false};
        if (live_ >= capacity_ && !Nearer(entry, pool_[pool_.size - 1])) {
            Overflow(entry);
            return;
        }
        InsertSorted(entry);
        ++live_;
        Evict();
    }

    // The same for n nodes, of which most are too far for the pool as a rule. The arrays are overwritten.
    void OfferAll(float* distances, uint32_t* ids, size_t n) {
        size_t near = 0;
        if (live_ < capacity_ || heaped_) {
            near = n;
        } else {
            overflow_.Reserve(overflow_.size + n);
            const float farthest = pool_[pool_.size - 1].distance;
            for (size_t i = 0; i < n; ++i) {
                const float distance = distances[i];
                const uint32_t id = ids[i];
                const bool is_near = distance <= farthest;
                overflow_.data[overflow_.size] = {distance, id, true, false};
                overflow_.size += is_near ? 0 : 1;
                distances[near] = distance;
                ids[near] = id;
                near += is_near ? 1 : 0;
            }
        }
        for (size_t i = 0; i < near; ++i)
            Offer(distances[i], ids[i]);
    }

    // The nearest unexpanded node of the pool, now marked expanded; false when there is none.
    bool NextToExpand(uint32_t* id) {
        while (cursor_ < pool_.size && pool_[cursor_].expanded)
            ++cursor_;
        if (cursor_ == pool_.size) return false;
        pool_[cursor_].expanded = true;
        current_ = cursor_;
        *id = pool_[cursor_++].id;
        return true;
    }
    // The distance of the node that NextToExpand would return; infinity when there is none.
    float Frontier() {
        while (cursor_ < pool_.size && pool_[cursor_].expanded)
            ++cursor_;
        return cursor_ < pool_.size ? pool_[cursor_].distance : std::numeric_limits<float>::infinity();
    }
    // The first `most` nodes of the pool that are not expanded, nearest first, for prefetching. Returns how many.
    int PeekNext(uint32_t* ids, int most) const {
        int n = 0;
        for (size_t at = cursor_; at < pool_.size && n < most; ++at)
            if (!pool_[at].expanded) ids[n++] = pool_[at].id;
        return n;
    }

    // Gives up the node that NextToExpand has just returned; to be called before the next Offer.
    void MarkDead() {
        pool_[current_].live = false;
        --live_;
        Refill();
    }

    // Makes room for `more` further nodes, nearest first, of the overflow and of what is not expanded in the pool. The
    // rest of the pool need not be kept.
    void Widen(uint32_t more) {
        for (size_t at = cursor_; at < pool_.size; ++at)
            if (!pool_[at].expanded) Overflow(pool_[at]);
        pool_.Clear();
        cursor_ = 0;
        live_ = 0;
        capacity_ = more;
        Refill();
    }

    // Takes the nearest node out that was never expanded; false when there is none. For a search that may not go on:
    // it drains what it knows. Not to be mixed with NextToExpand.
    bool PopUnexpanded(uint32_t* id) {
        for (; cursor_ < pool_.size; ++cursor_) {
            if (pool_[cursor_].expanded) continue;
            *id = pool_[cursor_++].id;
            return true;
        }
        if (overflow_.empty()) return false;
        *id = PopOverflow().id;
        return true;
    }

    uint32_t live_count() const { return live_; }
    uint32_t capacity() const { return capacity_; }
    const BeamEntry* begin() const { return pool_.begin(); }
    const BeamEntry* end() const { return pool_.end(); }

  private:
    static bool Farther(const BeamEntry& a, const BeamEntry& b) { return Nearer(b, a); }

    // Where `entry` belongs in the pool: a binary search without jumps.
    size_t PlaceOf(const BeamEntry& entry) const {
        const BeamEntry* from = pool_.begin();
        size_t n = pool_.size;
        while (n > 0) {
            const size_t half = (n + 1) / 2;
            from += Nearer(entry, from[half - 1]) ? 0 : half;
            n -= half;
        }
        return static_cast<size_t>(from - pool_.begin());
    }
    void InsertSorted(const BeamEntry& entry) {
        const size_t position = PlaceOf(entry);
        pool_.Push(entry);
        BeamEntry* at = pool_.begin() + position;
        memmove(static_cast<void*>(at + 1), at, (pool_.size - 1 - position) * sizeof(BeamEntry));
        *at = entry;
        if (position < cursor_) cursor_ = position;
    }
    // Drops from the back until the last entry is the capacity-th live one.
    void Evict() {
        while (live_ > capacity_) {
            const BeamEntry last = pool_[--pool_.size];
            if (!last.live) continue;
            --live_;
            if (!last.expanded) Overflow(last);
        }
        if (cursor_ > pool_.size) cursor_ = pool_.size;
    }
    // Most searches never look at what overflows: it becomes a heap when the first of it is asked for.
    void Overflow(const BeamEntry& entry) {
        overflow_.Push(entry);
        if (heaped_) std::push_heap(overflow_.begin(), overflow_.end(), Farther);
    }
    BeamEntry PopOverflow() {
        if (!heaped_) std::make_heap(overflow_.begin(), overflow_.end(), Farther);
        heaped_ = true;
        std::pop_heap(overflow_.begin(), overflow_.end(), Farther);
        return overflow_[--overflow_.size];
    }
    void Refill() {
        while (live_ < capacity_ && !overflow_.empty()) {
            InsertSorted(PopOverflow());
            ++live_;
        }
    }

    ArenaVec<BeamEntry> pool_;      // sorted
    ArenaVec<BeamEntry> overflow_;  // unexpanded; a heap, nearest on top, once heaped_
    size_t cursor_;                 // no unexpanded entry stands before it
    size_t current_;                // what NextToExpand returned last
    uint32_t live_;
    uint32_t capacity_;
    bool heaped_;
};

}  // namespace vecann

// The beam of a graph search: a pool of the nearest known nodes, sorted by distance, of which each is expanded or not,
// and (for resumable searches) a heap of the nodes that fell out of the pool.
//
// Only live nodes count towards the pool's capacity; the others are kept for the walk and dropped when they reach the
// front. The search loop is: while NextToExpand() finds a node, expand it and Offer() its neighbours; then the front is
// the nearest unreturned node, PopFront() returns it and refills the pool from the heap, and the loop goes on.
#pragma once

#include <algorithm>

#include "core/arena.h"

namespace vecann {

struct BeamEntry {
    float distance;
    uint32_t id;
    uint32_t generation;  // of the slot when the distance was computed
    bool live;            // may be returned; takes a place of the capacity
    bool expanded;
};

inline bool Nearer(const BeamEntry& a, const BeamEntry& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

class Beam {
  public:
    // `capacity` >= 1. With `resumable`, nodes that do not fit are kept for PopFront().
    void Init(Arena* arena, uint32_t capacity, bool resumable) {
        pool_.Init(arena, capacity + 1);
        heap_.Init(arena);
        capacity_ = capacity;
        resumable_ = resumable;
        Clear();
    }
    void Clear() {
        pool_.Clear();
        heap_.Clear();
        front_ = cursor_ = 0;
        live_ = 0;
    }

    // Is a node at this distance worth a place in the pool?
    bool Admits(float distance) const { return live_ < capacity_ || distance < pool_[pool_.size - 1].distance; }

    void Offer(const BeamEntry& entry) {
        if (!Admits(entry.distance)) {
            if (resumable_) PushHeap(entry);
            return;
        }
        InsertSorted(entry);
        if (entry.live) ++live_;
        // Evict from the back until the last entry is the capacity-th live one.
        while (live_ > capacity_ || (live_ == capacity_ && !pool_[pool_.size - 1].live)) {
            const BeamEntry last = pool_[--pool_.size];
            if (last.live) --live_;
            if (resumable_) PushHeap(last);
        }
        if (cursor_ > pool_.size) cursor_ = pool_.size;
    }

    // The nearest unexpanded node of the pool, now marked expanded; null when there is none. Valid until the next
    // Offer.
    const BeamEntry* NextToExpand() {
        while (cursor_ < pool_.size && pool_[cursor_].expanded)
            ++cursor_;
        if (cursor_ == pool_.size) return nullptr;
        pool_[cursor_].expanded = true;
        return &pool_[cursor_++];
    }

    // Takes the nearest live node out; false when the pool holds none. Refills the pool if resumable, so NextToExpand
    // may find work again.
    bool PopFront(BeamEntry* out) {
        DropDeadFront();
        if (front_ == pool_.size) return false;
        *out = pool_[front_++];
        --live_;
        if (cursor_ < front_) cursor_ = front_;
        Refill();
        if (front_ > 1024 && front_ * 2 > pool_.size) Compact();
        return true;
    }

    // Moves everything into the heap's order without further expansion: from now on the beam only drains.
    bool PopAny(BeamEntry* out) {
        for (;;) {
            const bool in_pool = front_ < pool_.size;
            if (!in_pool && heap_.empty()) return false;
            if (in_pool && (heap_.empty() || Nearer(pool_[front_], heap_[0]))) {
                *out = pool_[front_++];
                if (out->live) --live_;
            } else {
                *out = PopHeap();
            }
            if (out->live) return true;
        }
    }

    uint32_t live_count() const { return live_; }
    const BeamEntry* begin() const { return pool_.begin() + front_; }
    const BeamEntry* end() const { return pool_.end(); }
    bool empty() const { return front_ == pool_.size; }

  private:
    static bool Farther(const BeamEntry& a, const BeamEntry& b) { return Nearer(b, a); }

    void InsertSorted(const BeamEntry& entry) {
        pool_.Push(entry);
        BeamEntry* last = pool_.end() - 1;
        BeamEntry* at = std::upper_bound(pool_.begin() + front_, last, entry, Nearer);
        memmove(static_cast<void*>(at + 1), at, static_cast<size_t>(last - at) * sizeof(BeamEntry));
        *at = entry;
        const size_t position = static_cast<size_t>(at - pool_.begin());
        if (position < cursor_) cursor_ = position;
    }
    void PushHeap(const BeamEntry& entry) {
        heap_.Push(entry);
        std::push_heap(heap_.begin(), heap_.end(), Farther);
    }
    BeamEntry PopHeap() {
        std::pop_heap(heap_.begin(), heap_.end(), Farther);
        return heap_[--heap_.size];
    }
    void DropDeadFront() {
        while (front_ < pool_.size && !pool_[front_].live && pool_[front_].expanded)
            ++front_;
        if (cursor_ < front_) cursor_ = front_;
    }
    void Refill() {
        while (live_ < capacity_ && !heap_.empty()) {
            const BeamEntry entry = PopHeap();
            // What comes from the heap is no nearer than the pool's last, unless the pool shrank below it.
            InsertSorted(entry);
            if (entry.live) ++live_;
        }
    }
    void Compact() {
        memmove(static_cast<void*>(pool_.data), pool_.data + front_, (pool_.size - front_) * sizeof(BeamEntry));
        pool_.size -= front_;
        cursor_ -= front_;
        front_ = 0;
    }

    ArenaVec<BeamEntry> pool_;  // sorted; [front_, size) is in use
    ArenaVec<BeamEntry> heap_;  // nearest on top
    size_t front_;
    size_t cursor_;  // no unexpanded entry stands before it
    uint32_t live_;
    uint32_t capacity_;
    bool resumable_;
};

}  // namespace vecann

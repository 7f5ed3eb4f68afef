// Rows of a table as numbers: what indexes hand out before it becomes a set.
#pragma once

#include "core/radix_sort.h"
#include "pg/pg.h"

namespace vecann {

// A place in the table as a number that orders as the place does, block before offset. No page has so many rows that
// their offsets need the sixteenth bit.
inline uint64 NumberOf(const ItemPointerData& tid) {
    return static_cast<uint64>(ItemPointerGetBlockNumberNoCheck(&tid)) << 16 | ItemPointerGetOffsetNumberNoCheck(&tid);
}
inline BlockNumber BlockOf(uint64 row) {
    return static_cast<BlockNumber>(row >> 16);
}
// It says that the row is to be tested again.
constexpr uint64 kMaybeRow = 0x8000;
static_assert(MaxHeapTuplesPerPage < kMaybeRow);
inline OffsetNumber OffsetOf(uint64 row) {
    return static_cast<OffsetNumber>(row & (kMaybeRow - 1));
}
inline ItemPointerData PlaceOf(uint64 row) {
    ItemPointerData tid;
    ItemPointerSet(&tid, BlockOf(row), OffsetOf(row));
    return tid;
}

// Rows, with marks, sorted or not, some perhaps more than once.
struct RowList {
    ArenaVec<uint64> rows;
    bool sorted;  // in ascending order

    void Init(Arena* arena) {
        rows.Init(arena);
        sorted = true;
    }
    void Add(uint64 row) {
        const unsigned offset = OffsetOf(row);
        // as a bitmap has it
        if (offset < 1 || offset > MaxHeapTuplesPerPage) elog(ERROR, "tuple offset out of range: %u", offset);
        sorted = sorted && (rows.empty() || rows[rows.size - 1] <= row);
        rows.Push(row);
    }
    void Clear() {
        rows.Clear();
        sorted = true;
    }
    void Forget() {
        rows.arena->Release(rows.data, rows.capacity);
        Init(rows.arena);
    }
    void Sort() {
        if (sorted) return;
        Arena* arena = rows.arena;
        ArenaVec<uint64> other;
        other.Init(arena, rows.size);
        other.size = rows.size;
        if (RadixSort(rows.data, rows.size, other.data) == other.data) std::swap(rows, other);
        arena->Release(other.data, other.capacity);
        sorted = true;
    }
};

}  // namespace vecann

// The numbers of indexes that never change after the build, as this backend has read them: centroids, codebook,
// rotation.
//
// Invariants: an entry is found by the index's file and the stamp that the build left on the meta page, which every
// search reads; so a REINDEX or TRUNCATE, here, elsewhere or replayed on a standby, makes it another entry. What is no
// longer asked for goes when room is needed.
#pragma once

#include "ivf/ivf_list.h"

namespace vecann {

struct IvfNumbers {
    const float* centroids;  // meta.lists x meta.dim
    const float* codebook;   // null: none
    const float* matrix;     // null: none
};

// The numbers of an index; null when they are too many to be kept. They stay until the next call, which may be for
// another index.
const IvfNumbers* IvfKnownNumbers(const IvfContext& ctx);

// Copies the first `records` records to `numbers`, one behind the other.
void CopyTapeRecords(Relation index, const Tape& tape, uint64 records, float* numbers);

// A stamp for a new index.
uint32 IvfNewStamp();

}  // namespace vecann

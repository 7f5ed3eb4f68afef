// Keys of conditions on a GIN index, and where the index has their rows: what estimates (gin_estimate.h) and reading
// them (gin_rows.h) share. As in the server's own scans (src/backend/access/gin/README).
#pragma once

#include "pg/pg.h"

namespace vecann {

// The keys of one condition, and what the operator class makes of them.
struct GinKeys {
    int32 count;
    Datum* values;
    GinNullCategory* categories;
    GinScanKeyData scan;
};

enum class GinKeysKind {
    kKeys,     // each row that meets the condition has at least one of them
    kNothing,  // no row meets it
    kUnknown,  // they do not tell: parts of keys, rows without any, too many
};

// Takes a condition apart: `query` by the operator of `strategy`, on the index's column `attribute`, from 1. In the
// current memory context, to which the operator class may leave more.
GinKeysKind ExtractGinKeys(GinState* gin, OffsetNumber attribute, StrategyNumber strategy, Datum query, GinKeys* keys);

// What the operator class says of a row of which this is known: the key number `key`, and all others alike.
GinTernaryValue IsConsistent(GinKeys* keys, int32 key, GinTernaryValue with, GinTernaryValue others);
// ... and of one with all keys. Only GIN_TRUE says that they suffice: keys may stand for a part of the condition.
GinTernaryValue IsConsistentWithAll(GinKeys* keys);

// Where the rows of a key are: in a posting tree, or here.
struct GinPostings {
    BlockNumber tree;  // InvalidBlockNumber: none
    int count;         // of items, without a tree
    ItemPointer items;
};
GinPostings FindGinPostings(GinState* gin, const GinKeys& keys, int32 key);

// The items of a posting tree's leaf, of which those in front of `from` may be left out; null: it has none. The caller
// holds a lock on the page.
ItemPointer ItemsOfLeaf(Page page, const ItemPointerData* from, int* count);

// About how many rows a posting tree has; negative: its leaves do not tell.
double RowsOfPostingTree(GinState* gin, BlockNumber root);

}  // namespace vecann

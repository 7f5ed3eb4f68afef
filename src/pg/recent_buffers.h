// Where this backend last saw a block in the buffer pool: the server then pins it without a look-up in its table of
// buffers (ReadRecentBuffer checks that it is still the same block).
//
// A direct-mapped cache, shared by all indexes and tables; a wrong or old entry costs the look-up that it would have
// saved.
#pragma once

#include "pg/pg.h"

namespace vecann {

// Reads a block of the main fork that is known to exist: pinned, not locked.
Buffer ReadRecentBlock(Relation rel, BlockNumber block);

// Asks the processor for a part of a block that is about to be read, if the block was seen in the buffer pool.
void PrefetchRecent(Relation rel, BlockNumber block, size_t offset, size_t bytes);

// Asks the disk for a block of the main fork, unless it was seen in the buffer pool and still is there.
void PrefetchBlock(Relation rel, BlockNumber block);

// Notes where a block is that was read in another way.
void NoteRecent(Relation rel, BlockNumber block, Buffer buffer);

// Pins a block of the table, if it was seen in the buffer pool, for the fetch of a row there that follows. Does nothing
// for a table that is not of access method heap.
void PinRecentRow(IndexFetchTableData* fetch, BlockNumber block);

// Asks the processor for rows of a table, where their blocks were seen in the buffer pool.
void PrefetchRows(Relation table, const ItemPointerData* tids, int n);

}  // namespace vecann

// Reading the lists of an index that vacuum is about to write anew: pages as copies, rows as vectors. Inserts that put
// rows there hold the structure's lock in share mode, each for one row.
#pragma once

#include "ivf/ivf_list.h"

namespace vecann {

struct ListReader {
    IvfContext ctx;
    char* entry;  // a long one, put together from its parts
    PGAlignedBlock copy;
};

// Sets a zeroed reader up.
void IvfOpenReader(ListReader* reader, Relation index, BufferAccessStrategy strategy);

// Copies a page of a list. The view is good until the next call.
ListView IvfCopyPage(ListReader* reader, uint32 list, const PageLink& link);

// Calls take(link, view) for the pages of a list from `link` on as far as `until`. Sleeps as vacuum does, unless
// `hurry`. Returns the number of pages.
template <class Take>
uint64 ForListPages(ListReader* reader, uint32 list, PageLink link, const PageLink& until, bool hurry, Take take) {
    ChainGuard guard = {0};
    while (link.block != InvalidBlockNumber && !SameLink(link, until)) {
        if (hurry)
            CHECK_FOR_INTERRUPTS();
        else
            vacuum_delay_point();
        guard.Step(reader->ctx, link.block);
        const ListView view = IvfCopyPage(reader, list, link);
        take(link, view);
        link = view.next();
    }
    return guard.pages;
}

// The entry of a row of a copied page, whole. Good until the next call.
const char* IvfWholeEntry(ListReader* reader, const ListView& view, int slot);
// Decodes a payload of a list.
void IvfDecodePayload(const IvfContext& ctx, const char* payload, float* vector);

// From now on inserts into the list put a new page at its head. Returns the link to what is the head now, from which on
// nothing changes. Takes the structure's lock.
PageLink IvfFreezeList(const IvfContext& ctx, uint32 list);

// Vacuum that was interrupted leaves pages behind, which the next one is to look for.
void IvfSetStrays(const IvfContext& ctx);

// Adds so many blocks to the relation, one behind another. Returns the first.
BlockNumber IvfReserveBlocks(Relation index, BlockNumber count);

}  // namespace vecann

// Reading lists that vacuum writes anew; see ivf_chain.h. Locks: one page, and the structure's for as
// long as it takes to change the entry of a list.
#include "ivf/ivf_chain.h"

#include "ivf/ivf_vector.h"
#include "storage/page_patch.h"

namespace vecann {

void IvfOpenReader(ListReader* reader, Relation index, BufferAccessStrategy strategy) {
    IvfOpen(&reader->ctx, index);
    reader->ctx.strategy = strategy;
    if (reader->ctx.meta.parts > 0) reader->entry = PallocArray<char>(reader->ctx.meta.entry_size);
}

ListView IvfCopyPage(ListReader* reader, uint32 list, const PageLink& link) {
    LockedPage page(reader->ctx.index, link.block, BUFFER_LOCK_SHARE, reader->ctx.strategy);
    if (!IvfLeadsTo(reader->ctx, page, list, link)) IvfRaiseBroken(reader->ctx, link.block);
    memcpy(reader->copy.data, page.page(), BLCKSZ);
    return ListOf(reader->ctx.meta, reinterpret_cast<Page>(reader->copy.data));
}

const char* IvfWholeEntry(ListReader* reader, const ListView& view, int slot) {
    const IvfMetaData& meta = reader->ctx.meta;
    if (meta.parts == 0) return view.data + static_cast<size_t>(slot) * meta.entry_size;
    memcpy(reader->entry, view.data, HeadBytes(meta));
    IvfReadParts(reader->ctx, view.parts, reader->entry);
    return reader->entry;
}

void IvfDecodePayload(const IvfContext& ctx, const char* payload, float* vector) {
    const IvfMetaData& meta = ctx.meta;
    if (!HasWords(meta)) {
        DecodePayload(PayloadOf(meta), payload, meta.dim, vector);
        return;
    }
    uint32 hash;
    const Datum value = ctx.desc->words->restore(*reinterpret_cast<const WordsHeadData*>(payload), meta.dim);
    if (!ctx.desc->extract(value, meta.dim, vector, &hash))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" has a value that cannot be indexed", RelationGetRelationName(ctx.index)),
                        errhint("Please REINDEX it.")));
    pfree(DatumGetPointer(value));
}

PageLink IvfFreezeList(const IvfContext& ctx, uint32 list) {
    IvfLockStructure(ctx.index, ExclusiveLock);
    PageLink head;
    {
        LockedPage page(ctx.index, DirectoryBlock(ctx.meta, list), BUFFER_LOCK_EXCLUSIVE);
        page.Check(PageKind::kIvfDirectory);
        ListEntryData* entry = EntryOf(page.page(), list);
        head = entry->head;
        if (entry->hint.block != InvalidBlockNumber) {
            PagePatch patch(ctx.index, WriteMode::kLogged);
            ListEntryData* edit = patch.Edit(page.buffer(), entry);
            edit->hint = {InvalidBlockNumber, 0};
            edit->alone = 1;
            patch.Commit();
        }
    }
    IvfUnlockStructure(ctx.index, ExclusiveLock);
    return head;
}

void IvfSetStrays(const IvfContext& ctx) {
    LockedPage page(ctx.index, kMetaBlock, BUFFER_LOCK_EXCLUSIVE);
    PagePatch patch(ctx.index, WriteMode::kLogged);
    // The page of an index of an older version ends before it.
    *patch.Edit(page.buffer(), &reinterpret_cast<PageHeader>(page.page())->pd_lower) =
        static_cast<LocationIndex>(kPageContents + sizeof(IvfMetaData));
    *patch.Edit(page.buffer(), &IvfMetaOf(page.page())->strays) = 1;
    patch.Commit();
}

BlockNumber IvfReserveBlocks(Relation index, BlockNumber count) {
    const bool lock = !RELATION_IS_LOCAL(index);
    if (lock) LockRelationForExtension(index, ExclusiveLock);
    BlockNumber first = InvalidBlockNumber;
    for (BlockNumber i = 0; i < count; ++i) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(index, ExtendRelationLocked(index, MAIN_FORKNUM));
        if (i == 0) first = page.block();
        if (page.block() != first + i)
            elog(ERROR, "the new blocks of index \"%s\" have a gap", RelationGetRelationName(index));
    }
    if (lock) UnlockRelationForExtension(index, ExclusiveLock);
    return first;
}

}  // namespace vecann

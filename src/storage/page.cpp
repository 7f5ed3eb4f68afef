// Page layout: formatting and checking. See README.md.
#include "storage/page.h"

#include "pg/recent_buffers.h"

namespace vecann {

void InitPage(Page page, PageKind kind, size_t content_bytes) {
    Assert(content_bytes <= kPageRoom);
    PageInit(page, BLCKSZ, sizeof(PageOpaqueData));
    PageOpaqueData* opaque = OpaqueOf(page);
    opaque->next = InvalidBlockNumber;
    opaque->kind = static_cast<uint16>(kind);
    opaque->flags = 0;
    opaque->format_version = kFormatVersion;
    opaque->page_id = kPageId;
    reinterpret_cast<PageHeader>(page)->pd_lower = static_cast<LocationIndex>(kPageContents + content_bytes);
}

// The server keeps the size it last saw; relations grow, so only a block beyond that needs a system call. They do not
// shrink under the locks that readers hold.
Buffer ReadLinkedBuffer(Relation rel, BlockNumber block, BufferAccessStrategy strategy) {
    const BlockNumber known = RelationGetSmgr(rel)->smgr_cached_nblocks[MAIN_FORKNUM];
    if ((known == InvalidBlockNumber || block >= known) && block >= RelationGetNumberOfBlocks(rel))
        ereport(ERROR,
                (errcode(ERRCODE_INDEX_CORRUPTED),
                 errmsg("index \"%s\" has no block %u, but a link leads there", RelationGetRelationName(rel), block),
                 errhint("Please REINDEX it.")));
    return strategy == nullptr ? ReadRecentBlock(rel, block)
                               : ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
}

bool IsPageOfKind(Relation rel, Page page, BlockNumber block, PageKind kind) {
    if (PageIsNew(page)) return false;
    if (PageGetSpecialSize(page) != MAXALIGN(sizeof(PageOpaqueData)) || OpaqueOf(page)->page_id != kPageId)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("block %u of index \"%s\" is not a vecann page", block, RelationGetRelationName(rel)),
                        errhint("Please REINDEX it.")));
    if (OpaqueOf(page)->format_version != kFormatVersion)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("index \"%s\" has format version %u, this version of vecann reads %u",
                               RelationGetRelationName(rel), OpaqueOf(page)->format_version, kFormatVersion),
                        errhint("Please REINDEX it.")));
    return OpaqueOf(page)->kind == static_cast<uint16>(kind);
}

void RaiseBadTid(Relation index) {
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("index \"%s\" has a row at no place in the table", RelationGetRelationName(index)),
                    errhint("Please REINDEX it.")));
}

void CheckPageSlowly(Relation rel, Page page, BlockNumber block, PageKind kind) {
    if (IsPageOfKind(rel, page, block, kind)) return;
    if (PageIsNew(page))
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("block %u of index \"%s\" is empty", block, RelationGetRelationName(rel)),
                        errhint("Please REINDEX it.")));
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("block %u of index \"%s\" has page kind %u where %u is expected", block,
                           RelationGetRelationName(rel), OpaqueOf(page)->kind, static_cast<unsigned>(kind)),
                    errhint("Please REINDEX it.")));
}

}  // namespace vecann

// The meta page of a fresh index.
#include "storage/meta_page.h"

namespace vecann {

void WriteMetaPage(Relation index, ForkNumber fork, AccessMethod am, const void* meta, size_t bytes) {
    LockedPage page(index, ExtendRelationLocked(index, fork));
    if (page.block() != kMetaBlock) elog(ERROR, "index \"%s\" is not empty", RelationGetRelationName(index));
    START_CRIT_SECTION();
    InitPage(page.page(), PageKind::kMeta, bytes);
    memcpy(ContentsOf(page.page()), meta, bytes);
    InitMetaHeader(page.page(), am);
    MarkBufferDirty(page.buffer());
    // Generic WAL logs nothing for an unlogged relation, but its init fork must survive a crash.
    if (fork == INIT_FORKNUM) log_newpage_buffer(page.buffer(), true);
    END_CRIT_SECTION();
}

}  // namespace vecann

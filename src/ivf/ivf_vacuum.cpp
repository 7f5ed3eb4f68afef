// Vacuum: clears the live bits of dead rows, takes empty pages out of their lists, and lists pages that nobody has. See
// README.md, "Vacuum".
#include "core/bit_set.h"
#include "ivf/ivf_am.h"
#include "ivf/ivf_relearn.h"
#include "pg/race_point.h"
#include "storage/page_patch.h"

namespace vecann {

namespace {

struct VacuumState {
    IvfContext ctx;
    Arena arena;
    IndexBulkDeleteCallback callback;
    void* callback_state;
    BitSet closed;  // lists whose rows are in others by now; their pages are for IvfRecycle
    BitSet lists;   // that have lost rows, or have an empty page
    double removed;
    double kept;
};
static_assert(std::is_trivially_destructible_v<VacuumState>);

// ---- pages -----------------------------------------------------------------------

// Clears the live bits of a page's dead rows, in one record.
void ClearDead(VacuumState* state, const LockedPage& page, uint32* live) {
    const IvfMetaData& meta = state->ctx.meta;
    const ListView view = ListOf(meta, page.page());
    int dead = 0;
    for (int word = 0; word < LiveWords(meta); ++word) {
        live[word] = view.live[word];
        for (uint32 mask = live[word]; mask != 0; mask &= mask - 1) {
            const int bit = __builtin_ctz(mask);
            ItemPointerData* tid = &view.tids[word * 32 + bit];
            if (!IsRowPlace(*tid) || !state->callback(tid, state->callback_state)) continue;
            live[word] &= ~(1U << bit);
            ++dead;
        }
    }
    state->kept += view.header->live - dead;
    state->removed += dead;
    if (dead == 0) return;
    PagePatch patch(state->ctx.index, WriteMode::kLogged);
    ListPageData* header = patch.Edit(page.buffer(), view.header);
    header->live = static_cast<uint16>(header->live - dead);
    ++header->epoch;
    patch.Put(page.buffer(), view.live, live, static_cast<size_t>(LiveWords(meta)) * sizeof(uint32));
    patch.Commit();
}

// What a block needs once it is unlocked.
enum class Stray : uint8 { kNone, kEmpty, kListPage, kPartPage };

// Looks at one block. The bits of its rows that stay go to `live`.
Stray VisitBlock(VacuumState* state, BlockNumber block, uint32* live) {
    const IvfContext& ctx = state->ctx;
    LockedPage page(ctx.index, block, BUFFER_LOCK_EXCLUSIVE, ctx.strategy);
    if (PageIsNew(page.page())) return Stray::kEmpty;
    const bool listed = (OpaqueOf(page.page())->flags & kPageListed) != 0;
    if (page.Is(PageKind::kIvfPart)) return PartOf(page.page())->head == 0 && !listed ? Stray::kPartPage : Stray::kNone;
    if (!page.Is(PageKind::kIvfList)) return Stray::kNone;
    const uint32 owner = ListOf(ctx.meta, page.page()).header->owner;
    // Pages of another structure are for IvfRecycle.
    if (ListOf(ctx.meta, page.page()).header->structure != static_cast<uint16>(ctx.meta.structure) &&
        reinterpret_cast<PageHeader>(page.page())->pd_lower != kPageContents)
        return Stray::kNone;
    if (owner == 0) return listed ? Stray::kNone : Stray::kListPage;
    if (state->closed.Has(owner - 1) || (owner > ctx.meta.lists && ctx.meta.strays != 0)) return Stray::kNone;
    if (owner > ctx.meta.lists)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                        errmsg("block %u of index \"%s\" belongs to list %u, which does not exist", block,
                               RelationGetRelationName(ctx.index), owner - 1),
                        errhint("Please REINDEX it.")));
    const double removed = state->removed;
    ClearDead(state, page, live);
    // An empty page may be left from a vacuum that was interrupted.
    if (state->removed > removed || ListOf(ctx.meta, page.page()).header->live == 0) state->lists.Add(owner - 1);
    return Stray::kNone;
}

void VisitBlocks(VacuumState* state) {
    const IvfContext& ctx = state->ctx;
    uint32* live = PallocArray<uint32>(static_cast<size_t>(LiveWords(ctx.meta)));
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        switch (VisitBlock(state, block, live)) {
            case Stray::kEmpty:
                // A crash right after the relation was extended.
                FormatIfNew(ctx.index, IvfListPages(ctx.meta), block);
                ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), block);
                break;
            case Stray::kListPage:
                ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), block);
                break;
            case Stray::kPartPage:
                ListPage(ctx.index, WriteMode::kLogged, IvfPartPages(), block);
                break;
            case Stray::kNone:
                break;
        }
    }
    pfree(live);
}

// ---- lists -----------------------------------------------------------------------

// Where the chain leads to a page: from the page before, or from the directory.
struct Before {
    bool directory;
    BlockNumber block;
};

// Takes an empty page out of its list. False when it is not empty any more, or has another page before it since.
bool Unlink(const IvfContext& ctx, uint32 list, const Before& before, const PageLink& link) {
    LockedPair pair(ctx.index, before.block, link.block);
    const LockedPage &from = pair.a(), &page = pair.b();
    const ListView view = ListOf(ctx.meta, page.page());
    if (!IvfLeadsTo(ctx, page, list, link) || view.header->live > 0) return false;
    const PageLink next = view.next();
    PagePatch patch(ctx.index, WriteMode::kLogged);
    if (before.directory) {
        const ListEntryData* entry = EntryOf(from.page(), list);
        if (!SameLink(entry->head, link)) return false;
        ListEntryData* edit = patch.Edit(from.buffer(), EntryOf(from.page(), list));
        edit->head = next;
        // An insert that comes to a page of another generation begins again.
        if (SameLink(edit->hint, link)) edit->hint = next;
    } else {
        ListPageData* header = patch.Edit(from.buffer(), ListOf(ctx.meta, from.page()).header);
        header->next = next.block;
        header->next_generation = next.generation;
    }
    ListPageData* header = patch.Edit(page.buffer(), view.header);
    header->owner = 0;
    ++header->generation;
    ++header->epoch;
    patch.Commit();
    return true;
}

void SetHint(const IvfContext& ctx, uint32 list, const PageLink& hint) {
    LockedPage page(ctx.index, DirectoryBlock(ctx.meta, list), BUFFER_LOCK_EXCLUSIVE);
    const ListEntryData* entry = EntryOf(page.page(), list);
    if (SameLink(entry->hint, hint) && entry->alone == 0) return;
    PagePatch patch(ctx.index, WriteMode::kLogged);
    ListEntryData* edit = patch.Edit(page.buffer(), EntryOf(page.page(), list));
    edit->hint = hint;
    edit->alone = 0;
    patch.Commit();
}

// Walks a list that has lost rows: frees its empty pages, and lets inserts look for room from the first page that has
// some. Only vacuum takes pages out, and pages come in at the head: the chain behind a page stands still.
void MendList(const IvfContext& ctx, uint32 list) {
    PageLink link = IvfReadEntry(ctx, list).head, hint = {InvalidBlockNumber, 0};
    Before before = {true, DirectoryBlock(ctx.meta, list)};
    ChainGuard guard = {0};
    while (link.block != InvalidBlockNumber) {
        vacuum_delay_point();
        guard.Step(ctx, link.block);
        PageLink next;
        int live;
        {
            LockedPage page(ctx.index, link.block, BUFFER_LOCK_SHARE, ctx.strategy);
            if (!IvfLeadsTo(ctx, page, list, link)) return;
            const ListView view = ListOf(ctx.meta, page.page());
            next = view.next();
            live = view.header->live;
        }
        VECANN_RACE_POINT("ivf-vacuum-before-unlink");
        if (live == 0 && Unlink(ctx, list, before, link)) {
            ListPage(ctx.index, WriteMode::kLogged, IvfListPages(ctx.meta), link.block);
        } else {
            if (live < ctx.meta.slots && hint.block == InvalidBlockNumber) hint = link;
            before = {false, link.block};
        }
        link = next;
    }
    SetHint(ctx, list, hint);
}

}  // namespace

extern "C" IndexBulkDeleteResult* ivf_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                                  IndexBulkDeleteCallback callback, void* callback_state) {
    if (stats == nullptr) stats = PallocZeroed<IndexBulkDeleteResult>();
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf vacuum", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    VacuumState state;
    memset(static_cast<void*>(&state), 0, sizeof(state));
    IvfOpen(&state.ctx, info->index);
    state.ctx.strategy = info->strategy;
    state.arena = MakeArena(memory);
    state.callback = callback;
    state.callback_state = callback_state;
    state.lists.Init(&state.arena, state.ctx.meta.lists);
    IvfFindClosed(state.ctx, &state.arena, &state.closed);
    VisitBlocks(&state);
    // Who reads an older directory finds the chains by the heads that they had then.
    const bool unlinks = !IvfHasOldReaders(state.ctx);
    for (uint32 list = 0; list < state.ctx.meta.lists && unlinks; ++list)
        if (state.lists.Has(list)) MendList(state.ctx, list);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    stats->num_index_tuples = state.kept;
    stats->tuples_removed += state.removed;
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    return stats;
}

extern "C" IndexBulkDeleteResult* ivf_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats) {
    if (info->analyze_only) return stats;
    if (stats == nullptr) {
        // Nothing was deleted: the heap's count stands.
        stats = PallocZeroed<IndexBulkDeleteResult>();
        stats->num_index_tuples = info->num_heap_tuples;
        stats->estimated_count = true;
    }
    const bool deleted = !stats->estimated_count;
    if (IvfRelearn(info->index, info->strategy))
        IvfRewriteLists(info->index, info->strategy, {info->num_heap_tuples, stats->num_index_tuples, deleted});
    stats->num_pages = RelationGetNumberOfBlocks(info->index);
    return stats;
}

}  // namespace vecann

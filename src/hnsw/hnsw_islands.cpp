// A repair looks at one neighbourhood at a time: where most of a graph is deleted, what is left of a cluster may find
// all its edges within. Searches come there by the seeds all the same, but do not get from there to the rest, or back.
// See README.md, "Islands".
#include "hnsw/hnsw_islands.h"

#include <algorithm>

#include "core/bit_set.h"
#include "hnsw/hnsw_link.h"

namespace vecann {

namespace {

// One link may bring back a whole cluster, or one slot alone. So an eighth of what is out of reach is linked, and then
// the rest looked at again.
constexpr size_t kLinkedShare = 8, kLeastLinked = 16;
constexpr int kMostRounds = 8;

struct Walk {
    HnswContext* ctx;
    Arena arena;
    BitSet reached;   // slots that a walk from the entry point comes to
    BitSet followed;  // those whose edges have been followed
    ArenaVec<uint32> beyond;
};

template <class Visit>
void ForLiveSlots(const HnswContext& ctx, BlockNumber block, Visit visit) {
    LockedPage page(ctx.index, block, BUFFER_LOCK_SHARE, ctx.strategy);
    HnswForSlots(ctx, page, [&](uint32 id, const SlotView& slot) {
        if (slot.state() == SlotState::kLive) visit(id, slot);
    });
}

// Follows what has been reached on one page. True when that led to slots on this page, or behind it in this direction.
bool FollowPage(Walk* walk, BlockNumber block, bool forward) {
    const HnswMetaData& meta = walk->ctx->meta;
    bool again = false;
    const auto reach = [&](uint32 id) {
        if (!walk->reached.Add(id)) return;
        const BlockNumber to = BlockOfId(meta, id);
        again |= forward ? to <= block : to >= block;
    };
    ForLiveSlots(*walk->ctx, block, [&](uint32 id, const SlotView& slot) {
        if (!walk->reached.Has(id) || !walk->followed.Add(id)) return;
        for (int e = 0; e < slot.header->edge_count; ++e)
            reach(slot.edges[e].id);
        if (slot.header->level > 0) reach(slot.header->down);
    });
    return again;
}

// Follows all that has been reached: whole pages in their order, there and back, until nothing is left to follow.
void Follow(Walk* walk) {
    bool forward = true;
    for (bool again = true; again; forward = !forward) {
        again = false;
        const BlockNumber blocks = RelationGetNumberOfBlocks(walk->ctx->index);
        for (BlockNumber i = kMetaBlock + 1; i < blocks; ++i) {
            vacuum_delay_point();
            again |= FollowPage(walk, forward ? i : blocks - i, forward);
        }
    }
}

// Finds the slots out of reach, of each tower the topmost.
void CollectBeyond(Walk* walk) {
    const HnswContext& ctx = *walk->ctx;
    walk->beyond.Clear();
    const BlockNumber blocks = RelationGetNumberOfBlocks(ctx.index);
    for (BlockNumber block = kMetaBlock + 1; block < blocks; ++block) {
        vacuum_delay_point();
        walk->beyond.Reserve(walk->beyond.size + ctx.meta.slots);  // no allocation under the lock
        ForLiveSlots(ctx, block, [&](uint32 id, const SlotView& slot) {
            if (!walk->reached.Has(id) && slot.header->up == kInvalidId) walk->beyond.Push(id);
        });
    }
}

void Link(Walk* walk, uint32 id) {
    HnswContext* ctx = walk->ctx;
    MemoryContextReset(ctx->memory);
    ctx->arena = MakeArena(ctx->memory);
    PageKind kind;
    {
        LockedPage page(ctx->index, BlockOfId(ctx->meta, id), BUFFER_LOCK_SHARE, ctx->strategy);
        kind = page.Is(PageKind::kNode) ? PageKind::kNode : PageKind::kUpper;
    }
    char* payload = HnswPayloadRoom(ctx);
    ProbedSlot slot;
    if (!HnswProbe(ctx, id, kind, kAnyGeneration, &slot, payload) || slot.state != SlotState::kLive) return;
    const void* vector = HnswKeepVector(ctx->form, &ctx->arena, payload);
    HnswRelinkSlot(ctx, slot.level, {id, slot.generation, vector});
}

}  // namespace

void HnswLinkIslands(HnswContext* ctx) {
    const HnswMetaData meta = HnswReadMeta(ctx->index);
    if (meta.entry == kInvalidId) return;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "hnsw islands", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(ctx->memory);
    Walk walk;
    walk.ctx = ctx;
    walk.arena = MakeArena(memory);
    walk.reached.Init(&walk.arena, HnswIdSpace(*ctx));
    walk.followed.Init(&walk.arena, HnswIdSpace(*ctx));
    walk.beyond.Init(&walk.arena);
    for (int round = 0; round < kMostRounds; ++round) {
        // From the start: a link takes the place of an edge that something else may have hung on.
        walk.reached.Clear();
        walk.followed.Clear();
        walk.reached.Add(meta.entry);
        Follow(&walk);
        CollectBeyond(&walk);
        if (walk.beyond.empty()) break;
        const size_t n = walk.beyond.size, links = Min(n, Max(n / kLinkedShare, kLeastLinked));
        for (size_t i = 0; i < links; ++i) {
            vacuum_delay_point();
            Link(&walk, walk.beyond[i * n / links]);
        }
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(ctx->memory);
    ctx->arena = MakeArena(ctx->memory);
    MemoryContextDelete(memory);
}

}  // namespace vecann

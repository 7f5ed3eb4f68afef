// Walking an index; see ivf_walk.h. Locks: one page at a time, share; distances and estimates are computed under it.
#include "ivf/ivf_walk.h"

#include <algorithm>

#include "ivf/ivf_am.h"
#include "pg/race_point.h"
#include "pg/recent_buffers.h"
#include "pg/scratch.h"
#include "quant/value_payload.h"

namespace vecann {

namespace {

// Rows that the first round of a batch keeps; each further one keeps four times as many, as far as there is room. Where
// it is known how many the query wants, a multiple of that will do: few rows beyond those wanted are read from the
// table.
constexpr size_t kFirstRound = 400;
constexpr size_t kRoundGrowth = 4;
constexpr double kLeastOfCodes = 160, kCodesOfRow = 6;
constexpr double kLeastOfPayloads = 40, kPayloadsOfRow = 2;
// Rows that fit work_mem are kept at most, but so many in any case. Arrays of rows being gathered hold twice as many,
// and growing takes as much again.
constexpr size_t kLeastRoom = kFirstRound * kRoundGrowth;
constexpr size_t kBytesOfRow = 4 * sizeof(Hit) + 2 * sizeof(BoundedHit);

// Who has been given so many rows and wants more is after farther neighbours, which stand in more lists: half as many
// again, and again at each doubling. Up to there a query for ten rows reads the table for codes that err.
constexpr uint64 kFirstWidening = 128;

// Types rather than functions, so that the algorithms have them inline.
struct ListFarther {
    bool operator()(const RankedList& a, const RankedList& b) const {
        return a.distance > b.distance || (a.distance == b.distance && a.list > b.list);
    }
};
// Ties are broken by the TID: what a search meets twice stands together.
struct HitNearer {
    bool operator()(const Hit& a, const Hit& b) const {
        if (likely(a.distance != b.distance)) return a.distance < b.distance;
        return ItemPointerCompare(const_cast<ItemPointer>(&a.tid), const_cast<ItemPointer>(&b.tid)) < 0;
    }
};
struct BoundedFarther {
    bool operator()(const BoundedHit& a, const BoundedHit& b) const {
        // NaN, which all have when nothing orders them, is neither.
        if (a.bounds.lower > b.bounds.lower) return true;
        if (a.bounds.lower < b.bounds.lower) return false;
        return HitNearer()(b.hit, a.hit);
    }
};

// ---- gathering -------------------------------------------------------------------

bool IsMember(IvfWalk* walk, const ItemPointerData& tid) {
    ++walk->ctx.counts.filter_tests;
    return walk->filter->members->Find(ItemPointerGetBlockNumberNoCheck(&tid),
                                       ItemPointerGetOffsetNumberNoCheck(&tid)) != Membership::kOut;
}

// Keeps the nearest of what was gathered.
void Trim(IvfWalk* walk) {
    if (walk->hits.size <= walk->most) return;
    Hit* last = walk->hits.begin() + walk->most - 1;
    std::nth_element(walk->hits.begin(), last, walk->hits.end(), HitNearer());
    walk->hits.size = walk->most;
    walk->limit = last->distance;
    walk->dropped = true;
}

void AddHit(IvfWalk* walk, const Hit& hit) {
    walk->largest_error = Max(walk->largest_error, hit.error);
    walk->largest_norm = Max(walk->largest_norm, hit.norm);
    if (hit.distance > walk->limit) {
        walk->dropped = true;
        return;
    }
    if (walk->has_after && !HitNearer()(walk->after, hit)) return;
    walk->hits.Push(hit);
    if (walk->hits.size >= 2 * walk->most) Trim(walk);
}

// Does this row count for the query? The caller may have another test of it to make.
bool Wanted(IvfWalk* walk, const ItemPointerData& tid) {
    if (walk->filter == nullptr) return true;
    const bool member = IsMember(walk, tid);
    walk->gathering.Add(member);
    walk->members += member ? 1 : 0;
    return member;
}

// The kind of payload that rows are measured by.
PayloadKind PayloadKindOf(const IvfMetaData& meta) {
    return HasStored(meta) ? StoredKind(meta) : PayloadOf(meta);
}

Hit PayloadHit(const IvfWalk& walk, const char* payload) {
    Hit hit;
    memset(static_cast<void*>(&hit), 0, sizeof(hit));
    hit.distance = walk.payloads.Distance(payload);
    const PayloadErrorBound error =
        PayloadErrorOf(*walk.ctx.desc, PayloadKindOf(walk.ctx.meta), walk.ctx.meta.dim, payload);
    hit.error = error.error;
    hit.norm = error.norm;
    return hit;
}

// The estimate of a code as a search distance.
Hit CodeHit(const IvfWalk& walk, const ListView& view, int slot) {
    Hit hit;
    memset(static_cast<void*>(&hit), 0, sizeof(hit));
    const float estimate = walk.codes.estimates[slot];
    hit.distance = walk.codes.halve ? estimate / 2 - 1 : estimate;
    if (!(hit.distance == hit.distance)) hit.distance = std::numeric_limits<float>::infinity();
    hit.error = IvfCodeError(walk.ctx.meta, view, slot, walk.codes);
    return hit;
}

// The rows of one page that are live. The caller holds a lock on it.
void GatherRows(IvfWalk* walk, const ListView& view, BlockNumber block) {
    const IvfMetaData& meta = walk->ctx.meta;
    const bool codes = walk->ordered && !HasPayload(meta);
    if (codes) {
        // A little more than halving and rounding can take away; who comes too many is judged again.
        constexpr float kRoundedUp = 1.000001F;
        const float limit = walk->codes.halve ? (walk->limit + 1) * 2 * kRoundedUp : walk->limit;
        IvfScoreCodes(meta, view, limit, &walk->codes);
        walk->ctx.counts.codes += view.header->live;
    }
    for (int word = 0; word < LiveWords(meta); ++word) {
        uint32 mask = view.live[word];
        if (codes && (mask & ~walk->codes.masks[word]) != 0) {
            walk->dropped = true;
            // A filter counts all rows.
            if (walk->filter == nullptr) mask &= walk->codes.masks[word];
        }
        for (; mask != 0; mask &= mask - 1) {
            const int slot = word * 32 + __builtin_ctz(mask);
            if (!Wanted(walk, view.tids[slot])) continue;
            Hit hit;
            memset(static_cast<void*>(&hit), 0, sizeof(hit));
            if (codes)
                hit = CodeHit(*walk, view, slot);
            else if (walk->ordered)
                hit = PayloadHit(*walk, view.data + static_cast<size_t>(slot) * meta.entry_size);
            hit.tid = view.tids[slot];
            hit.slot = static_cast<uint16>(slot);
            hit.block = meta.stored_on_page > 0 ? view.parts[StoredPlaceOf(meta, slot).part] : block;
            AddHit(walk, hit);
        }
    }
    walk->ctx.counts.expanded += view.header->live;
    if (walk->ordered && !codes) walk->ctx.counts.exact_distances += view.header->live;
}

// A page with one long entry, as it was at one moment.
struct LongPage {
    BlockNumber parts[kIvfMostParts];
    uint32 epoch;
    ItemPointerData tid;
};

// Reads the entry of a long page; false when the row has gone meanwhile.
bool ReadLong(IvfWalk* walk, const PageLink& link, uint32 list, const LongPage& page) {
    IvfReadParts(walk->ctx, page.parts, walk->entry);
    VECANN_RACE_POINT("ivf-scan-after-parts");
    {
        LockedPage again(walk->ctx.index, link.block, BUFFER_LOCK_SHARE, walk->ctx.strategy);
        if (IvfLeadsTo(walk->ctx, again, list, link))
            return ListOf(walk->ctx.meta, again.page()).header->epoch == page.epoch;
    }
    // Taken out of its list, which happens to empty pages, or to those of a list that nobody should be reading.
    if (RecoveryInProgress()) IvfCheckStructure(walk->ctx);
    return false;
}

// ---- lists -----------------------------------------------------------------------

// Asks for a page that is about to be scanned.
void AskFor(const IvfWalk& walk, const PageLink& link) {
    if (link.block == InvalidBlockNumber || walk.ctx.meta.parts > 0) return;
    PrefetchRecent(walk.ctx.index, link.block, kPageContents, walk.ctx.meta.content_bytes);
}

// Gathers the rows of one page of a list and turns to the next; false when the link does not lead there any more.
bool GatherPage(IvfWalk* walk, uint32 list, PageLink* link) {
    const IvfMetaData& meta = walk->ctx.meta;
    LongPage row;
    const PageLink here = *link;
    walk->hits.Reserve(walk->hits.size + meta.slots);  // no allocation under the lock
    ++walk->ctx.counts.pages;
    {
        LockedPage page(walk->ctx.index, link->block, BUFFER_LOCK_SHARE, walk->ctx.strategy);
        if (!IvfLeadsTo(walk->ctx, page, list, *link)) return false;
        CheckOldSnapshot(walk->ctx.snapshot, walk->ctx.index, page.page());
        const ListView view = ListOf(meta, page.page());
        *link = view.next();
        AskFor(*walk, *link);
        if (view.header->live == 0) return true;
        if (meta.parts == 0) {
            GatherRows(walk, view, here.block);
            return true;
        }
        memcpy(row.parts, view.parts, sizeof(row.parts));
        row.epoch = view.header->epoch;
        row.tid = view.tids[0];
        memcpy(walk->entry, view.data, HeadBytes(meta));
    }
    ++walk->ctx.counts.expanded;
    if (!Wanted(walk, row.tid)) return true;
    Hit hit;
    memset(static_cast<void*>(&hit), 0, sizeof(hit));
    if (walk->ordered) {
        if (!ReadLong(walk, here, list, row)) return true;
        walk->ctx.counts.pages += meta.parts;
        ++walk->ctx.counts.exact_distances;
        hit = PayloadHit(*walk, walk->entry);
    }
    hit.tid = row.tid;
    hit.block = here.block;
    AddHit(walk, hit);
    return true;
}

void GatherList(IvfWalk* walk, const RankedList& list) {
    PageLink broken = {InvalidBlockNumber, 0};
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        const ListEntryData entry = IvfReadEntry(walk->ctx, list.list);
        ++walk->ctx.counts.pages;
        if (walk->ordered && !HasPayload(walk->ctx.meta))
            IvfEnterList(walk->ctx, walk->query, list, entry.error, &walk->codes);
        PageLink link = entry.head;
        bool whole = true;
        ChainGuard guard = {0};
        while (whole && link.block != InvalidBlockNumber) {
            CHECK_FOR_INTERRUPTS();
            guard.Step(walk->ctx, link.block);
            VECANN_RACE_POINT("ivf-scan-before-page");
            whole = GatherPage(walk, list.list, &link);
        }
        if (whole) return;
        // Vacuum takes a page out together with the link to it. Who meets the same dead link again reads a list that is
        // no more, or a broken one.
        if (SameLink(link, broken)) {
            IvfCheckStructure(walk->ctx);
            IvfRaiseBroken(walk->ctx, link.block);
        }
        broken = link;
    }
}

// ---- rounds and batches ----------------------------------------------------------

// Of a payload.
OrderBounds BoundsOfPayload(const IvfWalk& walk, float distance, float error, float norm) {
    return BoundsOf(*walk.ctx.desc, walk.ctx.meta.dim, {walk.query.norm, 0}, distance, {error, norm, false});
}

OrderBounds BoundsOfHit(const IvfWalk& walk, float distance, float error, float norm) {
    if (!walk.ordered) return {walk.unordered_value, walk.unordered_value};
    if (HasPayload(walk.ctx.meta)) return BoundsOfPayload(walk, distance, error, norm);
    float least = distance - error;
    if (walk.ctx.desc->metric == Metric::kL2) least = Max(least, 0.0F);
    const double lower = walk.ctx.desc->order_value(least);
    return {std::isfinite(lower) ? lower : -get_float8_infinity(), get_float8_infinity()};
}

BoundedHit Bounded(const IvfWalk& walk, const Hit& hit) {
    // Without an error, payloads are the numbers of the value itself.
    const bool exact = walk.ordered && HasPayload(walk.ctx.meta) && walk.ctx.meta.parts == 0 && hit.error == 0 &&
                       !walk.ctx.desc->unit_norm;
    return {BoundsOfHit(walk, hit.distance, hit.error, hit.norm), hit, exact};
}

// No row that was not kept may be nearer than this.
double RestOf(const IvfWalk& walk) {
    float distance = walk.limit, error = walk.largest_error;
    if (!HasPayload(walk.ctx.meta)) IvfLeastBeyond(walk.ctx.meta, walk.codes, &distance, &error);
    return BoundsOfHit(walk, distance, error, walk.largest_norm).lower;
}

void BeginRound(IvfWalk* walk) {
    walk->hits.Clear();
    walk->limit = std::numeric_limits<float>::infinity();
    walk->dropped = false;
    walk->largest_error = walk->largest_norm = 0;
    walk->codes.largest_error = 0;
}

// Gives what was gathered its bounds and its order.
void EndRound(IvfWalk* walk) {
    Trim(walk);
    walk->kept.Clear();
    walk->kept.Reserve(walk->hits.size);
    for (const Hit& hit : walk->hits)
        walk->kept.Push(Bounded(*walk, hit));
    std::make_heap(walk->kept.begin(), walk->kept.end(), BoundedFarther());
    walk->rest = get_float8_infinity();
    if (!walk->dropped) return;
    walk->rest = RestOf(*walk);
    walk->after = *std::max_element(walk->hits.begin(), walk->hits.end(), HitNearer());
    walk->has_after = true;
}

// The next list; false when there is none, or no more may be searched.
bool NextList(IvfWalk* walk, RankedList* list) {
    if (walk->lists.empty() || walk->probed >= walk->settings.max_probes) return false;
    std::pop_heap(walk->lists.begin(), walk->lists.end(), ListFarther());
    *list = walk->lists[--walk->lists.size];
    ++walk->probed;
    return true;
}

// Has a search with a filter met enough?
bool EnoughMembers(IvfWalk* walk) {
    const SearchFilter* filter = walk->filter;
    if (filter->most_nodes > 0 && (walk->ctx.counts.expanded >= filter->most_nodes ||
                                   walk->gathering.IsHopeless(static_cast<double>(filter->most_nodes)))) {
        walk->gave_up = true;
        return true;
    }
    return walk->gathering.Enough(static_cast<double>(walk->members));
}

uint32 ListsThatFit(const IvfWalk& walk) {
    const double rows = Max(walk.ctx.meta.built_rows / walk.ctx.meta.open_lists(), 1.0);
    return static_cast<uint32>(Min(static_cast<double>(walk.room) / rows, static_cast<double>(kIvfMaxLists)));
}

// Gathers the rows of the next lists; false when there are none.
bool NextBatch(IvfWalk* walk) {
    uint32 count = walk->settings.probes;
    if (walk->probed > 0 && !walk->settings.iterative) return false;
    // Who asks for ever more gets ever more at a time, as long as the rows can be kept together.
    if (walk->probed > 0) count = Max(count, Min(walk->probed / 2, ListsThatFit(*walk)));
    if (!walk->ordered) count = 1;
    walk->batch.Clear();
    walk->most = walk->first_round;
    walk->has_after = walk->has_farthest = false;
    walk->members = 0;
    BeginRound(walk);
    RankedList list;
    for (uint32 n = 0;; ++n) {
        if (n >= count && (walk->filter == nullptr || !walk->settings.iterative || EnoughMembers(walk))) break;
        if (!NextList(walk, &list)) break;
        walk->batch.Push(list);
        if (n + 1 < count && !walk->lists.empty()) AskFor(*walk, IvfReadEntry(walk->ctx, walk->lists[0].list).head);
        GatherList(walk, list);
    }
    if (walk->filter != nullptr) walk->gathering.NextRound();
    // Who asked for the search does the rest in another way.
    if (walk->gave_up) return false;
    EndRound(walk);
    return !walk->batch.empty();
}

// Reads the lists of the batch again for rows behind those kept before.
void NextRound(IvfWalk* walk) {
    walk->most = Min(walk->most * kRoundGrowth, walk->room);
    BeginRound(walk);
    for (const RankedList& list : walk->batch)
        GatherList(walk, list);
    EndRound(walk);
}

// From here on the rounds bring what lies behind `last`, which may be nearer than what they left out so far.
void LeaveToRounds(IvfWalk* walk, const Hit& last) {
    walk->dropped = walk->has_after = true;
    walk->after = last;
    BoundedHit* end = std::remove_if(walk->kept.begin(), walk->kept.end(),
                                     [&last](const BoundedHit& row) { return HitNearer()(last, row.hit); });
    walk->kept.size = static_cast<size_t>(end - walk->kept.begin());
    std::make_heap(walk->kept.begin(), walk->kept.end(), BoundedFarther());
}

// Lets a list join the batch. All of its rows are kept that are not farther than those that the round drops, or that
// there is room for; false, and nothing is changed, when some left out are nearer than one that was handed out.
bool JoinList(IvfWalk* walk, const RankedList& list) {
    const float limit = walk->limit;
    const bool dropped = walk->dropped, has_after = walk->has_after;
    const size_t most = walk->most;
    if (walk->kept.size >= walk->room) return false;
    walk->hits.Clear();
    walk->most = walk->room - walk->kept.size;
    walk->has_after = false;
    GatherList(walk, list);
    Trim(walk);
    const bool full = walk->hits.size >= walk->most;
    walk->most = most;
    walk->has_after = has_after;
    if (full) {
        const Hit last = *std::max_element(walk->hits.begin(), walk->hits.end(), HitNearer());
        if (!walk->has_farthest || !HitNearer()(walk->farthest, last)) {
            walk->limit = limit;
            walk->dropped = dropped;
            return false;
        }
        // `after` is of a round that has left nothing out since, unless something is.
        if (!dropped || HitNearer()(last, walk->after)) LeaveToRounds(walk, last);
    }
    walk->batch.Push(list);
    for (const Hit& hit : walk->hits) {
        // Rows behind the last one kept come with the next round.
        if (walk->dropped && HitNearer()(walk->after, hit)) continue;
        walk->kept.Push(Bounded(*walk, hit));
        std::push_heap(walk->kept.begin(), walk->kept.end(), BoundedFarther());
    }
    return true;
}

// Lets more lists join the batch.
void Widen(IvfWalk* walk) {
    walk->widen_at *= 2;
    RankedList list;
    for (uint32 n = Max<uint32>(walk->probed / 2, 1); n > 0 && NextList(walk, &list); --n) {
        if (JoinList(walk, list)) continue;
        // It comes with a later batch, and so do all others.
        walk->lists.Push(list);
        std::push_heap(walk->lists.begin(), walk->lists.end(), ListFarther());
        --walk->probed;
        walk->widen_at = PG_UINT64_MAX;
        break;
    }
    if (walk->dropped) walk->rest = RestOf(*walk);
}

// ---- rows on their way out -------------------------------------------------------

// Room for one payload.
char* EntryOf(IvfWalk* walk) {
    if (walk->entry == nullptr) {
        const IvfMetaData& meta = walk->ctx.meta;
        walk->entry = static_cast<char*>(MemoryContextAlloc(
            walk->memory, HasStored(meta) ? StoredBytes(meta) : static_cast<size_t>(meta.entry_size)));
    }
    return walk->entry;
}

// Takes the nearest of the rows kept, unless it is the one before once more: a list that was begun again has been met
// twice in part.
bool TakeKept(IvfWalk* walk, BoundedHit* next) {
    std::pop_heap(walk->kept.begin(), walk->kept.end(), BoundedFarther());
    *next = walk->kept[--walk->kept.size];
    CheckTid(walk->ctx.index, next->hit.tid);
    if (walk->has_taken && ItemPointerEquals(&next->hit.tid, &walk->taken.tid) &&
        next->hit.distance == walk->taken.distance)
        return false;
    walk->taken = next->hit;
    walk->has_taken = true;
    if (!walk->has_farthest || HitNearer()(walk->farthest, next->hit)) walk->farthest = next->hit;
    walk->has_farthest = true;
    return true;
}

// Measures a row by the payload that is stored beside its code.
void Measure(IvfWalk* walk, const BoundedHit& row) {
    const IvfContext& ctx = walk->ctx;
    // What will probably be measured next.
    if (ctx.meta.stored_on_page > 0 && !walk->kept.empty()) {
        const Hit& next = walk->kept[0].hit;
        PrefetchRecent(ctx.index, next.block,
                       kPageContents + sizeof(PartPageData) + StoredPlaceOf(ctx.meta, next.slot).offset,
                       sizeof(StoredHeadData) + StoredBytes(ctx.meta));
    }
    char* payload = EntryOf(walk);
    walk->ctx.counts.pages += ctx.meta.stored_on_page > 0 ? 1 : 1 + ctx.meta.stored_each;
    // The row has gone meanwhile, and no snapshot in use sees it.
    if (!IvfReadStored(ctx, row.hit.block, row.hit.slot, row.hit.tid, payload)) return;
    ++walk->ctx.counts.exact_distances;
    BoundedHit measured = {{}, PayloadHit(*walk, payload), IsExactPayload(payload)};
    measured.bounds = BoundsOfPayload(*walk, measured.hit.distance, measured.hit.error, measured.hit.norm);
    measured.hit.tid = row.hit.tid;
    measured.hit.slot = row.hit.slot;
    measured.hit.block = row.hit.block;
    walk->measured.Push(measured);
    std::push_heap(walk->measured.begin(), walk->measured.end(), BoundedFarther());
}

// No row that is kept, or comes with the next round, is nearer; as far as codes tell.
double FloorOfKept(const IvfWalk& walk) {
    if (!walk.kept.empty()) return walk.kept[0].bounds.lower;
    return walk.dropped ? -get_float8_infinity() : get_float8_infinity();
}

bool MeasuredMayGoOut(const IvfWalk& walk) {
    return !walk.measured.empty() && walk.measured[0].bounds.lower <= FloorOfKept(walk);
}

// Makes a row the one handed out last.
void HandOut(IvfWalk* walk, const BoundedHit& next) {
    const bool behind = !walk->has_last || next.bounds.lower >= walk->last.bounds.upper;
    walk->last = next;
    ++walk->handed;
    walk->has_last = true;
    const bool payloads = HasPayload(walk->ctx.meta);
    double following = walk->kept.empty() ? walk->rest : Min(walk->kept[0].bounds.lower, walk->rest);
    if (walk->measures) following = FloorOfKept(*walk);
    if (!walk->measured.empty()) following = Min(following, walk->measured[0].bounds.lower);
    walk->apart = walk->ordered && behind && next.bounds.upper <= following;
    // What a round left out may be nearer than its limit by the largest error. (The bounds of codes are no certain
    // ones; those left out are not looked at.)
    const double nearest = payloads ? Min(next.bounds.lower, walk->rest) : next.bounds.lower;
    walk->settled = walk->apart ? next.bounds.upper : nearest;
    // The rows of a batch all go out before the next lists are searched.
    const bool last = walk->kept.empty() && !walk->dropped && walk->measured.empty();
    if (!walk->ordered || last) walk->settled = get_float8_infinity();
}

// ---- start -----------------------------------------------------------------------

size_t FirstRound(const IvfMetaData& meta, const SearchQuery& query) {
    if (query.filter != nullptr || query.wanted <= 0) return kFirstRound;
    const double rows = HasPayload(meta) ? Max(query.wanted * kPayloadsOfRow, kLeastOfPayloads)
                                         : Max(query.wanted * kCodesOfRow, kLeastOfCodes);
    return static_cast<size_t>(Min(rows, static_cast<double>(kFirstRound * kRoundGrowth)));
}

void RankLists(IvfWalk* walk) {
    const uint32 n = walk->ctx.meta.lists;
    float* distances = walk->arena.Allocate<float>(n);
    if (walk->ordered)
        IvfCentroidDistances(walk->ctx, walk->query, distances);
    else
        memset(distances, 0, n * sizeof(float));
    walk->lists.Init(&walk->arena, n);
    for (uint32 list = 0; list < n; ++list)
        walk->lists.Push({distances[list], list});
    std::make_heap(walk->lists.begin(), walk->lists.end(), ListFarther());
    walk->arena.Release(distances, n);
}

void KeepCounts(const IvfWalk& walk) {
    if (walk.started) KeepLastScan(walk.ctx.counts);
}

}  // namespace

void IvfWalkInit(IvfWalk* walk) {
    walk->memory = AllocSetContextCreate(CurrentMemoryContext, "ivf scan", ALLOCSET_DEFAULT_SIZES);
}

void IvfWalkReset(IvfWalk* walk, Relation index) {
    KeepCounts(*walk);
    MemoryContext memory = walk->memory;
    MemoryContextReset(memory);
    memset(static_cast<void*>(walk), 0, sizeof(*walk));
    walk->memory = memory;
    MemoryContext old = MemoryContextSwitchTo(memory);
    IvfOpen(&walk->ctx, index);
    walk->arena = MakeScratchArena(memory);
    MemoryContextSwitchTo(old);
}

void IvfWalkStart(IvfWalk* walk, const SearchQuery& query) {
    IvfContext* ctx = &walk->ctx;
    pgstat_count_index_scan(ctx->index);
    ctx->snapshot = query.snapshot;
    walk->started = true;
    walk->filter = query.filter;
    walk->settings = IvfSettingsOf(ctx->meta);
    walk->batch.Init(&walk->arena);
    walk->hits.Init(&walk->arena);
    walk->kept.Init(&walk->arena);
    walk->measured.Init(&walk->arena);
    IvfInitVector(*ctx, &walk->query);
    if (ctx->meta.parts > 0) walk->entry = PallocArray<char>(ctx->meta.entry_size);
    if (!query.is_null) {
        walk->ordered = IvfExtract(*ctx, query.value, &walk->query);
        // A zero vector has no cosine distance to anything: the operator says NaN.
        walk->unordered_value = get_float8_nan();
    }
    walk->measures = walk->ordered && HasStored(ctx->meta);
    if (walk->ordered && (HasPayload(ctx->meta) || walk->measures)) walk->payloads = IvfPayloadQuery(*ctx, walk->query);
    if (walk->ordered && !HasPayload(ctx->meta)) IvfInitCodeQuery(*ctx, walk->query, &walk->arena, &walk->codes);
    if (walk->filter != nullptr) {
        const double rows = Max(ctx->meta.built_rows / ctx->meta.open_lists(), 1.0);
        walk->gathering = Gathering::Of(Max(rows * walk->settings.probes, 1.0), walk->filter->wanted);
    }
    walk->first_round = FirstRound(ctx->meta, query);
    walk->room = Max(static_cast<size_t>(work_mem) * 1024 / kBytesOfRow, kLeastRoom);
    walk->widen_at = kFirstWidening;
    if (!walk->ordered || !walk->settings.iterative || !walk->settings.widens || walk->filter != nullptr)
        walk->widen_at = PG_UINT64_MAX;
    RankLists(walk);
    VECANN_RACE_POINT("ivf-scan-after-start");
}

bool IvfWalkNext(IvfWalk* walk) {
    while (!walk->done) {
        BoundedHit next;
        if (MeasuredMayGoOut(*walk)) {
            std::pop_heap(walk->measured.begin(), walk->measured.end(), BoundedFarther());
            next = walk->measured[--walk->measured.size];
            HandOut(walk, next);
            return true;
        }
        CHECK_FOR_INTERRUPTS();
        if (walk->kept.empty()) {
            if (walk->dropped)
                NextRound(walk);
            else if (!NextBatch(walk))
                walk->done = true;
            continue;
        }
        if (walk->handed >= walk->widen_at) Widen(walk);
        if (!TakeKept(walk, &next)) continue;
        if (walk->measures) {
            Measure(walk, next);
            continue;
        }
        HandOut(walk, next);
        return true;
    }
    return false;
}

Datum IvfWalkValue(IvfWalk* walk) {
    const IvfMetaData& meta = walk->ctx.meta;
    if (!walk->last.exact) return 0;
    const Hit& hit = walk->last.hit;
    char* payload = EntryOf(walk);
    ItemPointerData tid = hit.tid;
    if (walk->measures) {
        if (!IvfReadStored(walk->ctx, hit.block, hit.slot, tid, payload)) return 0;
    } else {
        LockedPage page(walk->ctx.index, hit.block, BUFFER_LOCK_SHARE, walk->ctx.strategy);
        page.Check(PageKind::kIvfList);
        const ListView view = ListOf(meta, page.page());
        if (view.header->owner == 0 || view.header->structure != meta.structure || !view.IsLive(hit.slot) ||
            !ItemPointerEquals(&view.tids[hit.slot], &tid))
            return 0;
        memcpy(payload, view.data + static_cast<size_t>(hit.slot) * meta.entry_size, meta.entry_size);
    }
    MemoryContext old = MemoryContextSwitchTo(walk->memory);
    if (HasWords(meta)) {
        if (walk->restored != 0) pfree(DatumGetPointer(walk->restored));
        walk->restored = walk->ctx.desc->words->restore(*reinterpret_cast<const WordsHeadData*>(payload), meta.dim);
    } else {
        if (walk->numbers == nullptr) walk->numbers = PallocArray<float>(static_cast<size_t>(meta.dim));
        DecodePayload(PayloadKindOf(meta), payload, meta.dim, walk->numbers);
        walk->restored = walk->ctx.desc->restore(walk->numbers, meta.dim, walk->restored);
    }
    MemoryContextSwitchTo(old);
    return walk->restored;
}

void IvfWalkEnd(IvfWalk* walk) {
    KeepCounts(*walk);
    MemoryContextDelete(walk->memory);
    memset(static_cast<void*>(walk), 0, sizeof(*walk));
}

}  // namespace vecann

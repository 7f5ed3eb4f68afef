// Rows of GIN conditions; see gin_rows.h.
//
// Locks are those of the server's own scans (src/backend/access/gin/README, "Concurrency"): one page at a time, for
// reading; to the right, and along the pending list, the next page before the last is let go. The pending list comes
// before the trees: what moves from it to them meanwhile is met twice, and not missed.
#include "planner/gin_rows.h"

#include <algorithm>
#include <cmath>

#include "pg/memory.h"
#include "pg/race_point.h"
#include "planner/gin_keys.h"

namespace vecann {

namespace {

// What the rows under a condition's keys say of the condition.
enum class Rule {
    kAll,     // rows that meet it have all keys
    kAny,     // they have one, and any will do
    kServer,  // neither
};

struct Condition {
    GinKeys keys;
    Rule rule;
    bool certain;  // there is nothing to be tested again
};

Rule RuleOf(GinKeys* keys, bool* certain) {
    int32 required = 0, enough = 0, certainly = 0;
    for (int32 i = 0; i < keys->count; ++i) {
        if (IsConsistent(keys, i, GIN_FALSE, GIN_MAYBE) == GIN_FALSE) ++required;
        const GinTernaryValue alone = IsConsistent(keys, i, GIN_TRUE, GIN_FALSE);
        if (alone != GIN_FALSE) ++enough;
        if (alone == GIN_TRUE && IsConsistent(keys, i, GIN_TRUE, GIN_MAYBE) == GIN_TRUE) ++certainly;
    }
    if (required == keys->count) {
        *certain = IsConsistentWithAll(keys) == GIN_TRUE;
        return Rule::kAll;
    }
    *certain = certainly == keys->count;
    return required == 0 && enough == keys->count ? Rule::kAny : Rule::kServer;
}

// One key's rows.
struct KeyRows {
    GinPostings postings;
    double expected;  // about so many; negative: not known
};

struct Reader {
    GinState* gin;
    Relation index;
    uint64 most;
    Condition* conditions;
    int count;
    double table_rows;  // negative: not known
};

// Adds the items of a list behind the last row that came from there before; false when there are too many.
bool AddItems(const Reader& reader, const ItemPointerData* items, int count, uint64* last, RowList* list) {
    if (list->rows.size + static_cast<uint64>(count) > reader.most) return false;
    for (int i = 0; i < count; ++i) {
        const uint64 row = NumberOf(items[i]);
        if (row <= *last) continue;
        list->Add(row);
        *last = row;
    }
    return true;
}

// All rows of a posting tree; false when they are too many. Between two leaves the lock is let go, so that a cancel
// ends it: what a split moves to the right meanwhile is met again there.
bool ReadTree(const Reader& reader, BlockNumber root, RowList* list) {
    GinBtreeData postings;
    GinBtreeStack* stack = GinFirstPostingLeaf(&postings, reader.index, root);
    bool have_room = true;
    for (uint64 last = 0;;) {
        int count;
        const ItemPointer items = ItemsOfLeaf(BufferGetPage(stack->buffer), nullptr, &count);
        LockBuffer(stack->buffer, GIN_UNLOCK);
        have_room = AddItems(reader, items, count, &last, list);
        if (items != nullptr) pfree(items);
        CHECK_FOR_INTERRUPTS();
        VECANN_RACE_POINT("gin-rows-between-leaves");
        if (!have_room) break;
        LockBuffer(stack->buffer, GIN_SHARE);
        if (GinPageRightMost(BufferGetPage(stack->buffer))) {
            LockBuffer(stack->buffer, GIN_UNLOCK);
            break;
        }
        stack->buffer = ginStepRight(stack->buffer, reader.index, GIN_SHARE);
    }
    freeGinBtreeStack(stack);
    return have_room;
}

bool ReadKey(const Reader& reader, const GinPostings& postings, RowList* list) {
    if (postings.tree != InvalidBlockNumber) return ReadTree(reader, postings.tree, list);
    uint64 last = 0;
    return AddItems(reader, postings.items, postings.count, &last, list);
}

// Goes on in a sorted list from `*at` and keeps what is among `items`, as far as these go.
void KeepAmong(const ItemPointerData* items, int count, size_t* at, size_t* kept, ArenaVec<uint64>* rows) {
    for (int i = 0; i < count; ++i) {
        const uint64 item = NumberOf(items[i]);
        while (*at < rows->size && (*rows)[*at] < item)
            ++*at;
        if (*at == rows->size) return;
        if ((*rows)[*at] == item) (*rows)[(*kept)++] = (*rows)[(*at)++];
    }
}

// Keeps the rows of a sorted list that are in a posting tree as well. Leaves where no row belongs are not read.
void CrossTree(const Reader& reader, BlockNumber root, ArenaVec<uint64>* rows) {
    GinBtreeData postings;
    GinBtreeStack* stack = GinFirstPostingLeaf(&postings, reader.index, root);
    LockBuffer(stack->buffer, GIN_UNLOCK);
    freeGinBtreeStack(stack);
    size_t at = 0, kept = 0;
    while (at < rows->size) {
        CHECK_FOR_INTERRUPTS();
        VECANN_RACE_POINT("gin-rows-before-crossing");
        const ItemPointerData place = PlaceOf((*rows)[at]);
        stack = GinFindPostingLeaf(&postings, place);
        const Page page = BufferGetPage(stack->buffer);
        const uint64 end = GinPageRightMost(page) ? UINT64_MAX : NumberOf(*GinDataPageGetRightBound(page));
        int count;
        const ItemPointer items = ItemsOfLeaf(page, &place, &count);
        LockBuffer(stack->buffer, GIN_UNLOCK);
        freeGinBtreeStack(stack);
        KeepAmong(items, count, &at, &kept, rows);
        while (at < rows->size && (*rows)[at] <= end)
            ++at;
        if (items != nullptr) pfree(items);
    }
    rows->size = kept;
}

void Cross(const Reader& reader, const GinPostings& postings, RowList* list) {
    if (postings.tree != InvalidBlockNumber) {
        CrossTree(reader, postings.tree, &list->rows);
        return;
    }
    size_t at = 0, kept = 0;
    KeepAmong(postings.items, postings.count, &at, &kept, &list->rows);
    list->rows.size = kept;
}

// Rows with all keys of all conditions. The rarest key's come first; of rows that are to be tested anyway a key that
// half of the table has tells little, and its list is long.
bool ReadAll(const Reader& reader, bool certain, RowList* list) {
    int32 keys = 0;
    for (int i = 0; i < reader.count; ++i)
        keys += reader.conditions[i].keys.count;
    KeyRows* of_key = PallocArray<KeyRows>(static_cast<size_t>(keys));
    int32 n = 0, rarest = 0;
    for (int i = 0; i < reader.count; ++i) {
        for (int32 key = 0; key < reader.conditions[i].keys.count; ++key, ++n) {
            KeyRows* rows = &of_key[n];
            rows->postings = FindGinPostings(reader.gin, reader.conditions[i].keys, key);
            rows->expected = rows->postings.count;
            if (rows->postings.tree != InvalidBlockNumber)
                rows->expected = keys == 1 ? 0 : RowsOfPostingTree(reader.gin, rows->postings.tree);
            if (rows->expected < 0) rows->expected = get_float8_infinity();
            if (rows->expected < of_key[rarest].expected) rarest = n;
        }
    }
    const double least = of_key[rarest].expected;
    if (std::isfinite(least) && least > static_cast<double>(reader.most)) return false;
    if (!ReadKey(reader, of_key[rarest].postings, list)) return false;
    for (n = 0; n < keys && !list->rows.empty(); ++n) {
        const bool tells = certain || reader.table_rows < 0 || of_key[n].expected < reader.table_rows / 2;
        if (n != rarest && tells) Cross(reader, of_key[n].postings, list);
    }
    return true;
}

bool ReadAny(const Reader& reader, RowList* list) {
    const GinKeys& keys = reader.conditions[0].keys;
    for (int32 key = 0; key < keys.count; ++key)
        if (!ReadKey(reader, FindGinPostings(reader.gin, keys, key), list)) return false;
    list->Sort();
    list->rows.size = static_cast<size_t>(std::unique(list->rows.begin(), list->rows.end()) - list->rows.begin());
    return true;
}

// Keys of the first condition that rows in the pending list are compared with: where rows have them all, one.
int32 ComparedKeys(const Reader& reader) {
    const Condition& condition = reader.conditions[0];
    return condition.rule == Rule::kAll ? 1 : condition.keys.count;
}

// Is this, of the pending list, a row under one of these keys?
bool IsUnderKey(const Reader& reader, IndexTuple entry) {
    const GinKeys& keys = reader.conditions[0].keys;
    const OffsetNumber attribute = keys.scan.attnum;
    if (gintuple_get_attrnum(reader.gin, entry) != attribute) return false;
    GinNullCategory category;
    const Datum value = gintuple_get_key(reader.gin, entry, &category);
    for (int32 key = 0; key < ComparedKeys(reader); ++key)
        if (ginCompareEntries(reader.gin, attribute, value, category, keys.values[key], keys.categories[key]) == 0)
            return true;
    return false;
}

// Rows that wait in the pending list and may meet the conditions, with marks; false when it is long. No cancel ends it,
// for a page is locked all the time: so only so many comparisons.
bool ReadPending(const Reader& reader, RowList* list) {
    const BlockNumber most = 512 / static_cast<BlockNumber>(ComparedKeys(reader));
    Buffer buffer = ReadBuffer(reader.index, GIN_METAPAGE_BLKNO);
    LockBuffer(buffer, GIN_SHARE);
    const GinMetaPageData* meta = GinPageGetMeta(BufferGetPage(buffer));
    BlockNumber next = meta->head;
    // It may grow at its end meanwhile.
    BlockNumber pages = next != InvalidBlockNumber && meta->nPendingPages > most ? most + 1 : 0;
    for (; next != InvalidBlockNumber && pages <= most && list->rows.size <= reader.most; ++pages) {
        const Buffer following = ReadBuffer(reader.index, next);
        LockBuffer(following, GIN_SHARE);
        UnlockReleaseBuffer(buffer);
        buffer = following;
        const Page page = BufferGetPage(buffer);
        const OffsetNumber last = PageGetMaxOffsetNumber(page);
        for (OffsetNumber offset = FirstOffsetNumber; offset <= last; ++offset) {
            const IndexTuple entry = reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, offset)));
            if (IsUnderKey(reader, entry)) list->Add(NumberOf(entry->t_tid) | kMaybeRow);
        }
        next = GinPageGetOpaque(page)->rightlink;
    }
    UnlockReleaseBuffer(buffer);
    return next == InvalidBlockNumber;
}

// With the conditions' keys at hand, of which several are of rule kAll. Pending rows are read first and come last.
bool ReadConditions(const Reader& reader, RowList* pending, RowList* list) {
    if (!ReadPending(reader, pending)) return false;
    VECANN_RACE_POINT("gin-rows-before-trees");
    bool certain = true;
    for (int i = 0; i < reader.count; ++i)
        certain = certain && reader.conditions[i].certain;
    const bool any = reader.conditions[0].rule == Rule::kAny;
    if (!(any ? ReadAny(reader, list) : ReadAll(reader, certain, list))) return false;
    if (list->rows.size + pending->rows.size > reader.most) return false;
    if (!certain)
        for (uint64& row : list->rows)
            row |= kMaybeRow;
    for (const uint64 row : pending->rows)
        list->Add(row);
    return true;
}

enum class Outcome { kRead, kNothing, kServer };

Outcome ReadScan(IndexScanDesc scan, double table_rows, uint64 most, RowList* list) {
    GinState* gin = &static_cast<GinScanOpaque>(scan->opaque)->ginstate;
    const int count = scan->numberOfKeys;
    Condition* conditions = PallocArray<Condition>(static_cast<size_t>(count));
    bool nothing = false;
    for (int i = 0; i < count; ++i) {
        const ScanKey key = &scan->keyData[i];
        if ((key->sk_flags & SK_ISNULL) != 0) return Outcome::kNothing;
        const GinKeysKind kind = ExtractGinKeys(gin, static_cast<OffsetNumber>(key->sk_attno), key->sk_strategy,
                                                key->sk_argument, &conditions[i].keys);
        if (kind == GinKeysKind::kUnknown) return Outcome::kServer;
        nothing = nothing || kind == GinKeysKind::kNothing;
        if (nothing) continue;
        conditions[i].rule = RuleOf(&conditions[i].keys, &conditions[i].certain);
        if (conditions[i].rule == Rule::kServer) return Outcome::kServer;
        if (conditions[i].rule == Rule::kAny && count > 1) return Outcome::kServer;
    }
    if (nothing) return Outcome::kNothing;
    const Reader reader = {gin, scan->indexRelation, most, conditions, count, table_rows};
    RowList pending;
    pending.Init(list->rows.arena);
    const bool read = ReadConditions(reader, &pending, list);
    pending.Forget();
    return read ? Outcome::kRead : Outcome::kServer;
}

}  // namespace

bool ReadGinRows(IndexScanDesc scan, double table_rows, uint64 most, RowList* list) {
    if (IsolationIsSerializable() || GinFuzzySearchLimit > 0 || DoSnapshotsExpire() || scan->numberOfKeys < 1)
        return false;
    // What the operator class leaves is gone afterwards.
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "vecann GIN rows", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    const Outcome outcome = ReadScan(scan, table_rows, most, list);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    if (outcome != Outcome::kRead) list->Clear();
    if (outcome == Outcome::kServer) return false;
    pgstat_count_index_scan(scan->indexRelation);
    pgstat_count_index_tuples(scan->indexRelation, static_cast<PgStat_Counter>(list->rows.size));
    return true;
}

}  // namespace vecann

// Keys of conditions on a GIN index; see gin_keys.h.
#include "planner/gin_keys.h"

namespace vecann {

GinKeysKind ExtractGinKeys(GinState* gin, OffsetNumber attribute, StrategyNumber strategy, Datum query, GinKeys* keys) {
    bool *partial = nullptr, *nulls = nullptr;
    Pointer* extra = nullptr;
    int32 mode = GIN_SEARCH_MODE_DEFAULT;
    *keys = {};
    const int column = attribute - 1;
    keys->values = reinterpret_cast<Datum*>(DatumGetPointer(
        FunctionCall7Coll(&gin->extractQueryFn[column], gin->supportCollation[column], query,
                          PointerGetDatum(&keys->count), UInt16GetDatum(strategy), PointerGetDatum(&partial),
                          PointerGetDatum(&extra), PointerGetDatum(&nulls), PointerGetDatum(&mode))));
    constexpr int32 kMostKeys = 64;
    if (mode != GIN_SEARCH_MODE_DEFAULT || keys->count > kMostKeys) return GinKeysKind::kUnknown;
    if (keys->values == nullptr || keys->count <= 0) return GinKeysKind::kNothing;
    const size_t n = static_cast<size_t>(keys->count);
    keys->categories = static_cast<GinNullCategory*>(palloc0(n * sizeof(GinNullCategory)));
    for (size_t i = 0; i < n; ++i) {
        if (partial != nullptr && partial[i]) return GinKeysKind::kUnknown;
        keys->categories[i] = nulls != nullptr && nulls[i] ? GIN_CAT_NULL_KEY : GIN_CAT_NORM_KEY;
    }
    GinScanKeyData* scan = &keys->scan;
    scan->nentries = scan->nuserentries = static_cast<uint32>(keys->count);
    scan->entryRes = static_cast<GinTernaryValue*>(palloc0(n * sizeof(GinTernaryValue)));
    scan->query = query;
    scan->queryValues = keys->values;
    scan->queryCategories = keys->categories;
    scan->extra_data = extra;
    scan->strategy = strategy;
    scan->searchMode = mode;
    scan->attnum = attribute;
    ginInitConsistentFunction(gin, scan);
    return GinKeysKind::kKeys;
}

GinTernaryValue IsConsistent(GinKeys* keys, int32 key, GinTernaryValue with, GinTernaryValue others) {
    memset(keys->scan.entryRes, others, static_cast<size_t>(keys->count) * sizeof(GinTernaryValue));
    keys->scan.entryRes[key] = with;
    // An operator class without a ternary function says beside a plain "true" whether the row is to be tested again.
    keys->scan.recheckCurItem = false;
    const GinTernaryValue answer = keys->scan.triConsistentFn(&keys->scan);
    return answer == GIN_TRUE && keys->scan.recheckCurItem ? GIN_MAYBE : answer;
}

GinTernaryValue IsConsistentWithAll(GinKeys* keys) {
    return IsConsistent(keys, 0, GIN_TRUE, GIN_TRUE);
}

GinPostings FindGinPostings(GinState* gin, const GinKeys& keys, int32 key) {
    const OffsetNumber attribute = keys.scan.attnum;
    GinBtreeData entries;
    ginPrepareEntryScan(&entries, attribute, keys.values[key], keys.categories[key], gin);
    GinBtreeStack* stack = GinFindEntryLeaf(&entries);
    const Page page = BufferGetPage(stack->buffer);
    GinPostings postings = {InvalidBlockNumber, 0, nullptr};
    if (entries.findItem(&entries, stack)) {
        const IndexTuple entry = reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, stack->off)));
        if (GinIsPostingTree(entry))
            postings.tree = GinGetPostingTree(entry);
        else
            postings.items = ginReadTuple(gin, attribute, entry, &postings.count);
    }
    // Before a posting tree is locked, for vacuum's sake, as in the server's scans. An entry stays, and so does the
    // root of its tree.
    LockBuffer(stack->buffer, GIN_UNLOCK);
    freeGinBtreeStack(stack);
    return postings;
}

ItemPointer ItemsOfLeaf(Page page, const ItemPointerData* from, int* count) {
    *count = 0;
    if (GinPageIsDeleted(page)) return nullptr;
    ItemPointerData first;
    ItemPointerSetMin(&first);
    return GinDataLeafPageGetItems(page, count, from != nullptr ? *from : first);
}

// The fullest of its first leaves, for each leaf that the server's own scan expects. VACUUM leaves thin and empty ones,
// mostly where the oldest rows were.
double RowsOfPostingTree(GinState* gin, BlockNumber root) {
    constexpr int kLeaves = 4;
    GinBtreeData postings;
    GinBtreeStack* stack = GinFirstPostingLeaf(&postings, gin->index, root);
    int most = 0;
    for (int i = 0; i < kLeaves; ++i) {
        const Page page = BufferGetPage(stack->buffer);
        int items;
        const ItemPointer list = ItemsOfLeaf(page, nullptr, &items);
        if (list != nullptr) pfree(list);
        most = Max(most, items);
        if (GinPageRightMost(page)) break;
        stack->buffer = ginStepRight(stack->buffer, gin->index, GIN_SHARE);
    }
    const double leaves = Max<uint32>(stack->predictNumber, 1);
    LockBuffer(stack->buffer, GIN_UNLOCK);
    freeGinBtreeStack(stack);
    return most == 0 && leaves > 1 ? -1 : most * leaves;
}

}  // namespace vecann

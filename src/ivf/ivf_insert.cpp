// Inserting one row. See README.md, "Insert".
#include "ivf/ivf_am.h"
#include "pg/race_point.h"

namespace vecann {

void IvfInsertVector(const IvfContext& ctx, const IvfVector& value, const ItemPointerData& tid) {
    RowImage row;
    memset(static_cast<void*>(&row), 0, sizeof(row));
    row.tid = tid;
    uint32 list;
    if (HasPayload(ctx.meta)) {
        list = IvfNearestList(ctx, value, nullptr);
        char* payload = PallocArray<char>(ctx.meta.entry_size);
        IvfEncodePayload(ctx, value, payload);
        row.entry = payload;
    } else {
        float* centroid = PallocArray<float>(static_cast<size_t>(ctx.meta.dim));
        list = IvfNearestList(ctx, value, centroid);
        IvfEncodeCode(ctx, IvfKnownCodebook(ctx), value, centroid, &row);
        if (HasStored(ctx.meta)) {
            char* stored = PallocArray<char>(StoredBytes(ctx.meta));
            IvfEncodeStored(ctx, value.plain, stored);
            row.stored = stored;
        }
    }
    IvfPutRow(ctx, list, row);
}

extern "C" bool ivf_insert(Relation index, Datum* values, bool* isnull, ItemPointer heap_tid, Relation,
                           IndexUniqueCheck, bool, IndexInfo*) {
    if (isnull[0]) return false;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf insert", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    IvfContext ctx;
    IvfOpen(&ctx, index);
    IvfVector value;
    IvfInitVector(ctx, &value);
    if (IvfExtract(ctx, values[0], &value)) {
        // Vacuum may put another structure in the place of this one, but not while a row is on its way into it.
        VECANN_RACE_POINT("ivf-insert-before-lock");
        IvfLockStructure(index, ShareLock);
        const bool learnt = ctx.meta.trained != 0;
        ctx.meta = IvfReadMeta(index);
        VECANN_RACE_POINT("ivf-insert-with-lock");
        if (!learnt && ctx.meta.trained != 0) {
            // It has; the new one may have a rotation.
            IvfVector again;
            IvfInitVector(ctx, &again);
            memcpy(again.plain, value.plain, static_cast<size_t>(ctx.meta.dim) * sizeof(float));
            again.hash = value.hash;
            IvfRotate(ctx, &again);
            value = again;
        }
        IvfInsertVector(ctx, value, *heap_tid);
        IvfUnlockStructure(index, ShareLock);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return false;
}

}  // namespace vecann

// Inserting one row. See README.md, "Insert".
#include "ivf/ivf_am.h"

namespace vecann {

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
        RowImage row;
        memset(static_cast<void*>(&row), 0, sizeof(row));
        row.tid = *heap_tid;
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
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
    return false;
}

}  // namespace vecann

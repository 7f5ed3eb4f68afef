// Numbers that the backend keeps; see ivf_known.h. Memory is a context for each index below TopMemoryContext.
#include "ivf/ivf_known.h"

#include "ivf/ivf_codes.h"

namespace vecann {

namespace {

struct CopyTo {
    float* to;
    size_t floats;
};

void CopyRecord(void* arg, uint64 record, const float* numbers) {
    const CopyTo* copy = static_cast<CopyTo*>(arg);
    memcpy(copy->to + record * copy->floats, numbers, copy->floats * sizeof(float));
}

}  // namespace

void CopyTapeRecords(Relation index, const Tape& tape, uint64 records, float* numbers) {
    CopyTo copy = {numbers, static_cast<size_t>(tape.floats)};
    ForTapeRecords(index, tape, records, CopyRecord, &copy);
}

namespace {

// Of one index, and of all of a backend.
constexpr uint64 kMostBytes = uint64{8} * 1024 * 1024;
constexpr uint64 kMostBytesTogether = 2 * kMostBytes;

struct Known {
    Known* next;  // the one used before it
    MemoryContext memory;
    Oid tablespace;
    uint32 file;
    uint32 stamp;
    uint64 bytes;
    IvfNumbers numbers;
};
Known* latest = nullptr;
uint64 together = 0;

bool IsOf(const Known& known, const IvfContext& ctx) {
    return known.stamp == ctx.meta.stamp && known.file == RelFileNumberOf(ctx.index) &&
           known.tablespace == ctx.index->rd_rel->reltablespace;
}

uint64 BytesOf(const IvfMetaData& meta) {
    uint64 floats = static_cast<uint64>(meta.lists) * meta.dim;
    if (meta.codebook != 0) floats += IvfPqShape(meta).codebook_floats();
    if (meta.matrix != 0) floats += static_cast<uint64>(meta.dim) * meta.dim;
    return floats * sizeof(float);
}

const float* ReadTape(Relation index, const Tape& tape, uint64 records) {
    float* numbers = PallocArray<float>(records * static_cast<size_t>(tape.floats));
    CopyTapeRecords(index, tape, records, numbers);
    return numbers;
}

// The current context goes if this fails, and what was read with it.
Known* Read(const IvfContext& ctx, uint64 bytes) {
    const IvfMetaData& meta = ctx.meta;
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "ivf numbers", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(memory);
    Known* known = PallocZeroed<Known>();
    known->memory = memory;
    known->tablespace = ctx.index->rd_rel->reltablespace;
    known->file = RelFileNumberOf(ctx.index);
    known->stamp = meta.stamp;
    known->bytes = bytes;
    known->numbers.centroids = ReadTape(ctx.index, CentroidTape(meta), meta.lists);
    if (meta.codebook != 0) known->numbers.codebook = ReadTape(ctx.index, CodebookTape(meta), meta.m);
    if (meta.matrix != 0) known->numbers.matrix = ReadTape(ctx.index, {meta.matrix, meta.dim}, meta.dim);
    MemoryContextSwitchTo(old);
    MemoryContextSetParent(memory, TopMemoryContext);
    return known;
}

// Takes the entry out that has gone unused for the longest time.
void DropOldest() {
    Known** at = &latest;
    while ((*at)->next != nullptr)
        at = &(*at)->next;
    Known* oldest = *at;
    *at = nullptr;
    together -= oldest->bytes;
    MemoryContextDelete(oldest->memory);
}

}  // namespace

const IvfNumbers* IvfKnownNumbers(const IvfContext& ctx) {
    // Built by a version that left no stamp.
    if (ctx.meta.stamp == 0) return nullptr;
    for (Known** at = &latest; *at != nullptr; at = &(*at)->next) {
        Known* known = *at;
        if (!IsOf(*known, ctx)) continue;
        *at = known->next;
        known->next = latest;
        latest = known;
        return &known->numbers;
    }
    const uint64 bytes = BytesOf(ctx.meta);
    if (bytes > kMostBytes) return nullptr;
    while (together + bytes > kMostBytesTogether)
        DropOldest();
    Known* known = Read(ctx, bytes);
    known->next = latest;
    latest = known;
    together += bytes;
    return &known->numbers;
}

uint32 IvfNewStamp() {
    uint32 stamp = 0;
    while (stamp == 0)
        if (!pg_strong_random(&stamp, sizeof(stamp))) elog(ERROR, "could not generate a random stamp");
    return stamp;
}

}  // namespace vecann

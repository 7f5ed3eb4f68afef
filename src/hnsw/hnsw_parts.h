// The parts of payloads that do not fit their slots: writing, reading, freeing. See README.md, "Split payloads".
//
// Invariant: what a part holds never changes while it has one generation. So what a reader copied from a slot tells it
// afterwards, without the slot's lock, whether a part is still the slot's.
#pragma once

#include "hnsw/hnsw_search.h"

namespace vecann {

constexpr PartRefData kNoPart = {kInvalidId, 0};

// What a slot says of its parts, copied under its lock.
struct SlotParts {
    int count;
    uint32 slot;
    uint32 generation;  // of the slot
    PageKind kind;
    PayloadHeadData head;
    PartRefData refs[kMaxParts];
};

// Of words the form's scratch takes what stands in the slot.
inline void HnswCopyParts(const HnswContext& ctx, uint32 id, PageKind kind, const SlotView& slot, SlotParts* out) {
    const HnswMetaData& meta = ctx.meta;
    out->count = PartsOf(meta, slot.payload);
    if (HasWords(meta)) memcpy(ctx.form.scratch, slot.payload, SlotPayloadBytes(meta, slot.payload));
    out->slot = id;
    out->generation = slot.header->generation;
    out->kind = kind;
    memcpy(static_cast<void*>(&out->head), slot.payload, sizeof(out->head));
    memcpy(static_cast<void*>(out->refs), slot.parts, meta.part_count * sizeof(PartRefData));
}

// Does a part belong to a payload of this head, as part `number`?
bool HnswIsPartOf(const PayloadHeadData& head, const PartRefData& ref, int number, PartHeaderData* part);

// Reads the parts of a slot. With a query, adds their distances from it to *distance; with `payload`, completes it: the
// caller has copied there what stands in the slot. Words are completed in the form's scratch, where HnswCopyParts has
// begun; `payload` gets a copy. False when the slot has been freed since. Raises ERRCODE_INDEX_CORRUPTED when it has
// not, and a part is not its own. The caller holds no lock.
bool HnswReadParts(HnswContext* ctx, const SlotParts& parts, const IndexedVector* query, float* distance,
                   void* payload);

// The same for a slot that is no longer locked: adds the distances of its parts. False when its generation is no longer
// `generation`.
bool HnswAddPartDistances(HnswContext* ctx, uint32 id, PageKind kind, uint32 generation, const IndexedVector& query,
                          float* distance);

// Writes one part of a payload to a free place on a page that is being edited; of words, with where the next one is.
void HnswFillPart(const HnswMetaData& meta, const void* payload, int number, const PartRefData& next,
                  PartHeaderData* part);
// The next part of a chain; kNoPart at its end, and where parts are not chained.
PartRefData HnswNextPart(const HnswMetaData& meta, PartHeaderData* part);

// Copies the elements of a part to their place in a whole payload.
void HnswCopyPart(const HnswMetaData& meta, int number, PartHeaderData* part, void* payload);

// Writes the parts of a payload from the last to the first, those of a page in one record. `refs` has room for
// part_count references; without parts the first is kNoPart. Until a slot refers to them, nobody reads them, and vacuum
// frees them once it has waited for the caller, which holds the insert lock or builds.
void HnswWriteParts(const HnswContext& ctx, const void* payload, PartRefData* refs);

// Moves a reference on to the next part of its chain. False when it refers to no part of its generation in use. The
// caller holds no lock.
bool HnswStepChain(const HnswContext& ctx, PartRefData* ref);

// Frees a part if it is in use with this generation, and those that it leads to. The caller is the vacuum and holds no
// lock.
void HnswFreePart(const HnswContext& ctx, PartRefData ref);

}  // namespace vecann

// The verifier's look at split payloads: every part that a slot refers to is its own, and the vector they make up.
// Locks: one page at a time, share, for a copy.
//
// A part that no slot has is no problem, but counted with the deleted slots: an insert or a vacuum that was cut short
// leaves it, and the next vacuum frees it.
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

namespace {

void CheckPart(HnswVerifier* v, uint32 id, const SlotView& slot, int number) {
    const PartRefData& ref = slot.parts[number];
    const BlockNumber block = BlockOfPart(v->meta, ref.id);
    const int place = PlaceOfPart(v->meta, ref.id);
    if (block >= v->blocks || v->block[block].kind != static_cast<uint16>(PageKind::kPart)) {
        SlotProblem(v, id, "its vector goes on in part %d of block %u, which is no page of parts", place, block);
        return;
    }
    if (!v->linked_parts.Add(ref.id)) {
        SlotProblem(v, id, "its vector goes on in part %d of block %u, which is linked twice", place, block);
        return;
    }
    PGAlignedBlock copy;
    CopyIndexPage(*v, block, nullptr, &copy);
    PartHeaderData* part = PartAt(v->meta, PageOf(&copy), place);
    const PayloadHeadData& head = *reinterpret_cast<const PayloadHeadData*>(slot.payload);
    if (part->in_use != 0) --v->report->deleted_slots;
    if (HnswIsPartOf(head, ref, number, part)) return;
    SlotProblem(v, id, "its vector goes on in part %d of block %u, which is %s", place, block,
                part->in_use == 0 ? "free" : "not its own");
}

}  // namespace

void SurveyPart(HnswVerifier* v, BlockNumber block, int place, const PartHeaderData& part) {
    if (part.in_use == 0) {
        if (part.number != 0) BlockProblem(v, block, "part %d is free but not empty", place);
        return;
    }
    // Until a slot turns out to refer to it.
    ++v->report->deleted_slots;
    if (part.in_use != 1) BlockProblem(v, block, "part %d has the in-use mark %u", place, part.in_use);
    if (part.number >= v->meta.part_count)
        BlockProblem(v, block, "part %d has number %u where %u are the most", place, part.number, v->meta.part_count);
}

bool WholePayload(HnswVerifier* v, const SlotView& slot, char* payload) {
    memcpy(payload, slot.payload, v->meta.payload_size);
    for (int i = 0; i < v->meta.part_count; ++i) {
        const PartRefData& ref = slot.parts[i];
        const BlockNumber block = BlockOfPart(v->meta, ref.id);
        if (block >= v->blocks || v->block[block].kind != static_cast<uint16>(PageKind::kPart)) return false;
        PGAlignedBlock copy;
        CopyIndexPage(*v, block, nullptr, &copy);
        PartHeaderData* part = PartAt(v->meta, PageOf(&copy), PlaceOfPart(v->meta, ref.id));
        if (!HnswIsPartOf(*reinterpret_cast<const PayloadHeadData*>(slot.payload), ref, i, part)) return false;
        HnswCopyPart(v->form, v->meta, i, part, payload);
    }
    return true;
}

void VerifyParts(HnswVerifier* v) {
    if (v->meta.part_count == 0) return;
    v->linked_parts.Init(&v->arena, static_cast<uint64>(v->blocks) * v->meta.parts);
    PGAlignedBlock copy;
    for (BlockNumber block = kMetaBlock + 1; block < v->blocks; ++block) {
        CHECK_FOR_INTERRUPTS();
        const PageKind kind = static_cast<PageKind>(v->block[block].kind);
        if (kind != PageKind::kNode && kind != PageKind::kUpper) continue;
        CopyIndexPage(*v, block, v->strategy, &copy);
        for (int i = 0; i < v->meta.slots; ++i) {
            const uint32 id = IdOf(v->meta, block, i);
            if (v->slot[id].broken || StateOf(*v, id) == SlotState::kFree) continue;
            const SlotView slot = SlotAt(v->meta, PageOf(&copy), i);
            for (int number = 0; number < v->meta.part_count; ++number)
                CheckPart(v, id, slot, number);
            if (WholePayload(v, slot, v->payload)) CheckPayload(v, id, v->payload);
        }
    }
}

}  // namespace vecann

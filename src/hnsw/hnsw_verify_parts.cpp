// The verifier's look at split payloads: every part that a slot refers to is its own, and the vector they make up.
// Locks: one page at a time, share, for a copy.
//
// A part that no slot has is no problem, but counted with the deleted slots: an insert or a vacuum that was cut short
// leaves it, and the next vacuum frees it.
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

namespace {

bool IsPartPage(const HnswVerifier& v, BlockNumber block) {
    return block < v.blocks && v.block[block].kind == static_cast<uint16>(PageKind::kPart);
}

// A copy of the part that a slot refers to, whose page there is.
PartHeaderData* CopyPart(const HnswVerifier& v, const PartRefData& ref, PGAlignedBlock* copy) {
    CopyIndexPage(v, BlockOfPart(v.meta, ref.id), nullptr, copy);
    return PartAt(v.meta, PageOf(copy), PlaceOfPart(v.meta, ref.id));
}

const PayloadHeadData& HeadOf(const SlotView& slot) {
    return *reinterpret_cast<const PayloadHeadData*>(slot.payload);
}

// Checks the part that is to be `number`; false when its contents cannot be followed.
bool CheckPart(HnswVerifier* v, uint32 id, const SlotView& slot, int number, const PartRefData& ref,
               PGAlignedBlock* copy) {
    const BlockNumber block = BlockOfPart(v->meta, ref.id);
    const int place = PlaceOfPart(v->meta, ref.id);
    if (!IsPartPage(*v, block)) {
        SlotProblem(v, id, "its vector goes on in part %d of block %u, which is no page of parts", place, block);
        return false;
    }
    if (!v->linked_parts.Add(ref.id)) {
        SlotProblem(v, id, "its vector goes on in part %d of block %u, which is linked twice", place, block);
        return false;
    }
    PartHeaderData* part = CopyPart(*v, ref, copy);
    if (part->in_use != 0) --v->report->deleted_slots;
    if (HnswIsPartOf(HeadOf(slot), ref, number, part)) return true;
    SlotProblem(v, id, "its vector goes on in part %d of block %u, which is %s", place, block,
                part->in_use == 0 ? "free" : "not its own");
    return false;
}

// The reference to a part, from the slot or from the part before it, which `copy` holds.
PartRefData RefOfPart(const HnswVerifier& v, const SlotView& slot, int number, const PartRefData& before,
                      PGAlignedBlock* copy) {
    if (!v.form.words || number == 0) return slot.parts[number];
    return HnswNextPart(v.meta, PartAt(v.meta, PageOf(copy), PlaceOfPart(v.meta, before.id)));
}

}  // namespace

void SurveyPart(HnswVerifier* v, BlockNumber block, int place, const PartHeaderData& part) {
    if (part.in_use == 0) {
        if (part.number != 0) BlockProblem(v->report, block, "part %d is free but not empty", place);
        return;
    }
    // Until a slot turns out to refer to it.
    ++v->report->deleted_slots;
    if (part.in_use != 1) BlockProblem(v->report, block, "part %d has the in-use mark %u", place, part.in_use);
    const WordsHeadData longest = {kExactPayload, 0, v->meta.elements, 0};
    const int most = PartsOf(v->meta, &longest);
    if (part.number >= most)
        BlockProblem(v->report, block, "part %d has number %u where %d are the most", place, part.number, most);
}

bool WholePayload(HnswVerifier* v, const SlotView& slot, char* payload) {
    memcpy(payload, slot.payload, SlotPayloadBytes(v->meta, slot.payload));
    PGAlignedBlock copy;
    PartRefData ref = kNoPart;
    for (int i = 0; i < PartsOf(v->meta, slot.payload); ++i) {
        ref = RefOfPart(*v, slot, i, ref, &copy);
        if (!IsPartPage(*v, BlockOfPart(v->meta, ref.id))) return false;
        PartHeaderData* part = CopyPart(*v, ref, &copy);
        if (!HnswIsPartOf(HeadOf(slot), ref, i, part)) return false;
        HnswCopyPart(v->meta, i, part, payload);
    }
    return true;
}

void CheckParts(HnswVerifier* v, uint32 id, const SlotView& slot) {
    if (v->meta.part_count == 0) return;
    PGAlignedBlock copy;
    PartRefData ref = kNoPart;
    for (int number = 0; number < PartsOf(v->meta, slot.payload); ++number) {
        ref = RefOfPart(*v, slot, number, ref, &copy);
        // The others are still to be found where the slot names each.
        if (!CheckPart(v, id, slot, number, ref, &copy) && v->form.words) break;
    }
    if (WholePayload(v, slot, v->payload)) CheckPayload(v, id, v->payload);
}

}  // namespace vecann

// The verifier of row codes: their pages, the map that leads to each once, and that a row's code bounds its vector.
// Locks: one page at a time, share, for a copy.
#include "hnsw/hnsw_rows.h"
#include "hnsw/hnsw_verify_state.h"

namespace vecann {

// What it takes to check the codes of rows, once their pages are known to be sound.
struct RowCodeCheck {
    HnswContext ctx;
    RowMap map;
    RowCodeQuery query;
    float* centre;
    char* code;
};

namespace {

bool IsOfKind(const HnswVerifier& v, BlockNumber block, PageKind kind) {
    return block < v.blocks && v.block[block].kind == static_cast<uint16>(kind);
}

// Copies a page that the map leads to; false when it is not what the map says. Each page is led to once.
bool CopyRowPage(HnswVerifier* v, BitSet* met, BlockNumber block, PageKind kind, uint32 number, PGAlignedBlock* copy) {
    if (!IsOfKind(*v, block, kind)) {
        BlockProblem(v->report, block, "the map of row codes leads to it, but it is no page of kind %u",
                     static_cast<unsigned>(kind));
        return false;
    }
    if (!met->Add(block)) {
        BlockProblem(v->report, block, "the map of row codes leads to it a second time");
        return false;
    }
    CopyIndexPage(*v, block, nullptr, copy);
    const RowPageData& head = *RowPageOf(PageOf(copy));
    const size_t end = kPageContents + HnswRowPageBytes(v->meta, kind);
    if (reinterpret_cast<PageHeader>(copy->data)->pd_lower == end && head.generation == v->meta.row_generation &&
        head.number == number)
        return true;
    BlockProblem(v->report, block, "is page %u of planting %u of row codes where page %u of planting %u is expected",
                 head.number, head.generation, number, v->meta.row_generation);
    return false;
}

// Are all pages of codes that a map page leads to there?
bool CheckMapPage(HnswVerifier* v, BitSet* met, uint32 number, PGAlignedBlock* map) {
    bool sound = true;
    PGAlignedBlock copy;
    const BlockNumber* entries = RowMapOf(PageOf(map));
    for (uint32 i = 0; i < kRowMapEntries; ++i) {
        CHECK_FOR_INTERRUPTS();
        if (entries[i] != 0 && !CopyRowPage(v, met, entries[i], PageKind::kRowCode, number * kRowMapEntries + i, &copy))
            sound = false;
    }
    return sound;
}

bool IsRowMapSound(HnswVerifier* v) {
    const HnswMetaData& meta = v->meta;
    if (!HnswSuitsRows(meta) || meta.row_stride < 1 || meta.row_stride > MaxHeapTuplesPerPage) {
        BlockProblem(v->report, kMetaBlock, "has row codes of stride %u", meta.row_stride);
        return false;
    }
    BitSet met;
    met.Init(&v->arena, v->blocks);
    PGAlignedBlock copy, map;
    bool sound = CopyRowPage(v, &met, meta.row_centre, PageKind::kRowCentre, 0, &copy);
    if (!CopyRowPage(v, &met, meta.row_root, PageKind::kRowMap, kRowMapRoot, &copy)) return false;
    for (uint32 i = 0; i < kRowMapEntries; ++i) {
        const BlockNumber block = RowMapOf(PageOf(&copy))[i];
        if (block == 0) continue;
        if (!CopyRowPage(v, &met, block, PageKind::kRowMap, i, &map) || !CheckMapPage(v, &met, i, &map)) sound = false;
    }
    return sound;
}

}  // namespace

void VerifyRowMap(HnswVerifier* v) {
    if (v->meta.row_root == 0 || !IsRowMapSound(v)) return;
    RowCodeCheck* check = v->arena.Allocate<RowCodeCheck>(1);
    HnswOpen(&check->ctx, v->index, WriteMode::kLogged, CurrentMemoryContext);
    if (!HnswHasRows(check->ctx.meta)) return;  // planted anew meanwhile, on the primary of this standby
    check->map.Init(&check->ctx, RowShape::Of(check->ctx.meta));
    check->query.Init(&v->arena, Metric::kL2, v->form.dim);
    check->centre = v->arena.Allocate<float>(static_cast<size_t>(v->form.dim));
    check->code = v->arena.Allocate<char>(check->map.shape.code_size);
    if (HnswReadRowCentre(check->ctx, check->centre)) v->row_codes = check;
}

void VerifyRowCode(HnswVerifier* v, const ItemPointerData& tid, const IndexedVector& value) {
    RowCodeCheck* check = v->row_codes;
    if (check == nullptr || !HnswReadRowCode(&check->map, tid, check->code)) return;
    check->query.Set(value.vector, check->centre);
    RowDistance distance;
    const char* codes[] = {check->code};
    RowCodeDistances(check->query, codes, 1, &distance);
    // The row is no farther from itself than its code may be, but for roundings.
    const double most = 1.001 * static_cast<double>(distance.error) + 1e-5 * value.norm;
    if (std::sqrt(static_cast<double>(distance.distance)) > most)
        VerifyProblem(v->report, "row (%u,%u) has the code of another vector", ItemPointerGetBlockNumber(&tid),
                      ItemPointerGetOffsetNumber(&tid));
}

}  // namespace vecann

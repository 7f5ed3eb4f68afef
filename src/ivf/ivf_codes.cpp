// Codes of ivfpq; see ivf_codes.h. Residuals are coded: vector less centroid, both rotated where there is a rotation.
#include "ivf/ivf_codes.h"

#include "ivf/ivf_known.h"
#include "quant/rotation.h"

namespace vecann {

namespace {

bool IsPq(const IvfMetaData& meta) {
    return meta.quantizer == static_cast<uint8>(Quantizer::kPq);
}

// What the kernels take of the lists' own part.
BlockEstimate RuleOf(const IvfMetaData& meta, const ListView& view, const CodeQuery& codes) {
    BlockEstimate rule;
    memset(static_cast<void*>(&rule), 0, sizeof(rule));
    BlockScan unused;
    codes.tables.Fill(&unused, &rule);
    rule.add = meta.factors > 1 || codes.metric == Metric::kL2 ? view.factors : nullptr;
    rule.scale = meta.factors > 1 ? view.factors + meta.slots : nullptr;
    rule.error = nullptr;
    rule.factor_stride = kBlockCodes * sizeof(float);
    rule.base = codes.base;
    rule.spread = 0;
    return rule;
}

}  // namespace

size_t IvfCodeBytes(const IvfMetaData& meta) {
    if (meta.quantizer == static_cast<uint8>(Quantizer::kRabitq)) return SignCodeBytes(IvfSignShape(meta));
    return IvfPqShape(meta).code_bytes();
}

int IvfCodeFactors(const IvfMetaData& meta) {
    return meta.quantizer == static_cast<uint8>(Quantizer::kRabitq) ? 3 : 1;
}

const float* IvfReadCodebook(const IvfContext& ctx) {
    if (ctx.meta.codebook == 0) return nullptr;
    const Tape tape = CodebookTape(ctx.meta);
    const size_t part = static_cast<size_t>(tape.floats);
    float* codebook = PallocArray<float>(part * ctx.meta.m);
    for (int s = 0; s < ctx.meta.m; ++s)
        ReadTapeRecord(ctx.index, tape, static_cast<uint64>(s), codebook + static_cast<size_t>(s) * part);
    return codebook;
}

const float* IvfKnownCodebook(const IvfContext& ctx) {
    const IvfNumbers* known = IvfKnownNumbers(ctx);
    return known != nullptr ? known->codebook : IvfReadCodebook(ctx);
}

void IvfEncodeCode(const IvfContext& ctx, const float* codebook, const IvfVector& v, const float* centroid,
                   RowImage* row) {
    const int dim = ctx.meta.dim;
    float* residual = PallocArray<float>(static_cast<size_t>(dim));
    if (!IsPq(ctx.meta)) {
        const CodeShape shape = IvfSignShape(ctx.meta);
        uint8_t* code = static_cast<uint8_t*>(palloc0(shape.bytes()));
        ListFactors factors;
        EncodeSigns(shape, IvfCodeMetric(*ctx.desc), centroid, v.vector, code, &factors, residual);
        row->entry = reinterpret_cast<char*>(code);
        row->factors[0] = factors.add;
        row->factors[1] = factors.scale;
        row->factors[2] = factors.error;
        return;
    }
    const PqShape shape = IvfPqShape(ctx.meta);
    uint8_t* code = static_cast<uint8_t*>(palloc0(shape.code_bytes()));
    for (int i = 0; i < dim; ++i)
        residual[i] = v.vector[i] - centroid[i];
    const float error = EncodePq(shape, codebook, residual, code);
    DecodePq(shape, codebook, code, residual);
    row->entry = reinterpret_cast<char*>(code);
    row->factors[0] = IvfPqFactor(IvfCodeMetric(*ctx.desc), PqAdd(dim, centroid, residual), error);
}

void IvfInitCodeQuery(const IvfContext& ctx, const IvfVector& query, Arena* arena, CodeQuery* codes) {
    const IvfMetaData& meta = ctx.meta;
    codes->metric = IvfCodeMetric(*ctx.desc);
    codes->halve = ctx.desc->metric == Metric::kCosine;
    codes->norm = static_cast<float>(query.norm);
    codes->estimates = arena->Allocate<float>(meta.slots);
    codes->masks = arena->Allocate<uint32_t>(static_cast<size_t>(LiveWords(meta)));
    codes->tables.Init(arena, meta.m, IsPq(meta) && meta.bits == 8 ? 256 : 16);
    if (IsPq(meta)) {
        const float* codebook = IvfKnownCodebook(ctx);
        SetProducts(IvfPqShape(meta), codebook, query.vector, codes->metric == Metric::kL2 ? -2.0F : -1.0F,
                    &codes->tables);
    } else {
        SetSigns(IvfSignShape(meta), query.vector, &codes->tables);
    }
}

void IvfEnterList(const IvfContext& ctx, const IvfVector& query, const RankedList& list, float error,
                  CodeQuery* codes) {
    codes->base = list.distance;
    codes->error = error;
    codes->largest_error = Max(codes->largest_error, error);
    codes->spread = 0;
    if (IsPq(ctx.meta)) return;
    float squared = list.distance;
    if (codes->metric != Metric::kL2) {
        const IvfNumbers* known = IvfKnownNumbers(ctx);
        if (known != nullptr) {
            const float* centroid = known->centroids + static_cast<size_t>(list.list) * ctx.meta.dim;
            squared = Kernels().float32.l2_squared(query.vector, centroid, ctx.meta.dim);
        } else {
            float* centroid = PallocArray<float>(ctx.meta.dim);
            ReadTapeRecord(ctx.index, CentroidTape(ctx.meta), list.list, centroid);
            squared = Kernels().float32.l2_squared(query.vector, centroid, ctx.meta.dim);
            pfree(centroid);
        }
    }
    codes->spread = std::sqrt(Max(squared, 0.0F));
}

void IvfScoreCodes(const IvfMetaData& meta, const ListView& view, float limit, CodeQuery* codes) {
    BlockEstimate rule = RuleOf(meta, view, *codes);
    rule.limit = limit;
    const uint8_t* data = reinterpret_cast<const uint8_t*>(view.data);
    if (HasBlocks(meta)) {
        BlockScan scan;
        BlockEstimate ignored;
        codes->tables.Fill(&scan, &ignored);
        scan.codes = data;
        scan.m = meta.m;
        scan.blocks = LiveWords(meta);
        scan.code_stride = BlockBytes(meta.m);
        Kernels().block.estimates(scan, rule, codes->estimates, codes->masks);
        return;
    }
    Kernels().block.bytes(codes->tables.values, data, meta.m, meta.entry_size, meta.slots, codes->estimates);
    for (int i = 0; i < meta.slots; ++i)
        codes->estimates[i] += codes->base + (rule.add != nullptr ? rule.add[i] : 0);
    memset(codes->masks, 0xFF, static_cast<size_t>(LiveWords(meta)) * sizeof(uint32_t));
}

float IvfCodeError(const IvfMetaData& meta, const ListView& view, int slot, const CodeQuery& codes) {
    float error;
    if (!IsPq(meta))
        error = codes.spread * view.factors[2 * meta.slots + slot];
    else if (codes.metric == Metric::kL2)
        error = meta.error_scale * codes.error * std::sqrt(Max(codes.estimates[slot], 0.0F));
    else
        error = meta.error_scale * view.factors[slot] * codes.norm;
    return codes.halve ? error / 2 : error;
}

void IvfLeastBeyond(const IvfMetaData& meta, const CodeQuery& codes, float* distance, float* error) {
    if (!IsPq(meta) || codes.metric != Metric::kL2) return;
    // e - k sqrt(e) is least at e = (k / 2)^2.
    const float k = meta.error_scale * codes.largest_error;
    const float estimate = Max(codes.halve ? (*distance + 1) * 2 : *distance, k * k / 4);
    *distance = codes.halve ? estimate / 2 - 1 : estimate;
    *error = k * std::sqrt(estimate) / (codes.halve ? 2 : 1);
}

}  // namespace vecann

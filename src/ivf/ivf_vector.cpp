// From values to vectors, payloads and lists. See ivf_vector.h.
#include "ivf/ivf_vector.h"

#include "ivf/ivf_known.h"
#include "pg/known_rotation.h"
#include "quant/value_payload.h"

namespace vecann {

namespace {

struct Nearest {
    const float* vector;
    size_t dim;
    float (*distance)(const void* a, const void* b, size_t n);
    float best;
    bool found;
    uint64 list;
    float* centroid;
};

void CompareCentroid(void* arg, uint64 record, const float* numbers) {
    Nearest* nearest = static_cast<Nearest*>(arg);
    const float distance = nearest->distance(nearest->vector, numbers, nearest->dim);
    // Where all distances overflow it is the first list; centroids of closed ones are NaN.
    const bool nearer = distance < nearest->best;
    if (!nearer && (nearest->found || numbers[0] != numbers[0])) return;
    nearest->found = true;
    if (nearer) nearest->best = distance;
    nearest->list = record;
    if (nearest->centroid != nullptr) memcpy(nearest->centroid, numbers, nearest->dim * sizeof(float));
}

struct Distances {
    const float* query;
    size_t dim;
    bool negative;
    float (*kernel)(const void* a, const void* b, size_t n);
    float* out;
};

void MeasureCentroid(void* arg, uint64 record, const float* numbers) {
    const Distances* d = static_cast<Distances*>(arg);
    const float value = d->kernel(d->query, numbers, d->dim);
    const float distance = d->negative ? 0.0F - value : value;
    d->out[record] = distance == distance ? distance : std::numeric_limits<float>::infinity();
}

struct Product {
    const float* in;
    size_t dim;
    float* out;
};

void MultiplyRow(void* arg, uint64 record, const float* row) {
    const Product* product = static_cast<Product*>(arg);
    product->out[record] = Kernels().float32.inner_product(row, product->in, product->dim);
}

bool IsProduct(const IvfContext& ctx) {
    return ctx.desc->metric != Metric::kL2;
}

using Visit = void (*)(void* arg, uint64 record, const float* numbers);

// Calls visit for the records of a tape that may be known.
void ForNumbers(const IvfContext& ctx, const float* known, const Tape& tape, uint64 records, Visit visit, void* arg) {
    if (known == nullptr) {
        ForTapeRecords(ctx.index, tape, records, visit, arg);
        return;
    }
    for (uint64 record = 0; record < records; ++record)
        visit(arg, record, known + record * static_cast<uint64>(tape.floats));
}

void ForCentroids(const IvfContext& ctx, Visit visit, void* arg) {
    const IvfNumbers* known = IvfKnownNumbers(ctx);
    ForNumbers(ctx, known != nullptr ? known->centroids : nullptr, CentroidTape(ctx.meta), ctx.meta.lists, visit, arg);
}

}  // namespace

void IvfInitVector(const IvfContext& ctx, IvfVector* v) {
    v->plain = PallocArray<float>(ctx.meta.dim);
    v->vector = IsRotated(ctx.meta) ? PallocArray<float>(ctx.meta.dim) : v->plain;
    v->norm = 0;
    v->hash = 0;
}

bool IvfExtract(const IvfContext& ctx, Datum value, IvfVector* v) {
    if (!ctx.desc->extract(value, ctx.meta.dim, v->plain, &v->hash)) return false;
    IvfRotate(ctx, v);
    return true;
}

void IvfRotate(const IvfContext& ctx, IvfVector* v) {
    double sum = 0;
    for (int i = 0; i < ctx.meta.dim; ++i)
        sum += static_cast<double>(v->plain[i]) * static_cast<double>(v->plain[i]);
    v->norm = std::sqrt(sum);
    if (ctx.meta.matrix != 0) {
        Product product = {v->plain, static_cast<size_t>(ctx.meta.dim), v->vector};
        const IvfNumbers* known = IvfKnownNumbers(ctx);
        ForNumbers(ctx, known != nullptr ? known->matrix : nullptr, {ctx.meta.matrix, ctx.meta.dim}, ctx.meta.dim,
                   MultiplyRow, &product);
    } else if (IsRotated(ctx.meta)) {
        const KnownRotation& known = RotationFor(ctx.meta.dim);
        known.rotation.Apply(v->plain, v->vector, known.scratch);
    }
}

uint32 IvfNearestList(const IvfContext& ctx, const IvfVector& v, float* centroid) {
    Nearest nearest = {v.vector,
                       static_cast<size_t>(ctx.meta.dim),
                       Kernels().float32.l2_squared,
                       std::numeric_limits<float>::infinity(),
                       false,
                       0,
                       centroid};
    ForCentroids(ctx, CompareCentroid, &nearest);
    return static_cast<uint32>(nearest.list);
}

void IvfCentroidDistances(const IvfContext& ctx, const IvfVector& query, float* distances) {
    // Unit vectors are near by one measure as by the other, and their centroids shorter the less they agree.
    const bool product = ctx.desc->metric == Metric::kInnerProduct;
    Distances d = {query.vector, static_cast<size_t>(ctx.meta.dim), product,
                   product ? Kernels().float32.inner_product : Kernels().float32.l2_squared, distances};
    ForCentroids(ctx, MeasureCentroid, &d);
}

void IvfEncodePayload(const IvfContext& ctx, const IvfVector& v, char* payload) {
    const IvfMetaData& meta = ctx.meta;
    if (HasWords(meta)) {
        WordsHeadData* words = reinterpret_cast<WordsHeadData*>(payload);
        *words = {kExactPayload, 0, 0, 0};
        ctx.desc->words->pack(v.vector, meta.dim, words);
        return;
    }
    const PayloadKind kind = PayloadOf(meta);
    EncodePayload(kind, v.vector, meta.dim, 0, payload);
    // SQ8 needs `low` for its scale; the others have it free for the norm.
    if (kind == PayloadKind::kSq8) return;
    PayloadHeadData* head = reinterpret_cast<PayloadHeadData*>(payload);
    head->low = std::nextafter(static_cast<float>(v.norm), std::numeric_limits<float>::infinity());
}

uint16 IvfStoredKind(const IvfMetaData& meta) {
    const bool halves = meta.element == static_cast<uint8>(ElementKind::kFloat16) &&
                        meta.metric != static_cast<uint8>(Metric::kCosine) &&
                        PayloadSize(PayloadKind::kFloat16, meta.dim) <= kMostStoredEach * kStoredRoom;
    return static_cast<uint16>(static_cast<int>(halves ? PayloadKind::kFloat16 : PayloadKind::kSq8) + 1);
}

void IvfEncodeStored(const IvfContext& ctx, const float* plain, char* payload) {
    // Unit vectors are not the values.
    const PayloadRule rule = {ctx.meta.dim, StoredKind(ctx.meta), !ctx.desc->unit_norm, nullptr};
    EncodeValue(rule, 0, plain, plain, NormOf(plain, ctx.meta.dim), payload);
}

PayloadQuery IvfPayloadQuery(const IvfContext& ctx, const IvfVector& query) {
    const size_t dim = static_cast<size_t>(ctx.meta.dim);
    if (HasWords(ctx.meta)) {
        char* words = PallocArray<char>(ctx.meta.entry_size);
        IvfEncodePayload(ctx, query, words);
        return {query.vector, dim, false, nullptr, words, ctx.desc->words->distance};
    }
    const bool stored = HasStored(ctx.meta);
    const PayloadKind kind = stored ? StoredKind(ctx.meta) : PayloadOf(ctx.meta);
    const PayloadKernels& kernels = Kernels().payload[static_cast<int>(kind)];
    return {stored ? query.plain : query.vector,
            dim,
            IsProduct(ctx),
            IsProduct(ctx) ? kernels.inner_product : kernels.l2_squared,
            nullptr,
            nullptr};
}

}  // namespace vecann

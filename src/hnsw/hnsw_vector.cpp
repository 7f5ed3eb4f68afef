// From values to rotated vectors, payloads and query codes; the lower bound. See hnsw_vector.h.
#include "hnsw/hnsw_vector.h"

#include "pg/known_rotation.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32

// |computed R x - R x| <= kRotationError |x|. A round of the rotation is a permutation and signs, which are exact, and
// at most two Hadamard transforms over every element (blocks overlap at the end): six stages of one rounding each and a
// scaling by a rounded factor, so 16 roundings a round, 48 in three; the rest covers products of small terms.
constexpr double kRotationError = 64 * kUnit;

// SQ8 needs `low` for its scale; the others have it free for the norm.
void KeepNorm(const VectorForm& form, const IndexedVector& v, PayloadHeadData* head) {
    if (form.payload != PayloadKind::kSq8)
        head->low = std::nextafter(static_cast<float>(v.norm), std::numeric_limits<float>::infinity());
}

float NegativeInnerProduct(const void* a, const void* b, size_t dim) {
    const float distance = 0.0F - Kernels().float32.inner_product(a, b, dim);
    return distance == distance ? distance : std::numeric_limits<float>::infinity();
}

}  // namespace

VectorForm HnswVectorForm(const HnswMetaData& meta, const OpClassDesc* desc) {
    VectorForm form;
    form.dim = meta.dim;
    form.head_dim = meta.head_dim;
    form.metric = static_cast<Metric>(meta.metric);
    form.payload = static_cast<PayloadKind>(meta.payload);
    form.payload_size = PayloadSize(form.payload, form.dim);
    form.shape = HnswCodeShape(meta);
    form.rotation = nullptr;
    form.scratch = nullptr;
    if (MetricHasCodes(form.metric)) {
        const KnownRotation& known = RotationFor(meta.dim);
        form.rotation = &known.rotation;
        form.scratch = known.scratch;
    }
    // Unit vectors are not the values, and a part of a vector cannot be rotated.
    form.may_be_exact = !desc->unit_norm && meta.part_count == 0;
    form.desc = desc;
    const PayloadKernels& kernels = Kernels().payload[static_cast<int>(form.payload)];
    switch (form.metric) {
        case Metric::kL2:
            form.compare = kernels.l2_squared;
            form.between = Kernels().float32.l2_squared;
            break;
        case Metric::kL1:
            form.compare = kernels.l1;
            form.between = Kernels().float32.l1;
            break;
        default:
            form.compare = kernels.inner_product;
            form.between = NegativeInnerProduct;
            break;
    }
    return form;
}

void IndexedVector::Init(Arena* arena, const VectorForm& form) {
    const size_t n = static_cast<size_t>(form.dim);
    vector = arena->Allocate<float>(n);
    plain = arena->Allocate<float>(n);
    scratch = arena->Allocate<float>(n);
    payload = arena->Allocate<char>(form.payload_size);
    norm = 0;
    hash = 0;
    if (form.has_codes()) code.Init(arena, form.shape);
}

bool HnswExtract(const VectorForm& form, Datum value, IndexedVector* out) {
    if (!form.desc->extract(value, form.dim, out->plain, &out->hash)) return false;
    HnswRotate(form, out);
    return true;
}

void HnswRotate(const VectorForm& form, IndexedVector* v) {
    if (form.rotation != nullptr)
        form.rotation->Apply(v->plain, v->vector, form.scratch);
    else
        memcpy(v->vector, v->plain, static_cast<size_t>(form.dim) * sizeof(float));
    HnswMeasure(form, v);
}

void HnswMeasure(const VectorForm& form, IndexedVector* v) {
    double sum = 0;
    for (int i = 0; i < form.dim; ++i)
        sum += static_cast<double>(v->vector[i]) * static_cast<double>(v->vector[i]);
    v->norm = std::sqrt(sum);
}

uint32 HnswHash(const float* vector, size_t dim) {
    return hash_bytes(reinterpret_cast<const unsigned char*>(vector), static_cast<int>(dim * sizeof(float)));
}

void HnswEncodePayload(const VectorForm& form, IndexedVector* v) {
    HnswEncodePayload(form, HnswHash(v->plain, static_cast<size_t>(form.dim)), v);
}

void HnswEncodePayload(const VectorForm& form, uint32 hash, IndexedVector* v) {
    if (!form.may_be_exact || !PayloadHolds(form.payload, v->plain, form.dim)) {
        HnswEncodeRotated(form, hash, v);
        return;
    }
    EncodePayload(form.payload, v->plain, form.dim, hash, v->payload);
    PayloadHeadData* head = reinterpret_cast<PayloadHeadData*>(v->payload);
    Assert(head->error == 0);
    head->error = kExactPayload;
    KeepNorm(form, *v, head);
}

void HnswEncodeRotated(const VectorForm& form, uint32 hash, IndexedVector* v) {
    EncodePayload(form.payload, v->vector, form.dim, hash, v->payload);
    KeepNorm(form, *v, reinterpret_cast<PayloadHeadData*>(v->payload));
}

void HnswDecode(const VectorForm& form, const void* payload, float* vector) {
    if (form.rotation == nullptr || !HnswIsExact(payload)) {
        DecodePayload(form.payload, payload, form.dim, vector);
        return;
    }
    DecodePayload(form.payload, payload, form.dim, form.scratch);
    form.rotation->Apply(form.scratch, vector, form.scratch + form.dim);
}

float HnswDistanceToExact(const VectorForm& form, const float* vector, const void* payload) {
    // Decoding takes the form's scratch.
    float* decoded = PallocArray<float>(static_cast<size_t>(form.dim));
    HnswDecode(form, payload, decoded);
    const float distance = form.between(vector, decoded, static_cast<size_t>(form.dim));
    pfree(decoded);
    return likely(distance == distance) ? distance : std::numeric_limits<float>::infinity();
}

void HnswPrepareQuery(const VectorForm& form, IndexedVector* v) {
    if (!form.has_codes()) return;
    // A rotation may overflow. No distance means anything then, nor does a code.
    if (!std::isfinite(v->norm)) {
        memset(v->vector, 0, static_cast<size_t>(form.dim) * sizeof(float));
        if (v->plain != nullptr) memset(v->plain, 0, static_cast<size_t>(form.dim) * sizeof(float));
    }
    v->code.Set(v->vector);
}

OrderBounds HnswBounds(const VectorForm& form, const IndexedVector& query, float distance,
                       const PayloadErrorBound& error) {
    return BoundsOf(*form.desc, form.dim, {query.norm, error.exact ? 0 : kRotationError}, distance, error);
}

}  // namespace vecann

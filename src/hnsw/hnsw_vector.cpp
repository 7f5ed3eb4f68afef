// From values to rotated vectors, payloads and query codes; the lower bound. See hnsw_vector.h.
#include "hnsw/hnsw_vector.h"

#include "pg/bytes_hash.h"
#include "pg/known_rotation.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32

// |computed R x - R x| <= kRotationError |x|. A round of the rotation is a permutation and signs, which are exact, and
// at most two Hadamard transforms over every element (blocks overlap at the end): six stages of one rounding each and a
// scaling by a rounded factor, so 16 roundings a round, 48 in three; the rest covers products of small terms.
constexpr double kRotationError = 64 * kUnit;

// Payloads in words are put together here; it lives as long as the backend.
float* WordScratch() {
    static void* scratch = nullptr;
    if (scratch == nullptr)
        scratch = MemoryContextAlloc(TopMemoryContext, PayloadSize(PayloadKind::kWords, kMostElements));
    return static_cast<float*>(scratch);
}

// Squares of numbers within these bounds neither overflow nor vanish, nor do sums of a rotation.
constexpr float kLeastSquares = 1e-30F, kMostSquares = 1e30F;

float NegativeInnerProduct(const void* a, const void* b, size_t dim) {
    const float distance = 0.0F - Kernels().float32.inner_product(a, b, dim);
    return distance == distance ? distance : std::numeric_limits<float>::infinity();
}

}  // namespace

VectorForm HnswVectorForm(const HnswMetaData& meta, const OpClassDesc* desc) {
    VectorForm form;
    form.dim = static_cast<int>(meta.dim);
    form.head_dim = meta.head_dim;
    form.metric = static_cast<Metric>(meta.metric);
    form.payload = static_cast<PayloadKind>(meta.payload);
    form.payload_size = PayloadSize(form.payload, meta.elements);
    form.shape = HnswCodeShape(meta);
    form.rotation = nullptr;
    form.scratch = nullptr;
    form.words = HasWords(meta);
    if (form.words) {
        form.scratch = WordScratch();
    } else if (MetricHasCodes(form.metric)) {
        const KnownRotation& known = RotationFor(form.dim);
        form.rotation = &known.rotation;
        form.scratch = known.scratch;
    }
    // Unit vectors are not the values, and a part of a vector cannot be rotated.
    form.may_be_exact = form.words || (!desc->unit_norm && meta.part_count == 0);
    form.desc = desc;
    if (form.words) {
        form.compare = nullptr;
        form.between = desc->words->distance;
        return form;
    }
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
    payload = arena->Allocate<char>(form.payload_size);
    norm = 0;
    hash = 0;
    vector = plain = scratch = nullptr;
    if (form.words) return;
    const size_t n = static_cast<size_t>(form.dim);
    vector = arena->Allocate<float>(n);
    plain = arena->Allocate<float>(n);
    scratch = arena->Allocate<float>(n);
    if (form.has_codes()) code.Init(arena, form.shape);
}

const void* HnswKeepVector(const VectorForm& form, Arena* arena, const void* payload) {
    if (form.words) {
        const size_t bytes = HnswPayloadBytes(form, payload);
        return memcpy(arena->Allocate<char>(bytes), payload, bytes);
    }
    float* vector = arena->Allocate<float>(static_cast<size_t>(form.dim));
    HnswDecode(form, payload, vector);
    return vector;
}

void HnswForgetVector(const VectorForm& form, Arena* arena, const void* vector) {
    const size_t bytes = form.words ? HnswPayloadBytes(form, vector) : static_cast<size_t>(form.dim) * sizeof(float);
    arena->Release(static_cast<char*>(const_cast<void*>(vector)), bytes);
}

void HnswSetVector(const VectorForm& form, const void* vector, IndexedVector* out) {
    out->plain = nullptr;
    if (form.words)
        memcpy(out->payload, vector, HnswPayloadBytes(form, vector));
    else
        memcpy(out->vector, vector, static_cast<size_t>(form.dim) * sizeof(float));
}

namespace {

bool ExtractWords(const VectorForm& form, Datum value, IndexedVector* out) {
    WordsHeadData* head = reinterpret_cast<WordsHeadData*>(out->payload);
    *head = {kExactPayload, 0, 0, 0};
    const bool indexable = form.desc->words->encode(value, form.dim, head);
    head->hash = BytesHash(head->words(), head->count * sizeof(uint64));
    return indexable;
}

}  // namespace

bool HnswExtract(const VectorForm& form, Datum value, IndexedVector* out) {
    if (form.words) return ExtractWords(form, value, out);
    if (!form.desc->extract(value, form.dim, out->plain, &out->hash)) return false;
    HnswRotate(form, out);
    return true;
}

bool HnswExtractQuery(const VectorForm& form, Datum value, IndexedVector* out) {
    if (form.words) return ExtractWords(form, value, out);
    if (!form.desc->extract(value, form.dim, out->plain, nullptr)) return false;
    HnswRotate(form, out);
    return true;
}

bool HnswExtractPlain(const VectorForm& form, Datum value, IndexedVector* out) {
    if (form.words) return ExtractWords(form, value, out);
    if (!form.desc->extract(value, form.dim, out->plain, &out->hash)) return false;
    const float squares = Kernels().float32.inner_product(out->plain, out->plain, static_cast<size_t>(form.dim));
    if (squares > kLeastSquares && squares < kMostSquares)
        out->norm = std::sqrt(static_cast<double>(squares));
    else
        HnswRotate(form, out);
    return true;
}

void HnswRotate(const VectorForm& form, IndexedVector* v) {
    RotateValue(form.rule(), v->plain, v->vector, form.scratch);
    HnswMeasure(form, v);
}

void HnswMeasure(const VectorForm& form, IndexedVector* v) {
    v->norm = NormOf(v->vector, form.dim);
}

uint32 HnswHash(const float* vector, size_t dim) {
    return BytesHash(vector, dim * sizeof(float));
}

void HnswEncodePayload(const VectorForm& form, IndexedVector* v) {
    if (form.words) return;
    const uint32 hash = HnswHash(v->plain, static_cast<size_t>(form.dim));
    EncodeValue(form.rule(), hash, v->plain, v->vector, v->norm, v->payload);
}

void HnswEncodeRotated(const VectorForm& form, uint32 hash, IndexedVector* v) {
    EncodeVector(form.rule(), hash, v->vector, v->norm, v->payload);
}

void HnswDecode(const VectorForm& form, const void* payload, float* vector) {
    DecodeValue(form.rule(), payload, vector, form.scratch);
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

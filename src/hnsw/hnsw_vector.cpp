// From values to rotated vectors, payloads and query codes; the lower bound. See hnsw_vector.h.
#include "hnsw/hnsw_vector.h"

#include "pg/memory.h"

namespace vecann {

namespace {

constexpr double kUnit = 0x1p-24;  // rounding of float32

// |computed R x - R x| <= kRotationError |x|. A round of the rotation is a permutation and signs, which are exact, and
// at most two Hadamard transforms over every element (blocks overlap at the end): six stages of one rounding each and a
// scaling by a rounded factor, so 16 roundings a round, 48 in three; the rest covers products of small terms.
constexpr double kRotationError = 64 * kUnit;

// Rotations depend on the dimensions only. A backend meets few of them, and each is kept.
struct KnownRotation {
    Rotation rotation;
    Arena arena;
    float* scratch;
    KnownRotation* next;
};

const KnownRotation& RotationFor(int dim) {
    static KnownRotation* known = nullptr;
    for (const KnownRotation* k = known; k != nullptr; k = k->next)
        if (k->rotation.dim == dim) return *k;
    KnownRotation* fresh = static_cast<KnownRotation*>(MemoryContextAllocZero(TopMemoryContext, sizeof(KnownRotation)));
    fresh->arena = MakeArena(TopMemoryContext);
    fresh->rotation.Init(&fresh->arena, dim);
    fresh->scratch = fresh->arena.Allocate<float>(2 * static_cast<size_t>(dim));
    fresh->next = known;
    known = fresh;
    return *fresh;
}

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
    head->hash = hash_bytes(reinterpret_cast<const unsigned char*>(head->words()),
                            static_cast<int>(head->count * sizeof(uint64)));
    return indexable;
}

}  // namespace

bool HnswExtract(const VectorForm& form, Datum value, IndexedVector* out) {
    if (form.words) return ExtractWords(form, value, out);
    if (!form.desc->extract(value, form.dim, out->plain, &out->hash)) return false;
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
    return hash_bytes(reinterpret_cast<const unsigned char*>(vector), static_cast<int>(dim * sizeof(float)));
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

PayloadErrorBound HnswPayloadError(const VectorForm& form, const void* payload) {
    if (form.words) return {0, 0, true};
    const PayloadHeadData& head = *static_cast<const PayloadHeadData*>(payload);
    const bool exact = head.error == kExactPayload;
    PayloadErrorBound bound = {exact ? 0 : head.error, 0, exact};
    const float n = static_cast<float>(form.dim);
    if (form.payload == PayloadKind::kSq8) {
        // The kernels round low + step k and the difference from it, each element by a few units of its terms.
        const float largest = std::fabs(head.low) + 255 * std::fabs(head.step);
        bound.error += static_cast<float>(8 * kUnit) * std::sqrt(n) * largest;
        if (form.metric == Metric::kInnerProduct) bound.norm = std::sqrt(n) * largest;
    } else if (form.metric == Metric::kInnerProduct) {
        bound.norm = head.low;
    }
    return bound;
}

namespace {

// The distance is the operator's result, but for one rounding to float32.
OrderBounds BoundsOfWords(const VectorForm& form, float distance) {
    const double value = form.desc->order_value(distance), relative = form.desc->order_slack(form.dim);
    if (!std::isfinite(value)) return {-get_float8_infinity(), get_float8_infinity()};
    const double slack = relative > 0 ? std::fabs(value) * relative * 2 + 0x1p-148 : 0;
    return {value - slack, value + slack};
}

}  // namespace

// Let n = dim, u = 2^-24, q' and p the rotated query and the decoded payload, e the error of the payload, r the error
// of a rotation, relative to the norm. A float32 sum of n terms in whatever order is off by less than 1.01 (n + 3) u
// times the sum of the magnitudes; the operator's own sum likewise. Hence the factor 2 before (n + 8) u below. Numbers
// below 2^-126 have an absolute error, 2^-149, in place of a relative one.
OrderBounds HnswBounds(const VectorForm& form, const IndexedVector& query, float distance,
                       const PayloadErrorBound& error) {
    if (form.words) return BoundsOfWords(form, distance);
    const double sums = 2.1 * (form.dim + 8) * kUnit;
    const double root = std::sqrt(static_cast<double>(form.dim));
    const double rotation = error.exact ? 0 : kRotationError;
    const double e = static_cast<double>(error.error) * (1 + 8 * kUnit) + root * 0x1p-140;
    const double value = form.desc->order_value(distance);
    double slack, least = -get_float8_infinity();
    switch (form.metric) {
        case Metric::kL2:
            // ||q - v| - |q' - p|| <= e + r (|q| + |v|), and |v| <= |q| + |q - v|.
            slack = value * (sums + 2.2 * rotation) + 1.01 * e + 2.2 * rotation * query.norm + root * 0x1p-72;
            least = 0;
            break;
        case Metric::kL1:
            // sum |v - p| <= sqrt(n) |v - p|
            slack = value * sums + 1.01 * root * e;
            least = 0;
            break;
        case Metric::kInnerProduct: {
            const double norm = 1.01 * (static_cast<double>(error.norm) + e);
            slack =
                query.norm * e + (query.norm * (2.1 * rotation + sums) + root * 0x1p-140) * norm + form.dim * 0x1p-147;
            // The operator's sum may overflow on its way.
            if (!(query.norm * norm < 1e38)) slack = get_float8_infinity();
            break;
        }
        default:
            // Both have norm 1, up to what order_slack allows for.
            slack = form.desc->order_slack(form.dim) + 1.01 * (e + 2.1 * rotation + sums);
            break;
    }
    // Overflow: nothing is known, so the executor computes it.
    if (!std::isfinite(value) || !std::isfinite(slack)) return {-get_float8_infinity(), get_float8_infinity()};
    return {Max(value - slack, least), value + slack};
}

}  // namespace vecann

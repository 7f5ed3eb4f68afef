// Vectors as an index keeps and compares them: rotated, in a payload of full or reduced precision, with codes. See
// README.md, "Vectors".
//
// A "vector" here is dim float32 numbers after extraction (unit norm under cosine) and rotation. The rotation preserves
// L2 distances and inner products up to rounding; under L1 there is none. "Plain" numbers are those before it. Of a
// type indexed in words, a vector is its payload: the value itself.
#pragma once

#include "hnsw/hnsw_page.h"
#include "opclass/order_bounds.h"
#include "quant/rabitq.h"
#include "quant/value_payload.h"

namespace vecann {

// Search distance of two vectors of n elements; smaller is nearer; never NaN.
using VectorDistance = float (*)(const void* a, const void* b, size_t n);

// How the vectors of one index are compared. Plain data; `rotation` lives as long as the backend.
struct VectorForm {
    int dim;
    int head_dim;         // of these stand in the slot
    size_t payload_size;  // of a whole payload; of words the largest
    Metric metric;
    PayloadKind payload;
    CodeShape shape;           // bits 0: no codes
    const Rotation* rotation;  // null: none
    float* scratch;            // 2 x dim numbers, or a payload in words, for one call at a time; null if not needed
    bool may_be_exact;         // payloads that can hold a value's own numbers do
    const OpClassDesc* desc;
    bool words;                                                           // payloads are values, in words
    float (*compare)(const float* query, const void* payload, size_t n);  // the metric's payload kernel; not of words
    VectorDistance between;                                               // search distance of two vectors

    Metric code_metric() const { return metric == Metric::kL2 ? Metric::kL2 : Metric::kInnerProduct; }
    bool has_codes() const { return shape.bits > 0; }
    PayloadRule rule() const { return {dim, payload, may_be_exact, rotation}; }
};

VectorForm HnswVectorForm(const HnswMetaData& meta, const OpClassDesc* desc);

// A vector, its payload, and its form as a query. Memory belongs to an arena. Of words there is the payload alone.
struct IndexedVector {
    float* vector;
    float* plain;  // the numbers of the value; null when only the vector is known
    char* payload;
    float* scratch;  // dim floats
    double norm;     // L2 norm
    uint32 hash;     // of the value, where values of the same numbers may differ
    QueryCode code;  // set by HnswPrepareQuery

    void Init(Arena* arena, const VectorForm& form);
};

// Bytes of a payload, which is no longer than the index allows.
inline size_t HnswPayloadBytes(const VectorForm& form, const void* payload) {
    return form.words ? sizeof(WordsHeadData) + sizeof(uint64) * WordCountOf(payload) : form.payload_size;
}
inline bool HnswSamePayload(const VectorForm& form, const void* a, const void* b) {
    const size_t bytes = HnswPayloadBytes(form, a);
    return bytes == HnswPayloadBytes(form, b) && memcmp(a, b, bytes) == 0;
}

// The vector of an extracted value as others are compared with it.
inline const void* HnswVectorOf(const VectorForm& form, const IndexedVector& v) {
    return form.words ? static_cast<const void*>(v.payload) : v.vector;
}
// The vector that a whole payload stands for, in memory of an arena; and its end.
const void* HnswKeepVector(const VectorForm& form, Arena* arena, const void* payload);
void HnswForgetVector(const VectorForm& form, Arena* arena, const void* vector);
// Makes a copy of a vector the query, of which nothing else is known.
void HnswSetVector(const VectorForm& form, const void* vector, IndexedVector* out);

// Extracts, rotates and measures a value. False when it is not indexable (a zero vector under cosine). The value is not
// NULL. Raises ERRCODE_DATA_EXCEPTION when its dimensions differ.
bool HnswExtract(const VectorForm& form, Datum value, IndexedVector* out);

// The same for a query: without the hash, which only what is indexed needs.
bool HnswExtractQuery(const VectorForm& form, Datum value, IndexedVector* out);

// The same, but for the vector, which HnswRotate makes of it where it is wanted. The norm is that of the plain numbers,
// to the precision of float32; it is finite when that of the vector is.
bool HnswExtractPlain(const VectorForm& form, Datum value, IndexedVector* out);

// The rest of HnswExtract from the plain numbers on.
void HnswRotate(const VectorForm& form, IndexedVector* v);

// Computes the norm of a vector.
void HnswMeasure(const VectorForm& form, IndexedVector* v);

// A hash of a vector's numbers.
uint32 HnswHash(const float* vector, size_t dim);

// Fills the payload of an extracted value: equal values have equal payloads, byte by byte.
void HnswEncodePayload(const VectorForm& form, IndexedVector* v);

// The same for a vector that is not a value's.
void HnswEncodeRotated(const VectorForm& form, uint32 hash, IndexedVector* v);

// Does a payload hold the numbers of the value itself?
inline bool HnswIsExact(const void* payload) {
    return IsExactPayload(payload);
}

// The vector that a whole payload stands for.
void HnswDecode(const VectorForm& form, const void* payload, float* vector);

// Fills the query code of a vector.
void HnswPrepareQuery(const VectorForm& form, IndexedVector* v);

// The search distance of n numbers of a query to a payload of as many: smaller is nearer, never NaN. Those of the parts
// of a vector add up to that of the vector.
inline float HnswDistance(const VectorForm& form, const float* query, const void* payload, int n) {
    const float value = form.compare(query, payload, static_cast<size_t>(n));
    const float distance = MetricHasCodes(form.metric) && form.metric != Metric::kL2 ? 0.0F - value : value;
    // Overflow in both directions counts as farthest.
    return likely(distance == distance) ? distance : std::numeric_limits<float>::infinity();
}

// The same to an exact payload from a query of which only the vector is known: slow.
float HnswDistanceToExact(const VectorForm& form, const float* vector, const void* payload);

// Of what stands in a slot. Of words that have parts nothing: the distance comes with the parts.
inline float HnswDistance(const VectorForm& form, const IndexedVector& query, const void* payload) {
    if (form.words)
        return static_cast<int>(WordCountOf(payload)) > form.head_dim ? 0 : form.between(query.payload, payload, 0);
    if (!form.may_be_exact || !HnswIsExact(payload)) return HnswDistance(form, query.vector, payload, form.head_dim);
    if (unlikely(query.plain == nullptr)) return HnswDistanceToExact(form, query.vector, payload);
    return HnswDistance(form, query.plain, payload, form.head_dim);
}

// The bounds for a vector whose search distance is `distance`.
OrderBounds HnswBounds(const VectorForm& form, const IndexedVector& query, float distance,
                       const PayloadErrorBound& error);

}  // namespace vecann

// Vectors as an ivf index keeps and compares them: payloads or codes, and which lists they are near to. See README.md,
// "Vectors".
#pragma once

#include "ivf/ivf_list.h"
#include "opclass/order_bounds.h"

namespace vecann {

// A vector on its way into the index, or a query. Memory of the context it was made in.
struct IvfVector {
    float* plain;   // after extraction
    float* vector;  // rotated where the index has a rotation; else the same as plain
    double norm;
    uint32 hash;
};

void IvfInitVector(const IvfContext& ctx, IvfVector* v);

// Extracts, rotates and measures a value. False when it is not indexable (a zero vector under cosine). The value is not
// NULL. Raises ERRCODE_DATA_EXCEPTION when its dimensions differ.
bool IvfExtract(const IvfContext& ctx, Datum value, IvfVector* v);
// The rest of that from the plain numbers on.
void IvfRotate(const IvfContext& ctx, IvfVector* v);

// The list of a vector: that of the nearest centroid, which is copied to `centroid` unless that is null.
uint32 IvfNearestList(const IvfContext& ctx, const IvfVector& v, float* centroid);

// A list and its centroid's distance.
struct RankedList {
    float distance;
    uint32 list;
};

// The distances of a query to the centroids, in the order in which lists are searched: L2 squared, or the negative
// inner product.
void IvfCentroidDistances(const IvfContext& ctx, const IvfVector& query, float* distances);

// Writes a vector's payload (meta.entry_size bytes).
void IvfEncodePayload(const IvfContext& ctx, const IvfVector& v, char* payload);

// The kind of payload that stands beside codes of such elements, plus 1 (IvfMetaData.stored): the least that is exact
// for half precision, one byte a dimension otherwise, and where a row would take too many pages.
uint16 IvfStoredKind(const IvfMetaData& meta);
// Writes the payload beside the code of an extracted value (StoredBytes).
void IvfEncodeStored(const IvfContext& ctx, const float* plain, char* payload);

// What a search compares payloads by.
struct PayloadQuery {
    const float* query;
    size_t dim;
    bool negative;  // inner products: larger is nearer
    float (*compare)(const float* query, const void* payload, size_t n);
    const void* words;  // the query's payload, where payloads are words; otherwise null
    float (*between)(const void* a, const void* b, size_t n);  // of words

    float Distance(const void* payload) const {
        if (words != nullptr) return between(words, payload, 0);
        const float value = compare(query, payload, dim);
        const float distance = negative ? 0.0F - value : value;
        // Overflow in both directions counts as farthest.
        return likely(distance == distance) ? distance : std::numeric_limits<float>::infinity();
    }
};
// Of the payloads in the lists, or of those beside codes. Memory of the current context.
PayloadQuery IvfPayloadQuery(const IvfContext& ctx, const IvfVector& query);

}  // namespace vecann

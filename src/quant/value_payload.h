// From the plain numbers of a value to what an index keeps of it: the rotated vector and its payload. Equal numbers
// give equal payloads, byte by byte, whoever encodes them: an insert, or the threads of a build.
#pragma once

#include "quant/payload.h"
#include "quant/rotation.h"

namespace vecann {

// How the values of one index are kept. Plain data.
struct PayloadRule {
    int dim;
    PayloadKind kind;
    bool may_be_exact;         // payloads that can hold a value's own numbers do
    const Rotation* rotation;  // null: none

    size_t size() const { return PayloadSize(kind, dim); }
};

// vector = R plain; `scratch` holds dim floats.
void RotateValue(const PayloadRule& rule, const float* plain, float* vector, float* scratch);

// The L2 norm of n numbers.
double NormOf(const float* v, int n);

// Fills the payload of a value. `hash` is that of the plain numbers, `norm` that of the rotated vector.
void EncodeValue(const PayloadRule& rule, uint32_t hash, const float* plain, const float* vector, double norm,
                 void* payload);

// The same for a vector that is not a value's.
void EncodeVector(const PayloadRule& rule, uint32_t hash, const float* vector, double norm, void* payload);

// Does a payload hold the numbers of the value itself?
inline bool IsExactPayload(const void* payload) {
    return static_cast<const PayloadHeadData*>(payload)->error == kExactPayload;
}

// The vector that a payload stands for; `scratch` holds 2 x dim floats.
void DecodeValue(const PayloadRule& rule, const void* payload, float* vector, float* scratch);

}  // namespace vecann

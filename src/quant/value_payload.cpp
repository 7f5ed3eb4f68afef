// Values to rotated vectors and payloads; see value_payload.h.
#include "quant/value_payload.h"

#include <cmath>
#include <cstring>

namespace vecann {

namespace {

// SQ8 needs `low` for its scale; the others have it free for the norm.
void KeepNorm(const PayloadRule& rule, double norm, void* payload) {
    if (rule.kind == PayloadKind::kSq8) return;
    static_cast<PayloadHeadData*>(payload)->low = std::nextafter(static_cast<float>(norm), HUGE_VALF);
}

}  // namespace

void RotateValue(const PayloadRule& rule, const float* plain, float* vector, float* scratch) {
    if (rule.rotation != nullptr)
        rule.rotation->Apply(plain, vector, scratch);
    else
        memcpy(vector, plain, static_cast<size_t>(rule.dim) * sizeof(float));
}

double NormOf(const float* v, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i)
        sum += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    return std::sqrt(sum);
}

void EncodeValue(const PayloadRule& rule, uint32_t hash, const float* plain, const float* vector, double norm,
                 void* payload) {
    if (!rule.may_be_exact || !PayloadHolds(rule.kind, plain, rule.dim)) {
        EncodeVector(rule, hash, vector, norm, payload);
        return;
    }
    EncodePayload(rule.kind, plain, rule.dim, hash, payload);
    static_cast<PayloadHeadData*>(payload)->error = kExactPayload;
    KeepNorm(rule, norm, payload);
}

void EncodeVector(const PayloadRule& rule, uint32_t hash, const float* vector, double norm, void* payload) {
    EncodePayload(rule.kind, vector, rule.dim, hash, payload);
    KeepNorm(rule, norm, payload);
}

void DecodeValue(const PayloadRule& rule, const void* payload, float* vector, float* scratch) {
    if (rule.rotation == nullptr || !IsExactPayload(payload)) {
        DecodePayload(rule.kind, payload, rule.dim, vector);
        return;
    }
    DecodePayload(rule.kind, payload, rule.dim, scratch);
    rule.rotation->Apply(scratch, vector, scratch + rule.dim);
}

}  // namespace vecann

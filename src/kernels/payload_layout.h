// How the payload of a node lies in memory and on disk: a head, then the elements, then zeros up to a multiple of 8
// bytes. quant/payload.h encodes it; the payload kernels read it in place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/zone.h"
#include "kernels/half.h"

namespace vecann {

// kWords: not numbers but the value itself, in 64-bit words.
enum class PayloadKind : uint8_t { kFloat32 = 0, kFloat16 = 1, kSq8 = 2, kWords = 3 };
constexpr int kPayloadKinds = 3;  // that payload kernels read

// The error of a payload that holds the numbers of the value itself: exact, and not rotated.
constexpr float kExactPayload = -1;

// An element x stands for x (float32), step * x (float16) or low + step * x (SQ8).
struct PayloadHeadData {
    float error;    // upper bound of |v - what the payload decodes to|, possibly +infinity; or kExactPayload
    uint32_t hash;  // of the caller's vector
    float low;
    float step;
};
static_assert(sizeof(PayloadHeadData) == 16 && offsetof(PayloadHeadData, low) == 8);

// The head of words, in the same place.
struct WordsHeadData {
    float error;     // kExactPayload
    uint32_t hash;   // of the words
    uint32_t count;  // of the words that follow
    uint32_t reserved;

    uint64_t* words() { return reinterpret_cast<uint64_t*>(this + 1); }
    const uint64_t* words() const { return reinterpret_cast<const uint64_t*>(this + 1); }
};
static_assert(sizeof(WordsHeadData) == sizeof(PayloadHeadData) && offsetof(WordsHeadData, hash) == 4);

}  // namespace vecann

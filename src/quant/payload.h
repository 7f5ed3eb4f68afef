// The payload of a node: its rotated vector as float32, float16 or one byte a dimension (SQ8). The encoding is plain
// arithmetic without a choice of instruction set: payloads are compared byte by byte to recognise duplicates.
//
// Any vector may be encoded. One that is not finite, as rotating numbers of the order of 1e38 gives, has zeros for
// elements and an infinite error. float16 holds v / step, where step is a power of two: 1 unless the largest magnitude
// would overflow half precision or falls below 2^-6; so what half precision holds exactly stays exact. SQ8 holds
// k = 0 .. 255 for low + step k, low being the smallest element; step is 1 for whole numbers that span at most 255,
// which makes them exact, and a 255th of the span otherwise. Zeros lose their sign.
#pragma once

#include "kernels/payload_layout.h"

namespace vecann {

// Bytes of a payload: head and elements, rounded up to a multiple of 8. The elements of kWords are words, which nothing
// here encodes.
size_t PayloadSize(PayloadKind kind, int dim);
// Bytes of one element.
size_t PayloadElementSize(PayloadKind kind);
// Writes all bytes of the payload; `out` needs the alignment of a float.
// Would the payload decode to the very numbers of `v`?
bool PayloadHolds(PayloadKind kind, const float* v, int dim);
void EncodePayload(PayloadKind kind, const float* v, int dim, uint32_t hash, void* out);
void DecodePayload(PayloadKind kind, const void* payload, int dim, float* out);

}  // namespace vecann

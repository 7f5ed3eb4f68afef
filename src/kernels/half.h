// IEEE half-precision numbers in plain arithmetic: the same bits whatever the instruction set. Kernels convert many at
// a time, in registers.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/zone.h"

namespace vecann {

struct Half {
    uint16_t bits;
};

inline float FloatFromHalf(Half h) {
    // in float32's place the number is 2^112 too small, denormal or not
    uint32_t bits = static_cast<uint32_t>(h.bits & 0x7fff) << 13;
    float x;
    memcpy(&x, &bits, sizeof(x));
    x *= 0x1.0p112f;
    // infinity and NaN have an exponent of their own
    memcpy(&bits, &x, sizeof(bits));
    bits |= x >= 0x1.0p16f ? 0x7f800000 : 0;
    memcpy(&x, &bits, sizeof(x));
    return (h.bits & 0x8000) != 0 ? -x : x;
}

// Rounds to nearest, ties to even; infinite from 65520 on.
inline Half HalfFromFloat(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = bits >> 31 << 15;
    bits &= 0x7fffffff;
    if (bits < 0x38800000) {  // below 2^-14: the spacing is 2^-24, as it is of float32 at 0.5
        float magnitude;
        memcpy(&magnitude, &bits, sizeof(magnitude));
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof(bits));
        bits -= 0x3f000000;
    } else if (bits < 0x477ff000) {
        bits = (bits + 0xfff + ((bits >> 13) & 1) - 0x38000000) >> 13;
    } else {
        bits = bits > 0x7f800000 ? 0x7e00 : 0x7c00;
    }
    return {static_cast<uint16_t>(sign | bits)};
}

// Rounds once. On its way through float32 what does not fit leaves a mark in the last bit, so that no tie is made.
inline Half HalfFromDouble(double x) {
    float f = static_cast<float>(x);
    const double rounded = f;
    if (rounded != x && x == x) {
        uint32_t bits;
        memcpy(&bits, &f, sizeof(bits));
        const bool away = x < 0 ? rounded < x : rounded > x;
        bits = (away ? bits - 1 : bits) | 1;
        memcpy(&f, &bits, sizeof(f));
    }
    return HalfFromFloat(f);
}

}  // namespace vecann

// A small deterministic random generator: splitmix64 (Steele, Lea, Flood 2014). Not for cryptography.
#pragma once

#include <cstdint>

#include "core/zone.h"

namespace vecann {

struct Rng {
    uint64_t state;

    explicit Rng(uint64_t seed) : state(seed) {}
    uint64_t Next() {
        uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // Uniform in (0, 1].
    double NextUnit() { return (static_cast<double>(Next() >> 11) + 1.0) * 0x1.0p-53; }
};

}  // namespace vecann

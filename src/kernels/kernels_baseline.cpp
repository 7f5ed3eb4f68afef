// The baseline level: packs of four floats in the compiler's own vector types, which it turns into whatever
// the target guarantees.
#include "kernels/bit_kernels.h"
#include "kernels/block_scan_baseline.h"
#include "kernels/code_kernels.h"
#include "kernels/codebook_kernels.h"
#include "kernels/dense_kernels.h"
#include "kernels/levels.h"
#include "kernels/nibble_kernels.h"
#include "kernels/rotation_kernels.h"

namespace vecann {
namespace baseline {

typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));
typedef uint32_t Words __attribute__((vector_size(16)));

struct Pack {
    static constexpr size_t kWidth = 4;
    Floats v;

    static Pack Zero() { return {Floats{}}; }
    static Pack Set(float x) { return {Floats{x, x, x, x}}; }
    static Pack Load(const float* p) {
        Pack a;
        memcpy(&a.v, p, sizeof(a.v));
        return a;
    }
    // Exact. Shifted into float32's place a half is 2^112 too small; that holds for denormals too.
    static Pack Load(const Half* p) {
        const Words bits = {p[0].bits, p[1].bits, p[2].bits, p[3].bits};
        const Floats magnitude = reinterpret_cast<Floats>((bits & 0x7fff) << 13) * 0x1.0p112f;
        return {reinterpret_cast<Floats>(reinterpret_cast<Words>(magnitude) | (bits & 0x8000) << 16)};
    }
    static Pack Load(const uint8_t* p) { return {__builtin_convertvector(Ints{p[0], p[1], p[2], p[3]}, Floats)}; }
    template <class S>
    static Pack LoadPart(const S* p, size_t count) {
        S part[kWidth] = {};
        for (size_t i = 0; i < count; ++i)
            part[i] = p[i];
        return Load(part);
    }
    // The nibbles of four bytes stay where they are in a word, masked; a factor takes them down.
    static void LoadNibbles(const uint8_t* code, Pack* levels) {
        const Ints mask = {0xf, 0xf00, 0xf0000, 0xf000000};
        const Floats down = {1, 0x1p-8f, 0x1p-16f, 0x1p-24f};
        const auto expand = [&](int32_t word) {
            const Ints nibbles = Ints{word, word, word, word} & mask;
            return Pack{__builtin_convertvector(nibbles, Floats) * down - 7.5f};
        };
        for (size_t p = 0; p < 4; ++p) {
            uint32_t word = 0;
            for (size_t i = 0; i < 4; ++i)
                word |= static_cast<uint32_t>(code[p * 4 + i]) << 8 * i;
            levels[p] = expand(static_cast<int32_t>(word));
            levels[p + 4] = expand(static_cast<int32_t>(word >> 4));
        }
    }
    static Pack Gather(const float* p, const uint32_t* at) { return {Floats{p[at[0]], p[at[1]], p[at[2]], p[at[3]]}}; }
    static Pack Keep(Pack a, size_t count) {
        const int n = static_cast<int>(count);
        return {Ints{0, 1, 2, 3} < Ints{n, n, n, n} ? a.v : Floats{}};
    }
    void Store(float* p) const { memcpy(p, &v, sizeof(v)); }
    static Pack Add(Pack a, Pack b) { return {a.v + b.v}; }
    static Pack Sub(Pack a, Pack b) { return {a.v - b.v}; }
    static Pack Mul(Pack a, Pack b) { return {a.v * b.v}; }
    static Pack Fma(Pack a, Pack b, Pack c) { return {a.v * b.v + c.v}; }
    static Pack Abs(Pack a) { return {reinterpret_cast<Floats>(reinterpret_cast<Ints>(a.v) & 0x7fffffff)}; }
    static Pack Min(Pack a, Pack b) { return {a.v < b.v ? a.v : b.v}; }
    static Pack Max(Pack a, Pack b) { return {a.v > b.v ? a.v : b.v}; }
    // Whole numbers from 0 to 255.
    static void StoreBytes(Pack a, uint8_t* p) {
        const Ints bytes = __builtin_convertvector(a.v, Ints);
        for (size_t i = 0; i < kWidth; ++i)
            p[i] = static_cast<uint8_t>(bytes[i]);
    }
    static float Least(Pack a) {
        const float b = a.v[0] < a.v[1] ? a.v[0] : a.v[1], c = a.v[2] < a.v[3] ? a.v[2] : a.v[3];
        return b < c ? b : c;
    }
    static uint32_t Equal(Pack a, Pack b) {
        const Ints bits = (a.v == b.v) & Ints{1, 2, 4, 8};
        return static_cast<uint32_t>((bits[0] | bits[1]) | (bits[2] | bits[3]));
    }
    static Pack Truncate(Pack a) { return {__builtin_convertvector(__builtin_convertvector(a.v, Ints), Floats)}; }
    static float Sum(Pack a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
    static uint64_t Bits(Pack a, int j) {
        const Ints bits = ((__builtin_convertvector(a.v, Ints) >> j) & 1) << Ints{0, 1, 2, 3};
        return static_cast<uint64_t>((bits[0] | bits[1]) | (bits[2] | bits[3]));
    }
    template <size_t kApart>
    static Pack Butterfly(Pack a) {
        if constexpr (kApart == 1) {
            return {Floats{a.v[1], a.v[0], a.v[3], a.v[2]} + a.v * Floats{1, -1, 1, -1}};
        } else {
            return {Floats{a.v[2], a.v[3], a.v[0], a.v[1]} + a.v * Floats{1, 1, -1, -1}};
        }
    }
};

struct Word {
    static uint32_t Count(uint64_t x) {
#if defined(__x86_64__)
        // without the instruction the built-in is a library call
        x -= (x >> 1) & 0x5555555555555555;
        x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
        x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
        return static_cast<uint32_t>((x * 0x0101010101010101) >> 56);
#else
        return static_cast<uint32_t>(__builtin_popcountll(x));
#endif
    }
};

// One word of bits, and a count.
struct Bits {
    static constexpr size_t kBytes = sizeof(uint64_t);
    uint64_t v;

    static Bits Zero() { return {0}; }
    static Bits Load(const char* p) { return LoadPart(p, kBytes); }
    static Bits LoadPart(const char* p, size_t count) {
        Bits a = {0};
        memcpy(&a.v, p, count);
        return a;
    }
    static Bits And(Bits a, Bits b) { return {a.v & b.v}; }
    static Bits Or(Bits a, Bits b) { return {a.v | b.v}; }
    static Bits Xor(Bits a, Bits b) { return {a.v ^ b.v}; }
    static Bits Count(Bits sums, Bits a) { return {sums.v + Word::Count(a.v)}; }
    static uint64_t Sum(Bits sums) { return sums.v; }
};

}  // namespace baseline

using baseline::Bits;
using baseline::Block;
using baseline::Pack;

const KernelTable kBaselineKernels = {
    SimdLevel::kBaseline,
    "baseline",
    MakeDenseKernels<Pack, Float32Element>(),
    MakeDenseKernels<Pack, Float16Element>(),
    MakeBitKernels<Bits>(),
    {MakePayloadKernels<Pack, PayloadKind::kFloat32>(), MakePayloadKernels<Pack, PayloadKind::kFloat16>(),
     MakePayloadKernels<Pack, PayloadKind::kSq8>()},
    &ScoreByWords<baseline::Word>,
    nullptr,
    MakeCodeKernels<Pack>(),
    &RotateRound<Pack>,
    MakeBlockKernels<Block, Pack>(),
    MakeCodebookKernels<Pack>(),
    &NibbleProducts<Pack>,
};

}  // namespace vecann

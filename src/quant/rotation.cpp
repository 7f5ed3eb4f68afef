// The fixed random rotation; see rotation.h.
#include "quant/rotation.h"

#include "core/rng.h"
#include "kernels/kernel_table.h"

namespace vecann {

namespace {

constexpr int kMaxBlock = 64;

}  // namespace

void Rotation::Init(Arena* arena, int dimensions) {
    dim = dimensions;
    block = 1;
    while (block * 2 <= dim && block < kMaxBlock)
        block *= 2;
    const size_t n = static_cast<size_t>(kRotationRounds) * static_cast<size_t>(dim);
    signs = arena->Allocate<float>(n);
    sources = arena->Allocate<uint32_t>(n);
    Rng rng(0x766563616e6e0000ULL + static_cast<uint64_t>(dim));
    for (int round = 0; round < kRotationRounds; ++round) {
        float* s = signs + static_cast<size_t>(round) * static_cast<size_t>(dim);
        uint32_t* p = sources + static_cast<size_t>(round) * static_cast<size_t>(dim);
        for (int i = 0; i < dim; ++i) {
            s[i] = (rng.Next() & 1) != 0 ? 1.0f : -1.0f;
            p[i] = static_cast<uint32_t>(i);
        }
        // Fisher-Yates
        for (int i = dim - 1; i > 0; --i) {
            const uint64_t j = rng.Next() % static_cast<uint64_t>(i + 1);
            const uint32_t t = p[i];
            p[i] = p[j];
            p[j] = t;
        }
    }
}

void Rotation::Apply(const float* in, float* out, float* scratch) const {
    const float* from = in;
    const auto rotate = Kernels().rotate;
    for (int round = 0; round < kRotationRounds; ++round) {
        const float* s = signs + static_cast<size_t>(round) * static_cast<size_t>(dim);
        const uint32_t* p = sources + static_cast<size_t>(round) * static_cast<size_t>(dim);
        // The last round must end in `out`: an odd number of rounds alternates that way.
        float* to = round % 2 == 0 ? out : scratch;
        rotate({from, to, p, s, dim, block});
        from = to;
    }
    static_assert(kRotationRounds % 2 == 1);
}

}  // namespace vecann

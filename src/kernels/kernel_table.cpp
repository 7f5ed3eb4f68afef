// Chooses the kernel table: cpuid for the instructions, XGETBV for the operating system's consent to keep the
// registers.
#include "kernels/kernel_table.h"

#include "kernels/levels.h"

namespace vecann {

namespace {

const KernelTable* current = nullptr;

// libgcc's feature bits already take XGETBV into account for AVX and above.
#ifdef VECANN_HAVE_AVX2
bool CpuHasF16c() {
#ifdef __clang__
    return true;  // clang 14 does not know the name; whoever has AVX2 has it
#else
    return __builtin_cpu_supports("f16c");
#endif
}

bool CpuHasAvx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && CpuHasF16c() &&
           __builtin_cpu_supports("popcnt");
}
#endif

#ifdef VECANN_HAVE_AVX512
bool CpuHasAvx512() {
    return CpuHasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

}  // namespace

const KernelTable* KernelTableFor(SimdLevel level) {
    switch (level) {
        case SimdLevel::kBaseline:
            return &kBaselineKernels;
        case SimdLevel::kAvx2:
#ifdef VECANN_HAVE_AVX2
            if (CpuHasAvx2()) return &kAvx2Kernels;
#endif
            return nullptr;
        case SimdLevel::kAvx512:
#ifdef VECANN_HAVE_AVX512
            if (CpuHasAvx512()) return &kAvx512Kernels;
#endif
            return nullptr;
    }
    return nullptr;
}

SimdLevel BestSimdLevel() {
    for (int level = kSimdLevels - 1; level > 0; --level) {
        if (KernelTableFor(static_cast<SimdLevel>(level)) != nullptr) return static_cast<SimdLevel>(level);
    }
    return SimdLevel::kBaseline;
}

const KernelTable& Kernels() {
    if (current == nullptr) current = KernelTableFor(BestSimdLevel());
    return *current;
}

bool ForceSimdLevel(SimdLevel level) {
    const KernelTable* table = KernelTableFor(level);
    if (table == nullptr) return false;
    current = table;
    return true;
}

}  // namespace vecann

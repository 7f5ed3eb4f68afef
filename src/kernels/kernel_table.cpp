// Chooses the kernel table: cpuid for the instructions, XGETBV for the operating system's consent to keep the
// registers.
#include "kernels/kernel_table.h"

#include "kernels/levels.h"

namespace vecann {

namespace {

const KernelTable* current = nullptr;

bool CpuHasAvx2() {
#ifdef VECANN_HAVE_AVX2
    // libgcc's feature bits already take XGETBV into account for AVX and above.
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
           __builtin_cpu_supports("popcnt");
#else
    return false;
#endif
}

}  // namespace

const KernelTable* KernelTableFor(SimdLevel level) {
    switch (level) {
        case SimdLevel::kBaseline:
            return &kBaselineKernels;
        case SimdLevel::kAvx2:
#ifdef VECANN_HAVE_AVX2
            return CpuHasAvx2() ? &kAvx2Kernels : nullptr;
#else
            return nullptr;
#endif
    }
    return nullptr;
}

SimdLevel BestSimdLevel() {
    return CpuHasAvx2() ? SimdLevel::kAvx2 : SimdLevel::kBaseline;
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

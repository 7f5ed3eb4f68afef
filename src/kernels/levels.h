// The tables that the per-level translation units define. Internal to src/kernels.
#pragma once

#include "kernels/kernel_table.h"

namespace vecann {

#if defined(__x86_64__)
#define VECANN_HAVE_AVX2 1
#define VECANN_HAVE_AVX512 1
#endif

extern const KernelTable kBaselineKernels;
#ifdef VECANN_HAVE_AVX2
extern const KernelTable kAvx2Kernels;
#endif
#ifdef VECANN_HAVE_AVX512
extern const KernelTable kAvx512Kernels;
#endif

}  // namespace vecann

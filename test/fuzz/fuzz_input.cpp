// The entry point of libFuzzer for one target: -DVECANN_FUZZ_TARGET=kVectorText and so on (test/fuzz/README.md).
#include "fuzz_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    vecann::FuzzInput(vecann::FuzzTarget::VECANN_FUZZ_TARGET, data, size);
    return 0;
}

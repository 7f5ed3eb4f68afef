// The input functions of the types, as targets for random bytes: one for each type and form. Without a server: what of
// it they call stands in server_stubs.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vecann {

enum class FuzzTarget : uint8_t {
    kVectorText,
    kVectorBinary,
    kHalfvecText,
    kHalfvecBinary,
    kSparsevecText,
    kSparsevecBinary,
};

// Gives an input to the target. True when it was taken as a value, false when it was refused with an error. Aborts when
// a value that was taken does not come back the same from its own text and binary form.
bool FuzzInput(FuzzTarget target, const uint8_t* data, size_t size);

}  // namespace vecann

// How a row code lies in memory and on disk; quant/row_code.h makes it and says what it stands for. The kernels read
// it in place, at any address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/zone.h"

namespace vecann {

constexpr size_t kNibbleGroup = 32;  // dimensions

// Behind it ceil(dim / 32) groups of 16 bytes: byte j of group g has the level of dimension 32 g + j in its low nibble,
// that of dimension 32 g + 16 + j in its high one. A level k stands for k - 7.5.
struct RowCodeData {
    float error;  // upper bound of |y - y^|, possibly +infinity; 0: no code
    float scale;  // y^ = scale * levels
    float norm2;  // |y^|^2
};
static_assert(sizeof(RowCodeData) == 12 && offsetof(RowCodeData, norm2) == 8);

}  // namespace vecann

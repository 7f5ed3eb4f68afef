// Distances of the core's bit strings.
#include "kernels/kernel_table.h"
#include "pg/pg.h"

namespace vecann {

namespace {

// Bits past the length are zero in every value, so whole bytes may be compared.
struct BitPair {
    const bits8 *a, *b;
    size_t bytes;
};

BitPair BitArgs(FunctionCallInfo fcinfo) {
    const VarBit* a = PG_GETARG_VARBIT_P(0);
    const VarBit* b = PG_GETARG_VARBIT_P(1);
    if (VARBITLEN(a) != VARBITLEN(b)) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("different bit lengths %u and %u", static_cast<uint32>(VARBITLEN(a)),
                               static_cast<uint32>(VARBITLEN(b)))));
    }
    return {VARBITS(a), VARBITS(b), static_cast<size_t>(VARBITBYTES(a))};
}

}  // namespace
}  // namespace vecann

VECANN_FUNCTION(vecann_hamming_distance) {
    const vecann::BitPair pair = vecann::BitArgs(fcinfo);
    PG_RETURN_FLOAT8(static_cast<double>(vecann::Kernels().bit.hamming(pair.a, pair.b, pair.bytes)));
}

// One minus the share that both have of what either has; 1 when they have nothing in common, both empty included.
VECANN_FUNCTION(vecann_jaccard_distance) {
    const vecann::BitPair pair = vecann::BitArgs(fcinfo);
    const vecann::BitOverlap overlap = vecann::Kernels().bit.overlap(pair.a, pair.b, pair.bytes);
    if (overlap.both == 0) PG_RETURN_FLOAT8(1);
    PG_RETURN_FLOAT8(1 - static_cast<double>(overlap.both) / static_cast<double>(overlap.either));
}

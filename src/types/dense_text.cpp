// What the text form of all types shares: its errors and the type modifier.
#include "types/dense_text.h"

namespace vecann {

bool InputSyntaxError(const char* type, const char* text, const char* detail, Node* soft) {
    VECANN_SOFT_ERROR(
        soft, false,
        (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid input syntax for type %s: \"%s\"", type, text),
         detail != nullptr ? errdetail("%s", detail) : 0));
}

bool InputRangeError(const char* type, const char* text, size_t length, Node* soft) {
    VECANN_SOFT_ERROR(soft, false,
                      (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                       errmsg("\"%s\" is out of range for type %s", pnstrdup(text, length), type)));
}

int32 DimensionTypmod(const char* type, ArrayType* list, int most) {
    int n;
    const int32* values = ArrayGetIntegerTypmods(list, &n);
    if (n != 1) ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid type modifier")));
    if (values[0] < 1) {
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("dimensions for type %s must be at least 1", type)));
    }
    if (values[0] > most) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("dimensions for type %s cannot exceed %d", type, most)));
    }
    return values[0];
}

}  // namespace vecann

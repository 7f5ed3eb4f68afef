// Between which bounds an ORDER BY operator's result lies, from the distance to what an index keeps of a vector.
#pragma once

#include "opclass/opclass_desc.h"

namespace vecann {

// What a lower bound of the operator's result needs to know of a payload beside the distance.
struct PayloadErrorBound {
    float error;  // of the payload, evaluation in float32 included
    float norm;   // of the vector, at most; inner product only
    bool exact;   // the payload is the value's own
};
PayloadErrorBound PayloadErrorOf(const OpClassDesc& desc, PayloadKind kind, int dim, const void* payload);

// What the ORDER BY operator returns for the query and the vector behind a payload lies in here. Deterministic: it
// holds whatever the data.
struct OrderBounds {
    double lower, upper;
};

struct QueryError {
    double norm;      // of the query
    double rotation;  // error of a rotation of query and payload, relative to the norm; 0 without
};

// The bounds for a vector whose search distance is `distance`; for words query and error do not matter.
OrderBounds BoundsOf(const OpClassDesc& desc, int dim, const QueryError& query, float distance,
                     const PayloadErrorBound& error);

}  // namespace vecann

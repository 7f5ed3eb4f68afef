// vecann_last_scan(): what the session's last index scan did.
#include "planner/vector_search.h"

VECANN_FUNCTION(vecann_last_scan) {
    using namespace vecann;
    TupleDesc tuple_desc;
    if (get_call_result_type(fcinfo, nullptr, &tuple_desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    const SearchCounts counts = LastScan();
    Datum values[] = {
        Int64GetDatum(static_cast<int64>(counts.expanded)),
        Int64GetDatum(static_cast<int64>(counts.pages)),
        Int64GetDatum(static_cast<int64>(counts.codes)),
        Int64GetDatum(static_cast<int64>(counts.exact_distances)),
    };
    bool nulls[lengthof(values)] = {};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tuple_desc), values, nulls)));
}

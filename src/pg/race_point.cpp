// Race points; see race_point.h.
#include "pg/race_point.h"

#ifdef VECANN_RACE_POINTS

#include "pg/guc.h"

namespace vecann {

namespace {

// Is `name` an element of the comma-separated list?
bool Names(const char* list, const char* name) {
    const size_t n = strlen(name);
    for (const char* p = list; p != nullptr && *p != '\0';) {
        const char* end = strchr(p, ',');
        const size_t len = end != nullptr ? static_cast<size_t>(end - p) : strlen(p);
        if (len == n && strncmp(p, name, n) == 0) return true;
        p = end != nullptr ? end + 1 : nullptr;
    }
    return false;
}

}  // namespace

void RacePoint(const char* name) {
    if (!Names(Settings().race_points, name)) return;
    const Datum key = DirectFunctionCall1Coll(hashtext, C_COLLATION_OID, CStringGetTextDatum(name));
    const Datum wide = Int64GetDatum(static_cast<int64>(DatumGetInt32(key)));
    DirectFunctionCall1(pg_advisory_lock_int8, wide);
    DirectFunctionCall1(pg_advisory_unlock_int8, wide);
}

}  // namespace vecann

#endif

// The executor's side of the custom scan.
//
// Its plan has custom_scan_tlist: the columns needed, then the distance as the query writes it; custom_exprs: the query
// side of the distance; custom_private: the index (a list of one OID) and which argument of the distance is the query
// (a list of one integer).
#pragma once

#include "pg/pg.h"

namespace vecann {

constexpr char kVectorScanName[] = "VectorScan";

extern const CustomScanMethods kVectorScanMethods;

}  // namespace vecann

// What the access methods ask of operator classes that users make: one operator of distance, one descriptor.
#pragma once

#include "pg/pg.h"

namespace vecann {

// For amvalidate: says what is wrong with a class of access method `am`, if anything.
bool IsValidVectorClass(Oid opclass, const char* am);

// For amadjustmembers: CREATE OPERATOR CLASS calls no validation, so what the scans could not survive is refused here.
void CheckVectorMembers(List* operators, List* functions, const char* am);

}  // namespace vecann

// What stands in for the server: errors that jump back to the harness, memory that is freed after each input.
#pragma once

#include "pg/pg.h"

namespace vecann {

// Runs a function as the server would: false when it raised an error. Memory that it took stays until FreeServerMemory.
bool RunCatching(Datum (*function)(FunctionCallInfo), FunctionCallInfo fcinfo, Datum* result);
void FreeServerMemory();

}  // namespace vecann

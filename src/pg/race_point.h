// Race points: named places where a test can hold a session, so that isolation specs can drive two of them into a race.
// Compiled in only with VECANN_RACE_POINTS (make RACE_POINTS=1).
//
// A session whose setting vecann.race_points (a comma-separated list) names the point takes and releases the advisory
// lock hashtext(name) there: it waits for as long as another session holds that lock. Never call one with a content
// lock or an LWLock held.
#pragma once

#include "pg/pg.h"

#ifdef VECANN_RACE_POINTS
namespace vecann {
void RacePoint(const char* name);
}
#define VECANN_RACE_POINT(name) ::vecann::RacePoint(name)
#else
#define VECANN_RACE_POINT(name) static_cast<void>(0)
#endif

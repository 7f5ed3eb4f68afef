// Which zone is this translation unit compiled for? Exactly one of VECANN_ZONE_K, _P, _X is set by the Makefile.
// Zone K headers may be included from all three; pg/pg.h only from P; compute/ internals only from X.
#pragma once

#if defined(VECANN_ZONE_K) + defined(VECANN_ZONE_P) + defined(VECANN_ZONE_X) != 1
#error "compile through the Makefile: exactly one of VECANN_ZONE_K, VECANN_ZONE_P, VECANN_ZONE_X must be defined"
#endif

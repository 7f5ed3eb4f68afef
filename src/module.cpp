// Module magic and load-time set-up: settings, reloptions, kernel table. Starts no thread, opens no other library.
#include "pg/pg.h"

#include "hnsw/hnsw_am.h"
#include "ivf/ivf_am.h"
#include "pg/guc.h"
#include "planner/vector_path.h"

extern "C" {
PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
    vecann::InitSettings();
    vecann::HnswInitOptions();
    vecann::HnswRegisterSearch();
    vecann::IvfInitOptions();
    vecann::IvfRegisterSearch();
    vecann::InitVectorPaths();
}
}

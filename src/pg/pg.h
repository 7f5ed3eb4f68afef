// The only way to the server's headers (rule 12), and the only place where PG_VERSION_NUM appears.
//
// The server's port.h redefines snprintf and friends as macros, which breaks the standard headers when they come later:
// include what we use of them first.
#pragma once

#include "core/zone.h"
#ifndef VECANN_ZONE_P
#error "pg/pg.h is for zone P (server code) only"
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

// Everything else is hidden (-fvisibility=hidden); PostgreSQL 15 leaves this macro empty.
#ifndef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

extern "C" {
// clang-format off: postgres.h comes first
#include "postgres.h"
// clang-format on
#include "access/amapi.h"
#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/gin_private.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "access/xlogrecovery.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/explain.h"
#include "commands/progress.h"
#include "commands/tablespace.h"
#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "common/shortest_dec.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "executor/nodeHash.h"
#include "executor/nodeIndexscan.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/tidbitmap.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "port/pg_crc32c.h"
#include "portability/instr_time.h"
#include "postmaster/autovacuum.h"
#include "storage/buf_internals.h"
#include "storage/buffile.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/indexfsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/pmsignal.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/backend_progress.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/selfuncs.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"
#include "utils/syscache.h"
#include "utils/varbit.h"
#include "utils/wait_event.h"
}

// The server's min/max style macros must not meet C++.
#undef Min
#undef Max

// Opens the definition of a function that SQL calls: VECANN_FUNCTION(name) { ... PG_RETURN_...; }
#define VECANN_FUNCTION(name)  \
    extern "C" {               \
    PG_FUNCTION_INFO_V1(name); \
    }                          \
    extern "C" PGDLLEXPORT Datum name(PG_FUNCTION_ARGS)

namespace vecann {

template <class T>
constexpr T Min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
constexpr T Max(T a, T b) {
    return a < b ? b : a;
}

// ---- version shims -----------------------------------------------------------

// Reserves a GUC prefix: unknown names under it are errors.
inline void ReserveGucPrefix(const char* prefix) {
    MarkGUCPrefixReserved(prefix);
}

// Raises an error; or, since PostgreSQL 16, when the caller of an input function passed a `context` (Node*) that
// collects errors, leaves it there and returns `value` from the calling function.
#if PG_VERSION_NUM >= 160000
#define VECANN_SOFT_ERROR(context, value, ...) ereturn(context, value, __VA_ARGS__)
#else
#define VECANN_SOFT_ERROR(context, value, ...) \
    do {                                       \
        static_cast<void>(context);            \
        ereport(ERROR, __VA_ARGS__);           \
        return value;                          \
    } while (0)
#endif

// For scans: raises "snapshot too old" when the page changed after old_snapshot_threshold took the snapshot's
// protection away (PostgreSQL 15 and 16). `snapshot` may be null. The caller holds a content lock on the page.
inline void CheckOldSnapshot(Snapshot snapshot, Relation rel, Page page) {
#if PG_VERSION_NUM < 170000
    TestForOldSnapshot(snapshot, rel, page);
#endif
}

// The leaf of a GIN index's entry tree where a key belongs, and the first leaf of a posting tree: pinned, and locked
// for reading. No page is tested for being newer than a snapshot.
inline GinBtreeStack* GinFindEntryLeaf(GinBtree entries) {
#if PG_VERSION_NUM >= 170000
    return ginFindLeafPage(entries, true, false);
#else
    return ginFindLeafPage(entries, true, false, nullptr);
#endif
}
inline GinBtreeStack* GinFirstPostingLeaf(GinBtree postings, Relation index, BlockNumber root) {
#if PG_VERSION_NUM >= 170000
    return ginScanBeginPostingTree(postings, index, root);
#else
    return ginScanBeginPostingTree(postings, index, root, nullptr);
#endif
}
// The leaf of a posting tree where a row belongs. `postings` has been used for the first leaf.
inline GinBtreeStack* GinFindPostingLeaf(GinBtree postings, const ItemPointerData& row) {
    postings->fullScan = false;
    postings->itemptr = row;
#if PG_VERSION_NUM >= 170000
    return ginFindLeafPage(postings, true, false);
#else
    return ginFindLeafPage(postings, true, false, nullptr);
#endif
}

// May rows be gone that a snapshot sees? The setting ended with PostgreSQL 17.
inline bool DoSnapshotsExpire() {
#if PG_VERSION_NUM >= 170000
    return false;
#else
    return OldSnapshotThresholdActive();
#endif
}

// The number of the file that holds a relation.
inline uint32 RelFileNumberOf(Relation rel) {
#if PG_VERSION_NUM >= 160000
    return rel->rd_locator.relNumber;
#else
    return rel->rd_node.relNode;
#endif
}

// Pins `buffer` if it holds this block of the main fork.
inline bool ReadRecentMainBuffer(Relation rel, BlockNumber block, Buffer buffer) {
#if PG_VERSION_NUM >= 160000
    return ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, block, buffer);
#else
    return ReadRecentBuffer(rel->rd_node, MAIN_FORKNUM, block, buffer);
#endif
}

// Is it this block of the main fork that a shared buffer holds? Without a pin the answer may be wrong a moment later.
inline bool IsBufferOf(Buffer buffer, Relation rel, BlockNumber block) {
    const BufferTag* tag = &GetBufferDescriptor(static_cast<uint32>(buffer - 1))->tag;
#if PG_VERSION_NUM >= 160000
    return tag->blockNum == block && BufTagGetForkNum(tag) == MAIN_FORKNUM &&
           BufTagMatchesRelFileLocator(tag, &rel->rd_locator);
#else
    return tag->blockNum == block && tag->forkNum == MAIN_FORKNUM && RelFileNodeEquals(tag->rnode, rel->rd_node);
#endif
}

// Is the role the owner of a table or index, by itself, by membership, or as a superuser?
inline bool OwnsRelation(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(RelationRelationId, relation, role);
#else
    return pg_class_ownercheck(relation, role);
#endif
}

// Appends to a temporary file.
inline void WriteTempFile(BufFile* file, const void* bytes, size_t size) {
#if PG_VERSION_NUM >= 160000
    BufFileWrite(file, bytes, size);
#else
    BufFileWrite(file, const_cast<void*>(bytes), size);
#endif
}

inline bool IsAutovacuum() {
#if PG_VERSION_NUM >= 170000
    return AmAutoVacuumWorkerProcess();
#else
    return IsAutoVacuumWorkerProcess();
#endif
}

// Kilobytes that vacuum may take.
inline int VacuumMemory() {
    return IsAutovacuum() && autovacuum_work_mem != -1 ? autovacuum_work_mem : maintenance_work_mem;
}

// Adds one page to a fork and returns it pinned and exclusively locked, all zeros.
inline Buffer ExtendRelationLocked(Relation rel, ForkNumber fork) {
#if PG_VERSION_NUM >= 160000
    return ExtendBufferedRel(BMR_REL(rel), fork, nullptr, EB_LOCK_FIRST);
#else
    bool lock_needed = !RELATION_IS_LOCAL(rel);
    if (lock_needed) LockRelationForExtension(rel, ExclusiveLock);
    // Locked before anybody else can see it, so that nobody takes it for a page that a crash left empty. Local buffers
    // have no content lock.
    Buffer buf = ReadBufferExtended(rel, fork, P_NEW, RBM_ZERO_AND_LOCK, nullptr);
    if (lock_needed) UnlockRelationForExtension(rel, ExclusiveLock);
    return buf;
#endif
}

}  // namespace vecann

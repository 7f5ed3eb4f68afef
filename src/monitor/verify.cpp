// vecann_verify(regclass): checks the caller's rights, takes the locks, runs the access method's verifier, returns its
// report.
//
// Locks: on a primary ShareLock on the table, then on the index: neither writers nor vacuum meanwhile. In recovery,
// where no such lock can be had, AccessShareLock; what is found while replay changes the index is looked at again.
#include "hnsw/hnsw_am.h"
#include "hnsw/hnsw_verify.h"
#include "ivf/ivf_am.h"
#include "ivf/ivf_verify.h"
#include "storage/page.h"

namespace vecann {

namespace {

using Verifier = void (*)(Relation heap, Relation index, Snapshot snapshot, VerifyReport* report);

// The verifier of an index's access method; null when it is not one of ours.
Verifier VerifierOf(Relation index) {
    if (index->rd_indam->ambuild == hnsw_build) return HnswVerify;
    if (index->rd_indam->ambuild == ivf_build) return IvfVerify;
    return nullptr;
}

// ---- which index ---------------------------------------------------------------

// The table of the index. Raises unless the relation is an index with storage.
Oid TableOf(Oid index) {
    const char kind = get_rel_relkind(index);
    const char* name = get_rel_name(index);
    if (kind == '\0' || name == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", index)));
    if (kind == RELKIND_PARTITIONED_INDEX)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("cannot verify partitioned index \"%s\"", name),
                        errhint("Verify the index of each partition.")));
    if (kind != RELKIND_INDEX)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not an index", name)));
    return IndexGetRelation(index, false);
}

// EXECUTE alone lets a role verify the indexes of its own tables: the lock keeps writers out for as long as it takes.
void CheckRights(Oid table, bool owner) {
    if (owner || has_privs_of_role(GetUserId(), ROLE_PG_STAT_SCAN_TABLES)) return;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of table %s", get_rel_name(table)),
                    errhint("Members of the role pg_stat_scan_tables may verify every index.")));
}

// Raises unless the open index can be verified now.
void CheckVerifiable(Relation index) {
    const char* name = RelationGetRelationName(index);
    if (VerifierOf(index) == nullptr)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("index \"%s\" is not one of vecann", name),
                        errdetail("Its access method is \"%s\".", get_am_name(index->rd_rel->relam))));
    if (RELATION_IS_OTHER_TEMP(index))
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot access temporary tables of other sessions")));
    if (!index->rd_index->indisvalid || !index->rd_index->indisready)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("index \"%s\" is not valid", name),
                        errdetail("CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY failed or is still running."),
                        errhint("Drop it or REINDEX it.")));
    if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("cannot verify unlogged index \"%s\" during recovery", name)));
}

// ---- recovery --------------------------------------------------------------------

constexpr int kMostAttempts = 5;

// Has a page of the index changed after `lsn`? Cancellable.
bool ChangedSince(Relation index, XLogRecPtr lsn) {
    BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
    const BlockNumber blocks = RelationGetNumberOfBlocks(index);
    bool changed = false;
    for (BlockNumber block = 0; block < blocks && !changed; ++block) {
        CHECK_FOR_INTERRUPTS();
        LockedPage page(index, block, BUFFER_LOCK_SHARE, strategy);
        changed = PageGetLSN(page.page()) > lsn;
    }
    FreeAccessStrategy(strategy);
    return changed;
}

// ---- the verification --------------------------------------------------------------

void VerifyOnce(Relation heap, Relation index, VerifyReport* report) {
    MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "vecann verify", ALLOCSET_DEFAULT_SIZES);
    InitVerifyReport(report);
    MemoryContext old = MemoryContextSwitchTo(memory);
    // The newest snapshot in every isolation level: an older one may see versions of rows that an index built since
    // then leaves out.
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    VerifierOf(index)(heap, index, snapshot, report);
    UnregisterSnapshot(snapshot);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(memory);
}

void VerifyLocked(Relation heap, Relation index, VerifyReport* report) {
    if (!RecoveryInProgress()) {
        VerifyOnce(heap, index, report);
        return;
    }
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
        const XLogRecPtr start = GetXLogReplayRecPtr(nullptr);
        VerifyOnce(heap, index, report);
        if (report->problem_count == 0 || !ChangedSince(index, start)) return;
    }
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("index \"%s\" kept changing while it was verified", RelationGetRelationName(index)),
                    errhint("Pause the replay with pg_wal_replay_pause() and verify again.")));
}

Datum ReportTuple(FunctionCallInfo fcinfo, const VerifyReport& report) {
    TupleDesc tuple_desc;
    if (get_call_result_type(fcinfo, nullptr, &tuple_desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    const Datum values[] = {
        Int64GetDatum(report.nodes),       Int64GetDatum(report.upper_slots), Int64GetDatum(report.heap_tids),
        Int64GetDatum(report.killed_tids), Int64GetDatum(report.unreachable), Int64GetDatum(report.deleted_slots),
        Int64GetDatum(report.free_slots),  Int64GetDatum(report.max_edges),   VerifyProblemArray(report),
    };
    bool nulls[lengthof(values)] = {};
    HeapTuple tuple = heap_form_tuple(BlessTupleDesc(tuple_desc), const_cast<Datum*>(values), nulls);
    return HeapTupleGetDatum(tuple);
}

}  // namespace

}  // namespace vecann

VECANN_FUNCTION(vecann_verify) {
    using namespace vecann;
    const Oid index_oid = PG_GETARG_OID(0);
    const Oid table_oid = TableOf(index_oid);
    const bool owner = OwnsRelation(table_oid, GetUserId());
    CheckRights(table_oid, owner);

    const LOCKMODE lock = RecoveryInProgress() ? AccessShareLock : ShareLock;
    Relation heap = table_open(table_oid, lock);
    Relation index = index_open(index_oid, lock);
    // The table was found without a lock.
    if (IndexGetRelation(index_oid, false) != table_oid)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("could not open the table of index \"%s\"", RelationGetRelationName(index))));
    CheckVerifiable(index);

    // Expressions and predicates of the index run as the owner of the table; a caller who is not the owner does not
    // choose where they look up names.
    Oid user;
    int security_context;
    GetUserIdAndSecContext(&user, &security_context);
    SetUserIdAndSecContext(heap->rd_rel->relowner, security_context | SECURITY_RESTRICTED_OPERATION);
    const int guc_level = NewGUCNestLevel();
    if (!owner)
        set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);

    VerifyReport report;
    VerifyLocked(heap, index, &report);

    AtEOXact_GUC(false, guc_level);
    SetUserIdAndSecContext(user, security_context);
    index_close(index, lock);
    table_close(heap, lock);
    PG_RETURN_DATUM(ReportTuple(fcinfo, report));
}

// vecann_list_stats(regclass): what the lists of an ivfflat or ivfpq index look like, and whether they are due for a
// REINDEX. For the owner of the table and members of pg_stat_scan_tables. Locks: AccessShareLock on the index.
#include "ivf/ivf_am.h"
#include "ivf/ivf_stats.h"

namespace vecann {

namespace {

void CheckIsIvf(Relation index) {
    const char* name = RelationGetRelationName(index);
    if (index->rd_indam->ambuild != ivf_build)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("index \"%s\" has no lists", name),
                        errdetail("Its access method is \"%s\".", get_am_name(index->rd_rel->relam))));
    if (!OwnsRelation(index->rd_index->indrelid, GetUserId()) &&
        !has_privs_of_role(GetUserId(), ROLE_PG_STAT_SCAN_TABLES))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of table %s", get_rel_name(index->rd_index->indrelid)),
                        errhint("Members of the role pg_stat_scan_tables may look at every index.")));
    if (RELATION_IS_OTHER_TEMP(index))
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot access temporary tables of other sessions")));
    if (!index->rd_index->indisready ||
        (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress()))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("index \"%s\" is not ready", name)));
}

}  // namespace

}  // namespace vecann

VECANN_FUNCTION(vecann_list_stats) {
    using namespace vecann;
    const Oid oid = PG_GETARG_OID(0);
    TupleDesc tuple_desc;
    if (get_call_result_type(fcinfo, nullptr, &tuple_desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    const char* name = get_rel_name(oid);
    if (name == nullptr)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", oid)));
    if (get_rel_relkind(oid) == RELKIND_PARTITIONED_INDEX)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("partitioned index \"%s\" has no lists", name),
                        errhint("Ask for the index of each partition.")));
    if (get_rel_relkind(oid) != RELKIND_INDEX)
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not an index", name)));
    Relation index = index_open(oid, AccessShareLock);
    CheckIsIvf(index);
    const IvfStats stats = IvfCountLists(index);
    index_close(index, AccessShareLock);
    Datum values[] = {
        Int64GetDatum(stats.rows),
        Int64GetDatum(stats.lists),
        Int64GetDatum(stats.empty_lists),
        Int64GetDatum(stats.largest_list),
        Float8GetDatum(stats.gini),
        BoolGetDatum(stats.learnt),
        Int64GetDatum(stats.learnt_rows),
        Int64GetDatum(stats.list_pages),
        Int64GetDatum(stats.retired_pages),
        BoolGetDatum(stats.reindex_due),
        stats.advice != nullptr ? CStringGetTextDatum(stats.advice) : Datum{0},
    };
    bool nulls[lengthof(values)] = {};
    nulls[lengthof(values) - 1] = stats.advice == nullptr;
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tuple_desc), values, nulls)));
}

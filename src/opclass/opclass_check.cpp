// Checks of the operator classes that users make; see opclass_check.h.
#include "opclass/opclass_check.h"

#include "opclass/opclass_desc.h"

namespace vecann {

bool IsValidVectorClass(Oid opclass_oid, const char* am) {
    HeapTuple class_tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass_oid));
    if (!HeapTupleIsValid(class_tuple)) elog(ERROR, "cache lookup failed for operator class %u", opclass_oid);
    Form_pg_opclass form = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(class_tuple));
    const Oid family = form->opcfamily, type = form->opcintype;
    const char* name = pstrdup(NameStr(form->opcname));
    ReleaseSysCache(class_tuple);

    bool valid = true;
    CatCList* operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));
    for (int i = 0; i < operators->n_members; ++i) {
        const Form_pg_amop amop = reinterpret_cast<Form_pg_amop>(GETSTRUCT(&operators->members[i]->tuple));
        if (amop->amopstrategy == 1 && amop->amoppurpose == AMOP_ORDER && IsDistanceOperator(amop->amopopr)) continue;
        ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                       errmsg("operator class \"%s\" of access method %s has an operator that is not strategy 1 for "
                              "ORDER BY with a double precision result",
                              name, am)));
        valid = false;
    }
    ReleaseCatCacheList(operators);
    const Oid function = get_opfamily_proc(family, type, type, 1);
    if (!OidIsValid(function)) {
        ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                       errmsg("operator class \"%s\" of access method %s is missing support function 1", name, am)));
        valid = false;
    } else if (!IsDescriptorFunction(function)) {
        ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                       errmsg("operator class \"%s\" of access method %s has a support function 1 with a wrong "
                              "signature",
                              name, am)));
        valid = false;
    }
    return valid;
}

// CREATE OPERATOR CLASS calls no validation. What the scans could not survive is refused here.
void CheckVectorMembers(List* operators, List* functions, const char* am) {
    ListCell* cell;
    foreach (cell, operators) {
        const OpFamilyMember* member = static_cast<OpFamilyMember*>(lfirst(cell));
        if (OidIsValid(member->sortfamily) && IsDistanceOperator(member->object)) continue;
        ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                        errmsg("operators of access method %s must be FOR ORDER BY and return double precision", am)));
    }
    foreach (cell, functions) {
        if (IsDescriptorFunction(static_cast<OpFamilyMember*>(lfirst(cell))->object)) continue;
        ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                        errmsg("support functions of access method %s must have one argument of type internal and "
                               "return internal",
                               am)));
    }
}

}  // namespace vecann

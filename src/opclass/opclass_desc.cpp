// From an index to the descriptor of its operator class.
#include "opclass/opclass_desc.h"

namespace vecann {

bool IsDistanceOperator(Oid op) {
    return get_op_rettype(op) == FLOAT8OID;
}

bool IsDescriptorFunction(Oid function) {
    Oid* arguments;
    int count;
    return get_func_signature(function, &arguments, &count) == INTERNALOID && count == 1 && arguments[0] == INTERNALOID;
}

int IndexDimensions(Relation index) {
    const Form_pg_attribute column = TupleDescAttr(index->rd_att, 0);
    int32 dim = column->atttypmod;
    getBaseTypeAndTypmod(column->atttypid, &dim);  // a domain keeps the modifier of its base type to itself
    if (dim < 0) ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("column does not have dimensions")));
    return dim;
}

const OpClassDesc* OpClassOf(Relation index) {
    const OpClassDesc* desc = nullptr;
    // extract() expects a varlena, whatever type the class was declared for.
    if (RegProcedureIsValid(index_getprocid(index, 1, 1)) && TupleDescAttr(index->rd_att, 0)->attlen == -1) {
        FmgrInfo* proc = index_getprocinfo(index, 1, 1);
        desc = reinterpret_cast<const OpClassDesc*>(DatumGetPointer(FunctionCall1(proc, PointerGetDatum(nullptr))));
    }
    if (desc == nullptr || desc->magic != kOpClassDescMagic) {
        ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                        errmsg("operator class of index \"%s\" is not one of vecann", RelationGetRelationName(index)),
                        errdetail("Its support function 1 does not return a descriptor for the type it indexes.")));
    }
    return desc;
}

}  // namespace vecann

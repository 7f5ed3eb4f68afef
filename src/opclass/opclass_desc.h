// What an index needs to know about its operator class: a POD. The access methods are not templates; they call through
// this descriptor, never through fmgr per distance. Support function 1 of every operator class returns a pointer to
// one.
#pragma once

#include "kernels/kernel_table.h"
#include "pg/pg.h"

namespace vecann {

constexpr uint32 kOpClassDescMagic = 0x56414F43;  // "VAOC"

// Distance between two payloads of `dim` elements; smaller is nearer; never NaN (overflow both ways is +infinity).
using PayloadDistance = float (*)(const void* a, const void* b, size_t dim);

struct OpClassDesc {
    uint32 magic;
    const char* name;
    ElementKind element;
    Metric metric;
    int max_dimensions;
    bool unit_norm;  // payloads are stored with norm 1; a zero vector has none and is not indexed

    // Bytes of a payload of `dim` elements.
    size_t (*payload_size)(int dim);
    // Dimensions of a value (not NULL). The value may be toasted.
    int (*value_dim)(Datum value);
    // Writes the payload of a value (payload_size(dim) bytes); false when the value is not indexable (zero under
    // cosine). Raises ERRCODE_DATA_EXCEPTION when its dimensions are not `dim`.
    bool (*extract)(Datum value, int dim, void* payload);
    // The search distance in force for this process (picked from the kernel table).
    PayloadDistance (*distance)();
    // A lower bound of what the ORDER BY operator returns for this search distance, exact when `exact_order`.
    double (*order_value)(float distance, int dim);
    // order_value is what the operator returns, to the last bit: no recheck by the executor needed. (An inner product
    // that overflows both ways is NaN to the operator and +infinity here: both sort behind all numbers.)
    bool exact_order;
};

// May this operator be strategy 1 (ORDER BY) of a class? It must return the float8 that the scans hand to the executor.
bool IsDistanceOperator(Oid op);
// May this function be support function 1 of a class? The pointer it returns will be followed.
bool IsDescriptorFunction(Oid function);

// The descriptor of an index's first key column. Raises when the operator class is not one of ours.
const OpClassDesc* OpClassOf(Relation index);

}  // namespace vecann

// What an index needs to know about its operator class: a POD. The access methods are not templates; they call through
// this descriptor, never through fmgr per distance. Support function 1 of every operator class returns a pointer to
// one.
#pragma once

#include "kernels/kernel_table.h"
#include "pg/pg.h"

namespace vecann {

constexpr uint32 kOpClassDescMagic = 0x56414F43;  // "VAOC"

// How a type is indexed whose values are no rows of numbers: each as it is, in words.
struct WordsForm {
    // The most words that a value of these dimensions takes.
    int (*most_words)(int dim);
    bool varying;  // a value takes as many as it needs; otherwise each takes the most
    // Writes a value's words and their number; false when it is not indexable. Raises ERRCODE_DATA_EXCEPTION when its
    // dimensions are not `dim`.
    bool (*encode)(Datum value, int dim, WordsHeadData* out);
    // The value that encode made these words of, in the current memory context.
    Datum (*restore)(const WordsHeadData& words, int dim);
    // What the operator returns for two values, as float32; never NaN. The last argument is not used.
    float (*distance)(const void* a, const void* b, size_t);
    // Could encode have written these words? Their number is at most most_words(dim).
    bool (*sound)(const WordsHeadData& words, int dim);
    // The words that encode makes of the value of which extract made these numbers; null where there is no extract.
    void (*pack)(const float* numbers, int dim, WordsHeadData* out);
};

struct OpClassDesc {
    uint32 magic;
    const char* name;
    ElementKind element;
    Metric metric;
    int max_dimensions;
    bool unit_norm;  // vectors are indexed with norm 1; a zero vector has none and is not indexed

    // Null where values are rows of numbers. Otherwise restore is null, extract too unless values may be taken for rows
    // of numbers (bit strings: zeros and ones), and distances go to order_value as the operator has them.
    const WordsForm* words;

    // Writes a value as `dim` float32 numbers; false when it is not indexable (zero under cosine). Raises
    // ERRCODE_DATA_EXCEPTION when its dimensions are not `dim`. *hash tells values apart that have the same numbers;
    // 0 where none do; hash may be null.
    bool (*extract)(Datum value, int dim, float* vector, uint32* hash);
    // The value that extract made these numbers of, in the current memory context, or in the place of `reuse`, which is
    // 0 or a value made by this before with the same `dim`; not under cosine.
    Datum (*restore)(const float* vector, int dim, Datum reuse);
    // From the search distance of two extracted vectors (the squared L2 distance, the negative inner product, the L1
    // distance, in float32; of words what the operator returns) to what the ORDER BY operator returns, off by at most
    // order_slack(dim).
    double (*order_value)(float distance);
    double (*order_slack)(int dim);
};

// May this operator be strategy 1 (ORDER BY) of a class? It must return the float8 that the scans hand to the executor.
bool IsDistanceOperator(Oid op);
// May this function be support function 1 of a class? The pointer it returns will be followed.
bool IsDescriptorFunction(Oid function);

// The dimensions that the indexed column's type modifier gives. Raises ERRCODE_INVALID_PARAMETER_VALUE without one.
int IndexDimensions(Relation index);

// The descriptor of an index's first key column. Raises when the operator class is not one of ours.
const OpClassDesc* OpClassOf(Relation index);

}  // namespace vecann

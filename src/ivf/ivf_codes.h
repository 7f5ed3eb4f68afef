// Codes of ivfpq: encoding one vector, and scoring the codes of list pages against a query. See README.md, "Codes".
#pragma once

#include "ivf/ivf_vector.h"
#include "quant/pq.h"
#include "quant/rabitq_list.h"

namespace vecann {

inline PqShape IvfPqShape(const IvfMetaData& meta) {
    return {meta.dim, meta.m, meta.bits};
}
inline CodeShape IvfSignShape(const IvfMetaData& meta) {
    return CodeShape::Make(meta.dim, 1, meta.m * 4);
}
inline Tape CodebookTape(const IvfMetaData& meta) {
    return {meta.codebook, static_cast<int>(IvfPqShape(meta).part_floats())};
}

// Codes measure unit vectors by L2: the cosine follows from that.
inline Metric IvfCodeMetric(const OpClassDesc& desc) {
    return desc.metric == Metric::kInnerProduct ? Metric::kInnerProduct : Metric::kL2;
}

// Bytes of a row code, and floats beside it.
size_t IvfCodeBytes(const IvfMetaData& meta);
int IvfCodeFactors(const IvfMetaData& meta);

// The float beside a code of sub-quantizers: under L2 what PqAdd says, under the inner product the code's error.
// `error` is its square.
inline float IvfPqFactor(Metric metric, float add, float error) {
    const float factor = metric == Metric::kL2 ? add : std::sqrt(error);
    return std::isfinite(factor) ? factor : std::numeric_limits<float>::max();
}

// Reads the codebook; null for indexes without one. In the current memory context.
const float* IvfReadCodebook(const IvfContext& ctx);
// The same for use at once: the backend may have it (ivf_known.h).
const float* IvfKnownCodebook(const IvfContext& ctx);

// Encodes a vector against its centroid: `row` gets the factors, and a code of the current memory context as its entry.
void IvfEncodeCode(const IvfContext& ctx, const float* codebook, const IvfVector& v, const float* centroid,
                   RowImage* row);

// A query as codes are scored against it. Plain data.
struct CodeQuery {
    ScanTables tables;
    Metric metric;  // IvfCodeMetric
    bool halve;     // cosine: the distance is half of the squared L2 distance, less 1
    float norm;     // of the query
    float* estimates;
    uint32_t* masks;
    // of the list at hand
    float base;
    float spread;
    float error;
    float largest_error;  // of the lists met in the round
};

// Prepares the query; memory is the arena's.
void IvfInitCodeQuery(const IvfContext& ctx, const IvfVector& query, Arena* arena, CodeQuery* codes);
// Turns to a list whose centroid is at `distance` (IvfCentroidDistances).
void IvfEnterList(const IvfContext& ctx, const IvfVector& query, const RankedList& list, float error, CodeQuery* codes);
// Estimates the search distances of all slots of a page into codes->estimates; those beyond `limit` may have no bit in
// codes->masks. The caller holds a lock on the page.
void IvfScoreCodes(const IvfMetaData& meta, const ListView& view, float limit, CodeQuery* codes);
// How much nearer than its estimate a row of the list at hand may be.
float IvfCodeError(const IvfMetaData& meta, const ListView& view, int slot, const CodeQuery& codes);
// Where errors follow from estimates: turns a distance, beyond which rows were not kept, into the estimate and the
// error of the row beyond it that may be nearest of all. Leaves both alone otherwise.
void IvfLeastBeyond(const IvfMetaData& meta, const CodeQuery& codes, float* distance, float* error);

}  // namespace vecann

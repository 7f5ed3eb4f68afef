// Codes, blocks and tables of a product quantizer; see pq.h.
#include "quant/pq.h"

#include <cmath>
#include <cstring>

namespace vecann {

namespace {

constexpr float kMostByte = 255, kMostSum = 65535;
// Beyond these float32 cannot tell the values apart, or not subtract them.
constexpr double kLeastSpan = 1e-35, kMostSpan = 1e37;

// Where a lane stands among the 16 bytes of a sub-quantizer.
int ByteOf(int lane) {
    const int v = lane & 15;
    return v < 8 ? 2 * v : 2 * (v - 8) + 1;
}

int WordOf(const PqShape& shape, const uint8_t* code, int s) {
    return shape.bits == 8 ? code[s] : (code[s / 2] >> (4 * (s & 1))) & 15;
}

void SetNibble(uint8_t* byte, int high, int word) {
    const int shift = 4 * high;
    *byte = static_cast<uint8_t>((*byte & ~(15 << shift)) | (word << shift));
}

}  // namespace

float EncodePq(const PqShape& shape, const float* codebook, const float* x, uint8_t* code) {
    const CodebookKernels& kernels = Kernels().codebook;
    memset(code, 0, shape.code_bytes());
    float error = 0;
    for (int s = 0; s < shape.m; ++s) {
        float distance;
        const int word =
            kernels.nearest(x + shape.first(s), shape.part(codebook, s), shape.run(s), shape.codewords(), &distance);
        error += distance;
        if (shape.bits == 8)
            code[s] = static_cast<uint8_t>(word);
        else
            code[s / 2] = static_cast<uint8_t>(code[s / 2] | word << (4 * (s & 1)));
    }
    return error;
}

void DecodePq(const PqShape& shape, const float* codebook, const uint8_t* code, float* x) {
    const int words = shape.codewords();
    for (int s = 0; s < shape.m; ++s) {
        const float* codeword = shape.part(codebook, s) + WordOf(shape, code, s);
        float* to = x + shape.first(s);
        for (int i = 0; i < shape.run(s); ++i)
            to[i] = codeword[i * words];
    }
}

float PqAdd(int dim, const float* centroid, const float* x) {
    double norm = 0, product = 0;
    for (int i = 0; i < dim; ++i) {
        norm += static_cast<double>(x[i]) * x[i];
        product += static_cast<double>(centroid[i]) * x[i];
    }
    return static_cast<float>(norm + 2 * product);
}

void PackLane(int m, const uint8_t* code, int lane, uint8_t* block) {
    uint8_t* to = block + ByteOf(lane);
    for (int s = 0; s < m; ++s)
        SetNibble(to + s * 16, lane >> 4, (code[s / 2] >> (4 * (s & 1))) & 15);
    if ((m & 1) != 0) SetNibble(to + m * 16, lane >> 4, 0);
}

void UnpackLane(int m, const uint8_t* block, int lane, uint8_t* code) {
    const uint8_t* from = block + ByteOf(lane);
    const int shift = 4 * (lane >> 4);
    for (int s = 0; s < m; s += 2) {
        const int low = (from[s * 16] >> shift) & 15, high = s + 1 < m ? (from[s * 16 + 16] >> shift) & 15 : 0;
        code[s / 2] = static_cast<uint8_t>(low | high << 4);
    }
}

void ClearLane(int m, int lane, uint8_t* block) {
    uint8_t* to = block + ByteOf(lane);
    for (int s = 0; s < EvenSubQuantizers(m); ++s)
        SetNibble(to + s * 16, lane >> 4, 0);
}

void PackBlock(int m, const uint8_t* codes, size_t stride, int count, uint8_t* block) {
    memset(block, 0, BlockBytes(m));
    for (int lane = 0; lane < count; ++lane)
        PackLane(m, codes + stride * static_cast<size_t>(lane), lane, block);
}

void ScanTables::Init(Arena* arena, int sub_quantizers, int codewords) {
    m = sub_quantizers;
    words = codewords;
    values = arena->Allocate<float>(static_cast<size_t>(m) * static_cast<size_t>(words));
    levels = words == 16 ? arena->Allocate<uint8_t>(static_cast<size_t>(EvenSubQuantizers(m)) * 16) : nullptr;
    ranges = words == 16 ? arena->Allocate<ValueRange>(static_cast<size_t>(m)) : nullptr;
    bias = step = worst = 0;
}

// Half a level for each sub-quantizer is kept free, so that rounding up never leaves 16 bits.
void ScanTables::Quantise() {
    bias = step = worst = 0;
    if (levels == nullptr) return;
    memset(levels, 0, static_cast<size_t>(EvenSubQuantizers(m)) * 16);
    const CodebookKernels& kernels = Kernels().codebook;
    kernels.ranges(values, m, ranges);
    double least_sum = 0, span_sum = 0, most_span = 0;
    for (int s = 0; s < m; ++s) {
        if (!ranges[s].finite) return;
        const double span = static_cast<double>(ranges[s].most) - ranges[s].least;
        least_sum += ranges[s].least;
        span_sum += span;
        most_span = span > most_span ? span : most_span;
    }
    if (most_span > kMostSpan || std::fabs(least_sum) > kMostSpan) return;
    bias = static_cast<float>(least_sum);
    if (!(most_span > kLeastSpan)) return;
    const double by_sum = (static_cast<double>(kMostSum) - m) / span_sum, by_span = kMostByte / most_span;
    const double a = by_sum < by_span ? by_sum : by_span;
    // what rounding takes from a code on average: of small spans it takes all
    const double lost = kernels.quantise(values, ranges, m, static_cast<float>(a), levels) / 16;
    step = static_cast<float>(1 / a);
    bias = static_cast<float>(least_sum + lost / a);
    worst = static_cast<float>((0.5 * m + std::fabs(lost)) / a);
}

int ScanTables::SumLimit(float limit, float slack) const {
    const double room = static_cast<double>(limit) + slack - bias;
    if (!(room >= 0)) return -1;
    if (step == 0 || room >= static_cast<double>(kMostSum) * step) return static_cast<int>(kMostSum);
    return static_cast<int>(room / step);
}

void ScanTables::Fill(BlockScan* scan, BlockEstimate* rule) const {
    scan->levels = levels;
    scan->m = m;
    rule->bias = bias;
    rule->step = step;
}

void SetDistances(const PqShape& shape, const float* codebook, const float* q, ScanTables* tables) {
    const CodebookKernels& kernels = Kernels().codebook;
    const int words = shape.codewords();
    for (int s = 0; s < shape.m; ++s)
        kernels.distances(q + shape.first(s), shape.part(codebook, s), shape.run(s), words, tables->values + s * words);
    tables->Quantise();
}

void SetProducts(const PqShape& shape, const float* codebook, const float* q, float factor, ScanTables* tables) {
    const CodebookKernels& kernels = Kernels().codebook;
    const int words = shape.codewords();
    for (int s = 0; s < shape.m; ++s) {
        float* const table = tables->values + s * words;
        kernels.products(q + shape.first(s), shape.part(codebook, s), shape.run(s), words, table);
        for (int j = 0; j < words; ++j)
            table[j] *= factor;
    }
    tables->Quantise();
}

void ApplyMatrix(const float* matrix, int dim, const float* x, float* out) {
    const auto inner_product = Kernels().float32.inner_product;
    for (int i = 0; i < dim; ++i)
        out[i] = inner_product(matrix + static_cast<size_t>(i) * static_cast<size_t>(dim), x, static_cast<size_t>(dim));
}

}  // namespace vecann

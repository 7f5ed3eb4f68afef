// Product quantization (Jegou, Douze, Schmid, TPAMI 2011): the dimensions are cut into m runs, the sub-quantizers, and
// the code of a vector says for each run which of 16 or 256 codewords is nearest. A query's tables hold what each
// codeword of each sub-quantizer adds to its distance; a scan sums them up. Codebooks are trained in src/compute.
//
// A row code is the form of a single vector: one byte for each sub-quantizer of 8 bits; with 4 bits sub-quantizers 2p
// and 2p + 1 share byte p, the even one in the low nibble. 4-bit codes are scanned in blocks of 32
// (kernels/block_scan.h), 8-bit codes as rows.
//
// A codebook is m parts of sub_dim() x codewords() floats: coordinate i of all codewords stands together. Runs differ
// in length by at most one; where one is shorter, the last row of its part is zero and unused.
#pragma once

#include "core/arena.h"
#include "kernels/kernel_table.h"

namespace vecann {

constexpr int kMostSubQuantizers = 4096;

struct PqShape {
    int dim;
    int m;     // sub-quantizers, 1 .. dim
    int bits;  // 4 or 8

    bool Legal() const { return dim >= 1 && m >= 1 && m <= dim && m <= kMostSubQuantizers && (bits == 4 || bits == 8); }
    int codewords() const { return 1 << bits; }
    // Coordinates of the longest run.
    int sub_dim() const { return (dim + m - 1) / m; }
    // Sub-quantizer s codes the dimensions first(s) .. first(s + 1) - 1.
    int first(int s) const { return static_cast<int>(static_cast<int64_t>(s) * dim / m); }
    int run(int s) const { return first(s + 1) - first(s); }
    size_t code_bytes() const { return bits == 4 ? static_cast<size_t>(m + 1) / 2 : static_cast<size_t>(m); }
    size_t part_floats() const { return static_cast<size_t>(sub_dim()) * static_cast<size_t>(codewords()); }
    size_t codebook_floats() const { return static_cast<size_t>(m) * part_floats(); }
    const float* part(const float* codebook, int s) const { return codebook + static_cast<size_t>(s) * part_floats(); }
};

// The row code of x. Returns the squared distance between x and what the code decodes to. x may be any vector; one that
// is not finite gets codewords 0.
float EncodePq(const PqShape& shape, const float* codebook, const float* x, uint8_t* code);
void DecodePq(const PqShape& shape, const float* codebook, const uint8_t* code, float* x);

// Codes of residuals x = v - centroid under L2: |q - v|^2 ~ |q - centroid|^2 + PqAdd - 2 <q, x>, so that one set of
// tables (SetProducts with factor -2) serves all lists. `x` is the decoded code. Under the inner product there is
// nothing to add: -<q, v> ~ -<q, centroid> - <q, x>.
float PqAdd(int dim, const float* centroid, const float* x);

// ---- blocks of 32 codes of 4 bits; every function leaves the other lanes as they are -------------------------------

// Writes row code `code` of m sub-quantizers to lane 0 <= lane < 32.
void PackLane(int m, const uint8_t* code, int lane, uint8_t* block);
void UnpackLane(int m, const uint8_t* block, int lane, uint8_t* code);
// Makes the lane's codewords 0.
void ClearLane(int m, int lane, uint8_t* block);
// A whole block of row codes `stride` bytes apart; lanes from `count` on are cleared.
void PackBlock(int m, const uint8_t* codes, size_t stride, int count, uint8_t* block);

// ---- tables of a query -----------------------------------------------------------------------------------------

// What each codeword adds to the distance, as floats and, for 4 bits, as bytes whose sums over a code fit 16 bits:
// sum of values ~ bias + step * sum of levels. Off by at most `worst`; rounding errors being independent, usually by
// no more than two or three times worst / sqrt(3 m).
struct ScanTables {
    int m;
    int words;           // 16 or 256
    float* values;       // m x words
    uint8_t* levels;     // EvenSubQuantizers(m) x 16; null with 256 codewords
    ValueRange* ranges;  // of each sub-quantizer
    float bias;
    float step;  // 0, and all levels too, where codewords are all alike; bias is 0 as well where float32 does not do
    float worst;

    void Init(Arena* arena, int sub_quantizers, int codewords);
    // From values to levels, bias, step and worst.
    void Quantise();
    // The largest sum whose estimate bias + step * sum is at most `limit`; -1 when there is none. Takes the rounding
    // into account by `slack`, which is added to the limit.
    int SumLimit(float limit, float slack) const;
    // Fills in what a scan takes from the tables.
    void Fill(BlockScan* scan, BlockEstimate* rule) const;
};

// Sums are squared distances |q - x|^2 to the decoded codes. q is the query, or its residual where codes are residuals.
void SetDistances(const PqShape& shape, const float* codebook, const float* q, ScanTables* tables);
// Sums are factor * <q, x>: -1 for the inner product, -2 for L2 with PqAdd.
void SetProducts(const PqShape& shape, const float* codebook, const float* q, float factor, ScanTables* tables);

// out = M x for a dim x dim matrix in rows, as OpqTrainTask leaves it. out and x may not overlap.
void ApplyMatrix(const float* matrix, int dim, const float* x, float* out);

}  // namespace vecann

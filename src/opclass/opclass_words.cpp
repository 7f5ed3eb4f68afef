// Operator classes of the types that are indexed as they are: bit strings and sparse vectors. Each SQL function,
// vecann_T_metric_opclass, is support function 1 of one class.
//
// The words of a bit string are its bits, in the order of the value's bytes, zeros to the end of the last word. Those
// of a sparse vector: its squared norm (a double), then its indices, then its values.
#include "opclass/opclass_dense.h"
#include "types/sparse_vector.h"

namespace vecann {

namespace {

constexpr int kBitsPerWord = 64;
constexpr int kMaxIndexedBits = 512000;

// A class made for another type with our support function hands us its values.
[[noreturn]] void RaiseWrongType(const char* type) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("indexed value is not of type %s", type)));
    pg_unreachable();
}

const WordsHeadData& WordsOf(const void* payload) {
    return *static_cast<const WordsHeadData*>(payload);
}

// ---- bit strings -------------------------------------------------------------------

int BitWords(int bits) {
    return (bits + kBitsPerWord - 1) / kBitsPerWord;
}

// A value of `dim` bits; to be given back by PutBits.
VarBit* TakeBits(Datum value, int dim) {
    VarBit* bits = reinterpret_cast<VarBit*>(PG_DETOAST_DATUM(value));
    if (VARSIZE(bits) < VARBITHDRSZ + VARHDRSZ || VARBITLEN(bits) < 0 ||
        VARSIZE(bits) != static_cast<size_t>(VARBITTOTALLEN(VARBITLEN(bits))))
        RaiseWrongType("bit");
    if (VARBITLEN(bits) != dim)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                        errmsg("different bit lengths %u and %u", static_cast<uint32>(VARBITLEN(bits)),
                               static_cast<uint32>(dim))));
    return bits;
}

void PutBits(Datum value, VarBit* bits) {
    if (reinterpret_cast<Pointer>(bits) != DatumGetPointer(value)) pfree(bits);
}

bool EncodeBits(Datum value, int dim, WordsHeadData* out) {
    VarBit* bits = TakeBits(value, dim);
    out->count = static_cast<uint32>(BitWords(dim));
    if (out->count > 0) out->words()[out->count - 1] = 0;
    memcpy(out->words(), VARBITS(bits), static_cast<size_t>(VARBITBYTES(bits)));
    PutBits(value, bits);
    return true;
}

// Each bit as a number: the squared L2 distance of two is the Hamming distance.
bool ExtractBits(Datum value, int dim, float* vector, uint32* hash) {
    VarBit* bits = TakeBits(value, dim);
    const bits8* bytes = VARBITS(bits);
    for (int i = 0; i < dim; ++i)
        vector[i] = static_cast<float>((bytes[i / BITS_PER_BYTE] >> (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE)) & 1);
    if (hash != nullptr) *hash = 0;
    PutBits(value, bits);
    return true;
}

void PackBits(const float* numbers, int dim, WordsHeadData* out) {
    out->count = static_cast<uint32>(BitWords(dim));
    memset(out->words(), 0, out->count * sizeof(uint64));
    uint8* bytes = reinterpret_cast<uint8*>(out->words());
    for (int i = 0; i < dim; ++i)
        if (numbers[i] > 0.5F) bytes[i / BITS_PER_BYTE] |= static_cast<uint8>(0x80 >> i % BITS_PER_BYTE);
}

Datum RestoreBits(const WordsHeadData& words, int dim) {
    VarBit* bits = static_cast<VarBit*>(palloc0(static_cast<size_t>(VARBITTOTALLEN(dim))));
    SET_VARSIZE(bits, VARBITTOTALLEN(dim));
    VARBITLEN(bits) = dim;
    memcpy(VARBITS(bits), words.words(), static_cast<size_t>(VARBITBYTES(bits)));
    return PointerGetDatum(bits);
}

// Whole words, and nothing set behind the last bit.
bool AreSoundBits(const WordsHeadData& words, int dim) {
    if (words.count != static_cast<uint32>(BitWords(dim))) return false;
    const uint8* bytes = reinterpret_cast<const uint8*>(words.words());
    const int used = (dim + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
    if (dim % BITS_PER_BYTE != 0 && (bytes[used - 1] & (0xFF >> dim % BITS_PER_BYTE)) != 0) return false;
    for (int i = used; i < BitWords(dim) * static_cast<int>(sizeof(uint64)); ++i)
        if (bytes[i] != 0) return false;
    return true;
}

float HammingOfWords(const void* a, const void* b, size_t) {
    const size_t bytes = Min(WordsOf(a).count, WordsOf(b).count) * sizeof(uint64);
    return static_cast<float>(Kernels().bit.hamming(WordsOf(a).words(), WordsOf(b).words(), bytes));
}

float JaccardOfWords(const void* a, const void* b, size_t) {
    const size_t bytes = Min(WordsOf(a).count, WordsOf(b).count) * sizeof(uint64);
    const BitOverlap overlap = Kernels().bit.overlap(WordsOf(a).words(), WordsOf(b).words(), bytes);
    if (overlap.both == 0) return 1;
    return static_cast<float>(1 - static_cast<double>(overlap.both) / static_cast<double>(overlap.either));
}

constexpr WordsForm BitForm(float (*distance)(const void*, const void*, size_t)) {
    return {&BitWords, false, &EncodeBits, &RestoreBits, distance, &AreSoundBits, &PackBits};
}

// ---- sparse vectors ------------------------------------------------------------------

constexpr int kSparseHeadWords = 1;
static_assert(sizeof(int32) + sizeof(float) == sizeof(uint64));

int SparseWords(int dim) {
    return kSparseHeadWords + Min(dim, kMaxSparseElements);
}

SparseView ViewOf(const WordsHeadData& words) {
    // none in a damaged index
    const int n = Max(static_cast<int>(words.count) - kSparseHeadWords, 0);
    const int32* indices = reinterpret_cast<const int32*>(words.words() + kSparseHeadWords);
    return {indices, reinterpret_cast<const float*>(indices + n), n};
}

double SquaredNormOf(const WordsHeadData& words) {
    double norm;
    memcpy(&norm, words.words(), sizeof(norm));
    return norm;
}

template <bool nonzero>
bool EncodeSparse(Datum value, int dim, WordsHeadData* out) {
    SparseVectorData* v = reinterpret_cast<SparseVectorData*>(PG_DETOAST_DATUM(value));
    if (VARSIZE(v) < SparseVectorData::Bytes(0) || v->nnz < 0 || v->nnz > kMaxSparseElements || v->nnz > v->dim ||
        VARSIZE(v) != SparseVectorData::Bytes(v->nnz))
        RaiseWrongType("sparsevec");
    CheckExpectedDimension(v->dim, dim);
    const double norm = SparseSquaredNorm(v->view());
    const bool indexable = !nonzero || v->nnz > 0;
    out->count = static_cast<uint32>(kSparseHeadWords + v->nnz);
    memcpy(out->words(), &norm, sizeof(norm));
    memcpy(out->words() + kSparseHeadWords, v->indices, static_cast<size_t>(v->nnz) * sizeof(uint64));
    if (reinterpret_cast<Pointer>(v) != DatumGetPointer(value)) pfree(v);
    return indexable;
}

Datum RestoreSparse(const WordsHeadData& words, int dim) {
    const int n = ViewOf(words).count;
    SparseVectorData* v = NewSparse(dim, n);
    memcpy(v->indices, words.words() + kSparseHeadWords, static_cast<size_t>(n) * sizeof(uint64));
    return PointerGetDatum(v);
}

bool IsSoundSparse(const WordsHeadData& words, int dim) {
    if (words.count < kSparseHeadWords) return false;
    const SparseView view = ViewOf(words);
    int32 previous = -1;
    for (int i = 0; i < view.count; ++i) {
        if (view.indices[i] <= previous || view.indices[i] >= dim) return false;
        if (!std::isfinite(view.values[i]) || view.values[i] == 0) return false;
        previous = view.indices[i];
    }
    return SquaredNormOf(words) == SparseSquaredNorm(view);
}

double L2OfWords(const WordsHeadData& a, const WordsHeadData& b) {
    return std::sqrt(SparseL2Squared(ViewOf(a), ViewOf(b)));
}
double InnerProductOfWords(const WordsHeadData& a, const WordsHeadData& b) {
    return 0.0 - SparseInnerProduct(ViewOf(a), ViewOf(b));
}
double CosineOfWords(const WordsHeadData& a, const WordsHeadData& b) {
    return SparseCosineDistance(SparseInnerProduct(ViewOf(a), ViewOf(b)), SquaredNormOf(a), SquaredNormOf(b));
}
double L1OfWords(const WordsHeadData& a, const WordsHeadData& b) {
    return SparseL1(ViewOf(a), ViewOf(b));
}

template <double (*measure)(const WordsHeadData&, const WordsHeadData&)>
float SparseDistance(const void* a, const void* b, size_t) {
    const float distance = static_cast<float>(measure(WordsOf(a), WordsOf(b)));
    // Of a broken payload.
    return likely(distance == distance) ? distance : std::numeric_limits<float>::infinity();
}

template <double (*measure)(const WordsHeadData&, const WordsHeadData&)>
constexpr WordsForm SparseForm(Metric metric) {
    const auto encode = metric == Metric::kCosine ? &EncodeSparse<true> : &EncodeSparse<false>;
    return {&SparseWords, true, encode, &RestoreSparse, &SparseDistance<measure>, &IsSoundSparse, nullptr};
}

// ---- descriptors ---------------------------------------------------------------------

// The operator's result, rounded once to float32; of Hamming a whole number below 2^24.
double FloatSlack(int) {
    return 0x1p-24;
}

constexpr OpClassDesc WordsOpClass(const char* name, ElementKind element, Metric metric, int most,
                                   const WordsForm* words) {
    return {
        .magic = kOpClassDescMagic,
        .name = name,
        .element = element,
        .metric = metric,
        .max_dimensions = most,
        .unit_norm = false,
        .words = words,
        .extract = metric == Metric::kHamming ? &ExtractBits : nullptr,
        .restore = nullptr,
        .order_value = &PlainOrderValue,
        .order_slack = metric == Metric::kHamming ? &NoSlack : &FloatSlack,
    };
}
static_assert(kMaxIndexedBits < 1 << 24);

}  // namespace
}  // namespace vecann

#define VECANN_WORDS_OPCLASS(T, suffix, element, metric, most, form)                                             \
    VECANN_FUNCTION(vecann_##T##_##suffix##_opclass) {                                                           \
        using namespace vecann;                                                                                  \
        static constexpr WordsForm kForm = form;                                                                 \
        static constexpr OpClassDesc kDesc = WordsOpClass(#T "_" #suffix "_ops", element, metric, most, &kForm); \
        PG_RETURN_POINTER(&kDesc);                                                                               \
    }
#define VECANN_BIT_OPCLASS(suffix, metric, distance) \
    VECANN_WORDS_OPCLASS(bit, suffix, ElementKind::kBit, metric, kMaxIndexedBits, BitForm(&distance))
#define VECANN_SPARSE_OPCLASS(suffix, metric, measure)                                          \
    VECANN_WORDS_OPCLASS(sparsevec, suffix, ElementKind::kSparse, metric, kMaxSparseDimensions, \
                         SparseForm<&measure>(metric))

VECANN_BIT_OPCLASS(hamming, Metric::kHamming, HammingOfWords)
VECANN_BIT_OPCLASS(jaccard, Metric::kJaccard, JaccardOfWords)
VECANN_SPARSE_OPCLASS(l2, Metric::kL2, L2OfWords)
VECANN_SPARSE_OPCLASS(ip, Metric::kInnerProduct, InnerProductOfWords)
VECANN_SPARSE_OPCLASS(cosine, Metric::kCosine, CosineOfWords)
VECANN_SPARSE_OPCLASS(l1, Metric::kL1, L1OfWords)

// The dense vector types: their layout and what SQL must know about an element beyond its kernels. The types differ in
// their Element only; a type is a DenseTraits specialisation and one line in a .cpp (see dense_sql.h).
//
// Invariants of every stored value: 1 <= dim <= kMaxDenseDimensions, unused = 0, no NaN, no infinity.
#pragma once

#include "kernels/kernel_table.h"
#include "pg/pg.h"

namespace vecann {

constexpr int kMaxDenseDimensions = 16000;

// On disk and in memory. Clients know the binary form of it, other tools the bytes: it never changes.
template <DenseElement E>
struct DenseVectorData {
    int32 vl_len_;
    int16 dim;
    int16 unused;
    typename E::Storage x[FLEXIBLE_ARRAY_MEMBER];

    static size_t Bytes(int dim) { return sizeof(DenseVectorData) + sizeof(typename E::Storage) * dim; }
};
static_assert(sizeof(DenseVectorData<Float32Element>) == 8);
static_assert(offsetof(DenseVectorData<Float32Element>, dim) == 4);
static_assert(offsetof(DenseVectorData<Float32Element>, unused) == 6);
static_assert(offsetof(DenseVectorData<Float32Element>, x) == 8);
static_assert(sizeof(DenseVectorData<Float16Element>) == 8 && offsetof(DenseVectorData<Float16Element>, x) == 8);

// The SQL side of an element: type name, kernels, conversions (to infinity where the element overflows), how a number
// is read from text, to be rounded to the element then, and binary form.
template <DenseElement E>
struct DenseTraits;

template <>
struct DenseTraits<Float32Element> {
    static constexpr const char* kTypeName = "vector";
    static const DenseKernels& Kernel() { return Kernels().float32; }
    static float FromFloat(float x) { return x; }
    static float FromDouble(double x) { return static_cast<float>(x); }
    static double Read(const char* text, char** end) { return static_cast<double>(strtof(text, end)); }
    static float Receive(StringInfo buf) { return pq_getmsgfloat4(buf); }
    static void Send(StringInfo buf, float x) { pq_sendfloat4(buf, x); }
};

template <>
struct DenseTraits<Float16Element> {
    static constexpr const char* kTypeName = "halfvec";
    static const DenseKernels& Kernel() { return Kernels().float16; }
    static Half FromFloat(float x) { return HalfFromFloat(x); }
    static Half FromDouble(double x) { return HalfFromDouble(x); }
    static double Read(const char* text, char** end) { return strtod(text, end); }
    static Half Receive(StringInfo buf) { return {static_cast<uint16>(pq_getmsgint(buf, sizeof(uint16)))}; }
    static void Send(StringInfo buf, Half x) { pq_sendint16(buf, x.bits); }
};

// ---- checks ------------------------------------------------------------------
// Each raises its error, or, when `soft` collects errors (input functions since PostgreSQL 16), leaves it there and
// returns false.

// 1 <= dim <= most.
bool CheckDimension(const char* type, int dim, Node* soft = nullptr, int most = kMaxDenseDimensions);
// The dimension that a column wants (typmod, -1: any).
bool CheckExpectedDimension(int dim, int32 expected, Node* soft = nullptr);
// Neither NaN nor infinite.
bool CheckFinite(const char* type, double x, Node* soft = nullptr);
// Both arguments have the same dimension; always raises.
void CheckSameDimension(const char* type, int a, int b);

// ---- values ------------------------------------------------------------------

// Argument n, detoasted: the caller may read it, and write it only where it is known to be a copy.
template <DenseElement E>
DenseVectorData<E>* DenseArg(FunctionCallInfo fcinfo, int n) {
    return reinterpret_cast<DenseVectorData<E>*>(PG_DETOAST_DATUM(PG_GETARG_DATUM(n)));
}

// A new vector in the current context, its elements zero. The caller has checked the dimension.
template <DenseElement E>
DenseVectorData<E>* NewDense(int dim) {
    const size_t bytes = DenseVectorData<E>::Bytes(dim);
    auto* v = static_cast<DenseVectorData<E>*>(palloc0(bytes));
    SET_VARSIZE(v, bytes);
    v->dim = static_cast<int16>(dim);
    return v;
}

}  // namespace vecann

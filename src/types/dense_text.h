// Text and binary form of the dense types, written once over the element.
//
//   text    [ number , number ... ]   white space anywhere but inside a number; what strtof reads (decimal, exponent,
//           hex, NaN, infinity) is a number, and NaN and infinity are then refused. Output is the shortest decimal that
//           reads back as the same float4, without spaces; the sign of -0 is kept.
//   binary  int16 dimension, int16 0, then the elements, all big endian
#pragma once

#include "types/dense_vector.h"

namespace vecann {

// Skips what the server's own array parser takes for white space, whatever the locale.
inline const char* SkipSpace(const char* p) {
    while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
        ++p;
    return p;
}

// Of the sparse type as well: 22P02 with an optional detail; see the checks in dense_vector.h for `soft`. Always false.
bool InputSyntaxError(const char* type, const char* text, const char* detail, Node* soft);
// 22003 for the number text[0 .. length). Always false.
bool InputRangeError(const char* type, const char* text, size_t length, Node* soft);

constexpr const char* kUnexpectedEnd = "Unexpected end of input.";

// Reads the number at *p, which `text` contains, and moves *p behind it. Underflow is silent.
template <DenseElement E>
bool ParseElement(const char* text, const char** p, typename E::Storage* out, Node* soft) {
    const char* type = DenseTraits<E>::kTypeName;
    char* end;
    errno = 0;
    const double x = DenseTraits<E>::Read(*p, &end);
    const bool overflow = std::isinf(x) && errno == ERANGE;
    if (end == *p) return InputSyntaxError(type, text, **p == '\0' ? kUnexpectedEnd : nullptr, soft);
    if (!overflow && !CheckFinite(type, x, soft)) return false;
    *out = DenseTraits<E>::FromDouble(x);
    if (std::isinf(E::ToFloat(*out))) return InputRangeError(type, *p, static_cast<size_t>(end - *p), soft);
    *p = end;
    return true;
}

// Parses `text`; nullptr when an error went to `soft`.
template <DenseElement E>
DenseVectorData<E>* ParseDense(const char* text, int32 typmod, Node* soft) {
    const char* type = DenseTraits<E>::kTypeName;
    const char* p = SkipSpace(text);
    if (*p != '[') {
        InputSyntaxError(type, text, "Vector contents must start with \"[\".", soft);
        return nullptr;
    }
    // One more element than commas, when the text is well formed: room for them all, in one allocation.
    int room = 1;
    for (const char* c = p; *c != '\0' && room < kMaxDenseDimensions; ++c)
        room += *c == ',';
    DenseVectorData<E>* v = NewDense<E>(room);
    int dim = 0;
    p = SkipSpace(p + 1);
    bool more = *p != ']';
    while (more) {
        if (dim == kMaxDenseDimensions) {
            CheckDimension(type, dim + 1, soft);
            return nullptr;
        }
        if (!ParseElement<E>(text, &p, &v->x[dim], soft)) return nullptr;
        ++dim;
        p = SkipSpace(p);
        if (*p != ',' && *p != ']') {
            InputSyntaxError(type, text, *p == '\0' ? kUnexpectedEnd : nullptr, soft);
            return nullptr;
        }
        more = *p == ',';
        if (more) p = SkipSpace(p + 1);
    }
    p = SkipSpace(p + 1);
    if (*p != '\0') {
        InputSyntaxError(type, text, "Junk after closing right brace.", soft);
        return nullptr;
    }
    if (!CheckDimension(type, dim, soft) || !CheckExpectedDimension(dim, typmod, soft)) return nullptr;
    Assert(dim == room);
    return v;
}

// T_in(cstring, oid, integer)
template <DenseElement E>
Datum DenseIn(PG_FUNCTION_ARGS) {
    PG_RETURN_POINTER(ParseDense<E>(PG_GETARG_CSTRING(0), PG_GETARG_INT32(2), fcinfo->context));
}

// T_out(T)
template <DenseElement E>
Datum DenseOut(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    // a number, without its terminator, and a comma each; two brackets and a terminator
    char* text = static_cast<char*>(palloc(FLOAT_SHORTEST_DECIMAL_LEN * static_cast<size_t>(v->dim) + 3));
    char* p = text;
    *p++ = '[';
    for (int i = 0; i < v->dim; ++i) {
        if (i > 0) *p++ = ',';
        p += float_to_shortest_decimal_bufn(E::ToFloat(v->x[i]), p);
    }
    *p++ = ']';
    *p = '\0';
    PG_RETURN_CSTRING(text);
}

// T_recv(internal, oid, integer)
template <DenseElement E>
Datum DenseReceive(PG_FUNCTION_ARGS) {
    StringInfo buf = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const int dim = static_cast<int16>(pq_getmsgint(buf, sizeof(int16)));
    const int unused = static_cast<int16>(pq_getmsgint(buf, sizeof(int16)));
    CheckDimension(DenseTraits<E>::kTypeName, dim);
    CheckExpectedDimension(dim, PG_GETARG_INT32(2));
    if (unused != 0) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("expected unused to be 0, not %d", unused)));
    }
    DenseVectorData<E>* v = NewDense<E>(dim);
    for (int i = 0; i < dim; ++i) {
        v->x[i] = DenseTraits<E>::Receive(buf);
        CheckFinite(DenseTraits<E>::kTypeName, E::ToFloat(v->x[i]));
    }
    PG_RETURN_POINTER(v);
}

// T_send(T)
template <DenseElement E>
Datum DenseSend(PG_FUNCTION_ARGS) {
    const DenseVectorData<E>* v = DenseArg<E>(fcinfo, 0);
    StringInfoData buf;
    pq_begintypsend(&buf);
    pq_sendint16(&buf, static_cast<uint16>(v->dim));
    pq_sendint16(&buf, static_cast<uint16>(v->unused));
    for (int i = 0; i < v->dim; ++i)
        DenseTraits<E>::Send(&buf, v->x[i]);
    PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

// The dimension out of a type modifier list.
int32 DimensionTypmod(const char* type, ArrayType* list, int most = kMaxDenseDimensions);

// T_typmod_in(cstring[])
template <DenseElement E>
Datum DenseTypmodIn(PG_FUNCTION_ARGS) {
    PG_RETURN_INT32(DimensionTypmod(DenseTraits<E>::kTypeName, PG_GETARG_ARRAYTYPE_P(0)));
}

}  // namespace vecann

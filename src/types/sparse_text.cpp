// Text and binary form of the sparse type.
//
//   text    { index : value , ... } / dimensions   indices from 1, in any order, white space anywhere but inside a
//           number; zeros are dropped. A value is what a vector takes, but one that vanishes is an error.
//   binary  int32 dimensions, int32 number of elements, int32 0, indices from 0 (int32), values (float4), big endian
#include "types/dense_text.h"
#include "types/sparse_vector.h"

namespace vecann {

namespace {

constexpr const char* kType = "sparsevec";

struct Element {
    int32 index;  // from 0
    float value;
};

struct Parser {
    const char* text;
    const char* p;
    Node* soft;
    Element* elements;
    int count;
    int32 last;  // the largest index met, from 1, zeros included

    bool Syntax(const char* detail = nullptr) const {
        return InputSyntaxError(kType, text, *p == '\0' && detail == nullptr ? kUnexpectedEnd : detail, soft);
    }
    // Moves behind `c` and the space around it.
    bool Expect(char c) {
        p = SkipSpace(p);
        if (*p != c) return Syntax();
        p = SkipSpace(p + 1);
        return true;
    }
    // A whole number; what does not fit an int32 becomes its nearest.
    bool Integer(int32* out) {
        char* end;
        const long x = strtol(p, &end, 10);
        if (end == p) return Syntax();
        p = end;
        *out = static_cast<int32>(Max<long>(Min<long>(x, PG_INT32_MAX), PG_INT32_MIN));
        return true;
    }
    bool Value(float* out) {
        const char* start = p;
        if (!ParseElement<SparseElement>(text, &p, out, soft)) return false;
        if (*out == 0 && errno == ERANGE) return InputRangeError(kType, start, static_cast<size_t>(p - start), soft);
        return true;
    }
    bool OneElement() {
        Element e = {};
        if (!Integer(&e.index) || !Expect(':') || !Value(&e.value)) return false;
        if (e.index < 1) return OutOfBounds(soft);
        last = Max(last, e.index);
        if (e.value == 0) return true;
        if (!CheckSparseElements(count + 1, soft)) return false;
        elements[count] = {e.index - 1, e.value};
        ++count;
        return true;
    }
    static bool OutOfBounds(Node* soft) {
        VECANN_SOFT_ERROR(soft, false, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec index out of bounds")));
    }
};

bool ParseElements(Parser* parser) {
    parser->p = SkipSpace(parser->p);
    if (*parser->p != '{') return parser->Syntax("Vector contents must start with \"{\".");
    int room = 1;
    for (const char* c = parser->p; *c != '\0' && room < kMaxSparseElements; ++c)
        room += *c == ',';
    parser->elements = static_cast<Element*>(palloc(sizeof(Element) * static_cast<size_t>(room)));
    parser->p = SkipSpace(parser->p + 1);
    if (*parser->p == '}') {
        ++parser->p;
        return true;
    }
    for (;;) {
        if (!parser->OneElement()) return false;
        parser->p = SkipSpace(parser->p);
        if (*parser->p == '}') break;
        if (!parser->Expect(',')) return false;
    }
    ++parser->p;
    return true;
}

// Puts the elements into order.
bool SortElements(const Parser& parser) {
    std::sort(parser.elements, parser.elements + parser.count,
              [](const Element& a, const Element& b) { return a.index < b.index; });
    for (int i = 1; i < parser.count; ++i) {
        if (parser.elements[i].index == parser.elements[i - 1].index) {
            VECANN_SOFT_ERROR(
                parser.soft, false,
                (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec indices must not contain duplicates")));
        }
    }
    return true;
}

// nullptr when an error went to `soft`.
SparseVectorData* ParseSparse(const char* text, int32 typmod, Node* soft) {
    Parser parser = {text, text, soft, nullptr, 0, 0};
    int32 dim = 0;
    if (!ParseElements(&parser) || !parser.Expect('/') || !parser.Integer(&dim)) return nullptr;
    parser.p = SkipSpace(parser.p);
    if (*parser.p != '\0') {
        parser.Syntax("Junk after closing right brace.");
        return nullptr;
    }
    if (!CheckSparseDimension(dim, soft) || !CheckExpectedDimension(dim, typmod, soft)) return nullptr;
    if (parser.last > dim) {
        Parser::OutOfBounds(soft);
        return nullptr;
    }
    if (!SortElements(parser)) return nullptr;
    SparseVectorData* v = NewSparse(dim, parser.count);
    for (int i = 0; i < parser.count; ++i) {
        v->indices[i] = parser.elements[i].index;
        v->values()[i] = parser.elements[i].value;
    }
    pfree(parser.elements);
    return v;
}

void ReceiveIndices(StringInfo buf, SparseVectorData* v) {
    for (int i = 0; i < v->nnz; ++i) {
        const int32 index = static_cast<int32>(pq_getmsgint(buf, sizeof(int32)));
        if (index < 0 || index >= v->dim) Parser::OutOfBounds(nullptr);
        if (i > 0 && index == v->indices[i - 1]) {
            ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec indices must not contain duplicates")));
        }
        if (i > 0 && index < v->indices[i - 1]) {
            ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec indices must be in ascending order")));
        }
        v->indices[i] = index;
    }
}

}  // namespace
}  // namespace vecann

VECANN_FUNCTION(vecann_sparsevec_in) {
    PG_RETURN_POINTER(vecann::ParseSparse(PG_GETARG_CSTRING(0), PG_GETARG_INT32(2), fcinfo->context));
}

VECANN_FUNCTION(vecann_sparsevec_out) {
    const vecann::SparseVectorData* v = vecann::SparseArg(fcinfo, 0);
    // an index of ten digits, a colon, a number and a comma each; braces, slash, dimension and terminator
    const size_t each = 12 + FLOAT_SHORTEST_DECIMAL_LEN;
    char* out = static_cast<char*>(palloc(each * static_cast<size_t>(v->nnz) + 16));
    char* p = out;
    *p++ = '{';
    for (int i = 0; i < v->nnz; ++i) {
        if (i > 0) *p++ = ',';
        p += pg_ltoa(v->indices[i] + 1, p);
        *p++ = ':';
        p += float_to_shortest_decimal_bufn(v->values()[i], p);
    }
    *p++ = '}';
    *p++ = '/';
    pg_ltoa(v->dim, p);
    PG_RETURN_CSTRING(out);
}

VECANN_FUNCTION(vecann_sparsevec_typmod_in) {
    PG_RETURN_INT32(vecann::DimensionTypmod("sparsevec", PG_GETARG_ARRAYTYPE_P(0), vecann::kMaxSparseDimensions));
}

VECANN_FUNCTION(vecann_sparsevec_recv) {
    using namespace vecann;
    StringInfo buf = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    const int32 dim = static_cast<int32>(pq_getmsgint(buf, sizeof(int32)));
    const int32 nnz = static_cast<int32>(pq_getmsgint(buf, sizeof(int32)));
    const int32 unused = static_cast<int32>(pq_getmsgint(buf, sizeof(int32)));
    CheckSparseDimension(dim);
    CheckExpectedDimension(dim, PG_GETARG_INT32(2));
    if (nnz < 0) {
        ereport(ERROR,
                (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec cannot have a negative number of elements")));
    }
    CheckSparseElements(nnz);
    if (nnz > dim) {
        ereport(ERROR,
                (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec cannot have more elements than dimensions")));
    }
    if (unused != 0) {
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("expected unused to be 0, not %d", unused)));
    }
    SparseVectorData* v = NewSparse(dim, nnz);
    ReceiveIndices(buf, v);
    for (int i = 0; i < nnz; ++i) {
        const float value = pq_getmsgfloat4(buf);
        CheckFinite("sparsevec", value);
        if (value == 0) {
            ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
                            errmsg("binary representation of sparsevec cannot contain zero values")));
        }
        v->values()[i] = value;
    }
    PG_RETURN_POINTER(v);
}

VECANN_FUNCTION(vecann_sparsevec_send) {
    const vecann::SparseVectorData* v = vecann::SparseArg(fcinfo, 0);
    StringInfoData buf;
    pq_begintypsend(&buf);
    pq_sendint32(&buf, static_cast<uint32>(v->dim));
    pq_sendint32(&buf, static_cast<uint32>(v->nnz));
    pq_sendint32(&buf, static_cast<uint32>(v->unused));
    for (int i = 0; i < v->nnz; ++i)
        pq_sendint32(&buf, static_cast<uint32>(v->indices[i]));
    for (int i = 0; i < v->nnz; ++i)
        pq_sendfloat4(&buf, v->values()[i]);
    PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

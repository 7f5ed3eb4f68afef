// The few functions of the server that the input and output functions of our types call, with the behaviour that these
// count on: an error does not return, memory is there or the program ends, a message that is too short is an error.
#include "server_stubs.h"

#include <csetjmp>

// the C library's, not those of the server
#undef vsnprintf
#undef sprintf

extern "C" {
bool errsave_start(struct Node* context, const char* domain);
void errsave_finish(struct Node* context, const char* filename, int lineno, const char* funcname);
}

namespace {

// Each piece of memory begins with the address of the one before it.
struct Piece {
    Piece* previous;
    size_t padding;
};
Piece* last_piece = nullptr;
jmp_buf on_error;

void* Allocate(size_t bytes) {
    // as the server: no more than 1 GB at a time
    if (bytes >= MaxAllocSize) longjmp(on_error, 1);
    Piece* piece = static_cast<Piece*>(malloc(sizeof(Piece) + bytes));
    if (piece == nullptr) abort();
    piece->previous = last_piece;
    last_piece = piece;
    return piece + 1;
}

const char* Take(StringInfo message, int bytes) {
    if (bytes < 0 || bytes > message->len - message->cursor) longjmp(on_error, 1);
    const char* start = message->data + message->cursor;
    message->cursor += bytes;
    return start;
}

}  // namespace

namespace vecann {

bool RunCatching(Datum (*function)(FunctionCallInfo), FunctionCallInfo fcinfo, Datum* result) {
    if (setjmp(on_error) != 0) return false;
    *result = function(fcinfo);
    return true;
}

void FreeServerMemory() {
    while (last_piece != nullptr) {
        Piece* previous = last_piece->previous;
        free(last_piece);
        last_piece = previous;
    }
}

}  // namespace vecann

// ---- errors ------------------------------------------------------------------
extern "C" {

bool errstart(int elevel, const char*) {
    return elevel >= ERROR;
}
bool errstart_cold(int elevel, const char* domain) {
    return errstart(elevel, domain);
}
void errfinish(const char*, int, const char*) {
    longjmp(on_error, 1);
}
bool errsave_start(struct Node*, const char*) {
    return true;
}
void errsave_finish(struct Node*, const char*, int, const char*) {
    longjmp(on_error, 1);
}
int errcode(int) {
    return 0;
}
int errmsg(const char* format, ...) {
    // formatted, so that the sanitizers see what it reads
    char formatted[256];
    va_list args;
    va_start(args, format);
    vsnprintf(formatted, sizeof(formatted), format, args);
    va_end(args);
    return 0;
}
int errdetail(const char*, ...) {
    return 0;
}

// ---- memory ------------------------------------------------------------------

void* palloc(Size bytes) {
    return Allocate(bytes);
}
void* palloc0(Size bytes) {
    return memset(Allocate(bytes), 0, bytes);
}
void pfree(void*) {}
char* pnstrdup(const char* source, Size length) {
    length = strnlen(source, length);
    char* copy = static_cast<char*>(Allocate(length + 1));
    memcpy(copy, source, length);
    copy[length] = '\0';
    return copy;
}
struct varlena* pg_detoast_datum(struct varlena* datum) {
    return datum;
}

// ---- numbers and messages ----------------------------------------------------

int pg_ltoa(int32 value, char* out) {
    return sprintf(out, "%d", value);
}
int32* ArrayGetIntegerTypmods(ArrayType*, int*) {
    longjmp(on_error, 1);
}
void enlargeStringInfo(StringInfo message, int needed) {
    const int size = message->len + needed + 1;
    if (size <= message->maxlen) return;
    char* larger = static_cast<char*>(Allocate(static_cast<size_t>(size) * 2));
    memcpy(larger, message->data, static_cast<size_t>(message->len));
    message->data = larger;
    message->maxlen = size * 2;
}
void pq_begintypsend(StringInfo message) {
    message->data = static_cast<char*>(Allocate(64));
    message->maxlen = 64;
    message->len = VARHDRSZ;
    message->cursor = 0;
}
bytea* pq_endtypsend(StringInfo message) {
    SET_VARSIZE(message->data, message->len);
    return reinterpret_cast<bytea*>(message->data);
}
unsigned int pq_getmsgint(StringInfo message, int bytes) {
    const unsigned char* p = reinterpret_cast<const unsigned char*>(Take(message, bytes));
    unsigned int value = 0;
    for (int i = 0; i < bytes; ++i)
        value = value << 8 | p[i];
    return value;
}
float4 pq_getmsgfloat4(StringInfo message) {
    const uint32 bits = pq_getmsgint(message, 4);
    float4 value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
void pq_sendfloat4(StringInfo message, float4 value) {
    uint32 bits;
    memcpy(&bits, &value, sizeof(bits));
    pq_sendint32(message, bits);
}
}

// Calls the input functions; what they take must come back from the output functions as it was, to the byte.
#include "fuzz_targets.h"

#include "server_stubs.h"
#include "types/dense_text.h"

extern "C" {
Datum vecann_sparsevec_in(PG_FUNCTION_ARGS);
Datum vecann_sparsevec_out(PG_FUNCTION_ARGS);
Datum vecann_sparsevec_recv(PG_FUNCTION_ARGS);
Datum vecann_sparsevec_send(PG_FUNCTION_ARGS);
}

namespace vecann {

namespace {

using Function = Datum (*)(FunctionCallInfo);

struct Functions {
    Function in, out, receive, send;
};

template <DenseElement E>
constexpr Functions kDense = {&DenseIn<E>, &DenseOut<E>, &DenseReceive<E>, &DenseSend<E>};
constexpr Functions kSparse = {&vecann_sparsevec_in, &vecann_sparsevec_out, &vecann_sparsevec_recv,
                               &vecann_sparsevec_send};

bool Call(Function function, Datum argument, Datum* result) {
    LOCAL_FCINFO(fcinfo, 3);
    InitFunctionCallInfoData(*fcinfo, nullptr, 3, InvalidOid, nullptr, nullptr);
    fcinfo->args[0] = {argument, false};
    fcinfo->args[1] = {ObjectIdGetDatum(InvalidOid), false};
    fcinfo->args[2] = {Int32GetDatum(-1), false};
    return RunCatching(function, fcinfo, result);
}

bool Receive(const Functions& type, char* bytes, int length, Datum* value) {
    StringInfoData message = {bytes, length, length + 1, 0};
    // the server refuses what is left over
    return Call(type.receive, PointerGetDatum(&message), value) && message.cursor == message.len;
}

bool Same(Datum a, Datum b) {
    const void *x = DatumGetPointer(a), *y = DatumGetPointer(b);
    return VARSIZE(x) == VARSIZE(y) && memcmp(x, y, VARSIZE(x)) == 0;
}

void CheckRoundTrip(const Functions& type, Datum value) {
    Datum text, bytes, again;
    if (!Call(type.out, value, &text) || !Call(type.in, text, &again) || !Same(value, again)) abort();
    if (!Call(type.send, value, &bytes)) abort();
    char* sent = DatumGetPointer(bytes);
    if (!Receive(type, VARDATA(sent), static_cast<int>(VARSIZE(sent) - VARHDRSZ), &again) || !Same(value, again))
        abort();
}

}  // namespace

bool FuzzInput(FuzzTarget target, const uint8_t* data, size_t size) {
    const int number = static_cast<int>(target);
    const Functions& type = number < 2 ? kDense<Float32Element> : number < 4 ? kDense<Float16Element> : kSparse;
    const bool binary = number % 2 == 1;
    // A copy of just this length, so that a read beyond it is found; a text ends at its first zero byte.
    char* copy = static_cast<char*>(malloc(size + !binary));
    if (copy == nullptr) abort();
    if (size > 0) memcpy(copy, data, size);
    if (!binary) copy[size] = '\0';
    Datum value;
    const bool taken =
        binary ? Receive(type, copy, static_cast<int>(size), &value) : Call(type.in, CStringGetDatum(copy), &value);
    if (taken) CheckRoundTrip(type, value);
    free(copy);
    FreeServerMemory();
    return taken;
}

}  // namespace vecann

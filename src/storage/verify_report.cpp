// Collecting the findings of a verification.
#include "storage/verify_report.h"

namespace vecann {

void InitVerifyReport(VerifyReport* report) {
    memset(static_cast<void*>(report), 0, sizeof(*report));
    report->memory = CurrentMemoryContext;
}

void VerifyProblem(VerifyReport* report, const char* format, ...) {
    const int64 at = report->problem_count++;
    if (at >= kMaxListedProblems) return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    report->problems[at] = MemoryContextStrdup(report->memory, text);
}

void BlockProblem(VerifyReport* report, BlockNumber block, const char* format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    VerifyProblem(report, "block %u: %s", block, text);
}

Datum VerifyProblemArray(const VerifyReport& report) {
    Datum texts[kMaxListedProblems + 1];
    int n = 0;
    for (; n < report.problem_count && n < kMaxListedProblems; ++n)
        texts[n] = CStringGetTextDatum(report.problems[n]);
    if (report.problem_count > kMaxListedProblems) {
        const long long more = static_cast<long long>(report.problem_count - kMaxListedProblems);
        texts[n++] = CStringGetTextDatum(psprintf("and %lld more", more));
    }
    return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

}  // namespace vecann

// Rotating values and encoding their payloads (quant/value_payload.h).
#include <stdexcept>
#include <vector>

#include "compute/tasks.h"

namespace vecann {

namespace {

constexpr int64_t kSlice = 256;  // values

}  // namespace

void RunPayloadEncode(ComputeJob* job, PayloadEncodeTask* task) {
    const PayloadRule& rule = task->rule;
    if (rule.dim < 1 || task->count < 0) throw std::invalid_argument("payloads need count >= 0 and dim >= 1");
    const size_t dim = static_cast<size_t>(rule.dim), size = rule.size();
    job->total.store(task->count);
    ForSlices(job, task->count, kSlice, [&](int64_t begin, int64_t end) {
        std::vector<float> plain(dim), scratch(2 * dim);
        for (int64_t i = begin; i < end; ++i) {
            const size_t row = static_cast<size_t>(i);
            float* vector = task->vectors + row * dim;
            char* payload = task->payloads + row * size;
            std::copy(vector, vector + dim, plain.begin());
            RotateValue(rule, plain.data(), vector, scratch.data());
            // the others have no place for a norm
            const double norm = rule.kind == PayloadKind::kSq8 ? 0 : NormOf(vector, rule.dim);
            EncodeValue(rule, task->hashes[row], plain.data(), vector, norm, payload);
            if (!IsExactPayload(payload)) DecodeValue(rule, payload, vector, scratch.data());
        }
        job->done.fetch_add(end - begin);
    });
}

}  // namespace vecann

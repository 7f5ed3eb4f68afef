// A POD result that crosses zone borders: zone X fills it, zone P turns it into ereport(). Never throws, never
// allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/zone.h"

namespace vecann {

enum class StatusCode : int32_t {
    kOk = 0,
    kInvalidArgument,
    kOutOfMemory,
    kCancelled,
    kUnavailable,  // a library, device or instruction set is missing
    kInternal,
};

struct Status {
    StatusCode code = StatusCode::kOk;
    char message[256] = {0};

    bool ok() const { return code == StatusCode::kOk; }

    // Sets code and message; the message is cut at 255 bytes.
    void Set(StatusCode c, const char* text) {
        code = c;
        size_t i = 0;
        for (; text != nullptr && text[i] != '\0' && i + 1 < sizeof(message); ++i)
            message[i] = text[i];
        message[i] = '\0';
    }
};

}  // namespace vecann

// The bounds of a request, checked before any work.
#pragma once

#include "engine/client.h"

namespace xh {

// kInvalidArgument or kTooLarge with the field in Error::where. Fills in max_tokens = 0.
Result<void> check_request(GenerateRequest& request, int32_t vocab_size, int32_t context_length);

}  // namespace xh

// Whether a prompt fits, said before any work in the words that clients know.
#pragma once

#include "engine/client.h"
#include "serve/api_error.h"

namespace xh::serve {

// max_tokens 0: until the context is full.
ApiResult<void> check_context(size_t prompt_tokens, int32_t max_tokens, const ClientInfo& info,
                              std::string_view param);

}  // namespace xh::serve

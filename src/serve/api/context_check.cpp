#include "serve/api/context_check.h"

#include <fmt/core.h>

namespace xh::serve {

ApiResult<void> check_context(size_t prompt_tokens, int32_t max_tokens, const ClientInfo& info,
                              std::string_view param) {
  const auto limit = static_cast<size_t>(info.context_length);
  if (prompt_tokens == 0) {
    return refuse(400, fmt::format("'{}' holds no token.", param), std::string(param),
                  "invalid_value");
  }
  const auto wanted = static_cast<size_t>(std::max(max_tokens, 1));
  if (prompt_tokens + wanted <= limit) return {};
  return refuse(400,
                fmt::format("This model's context has {} tokens. The prompt has {}, and {} more "
                            "were asked for. Shorten the prompt or ask for less.",
                            limit, prompt_tokens, wanted),
                std::string(param), "context_length_exceeded");
}

}  // namespace xh::serve

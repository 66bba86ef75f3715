// POST /v1/completions: prompts as text or token ids, each field checked once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/api/sampling_fields.h"

namespace xh::serve {

struct CompletionPrompt {
  std::string text;             // as given; empty when given as tokens
  std::vector<TokenId> tokens;  // empty when given as text
  bool is_text = false;
};

struct CompletionRequest {
  SharedFields shared;
  std::vector<CompletionPrompt> prompts;
  std::string model;
  bool echo = false;
  int32_t logprobs = -1;    // -1: none
  int32_t max_tokens = 16;  // 0 only with echo: the prompt is judged, nothing is shown
};

inline constexpr size_t kMaxPrompts = 128;  // times n

ApiResult<CompletionRequest> parse_completion_request(std::string_view body, const ClientInfo& info,
                                                      const SamplingParams& defaults = {});

}  // namespace xh::serve

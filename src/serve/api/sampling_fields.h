// The fields that chat and plain completions share.
#pragma once

#include <vector>

#include "engine/client.h"
#include "serve/fields.h"

namespace xh::serve {

struct StreamChoice {
  bool stream = false;
  bool include_usage = false;
};

struct SharedFields {
  GenerateRequest request;  // everything but prompt, max_tokens and logprobs
  StreamChoice stream;
  int32_t n = 1;
};

inline constexpr int32_t kMaxChoices = 8;

// `defaults` hold where a field is absent.
SharedFields read_shared_fields(Fields& fields, const ClientInfo& info,
                                const SamplingParams& defaults);

}  // namespace xh::serve

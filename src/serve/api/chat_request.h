// POST /v1/chat/completions: from JSON to token ids, every field checked once.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "serve/api/sampling_fields.h"

namespace xh::serve {

struct ChatRequest {
  SharedFields shared;
  boost::json::object variables;  // what the template sees
  std::string model;
  bool has_tools = false;           // the answer may hold calls
  bool parallel_tool_calls = true;  // else only the first one counts
  bool logprobs = false;
};

// Messages are normalised on the way: content parts are joined, "developer" becomes "system",
// a call's arguments become an object as templates want them.
ApiResult<ChatRequest> parse_chat_request(std::string_view body, const ClientInfo& info,
                                          const SamplingParams& defaults = {});

}  // namespace xh::serve

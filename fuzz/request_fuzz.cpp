// Bodies of requests: JSON reading and the schemas of chat and plain completions, and what the
// answer's parsers make of arbitrary text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api_error.h"
#include "serve/json_input.h"
#include "serve/origin.h"
#include "serve/router.h"
#include "text/reasoning.h"
#include "text/tool_calls.h"

namespace {

using namespace xh;

void check_error(const serve::ApiError& error) {
  XH_CHECK(error.status == 400);
  XH_CHECK(!boost::json::serialize(serve::error_body(error)).empty());
}

// However the text is cut, the parts must be the same, and a plain answer must stay as it is.
void split_answer(std::string_view text, size_t size) {
  ReasoningSplitter reasoning;
  ToolCallParser tools;
  size_t out = 0, calls = 0;
  const auto take = [&](ReasoningSplitter::Piece piece) {
    const ToolCallParser::Piece said = tools.push(piece.content);
    out += piece.reasoning.size() + said.content.size();
    calls += said.calls.size();
  };
  for (size_t at = 0; at < text.size(); at += size) take(reasoning.push(text.substr(at, size)));
  take(reasoning.finish());
  const ToolCallParser::Piece rest = tools.finish();
  out += rest.content.size();
  XH_CHECK(out <= text.size());
  XH_CHECK(calls + rest.calls.size() <= text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ClientInfo info{.model_name = "m", .context_length = 4096, .vocab_size = 300};
  switch (data[0] % 4) {
    case 0:
      if (auto request = serve::parse_chat_request(text, info); !request) {
        check_error(request.error());
      } else {
        XH_CHECK(!request->variables.at("messages").as_array().empty());
        XH_CHECK(request->shared.n >= 1 && request->shared.n <= serve::kMaxChoices);
        XH_CHECK(request->shared.request.sampling.validate(info.vocab_size).has_value());
      }
      break;
    case 1:
      if (auto request = serve::parse_completion_request(text, info); !request) {
        check_error(request.error());
      } else {
        XH_CHECK(!request->prompts.empty() && request->prompts.size() <= serve::kMaxPrompts);
        XH_CHECK(request->shared.request.sampling.validate(info.vocab_size).has_value());
      }
      break;
    case 2: split_answer(text, 1 + data[0] / 4 % 16); break;
    case 3: {
      const std::string path = serve::target_path(text);
      XH_CHECK(path.find("/../") == std::string::npos);
      serve::find_route("GET", path);
      serve::host_name(text);
      break;
    }
  }
  return 0;
}

#include "serve/api/completion_request.h"

#include <fmt/core.h>

#include "serve/api/token_text.h"
#include "serve/json_input.h"

namespace xh::serve {
namespace json = boost::json;

namespace {

CompletionPrompt text_prompt(const json::string& text) {
  return {std::string(text), {}, true};
}

ApiResult<CompletionPrompt> token_prompt(const json::array& ids, std::string_view name,
                                         const ClientInfo& info) {
  CompletionPrompt prompt;
  XH_TRY(prompt.tokens, token_array(ids, name, info.vocab_size));
  return prompt;
}

// A string, an array of strings, an array of token ids, or an array of such arrays.
ApiResult<std::vector<CompletionPrompt>> read_prompts(const json::value& value,
                                                      const ClientInfo& info) {
  std::vector<CompletionPrompt> out;
  if (const auto* text = value.if_string()) {
    out.push_back(text_prompt(*text));
    return out;
  }
  const json::array* items = value.if_array();
  if (!items) {
    return refuse(
        400, fmt::format("'prompt' must be a string or an array, but is {}.", kind_name(value)),
        "prompt", "invalid_type");
  }
  if (items->empty()) return refuse(400, "'prompt' must not be empty.", "prompt", "invalid_value");
  if (items->front().is_number()) {
    XH_TRY(CompletionPrompt prompt, token_prompt(*items, "prompt", info));
    out.push_back(std::move(prompt));
    return out;
  }
  if (items->size() > kMaxPrompts) {
    return refuse(400, fmt::format("'prompt' must not have more than {} items.", kMaxPrompts),
                  "prompt", "invalid_value");
  }
  const bool texts = items->front().is_string();
  for (size_t i = 0; i < items->size(); ++i) {
    const std::string name = fmt::format("prompt[{}]", i);
    const json::value& item = (*items)[i];
    if (texts && item.is_string()) {
      out.push_back(text_prompt(item.get_string()));
    } else if (!texts && item.is_array()) {
      XH_TRY(CompletionPrompt prompt, token_prompt(item.get_array(), name, info));
      out.push_back(std::move(prompt));
    } else {
      return refuse(400,
                    fmt::format("'{}' must be {}, but is {}.", name,
                                texts ? "a string" : "an array of token ids", kind_name(item)),
                    name, "invalid_type");
    }
  }
  return out;
}

}  // namespace

ApiResult<CompletionRequest> parse_completion_request(std::string_view body, const ClientInfo& info,
                                                      const SamplingParams& defaults) {
  XH_TRY(json::value root, parse_json(body));
  if (!root.is_object()) return refuse(400, "The body must be a JSON object.");
  Fields fields(root.get_object());
  CompletionRequest out;
  out.model = fields.text("model", 512);
  if (out.model.empty()) fields.fail("model", "is missing.", "missing_field");
  const json::value* prompt = fields.value("prompt");
  if (!prompt) fields.fail("prompt", "is missing.", "missing_field");
  out.shared = read_shared_fields(fields, info, defaults);
  out.echo = fields.boolean("echo", false);
  out.max_tokens = static_cast<int32_t>(fields.integer("max_tokens", 0, info.context_length, 16));
  if (out.max_tokens == 0 && !out.echo) {
    fields.fail("max_tokens", "can only be 0 together with echo: true.");
  }
  out.logprobs = static_cast<int32_t>(fields.integer("logprobs", 0, kMaxTopLogprobs, -1));
  if (out.echo && out.shared.stream.stream) {
    fields.fail("echo", "cannot be had as a stream.", "unsupported_value");
  }
  const json::value* suffix = fields.value("suffix");
  if (suffix && *suffix != json::value("")) {
    fields.fail("suffix", "cannot be had: this model only continues a text.", "unsupported_value");
  }
  const int64_t best_of = fields.integer("best_of", 1, 1000, out.shared.n);
  if (best_of != out.shared.n) {
    fields.fail("best_of", "must be the same as 'n': answers are not ranked.", "unsupported_value");
  }
  XH_TRY_VOID(fields.finish());
  XH_TRY(out.prompts, read_prompts(*prompt, info));
  if (out.prompts.size() * static_cast<size_t>(out.shared.n) > kMaxPrompts) {
    return refuse(400, fmt::format("Prompts times 'n' must not be more than {}.", kMaxPrompts), "n",
                  "invalid_value");
  }
  return out;
}

}  // namespace xh::serve

#include "serve/api/chat_request.h"

#include <limits>

#include "serve/api/chat_messages.h"
#include "serve/json_input.h"

namespace xh::serve {
namespace json = boost::json;

namespace {

// Arguments of a template that a client may set. Others could replace what the server puts there.
void read_template_arguments(Fields& fields, json::object& variables) {
  const json::object* given = fields.object("chat_template_kwargs");
  if (!given) return;
  Fields inner(*given, "chat_template_kwargs");
  for (std::string_view name : {"enable_thinking", "thinking", "preserve_thinking"}) {
    if (inner.value(name)) variables[name] = inner.boolean(name, false);
  }
  if (inner.value("thinking_budget")) {
    variables["thinking_budget"] =
        inner.integer("thinking_budget", -1, std::numeric_limits<int32_t>::max(), 0);
  }
  if (inner.value("reasoning_effort")) {
    variables["reasoning_effort"] = inner.text("reasoning_effort", 32);
  }
  if (auto done = inner.finish(); !done) {
    fields.fail("chat_template_kwargs", "is not acceptable: " + done.error().message);
  }
}

void read_tool_fields(Fields& fields, const json::array*& tools, ChatRequest& out) {
  tools = fields.array("tools", kMaxTools);
  out.parallel_tool_calls = fields.boolean("parallel_tool_calls", true);
  out.has_tools = tools && !tools->empty();
  const json::value* choice = fields.value("tool_choice");
  if (!choice) return;
  if (choice->is_string() && choice->get_string() == "none") {
    out.has_tools = false;
  } else if (choice->is_object() || *choice == json::value("required")) {
    fields.fail("tool_choice",
                "can be \"auto\" or \"none\": this server cannot force a call, and does not answer "
                "as if it could.",
                "unsupported_value");
  } else if (*choice != json::value("auto")) {
    fields.fail("tool_choice", "must be \"auto\" or \"none\".");
  }
}

void read_response_format(Fields& fields) {
  const json::object* format = fields.object("response_format");
  if (!format) return;
  const json::value* type = format->if_contains("type");
  if (type && *type == json::value("text")) return;
  fields.fail("response_format",
              "can only be {\"type\": \"text\"}: this server cannot hold an answer to JSON or a "
              "schema, and does not answer unconstrained instead.",
              "unsupported_value");
}

void read_logprobs(Fields& fields, ChatRequest& out) {
  out.logprobs = fields.boolean("logprobs", false);
  const auto top = fields.maybe_integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top && !out.logprobs && *top > 0) {
    fields.fail("top_logprobs", "can only be given together with logprobs: true.");
  }
  if (out.logprobs) out.shared.request.logprobs = static_cast<int32_t>(top.value_or(0));
}

}  // namespace

ApiResult<ChatRequest> parse_chat_request(std::string_view body, const ClientInfo& info,
                                          const SamplingParams& defaults) {
  XH_TRY(json::value root, parse_json(body));
  if (!root.is_object()) return refuse(400, "The body must be a JSON object.");
  Fields fields(root.get_object());
  ChatRequest out;
  out.model = fields.text("model", 512);
  if (out.model.empty()) fields.fail("model", "is missing.", "missing_field");
  const json::array* messages = fields.array("messages", kMaxMessages);
  if (!messages) fields.fail("messages", "is missing.", "missing_field");
  if (messages && messages->empty()) fields.fail("messages", "must not be empty.");
  out.shared = read_shared_fields(fields, info, defaults);
  const int64_t most = info.context_length;
  out.shared.request.max_tokens = static_cast<int32_t>(
      fields.integer("max_completion_tokens", 1, most, fields.integer("max_tokens", 1, most, 0)));
  read_logprobs(fields, out);
  const json::array* tools = nullptr;
  read_tool_fields(fields, tools, out);
  read_response_format(fields);
  read_template_arguments(fields, out.variables);
  if (fields.value("reasoning_effort")) {
    out.variables["reasoning_effort"] = fields.text("reasoning_effort", 32);
  }
  fields.only("functions", nullptr, "is out of use: give 'tools' instead.");
  fields.only("function_call", nullptr, "is out of use: give 'tool_choice' instead.");
  fields.only("audio", nullptr, "cannot be had: this model writes only text.");
  fields.only("modalities", json::array{"text"}, "can only be [\"text\"].");
  fields.ignore({"store", "metadata", "service_tier", "prompt_cache_key", "safety_identifier",
                 "prediction", "verbosity", "prompt_cache_retention"});
  XH_TRY_VOID(fields.finish());

  XH_TRY(json::array list, read_messages(*messages));
  out.variables["messages"] = std::move(list);
  if (tools) XH_TRY_VOID(read_tools(*tools));
  if (out.has_tools) out.variables["tools"] = *tools;
  out.variables["add_generation_prompt"] = true;
  return out;
}

}  // namespace xh::serve

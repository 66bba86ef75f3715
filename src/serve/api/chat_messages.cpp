#include "serve/api/chat_messages.h"

#include <fmt/core.h>

#include "serve/fields.h"
#include "serve/json_input.h"

namespace xh::serve {
namespace json = boost::json;

namespace {

constexpr size_t kAnySize = SIZE_MAX;  // the body's limit holds

// A string, or an array of parts of which only text can be had.
std::string read_content(Fields& fields, const std::string& path) {
  const json::value* value = fields.value("content");
  if (!value) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) {
    fields.fail("content",
                fmt::format("must be a string or an array of parts, but is {}.", kind_name(*value)),
                "invalid_type");
    return {};
  }
  std::string text;
  const json::array& parts = value->get_array();
  for (size_t i = 0; i < parts.size() && !fields.failed(); ++i) {
    const std::string name = fmt::format("content[{}]", i);
    if (!parts[i].is_object()) {
      fields.fail(name, fmt::format("must be an object, but is {}.", kind_name(parts[i])),
                  "invalid_type");
      break;
    }
    Fields part(parts[i].get_object(), path + "." + name);
    const std::string type = part.text("type", 64);
    if (type == "text" || type == "refusal") {
      if (!part.value(type)) part.fail(type, "is missing.", "missing_field");
      text += part.text(type, kAnySize);
      part.ignore({"cache_control", "annotations"});
    } else if (!part.failed()) {
      fields.fail(name + ".type", fmt::format("is '{}', but this model reads only text.", type),
                  "unsupported_value");
      break;
    }
    if (auto done = part.finish(); !done) {
      fields.fail(name, "is not acceptable: " + done.error().message);
    }
  }
  return text;
}

json::value read_arguments(Fields& function) {
  const json::value* value = function.value("arguments");
  if (!value) return json::object();
  if (value->is_object()) return *value;
  if (!value->is_string()) {
    function.fail("arguments", "must be a JSON object, written as a string.", "invalid_type");
    return nullptr;
  }
  const json::string& text = value->get_string();
  if (text.empty()) return json::object();
  auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object()) {
    function.fail("arguments", "must be a string that holds a JSON object.");
    return nullptr;
  }
  return std::move(*parsed);
}

ApiResult<json::value> read_call(const json::value& value, const std::string& path) {
  if (!value.is_object()) return refuse(400, "'" + path + "' must be an object.", path);
  Fields fields(value.get_object(), path);
  json::object call{{"type", "function"}};
  if (const std::string id = fields.text("id", 256); !id.empty()) call["id"] = id;
  if (const std::string type = fields.text("type", 64, "function"); type != "function") {
    fields.fail("type", "must be \"function\".");
  }
  fields.ignore({"index"});
  const json::object* inner = fields.object("function");
  if (!inner) fields.fail("function", "is missing.", "missing_field");
  XH_TRY_VOID(fields.finish());
  Fields function(*inner, path + ".function");
  json::object out;
  out["name"] = function.text("name", 256);
  if (out["name"].get_string().empty()) function.fail("name", "is missing.", "missing_field");
  out["arguments"] = read_arguments(function);
  XH_TRY_VOID(function.finish());
  call["function"] = std::move(out);
  return call;
}

ApiResult<json::value> read_message(const json::value& value, const std::string& path) {
  if (!value.is_object()) {
    return refuse(400, fmt::format("'{}' must be an object, but is {}.", path, kind_name(value)),
                  path, "invalid_type");
  }
  Fields fields(value.get_object(), path);
  json::object message;
  std::string role = fields.text("role", 64);
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    fields.fail("role", "must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\".");
  }
  message["role"] = role;
  const bool assistant = role == "assistant";
  const json::array* calls = assistant ? fields.array("tool_calls", 256) : nullptr;
  message["content"] = read_content(fields, path);
  if (!fields.value("content") && !assistant) {
    fields.fail("content", "is missing.", "missing_field");
  }
  if (const std::string name = fields.text("name", 256); !name.empty()) message["name"] = name;
  if (role == "tool") message["tool_call_id"] = fields.text("tool_call_id", 256);
  if (assistant) {
    std::string reasoning = fields.text("reasoning_content", kAnySize);
    if (reasoning.empty()) reasoning = fields.text("reasoning", kAnySize);
    if (!reasoning.empty()) message["reasoning_content"] = reasoning;
    fields.ignore({"reasoning", "refusal", "audio", "annotations", "function_call", "tool_calls"});
  }
  XH_TRY_VOID(fields.finish());
  if (calls && !calls->empty()) {
    json::array out;
    for (size_t i = 0; i < calls->size(); ++i) {
      XH_TRY(json::value call, read_call((*calls)[i], fmt::format("{}.tool_calls[{}]", path, i)));
      out.push_back(std::move(call));
    }
    message["tool_calls"] = std::move(out);
  }
  return message;
}

}  // namespace

ApiResult<json::array> read_messages(const json::array& messages) {
  json::array out;
  for (size_t i = 0; i < messages.size(); ++i) {
    XH_TRY(json::value message, read_message(messages[i], fmt::format("messages[{}]", i)));
    out.push_back(std::move(message));
  }
  return out;
}

ApiResult<json::array> read_tools(const json::array& tools) {
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    if (!tools[i].is_object()) return refuse(400, "'" + path + "' must be an object.", path);
    Fields tool(tools[i].get_object(), path);
    if (tool.text("type", 64) != "function") tool.fail("type", "must be \"function\".");
    const json::object* inner = tool.object("function");
    if (!inner) tool.fail("function", "is missing.", "missing_field");
    XH_TRY_VOID(tool.finish());
    Fields function(*inner, path + ".function");
    if (function.text("name", 256).empty()) {
      function.fail("name", "is missing.", "missing_field");
    }
    function.text("description", kAnySize);
    function.object("parameters");
    function.boolean("strict", false);
    XH_TRY_VOID(function.finish());
  }
  return tools;
}

}  // namespace xh::serve

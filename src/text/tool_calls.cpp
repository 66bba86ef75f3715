#include "text/tool_calls.h"

#include <algorithm>
#include <optional>

#include "text/reasoning.h"

namespace xh {
namespace json = boost::json;

namespace {

constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kMaxDepth = 64;

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::optional<json::value> read_json(std::string_view text) {
  json::error_code ec;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::value value = json::parse(text, ec, {}, options);
  if (ec) return std::nullopt;
  return value;
}

// What stands between `open` and `close`, from `at` on; `at` moves behind it.
std::optional<std::string_view> between(std::string_view text, std::string_view open,
                                        std::string_view close, size_t& at) {
  const size_t begin = text.find(open, at);
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = text.find(close, begin + open.size());
  if (end == std::string_view::npos) return std::nullopt;
  at = end + close.size();
  return text.substr(begin + open.size(), end - begin - open.size());
}

// The declared type of a parameter, or "".
std::string_view declared_type(const json::array* tools, std::string_view function,
                               std::string_view parameter) {
  if (!tools) return {};
  for (const json::value& tool : *tools) {
    json::error_code ec;
    const json::value* name = tool.find_pointer("/function/name", ec);
    if (!name || !name->is_string() || name->get_string() != function) continue;
    const json::value* properties = tool.find_pointer("/function/parameters/properties", ec);
    if (!properties || !properties->is_object()) return {};
    const json::value* property = properties->get_object().if_contains(parameter);
    if (!property || !property->is_object()) return {};
    const json::value* type = property->get_object().if_contains("type");
    return type && type->is_string() ? std::string_view(type->get_string()) : std::string_view();
  }
  return {};
}

// A bare value: text if it is declared so, else JSON if it reads as JSON, else text.
json::value bare_value(std::string_view text, std::string_view type) {
  if (type != "string") {
    if (auto value = read_json(trim(text))) return std::move(*value);
  }
  return json::value(text);
}

std::optional<ToolCall> read_json_call(std::string_view body) {
  const auto value = read_json(body);
  if (!value || !value->is_object()) return std::nullopt;
  const json::object& object = value->get_object();
  const json::value* name = object.if_contains("name");
  if (!name || !name->is_string() || name->get_string().empty()) return std::nullopt;
  const json::value* arguments = object.if_contains("arguments");
  if (!arguments) arguments = object.if_contains("parameters");
  ToolCall call{std::string(name->get_string()), "{}"};
  if (!arguments || arguments->is_null()) return call;
  if (arguments->is_string()) {  // some models quote the object
    const auto inner = read_json(arguments->get_string());
    if (!inner || !inner->is_object()) return std::nullopt;
    call.arguments = json::serialize(*inner);
    return call;
  }
  if (!arguments->is_object()) return std::nullopt;
  call.arguments = json::serialize(*arguments);
  return call;
}

std::optional<ToolCall> read_function_call(std::string_view body, const json::array* tools) {
  size_t at = 0;
  const auto name = between(body, "<function=", ">", at);
  if (!name || name->empty()) return std::nullopt;
  ToolCall call{std::string(trim(*name)), {}};
  json::object arguments;
  for (;;) {
    const size_t next = body.find("<parameter=", at);
    if (next == std::string_view::npos) break;
    const auto key = between(body, "<parameter=", ">", at);
    if (!key) return std::nullopt;
    const size_t end = body.find("</parameter>", at);
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view value = body.substr(at, end - at);
    // One line feed after the opening and before the closing tag belongs to the layout.
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    at = end + std::string_view("</parameter>").size();
    const std::string parameter(trim(*key));
    arguments[parameter] = bare_value(value, declared_type(tools, call.name, parameter));
  }
  call.arguments = json::serialize(arguments);
  return call;
}

std::optional<ToolCall> read_key_value_call(std::string_view body, const json::array* tools) {
  const std::string_view name = trim(body.substr(0, body.find("<arg_key>")));
  if (name.empty() || name.find_first_of("<>{}\n") != std::string_view::npos) return std::nullopt;
  ToolCall call{std::string(name), {}};
  json::object arguments;
  size_t at = 0;
  while (body.find("<arg_key>", at) != std::string_view::npos) {
    const auto key = between(body, "<arg_key>", "</arg_key>", at);
    const auto value = key ? between(body, "<arg_value>", "</arg_value>", at) : std::nullopt;
    if (!value) return std::nullopt;
    const std::string parameter(trim(*key));
    arguments[parameter] = bare_value(*value, declared_type(tools, call.name, parameter));
  }
  call.arguments = json::serialize(arguments);
  return call;
}

std::optional<ToolCall> read_call(std::string_view body, const json::array* tools) {
  body = trim(body);
  if (body.starts_with('{')) return read_json_call(body);
  if (body.starts_with("<function=")) return read_function_call(body, tools);
  return read_key_value_call(body, tools);
}

}  // namespace

void ToolCallParser::step(Piece& out, bool last) {
  for (;;) {
    const size_t open = held_.find(kOpen);
    const bool found = open != std::string::npos;
    size_t certain = found ? open : held_.size() - (last ? 0 : partial_tag(held_, kOpen));
    std::string_view before = std::string_view(held_).substr(0, certain);
    // White space between calls, or between text and a call, is layout.
    const std::string_view kept = before.substr(0, before.find_last_not_of(kSpace) + 1);
    if (found || (after_call_ && kept.empty())) {
      if (found || last) before = kept;
      if (!found && !last) return;
    } else if (!last) {
      before = kept;
      certain = kept.size();
    }
    out.content += before;
    if (!before.empty()) after_call_ = false;
    held_.erase(0, certain);
    if (!found) return;
    const size_t from = std::max(kOpen.size(), searched_);
    const size_t close = held_.find(kClose, from);
    if (close == std::string::npos) {
      // Overlap by one tag's length, so that the search stays linear in the stream's length.
      searched_ = held_.size() > kClose.size() ? held_.size() - kClose.size() : 0;
      if (!last) return;
      // Cut off inside a call. Without the closing tag it still counts when it is complete.
      if (auto call = read_call(std::string_view(held_).substr(kOpen.size()), tools_);
          call && trim(std::string_view(held_).substr(kOpen.size())).starts_with('{')) {
        out.calls.push_back(std::move(*call));
      } else {
        out.content += held_;
      }
      held_.clear();
      return;
    }
    searched_ = 0;
    const std::string_view body =
        std::string_view(held_).substr(kOpen.size(), close - kOpen.size());
    if (auto call = read_call(body, tools_)) {
      out.calls.push_back(std::move(*call));
      after_call_ = true;
    } else {
      out.content += std::string_view(held_).substr(0, close + kClose.size());
    }
    held_.erase(0, close + kClose.size());
  }
}

ToolCallParser::Piece ToolCallParser::push(std::string_view text) {
  Piece out;
  held_ += text;
  step(out, false);
  return out;
}

ToolCallParser::Piece ToolCallParser::finish() {
  Piece out;
  step(out, true);
  return out;
}

}  // namespace xh

#include "text/tool_calls.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "text/reasoning.h"

namespace xh {
namespace json = boost::json;

struct ToolTag {
  std::string_view open, close;
};

namespace {

constexpr ToolTag kTags[] = {
    {"<tool_call>", "</tool_call>"},
    {"<seed:tool_call>", "</seed:tool_call>"},
    {"<minimax:tool_call>", "</minimax:tool_call>"},
    {"<｜DSML｜function_calls>", "</｜DSML｜function_calls>"},
};
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

// The value of an attribute in "<invoke name="f" string="true">", or "".
std::string_view attribute(std::string_view tag, std::string_view name) {
  const std::string wanted = " " + std::string(name) + "=\"";
  const size_t begin = tag.find(wanted);
  if (begin == std::string_view::npos) return {};
  const size_t end = tag.find('"', begin + wanted.size());
  if (end == std::string_view::npos) return {};
  return tag.substr(begin + wanted.size(), end - begin - wanted.size());
}

// One <invoke …>…</invoke>; `prefix` stands before each tag's name.
std::optional<ToolCall> read_invocation(std::string_view head, std::string_view body,
                                        const std::string& prefix, const json::array* tools) {
  ToolCall call{std::string(attribute(head, "name")), {}};
  if (call.name.empty()) return std::nullopt;
  json::object arguments;
  const std::string open = "<" + prefix + "parameter", close = "</" + prefix + "parameter>";
  for (size_t at = 0; body.find(open, at) != std::string_view::npos;) {
    const auto parameter = between(body, open, close, at);
    const size_t end = parameter ? parameter->find('>') : std::string_view::npos;
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view tag = parameter->substr(0, end);
    const std::string name(attribute(tag, "name"));
    if (name.empty()) return std::nullopt;
    const std::string_view type = attribute(tag, "string") == "true"
                                      ? std::string_view("string")
                                      : declared_type(tools, call.name, name);
    arguments[name] = bare_value(parameter->substr(end + 1), type);
  }
  call.arguments = json::serialize(arguments);
  return call;
}

std::vector<ToolCall> read_invocations(std::string_view body, const std::string& prefix,
                                       const json::array* tools) {
  std::vector<ToolCall> calls;
  const std::string open = "<" + prefix + "invoke", close = "</" + prefix + "invoke>";
  for (size_t at = 0; body.find(open, at) != std::string_view::npos;) {
    const auto inner = between(body, open, close, at);
    const size_t end = inner ? inner->find('>') : std::string_view::npos;
    if (end == std::string_view::npos) return {};
    auto call = read_invocation(inner->substr(0, end), inner->substr(end + 1), prefix, tools);
    if (!call) return {};
    calls.push_back(std::move(*call));
  }
  return calls;
}

// What stands between the tags; empty when it cannot be read.
std::vector<ToolCall> read_calls(std::string_view body, const json::array* tools) {
  body = trim(body);
  if (body.starts_with("<invoke")) return read_invocations(body, "", tools);
  if (body.starts_with("<｜DSML｜invoke")) return read_invocations(body, "｜DSML｜", tools);
  std::optional<ToolCall> call;
  if (body.starts_with('{')) {
    call = read_json_call(body);
  } else if (body.starts_with("<function=")) {
    call = read_function_call(body, tools);
  } else {
    call = read_key_value_call(body, tools);
  }
  if (!call) return {};
  return {std::move(*call)};
}

// The first opening tag in `text`, and where it stands; null when there is none.
const ToolTag* find_tag(std::string_view text, size_t& at) {
  const ToolTag* found = nullptr;
  at = std::string_view::npos;
  for (const ToolTag& tag : kTags) {
    const size_t here = text.substr(0, at).find(tag.open);
    if (here == std::string_view::npos) continue;
    at = here;
    found = &tag;
  }
  return found;
}

size_t partial_open(std::string_view text) {
  size_t n = 0;
  for (const ToolTag& tag : kTags) n = std::max(n, partial_tag(text, tag.open));
  return n;
}

}  // namespace

// Text up to the first opening tag; what may still become one, or is layout before one, stays.
const ToolTag* ToolCallParser::pass_text(Piece& out, bool last) {
  size_t open = 0;
  const ToolTag* tag = find_tag(held_, open);
  size_t certain = tag ? open : held_.size() - (last ? 0 : partial_open(held_));
  std::string_view text = std::string_view(held_).substr(0, certain);
  const std::string_view trimmed = text.substr(0, text.find_last_not_of(kSpace) + 1);
  if (tag || (last && after_call_)) {
    text = trimmed;  // white space before a call, or after the last one
  } else if (!last) {
    text = trimmed;
    certain = trimmed.size();
  }
  out.content += text;
  if (!text.empty()) after_call_ = false;
  held_.erase(0, certain);
  return tag;
}

void ToolCallParser::step(Piece& out, bool last) {
  while (const ToolTag* tag = pass_text(out, last)) {
    const size_t close = held_.find(tag->close, std::max(tag->open.size(), searched_));
    const bool closed = close != std::string::npos;
    if (!closed && !last) {
      // Overlaps by a tag's length, so that the search stays linear in the stream's length.
      searched_ = held_.size() > tag->close.size() ? held_.size() - tag->close.size() : 0;
      return;
    }
    searched_ = 0;
    const size_t end = closed ? close : held_.size();
    const std::string_view body =
        std::string_view(held_).substr(tag->open.size(), end - tag->open.size());
    // Cut off without its closing tag, only JSON tells whether it is complete.
    const bool readable = closed || trim(body).starts_with('{');
    std::vector<ToolCall> calls = readable ? read_calls(body, tools_) : std::vector<ToolCall>();
    const size_t used = closed ? close + tag->close.size() : held_.size();
    if (calls.empty()) out.content += std::string_view(held_).substr(0, used);
    after_call_ = !calls.empty();
    std::move(calls.begin(), calls.end(), std::back_inserter(out.calls));
    held_.erase(0, used);
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

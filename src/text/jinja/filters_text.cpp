// Filters over text, and those that choose or convert a single value.
#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

template <std::string (*map)(std::string_view)>
Value mapped(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "this filter", {}, 0, nullptr)) return Value::error();
  Value text = to_text(rt, v);
  if (text.failed() || !rt.burn_mapping(text.as<String>())) return Value::error();
  return rt.string(map(text.text()));
}

// Words begin after white space and opening brackets or dashes; Jinja's filter differs from
// str.title.
std::string title_words(std::string_view text) {
  std::string out;
  auto separates = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  for (size_t pos = 0; pos < text.size();) {
    size_t start = pos;
    char32_t first = next_code_point(text, pos);
    std::string_view head = text.substr(start, pos - start);
    if (separates(first)) {
      out += head;
      continue;
    }
    size_t rest = pos, end = pos;
    while (end < text.size()) {
      size_t next = end;
      if (separates(next_code_point(text, next))) break;
      end = next;
    }
    out += to_upper(head);
    out += to_lower(text.substr(rest, end - rest));
    pos = end;
  }
  return out;
}

Value string(Runtime& rt, const Value& v, const Args& args) {
  return bind(rt, args, "string", {}, 0, nullptr) ? to_text(rt, v) : Value::error();
}

Value safe(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "safe", {}, 0, nullptr)) return Value::error();
  std::string text;
  if (!write_text(rt, v, text)) return Value::error();
  Value out = rt.string(std::move(text));
  if (!out.failed()) out.as<String>().safe = true;
  return out;
}

Value escape(Runtime& rt, const Value& v, const Args& args) {
  return bind(rt, args, "escape", {}, 0, nullptr) ? escape_html(rt, v) : Value::error();
}

Value force_escape(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "forceescape", {}, 0, nullptr)) return Value::error();
  std::string text;
  if (!write_text(rt, v, text)) return Value::error();
  Value plain = rt.string(std::move(text));
  return plain.failed() ? plain : escape_html(rt, plain);
}

Value trim(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "trim", {"chars"}, 0, a)) return Value::error();
  Value text = to_text(rt, v);
  Args chars;
  if (!a[0].missing()) chars.positional.push_back(a[0]);
  return text.failed() ? text : call_method(rt, text, find_method("strip"), chars);
}

Value center(Runtime& rt, const Value& v, const Args& args) {
  Value text = to_text(rt, v);
  if (text.failed()) return text;
  Value a[1];
  if (!bind(rt, args, "center", {"width"}, 0, a)) return Value::error();
  Args width;
  width.positional.push_back(a[0].missing() ? Value::integer(80) : a[0]);
  return call_method(rt, text, find_method("center"), width);
}

Value replace(Runtime& rt, const Value& v, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "replace", {"old", "new", "count"}, 2, a)) return Value::error();
  Value text = to_text(rt, v), from = to_text(rt, a[0]), to = to_text(rt, a[1]);
  if (rt.failed()) return Value::error();
  int64_t count = -1;
  if (a[2].is_integral())
    count = a[2].integer();
  else if (!a[2].missing() && !a[2].is(Kind::kNone))
    return rt.type_error("replace needs an integer count");
  return replace_text(rt, text.text(), from.text(), to.text(), count);
}

Value format(Runtime& rt, const Value& v, const Args& args) {
  if (!args.positional.empty() && !args.named.empty())
    return rt.type_error("format takes either positions or names");
  Value text = to_text(rt, v);
  if (text.failed()) return text;
  if (args.named.empty()) {
    Value values = rt.tuple(args.positional);
    return values.failed() ? values : format_percent(rt, text, values);
  }
  Value values = rt.dict(args.named);
  return values.failed() ? values : format_percent(rt, text, values);
}

Value indent(Runtime& rt, const Value& v, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "indent", {"width", "first", "blank"}, 0, a)) return Value::error();
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (!v.is_string()) return rt.type_error("indent needs a text");
  std::string by;
  if (a[0].is_string())
    by = a[0].text();
  else if (!a[0].missing() && !a[0].is_integral())
    return rt.type_error("indent needs an integer width");
  else if (int64_t n = a[0].missing() ? 4 : a[0].integer();
           n > 0 && !rt.append(by, static_cast<uint64_t>(n), ' '))
    return Value::error();
  if (!rt.burn(v.text().size() / 16 + 1)) return Value::error();
  // One line break is added before the split, so that a trailing one counts as a line.
  std::string text(v.text());
  text += '\n';
  std::string out;
  auto lines = split_lines(text, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    bool wanted = i == 0 ? truthy(a[1]) : truthy(a[2]) || !lines[i].empty();
    if ((i && !rt.append(out, "\n")) || (wanted && !rt.append(out, by)) ||
        !rt.append(out, lines[i]))
      return Value::error();
  }
  return rt.string(std::move(out));
}

Value wordcount(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "wordcount", {}, 0, nullptr)) return Value::error();
  Value text = to_text(rt, v);
  if (text.failed() || !rt.burn(text.text().size() / 2 + 1)) return Value::error();
  int64_t words = 0;
  bool inside = false;
  std::string_view s = text.text();
  for (size_t pos = 0; pos < s.size();) {
    char32_t c = next_code_point(s, pos);
    bool word = char_is(c, CharTest::kAlpha) || char_is(c, CharTest::kNumeric) || c == '_';
    words += word && !inside;
    inside = word;
  }
  return Value::integer(words);
}

Value truncate(Runtime& rt, const Value& v, const Args& args) {
  Value a[4];
  if (!bind(rt, args, "truncate", {"length", "killwords", "end", "leeway"}, 0, a))
    return Value::error();
  int64_t limit = a[0].is_integral() ? a[0].integer() : 255;
  int64_t leeway = a[3].is_integral() ? a[3].integer() : 5;
  std::string end = a[2].is_string() ? std::string(a[2].text()) : "...";
  int64_t tail = static_cast<int64_t>(count_code_points(end)), size = length(rt, v);
  if (size < 0) return Value::error();
  if (limit < tail || leeway < 0 || limit > INT64_MAX / 2 || leeway > INT64_MAX / 2)
    return rt.type_error("truncate needs a length that holds its end");
  if (size <= limit + leeway) return v;
  if (!v.is_string()) return rt.type_error("truncate needs a text");
  std::string kept(v.text().substr(0, byte_offset(v.text(), static_cast<size_t>(limit - tail))));
  if (!truthy(a[1])) kept = kept.substr(0, kept.rfind(' '));
  return rt.string(kept + end);
}

Value default_value(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  if (!bind(rt, args, "default", {"default_value", "boolean"}, 0, a)) return Value::error();
  if (!v.is_undefined() && !(truthy(a[1]) && !truthy(v))) return v;
  return a[0].missing() ? rt.string("") : a[0];
}

Value attribute(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "attr", {"name"}, 1, a)) return Value::error();
  if (!a[0].is_string()) return rt.type_error("attr needs a name");
  // Attributes only, never the elements of a mapping.
  const MethodEntry* method = find_method(a[0].text());
  if (v.is(Kind::kDict) && !(method && has_method(v, method)))
    return Value::undefined(nullptr, v.kind());
  return get_attribute(rt, v, a[0].text(), method);
}

// transformers' own version: no HTML escapes, json.dumps' defaults otherwise.
Value to_json(Runtime& rt, const Value& v, const Args& args) {
  Value a[4];
  if (!bind(rt, args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, a))
    return Value::error();
  JsonOptions options;
  options.ascii = truthy(a[0]);
  options.sort_keys = truthy(a[3]);
  if (!a[1].missing() && !a[1].is(Kind::kNone)) {
    options.pretty = true;
    options.item_separator = ",";
    if (a[1].is_string()) {
      options.indent = a[1].text();
    } else if (!a[1].is_integral()) {
      return rt.type_error("tojson needs an integer indent");
    } else if (a[1].integer() > 0 &&
               !rt.append(options.indent, static_cast<uint64_t>(a[1].integer()), ' ')) {
      return Value::error();
    }
  }
  if (a[2].is_sequence() && a[2].as<Sequence>().items.size() == 2 &&
      a[2].as<Sequence>().items[0].is_string() && a[2].as<Sequence>().items[1].is_string()) {
    options.item_separator = a[2].as<Sequence>().items[0].text();
    options.key_separator = a[2].as<Sequence>().items[1].text();
  } else if (!a[2].missing() && !a[2].is(Kind::kNone)) {
    return rt.type_error("tojson needs two separators");
  }
  std::string out;
  if (!write_json(rt, v, options, out)) return Value::error();
  return rt.string(std::move(out));
}

}  // namespace

std::span<const FilterEntry> text_filters() {
  static constexpr FilterEntry kTable[] = {
      {"attr", attribute},
      {"capitalize", mapped<capitalize>},
      {"center", center},
      {"d", default_value},
      {"default", default_value},
      {"e", escape},
      {"escape", escape},
      {"forceescape", force_escape},
      {"format", format},
      {"indent", indent},
      {"lower", mapped<to_lower>},
      {"replace", replace},
      {"safe", safe},
      {"string", string},
      {"title", mapped<title_words>},
      {"tojson", to_json},
      {"trim", trim},
      {"truncate", truncate},
      {"upper", mapped<to_upper>},
      {"wordcount", wordcount},
  };
  return kTable;
}

}  // namespace xh::jinja

#include "text/jinja/text_form.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/operations.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

constexpr uint64_t kFloatSteps = 8;  // the shortest digits of a number take that long
constexpr int kMaxTextDepth = 400;   // containers and namespaces met on the way down

// A backslash, `kind` and `width` hexadecimal digits.
void escape(std::string& out, char kind, int width, char32_t c) {
  out += '\\';
  out += kind;
  while (width > 0) out += "0123456789abcdef"[(c >> (4 * --width)) & 15];
}

std::string string_repr(std::string_view text) {
  bool single = text.find('\'') != text.npos, dbl = text.find('"') != text.npos;
  char quote = single && !dbl ? '"' : '\'';
  std::string out(1, quote);
  for (size_t pos = 0; pos < text.size();) {
    size_t start = pos;
    char32_t c = next_code_point(text, pos);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(start, pos - start);
    } else if (c >= 0x110000) {
      escape(out, 'x', 2, c - 0x110000);
    } else if (c < 0x100) {
      escape(out, 'x', 2, c);
    } else {
      escape(out, c < 0x10000 ? 'u' : 'U', c < 0x10000 ? 4 : 8, c);
    }
  }
  out += quote;
  return out;
}

void json_char(char32_t c, std::string& out) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    default: break;
  }
  if (c >= 0x10000) {  // as two surrogates
    escape(out, 'u', 4, 0xD800 + ((c - 0x10000) >> 10));
    c = 0xDC00 + ((c - 0x10000) & 0x3FF);
  }
  escape(out, 'u', 4, c);
}

void json_string(std::string_view text, bool ascii, std::string& out) {
  out += '"';
  size_t plain = 0;  // start of what needs no escape
  for (size_t pos = 0; pos < text.size();) {
    unsigned char byte = static_cast<unsigned char>(text[pos]);
    size_t start = pos;
    bool keep = byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x7F || !ascii);
    if (keep) {
      ++pos;
      continue;
    }
    char32_t c = next_code_point(text, pos);
    if (c >= 0x110000) continue;  // a byte that is not UTF-8 stays
    out += text.substr(plain, start - plain);
    json_char(c, out);
    plain = pos;
  }
  out += text.substr(plain);
  out += '"';
}

bool write_items(Runtime& rt, const std::vector<Value>& items, std::string& out, int depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i && !rt.append(out, ", ")) return false;
    if (!write_repr(rt, items[i], out, depth + 1)) return false;
  }
  return true;
}

bool write_entries(Runtime& rt, const std::vector<std::pair<Value, Value>>& entries,
                   std::string& out, int depth) {
  if (!rt.append(out, "{")) return false;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i && !rt.append(out, ", ")) return false;
    if (!write_repr(rt, entries[i].first, out, depth + 1) || !rt.append(out, ": ") ||
        !write_repr(rt, entries[i].second, out, depth + 1))
      return false;
  }
  return rt.append(out, "}");
}

bool write_view(Runtime& rt, const Value& v, std::string& out, int depth) {
  static constexpr const char* kNames[] = {"dict_keys([", "dict_values([", "dict_items(["};
  std::vector<Value> items;
  return rt.append(out, kNames[static_cast<int>(v.as<View>().what)]) && rt.to_vector(v, items) &&
         write_items(rt, items, out, depth) && rt.append(out, "])");
}

bool write_range(Runtime& rt, const Range& r, std::string& out) {
  std::string text = "range(" + std::to_string(r.start) + ", " + std::to_string(r.stop);
  if (r.step != 1) text += ", " + std::to_string(r.step);
  return rt.append(out, text + ")");
}

}  // namespace

std::string float_repr(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  size_t e = text.find('e');
  int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (char c : text.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
  int n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    char tail[16];
    std::snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return sign + digits.substr(0, 1) + (n > 1 ? "." + digits.substr(1) : "") + tail;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (n <= exponent + 1)
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - n), '0') + ".0";
  size_t point = static_cast<size_t>(exponent) + 1;
  return sign + digits.substr(0, point) + "." + digits.substr(point);
}

std::string integer_text(const Value& v) {
  if (v.is(Kind::kUint)) return std::to_string(v.unsigned_integer());
  return std::to_string(v.integer());
}

bool write_text(Runtime& rt, const Value& v, std::string& out) {
  switch (v.kind()) {
    case Kind::kString: return rt.append(out, v.text());
    case Kind::kUndefined: return true;
    default: return write_repr(rt, v, out);
  }
}

bool write_repr(Runtime& rt, const Value& v, std::string& out, int depth) {
  if (depth > kMaxTextDepth) {
    rt.fail(ErrorCode::kTooLarge, "values are nested too deeply to be written");
    return false;
  }
  if (!rt.burn(1)) return false;
  switch (v.kind()) {
    case Kind::kUndefined: return rt.append(out, "Undefined");
    case Kind::kNone: return rt.append(out, "None");
    case Kind::kBool: return rt.append(out, v.boolean() ? "True" : "False");
    case Kind::kInt:
    case Kind::kUint: return rt.append(out, integer_text(v));
    case Kind::kFloat: return rt.burn(kFloatSteps) && rt.append(out, float_repr(v.real()));
    case Kind::kString:
      if (!rt.burn(v.text().size() / 4)) return false;
      if (v.as<String>().safe) return rt.append(out, "Markup(" + string_repr(v.text()) + ")");
      return rt.append(out, string_repr(v.text()));
    case Kind::kList:
      return rt.append(out, "[") && write_items(rt, v.as<Sequence>().items, out, depth) &&
             rt.append(out, "]");
    case Kind::kTuple:
      return rt.append(out, "(") && write_items(rt, v.as<Sequence>().items, out, depth) &&
             rt.append(out, v.as<Sequence>().items.size() == 1 ? ",)" : ")");
    case Kind::kDict: return write_entries(rt, v.as<Dict>().entries, out, depth);
    case Kind::kNamespace:
      return rt.append(out, "<Namespace ") &&
             write_entries(rt, v.as<Namespace>().attributes, out, depth) && rt.append(out, ">");
    case Kind::kView: return write_view(rt, v, out, depth);
    case Kind::kRange: return write_range(rt, v.as<Range>(), out);
    case Kind::kMacro:
      return rt.append(out, "<Macro " + string_repr(v.as<Macro>().node->name) + ">");
    default: return rt.append(out, std::string("<") + type_name(v.kind()) + ">");
  }
}

Value to_text(Runtime& rt, const Value& v) {
  if (v.is_string()) return v;
  std::string out;
  if (!write_text(rt, v, out)) return Value::error();
  return rt.string(std::move(out));
}

namespace {

bool json_key(Runtime& rt, const Value& key, const JsonOptions& o, std::string& out) {
  switch (key.kind()) {
    case Kind::kString:
      if (!rt.burn(key.text().size() / 16)) return false;
      json_string(key.text(), o.ascii, out);
      return true;
    case Kind::kNone: return rt.append(out, "\"null\"");
    case Kind::kBool: return rt.append(out, key.boolean() ? "\"true\"" : "\"false\"");
    case Kind::kInt:
    case Kind::kUint: return rt.append(out, "\"" + integer_text(key) + "\"");
    case Kind::kFloat: return rt.append(out, "\"" + float_repr(key.real()) + "\"");
    default: break;
  }
  rt.type_error(std::string("tojson cannot write a key of type ") + type_name(key.kind()));
  return false;
}

bool new_line(Runtime& rt, const JsonOptions& o, int level, std::string& out) {
  if (!o.pretty) return true;
  if (!rt.append(out, "\n")) return false;
  for (int i = 0; i < level; ++i)
    if (!rt.append(out, o.indent)) return false;
  return true;
}

bool json_array(Runtime& rt, const std::vector<Value>& items, const JsonOptions& o,
                std::string& out, int level) {
  if (items.empty()) return rt.append(out, "[]");
  if (!rt.append(out, "[")) return false;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i && !rt.append(out, o.item_separator)) return false;
    if (!new_line(rt, o, level + 1, out) || !write_json(rt, items[i], o, out, level + 1))
      return false;
  }
  return new_line(rt, o, level, out) && rt.append(out, "]");
}

bool json_object(Runtime& rt, const Dict& dict, const JsonOptions& o, std::string& out, int level) {
  if (dict.entries.empty()) return rt.append(out, "{}");
  std::vector<std::pair<Value, Value>> sorted;
  const auto* entries = &dict.entries;
  if (o.sort_keys) {
    sorted = dict.entries;
    if (!rt.burn(sorted.size())) return false;
    std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
      return less_than(rt, a.first, b.first) == 1;
    });
    if (rt.failed()) return false;
    entries = &sorted;
  }
  if (!rt.append(out, "{")) return false;
  bool first = true;
  for (const auto& [key, value] : *entries) {
    if (!first && !rt.append(out, o.item_separator)) return false;
    first = false;
    if (!new_line(rt, o, level + 1, out) || !json_key(rt, key, o, out) ||
        !rt.append(out, o.key_separator) || !write_json(rt, value, o, out, level + 1))
      return false;
  }
  return new_line(rt, o, level, out) && rt.append(out, "}");
}

}  // namespace

bool write_json(Runtime& rt, const Value& v, const JsonOptions& o, std::string& out, int level) {
  if (!rt.burn(1)) return false;
  switch (v.kind()) {
    case Kind::kNone: return rt.append(out, "null");
    case Kind::kBool: return rt.append(out, v.boolean() ? "true" : "false");
    case Kind::kInt:
    case Kind::kUint: return rt.append(out, integer_text(v));
    case Kind::kFloat:
      if (std::isnan(v.real())) return rt.append(out, "NaN");
      if (std::isinf(v.real())) return rt.append(out, v.real() > 0 ? "Infinity" : "-Infinity");
      return rt.burn(kFloatSteps) && rt.append(out, float_repr(v.real()));
    case Kind::kString:
      if (!rt.burn(v.text().size() / 4) || !rt.fits(out.size() + v.text().size())) return false;
      json_string(v.text(), o.ascii, out);
      return true;
    case Kind::kList:
    case Kind::kTuple: return json_array(rt, v.as<Sequence>().items, o, out, level);
    case Kind::kDict: return json_object(rt, v.as<Dict>(), o, out, level);
    case Kind::kUndefined: rt.use_of_undefined(v); return false;
    default: break;
  }
  rt.type_error(std::string("tojson cannot write a value of type ") + type_name(v.kind()));
  return false;
}

}  // namespace xh::jinja

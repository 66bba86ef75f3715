#include "text/jinja/format.h"

#include <cmath>
#include <cstdio>

#include "text/jinja/methods.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

constexpr int64_t kMaxPrecision = 400;  // digits of a number

struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ = or 0 for the type's default
  char sign = '-';
  bool alternate = false, zero = false, comma = false;
  int64_t width = 0, precision = -1;
  char type = 0;
};

bool digits(std::string_view text, size_t& pos, int64_t& out) {
  size_t start = pos;
  int64_t n = 0;
  for (; pos < text.size() && text[pos] >= '0' && text[pos] <= '9'; ++pos)
    n = n > (int64_t{1} << 40) ? n : n * 10 + (text[pos] - '0');
  if (pos > start) out = n;
  return pos > start;
}

std::string in_base(uint64_t n, unsigned base, bool upper) {
  const char* alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out;
  do out.insert(out.begin(), alphabet[n % base]);
  while (n /= base);
  return out;
}

void group_thousands(std::string& number) {
  size_t end = number.find_first_not_of("0123456789");
  if (end == number.npos) end = number.size();
  for (size_t i = end; i > 3; i -= 3) number.insert(i - 3, ",");
}

// The magnitude of a number in `type`, without sign or padding. False for an unknown type.
bool magnitude(const Value& v, const Spec& s, std::string& out, bool& negative) {
  char type = s.type;
  bool integral = v.is_integral() || v.is(Kind::kUint);
  if (integral && (type == 0 || std::string_view("dxXobn").find(type) != std::string_view::npos)) {
    negative = v.is_integral() && v.integer() < 0;
    uint64_t n = negative ? 0 - v.unsigned_integer() : v.unsigned_integer();
    unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    out = in_base(n, base, type == 'X');
    if (s.alternate && base != 10) out = std::string("0") + type + out;
    return true;
  }
  if (type == 0 || std::string_view("fFeEgG%").find(type) != std::string_view::npos) {
    double d = v.number();
    negative = std::signbit(d);
    d = std::fabs(d);
    if (type == 0 && s.precision < 0) {
      out = float_repr(d);
      return true;
    }
    bool percent = type == '%';
    char spec[] = {'%', '.', '*', percent ? 'f' : type == 0 ? 'g' : type, 0};
    int precision = static_cast<int>(s.precision < 0 ? 6 : s.precision);
    char buffer[1024];
    std::snprintf(buffer, sizeof buffer, spec, precision, percent ? d * 100 : d);
    out = buffer;
    if (percent) out += '%';
    return true;
  }
  return false;
}

bool pad(Runtime& rt, std::string text, const std::string& sign, const Spec& s, char default_align,
         std::string& out) {
  int64_t have = static_cast<int64_t>(count_code_points(text) + sign.size());
  int64_t missing = s.width > have ? s.width - have : 0;
  char align = s.align ? s.align : default_align;
  if (!rt.fits(static_cast<uint64_t>(missing) * s.fill.size() + text.size())) return false;
  auto fill = [&](int64_t n) {
    std::string run;
    if (!rt.burn_bytes(static_cast<uint64_t>(n) * s.fill.size())) return run;
    for (int64_t i = 0; i < n; ++i) run += s.fill;
    return run;
  };
  int64_t left = align == '^' ? missing / 2 : align == '<' ? 0 : missing;
  std::string piece =
      align == '=' ? sign + fill(missing) + text : fill(left) + sign + text + fill(missing - left);
  return !rt.failed() && rt.append(out, piece);
}

bool put_number(Runtime& rt, const Value& v, Spec s, std::string& out) {
  if (s.precision > kMaxPrecision) {
    rt.fail(ErrorCode::kTooLarge, "a number format of more than 400 digits");
    return false;
  }
  std::string text;
  bool negative = false;
  if (!magnitude(v, s, text, negative)) {
    rt.type_error(std::string("unknown number format '") + s.type + "'");
    return false;
  }
  if (s.comma) group_thousands(text);
  std::string sign = negative ? "-" : s.sign == '+' ? "+" : s.sign == ' ' ? " " : "";
  if (s.zero && !s.align) s.fill = "0", s.align = '=';
  return pad(rt, std::move(text), sign, s, '>', out);
}

bool put_string(Runtime& rt, std::string_view text, const Spec& s, std::string& out,
                char default_align) {
  if (s.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<size_t>(s.precision)));
  if (!rt.burn_bytes(text.size())) return false;
  return pad(rt, std::string(text), "", s, default_align, out);
}

bool to_number(Runtime& rt, const Value& v, bool whole, Value& out) {
  if (v.is_undefined()) rt.use_of_undefined(v);
  if (!v.is_number()) {
    rt.type_error(std::string("a number is required, not ") + type_name(v.kind()));
    return false;
  }
  out = v;
  if (whole && v.is(Kind::kFloat)) {
    double d = std::trunc(v.real());
    if (!(std::fabs(d) < 9.2e18)) {
      rt.type_error("number too large");
      return false;
    }
    out = Value::integer(static_cast<int64_t>(d));
  }
  return true;
}

bool put_percent(Runtime& rt, const Value& v, Spec s, std::string& out) {
  std::string text;
  switch (s.type) {
    case 's': return write_text(rt, v, text) && put_string(rt, text, s, out, '>');
    case 'r':
    case 'a': return write_repr(rt, v, text) && put_string(rt, text, s, out, '>');
    case 'c':
      if (v.is_integral() && v.integer() >= 0 && v.integer() < 0x110000)
        append_code_point(text, static_cast<char32_t>(v.integer()));
      else if (v.is_string() && count_code_points(v.text()) == 1)
        text = v.text();
      else
        return rt.type_error("%c requires a character"), false;
      return put_string(rt, text, s, out, '>');
    default: break;
  }
  Value number;
  bool whole = std::string_view("diuxXo").find(s.type) != std::string_view::npos;
  if (!whole && std::string_view("fFeEgG").find(s.type) == std::string_view::npos)
    return rt.type_error(std::string("unknown format character '") + s.type + "'"), false;
  if (!to_number(rt, v, whole, number)) return false;
  if (s.type == 'i' || s.type == 'u') s.type = 'd';
  if (s.align == '<') s.zero = false;
  return put_number(rt, number, s, out);
}

}  // namespace

Value format_percent(Runtime& rt, const Value& format, const Value& args) {
  std::string_view text = format.text();
  std::vector<Value> values;
  if (args.is(Kind::kTuple)) {
    values = args.as<Sequence>().items;
  } else {
    values.push_back(args);
  }
  size_t used = 0;
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    size_t percent = std::min(text.find('%', pos), text.size());
    if (!rt.append(out, text.substr(pos, percent - pos)) || !rt.burn(1)) return Value::error();
    pos = percent + 1;
    if (percent == text.size()) break;
    Value v;
    bool named = pos < text.size() && text[pos] == '(';
    if (named) {
      size_t close = text.find(')', pos);
      if (close == text.npos || !args.is(Kind::kDict))
        return rt.type_error("format requires a mapping");
      int64_t at = args.as<Dict>().find(text.substr(pos + 1, close - pos - 1));
      if (at < 0) return rt.type_error("the format names a key that is not there");
      v = args.as<Dict>().entries[static_cast<size_t>(at)].second;
      pos = close + 1;
    }
    Spec s;
    for (; pos < text.size() && std::string_view("#0- +").find(text[pos]) != std::string_view::npos;
         ++pos) {
      if (text[pos] == '#') s.alternate = true;
      if (text[pos] == '0') s.zero = true;
      if (text[pos] == '-') s.align = '<';
      if (text[pos] == '+' || (text[pos] == ' ' && s.sign != '+')) s.sign = text[pos];
    }
    digits(text, pos, s.width);
    if (pos < text.size() && text[pos] == '.') {
      s.precision = 0;
      digits(text, ++pos, s.precision);
    }
    if (pos >= text.size()) return rt.type_error("incomplete format");
    s.type = text[pos++];
    if (s.type == '%') {
      if (!rt.append(out, "%")) return Value::error();
      continue;
    }
    if (!named) {
      if (used >= values.size()) return rt.type_error("not enough arguments for the format");
      v = values[used++];
    }
    if (!put_percent(rt, v, s, out)) return Value::error();
  }
  // As in Python, whatever can be subscripted may stay unused, but not a tuple or a text.
  bool subscripted =
      args.is(Kind::kDict) || args.is(Kind::kList) || args.is(Kind::kRange) || args.is_undefined();
  if (used < values.size() && !subscripted)
    return rt.type_error("not all arguments were used by the format");
  return rt.string(std::move(out));
}

namespace {

// [[fill]align][sign][#][0][width][,][.precision][type]
bool parse_spec(Runtime& rt, std::string_view text, Spec& s) {
  auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t pos = 0;
  size_t first = text.empty() ? 0 : char_bytes(text, 0);
  if (first && first < text.size() && is_align(text[first])) {
    s.fill = text.substr(0, first);
    s.align = text[first];
    pos = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    s.align = text[pos++];
  }
  auto take = [&](char c) { return pos < text.size() && text[pos] == c && ++pos; };
  if (take('+'))
    s.sign = '+';
  else if (take(' '))
    s.sign = ' ';
  else
    take('-');
  if (take('#')) s.alternate = true;
  if (take('0')) s.zero = true;
  digits(text, pos, s.width);
  if (take(',')) s.comma = true;
  if (take('.') && !digits(text, pos, s.precision)) return rt.type_error("bad format"), false;
  if (pos < text.size()) s.type = text[pos++];
  if (pos < text.size()) return rt.type_error("bad format '" + std::string(text) + "'"), false;
  return true;
}

bool put_braces(Runtime& rt, const Value& v, char conversion, std::string_view spec,
                std::string& out) {
  Spec s;
  if (!parse_spec(rt, spec, s)) return false;
  std::string text;
  if (conversion == 'r' || conversion == 'a') {
    return write_repr(rt, v, text) && put_string(rt, text, s, out, '<');
  }
  if (v.is_number() && conversion == 0 && !(v.is(Kind::kBool) && s.type == 0)) {
    Value number = v;
    return put_number(rt, number, s, out);
  }
  if (!v.is_string() && !v.is(Kind::kBool) && conversion == 0 && !spec.empty() && !v.is_undefined())
    return rt.type_error(std::string("a value of type ") + type_name(v.kind()) +
                         " takes no format"),
           false;
  if (s.type && s.type != 's')
    return rt.type_error(std::string("unknown format '") + s.type + "'"), false;
  return write_text(rt, v, text) && put_string(rt, text, s, out, '<');
}

// Resolves "0.name[key]"; `automatic` numbers empty names.
Value field(Runtime& rt, std::string_view name, const Args& args, int64_t& automatic) {
  size_t end = name.find_first_of(".[");
  std::string_view head = name.substr(0, end);
  std::string_view rest = end == name.npos ? "" : name.substr(end);
  Value v;
  int64_t number = -1;
  size_t pos = 0;
  if (head.empty()) {
    number = automatic++;
  } else if (!digits(head, pos, number) || pos != head.size()) {
    number = -1;
    for (const auto& [key, value] : args.named)
      if (key.text() == head) v = value;
  }
  if (number >= 0 && static_cast<size_t>(number) < args.positional.size())
    v = args.positional[static_cast<size_t>(number)];
  if (v.missing())
    return rt.type_error("the format names '" + std::string(head) + "', which is not given");
  while (!rest.empty() && !v.failed()) {
    bool bracket = rest[0] == '[';
    rest.remove_prefix(1);
    size_t stop = bracket ? rest.find(']') : rest.find_first_of(".[");
    if (bracket && stop == rest.npos) return rt.type_error("missing ']' in the format");
    std::string_view part = rest.substr(0, stop);
    rest = stop == rest.npos ? "" : rest.substr(stop + (bracket ? 1 : 0));
    if (!rest.empty() && rest[0] != '.' && rest[0] != '[') return rt.type_error("bad format");
    int64_t index;
    pos = 0;
    if (!bracket) {
      v = get_attribute(rt, v, part, find_method(part));
    } else if (digits(part, pos, index) && pos == part.size()) {
      v = get_item(rt, v, Value::integer(index));
    } else {
      Value key = rt.string(std::string(part));
      v = key.failed() ? key : get_item(rt, v, key);
    }
  }
  return v;
}

}  // namespace

Value format_braces(Runtime& rt, const Value& format, const Args& args) {
  std::string_view text = format.text();
  std::string out;
  int64_t automatic = 0;
  for (size_t pos = 0; pos < text.size();) {
    size_t brace = std::min(text.find_first_of("{}", pos), text.size());
    if (!rt.append(out, text.substr(pos, brace - pos)) || !rt.burn(1)) return Value::error();
    pos = brace;
    if (brace == text.size()) break;
    if (pos + 1 < text.size() && text[pos + 1] == text[pos]) {
      if (!rt.append(out, text.substr(pos, 1))) return Value::error();
      pos += 2;
      continue;
    }
    size_t close = text.find('}', pos);
    if (text[pos] == '}' || close == text.npos)
      return rt.type_error("a single brace in the format");
    std::string_view inside = text.substr(pos + 1, close - pos - 1);
    pos = close + 1;
    if (inside.find('{') != inside.npos) return rt.type_error("nested formats are not supported");
    size_t colon = inside.find(':');
    std::string_view spec = colon == inside.npos ? "" : inside.substr(colon + 1);
    std::string_view name = inside.substr(0, colon);
    char conversion = 0;
    if (size_t bang = name.find('!'); bang != name.npos) {
      if (bang + 2 != name.size()) return rt.type_error("bad conversion in the format");
      conversion = name[bang + 1];
      name = name.substr(0, bang);
    }
    Value v = field(rt, name, args, automatic);
    if (v.failed() || !put_braces(rt, v, conversion, spec, out)) return Value::error();
  }
  return rt.string(std::move(out));
}

}  // namespace xh::jinja

// Filters over numbers, and the list of all filters.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

// Python's int("…", base): sign, prefix of the base, single underscores. False when it is not one.
bool parse_integer(std::string_view text, int64_t base, int64_t& out) {
  text = strip_right(strip_left(text));
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (base < 2 || base > 36) return false;
  char prefix = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : 0;
  if ((base == 16 && prefix == 'x') || (base == 8 && prefix == 'o') || (base == 2 && prefix == 'b'))
    text.remove_prefix(2);
  std::string digits = negative ? "-" : "";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_')
      digits += text[i];
    else if (i == 0 || i + 1 == text.size() || text[i + 1] == '_')
      return false;
  }
  if (text.empty() || text[0] == '-') return false;
  auto [stop, status] =
      std::from_chars(digits.data(), digits.data() + digits.size(), out, static_cast<int>(base));
  return status == std::errc{} && stop == digits.data() + digits.size();
}

// Python's float("…"). False when it is not one.
bool parse_real(std::string_view text, double& out) {
  text = strip_right(strip_left(text));
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || text[0] == '-' || text[0] == '+' || text.size() > 400) return false;
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    auto digit = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
    if (text[i] != '_')
      digits += text[i];
    else if (i == 0 || !digit(i - 1) || !digit(i + 1))
      return false;
  }
  std::string lower = to_lower(digits);
  bool word = lower == "inf" || lower == "infinity" || lower == "nan";
  if (!word && digits.find_first_not_of("0123456789.eE+-") != digits.npos) return false;
  auto [stop, status] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (stop != digits.data() + digits.size()) return false;
  if (status == std::errc::result_out_of_range) out = std::strtod(digits.c_str(), nullptr);
  if (negative) out = -out;
  return true;
}

bool integer_of_real(double d, Value& out) {
  d = std::trunc(d);
  if (!(std::fabs(d) < 9.2233720368547748e18)) return false;
  out = Value::integer(static_cast<int64_t>(d));
  return true;
}

Value to_integer(Runtime& rt, const Value& v, const Args& args) {
  Value a[2], out;
  if (!bind(rt, args, "int", {"default", "base"}, 0, a)) return Value::error();
  Value fallback = a[0].missing() ? Value::integer(0) : a[0];
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (v.is(Kind::kUint)) return v;
  if (v.is_integral()) return Value::integer(v.integer());
  double d;
  if (v.is(Kind::kFloat)) return integer_of_real(v.real(), out) ? out : fallback;
  if (!v.is_string()) return fallback;
  int64_t n;
  if (parse_integer(v.text(), a[1].is_integral() ? a[1].integer() : 10, n))
    return Value::integer(n);
  if (parse_real(v.text(), d) && integer_of_real(d, out)) return out;
  return fallback;
}

Value to_real(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "float", {"default"}, 0, a)) return Value::error();
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (v.is_number()) return Value::real(v.number());
  double d;
  if (v.is_string() && parse_real(v.text(), d)) return Value::real(d);
  return a[0].missing() ? Value::real(0) : a[0];
}

Value absolute(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "abs", {}, 0, nullptr)) return Value::error();
  if (v.is(Kind::kFloat)) return Value::real(std::fabs(v.real()));
  if (v.is_integral() && v.integer() < 0) return negate(rt, v, true);
  return v.is(Kind::kUint) ? v : negate(rt, v, false);
}

// round() half to even on the exact binary value, as Python does: printf rounds that way.
double round_digits(double d, int64_t digits) {
  if (!std::isfinite(d) || digits > 320) return d;
  if (digits >= 0) {
    char buffer[1024];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), d);
    return std::strtod(buffer, nullptr);
  }
  if (digits < -320) return 0 * d;
  double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(d / scale) * scale;
}

Value round(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  if (!bind(rt, args, "round", {"precision", "method"}, 0, a)) return Value::error();
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (!v.is_number()) return rt.type_error("round needs a number");
  int64_t digits = a[0].is_integral() ? a[0].integer() : 0;
  std::string_view method = a[1].is_string() ? a[1].text() : "common";
  if (method == "common") {
    if (v.is(Kind::kFloat)) return Value::real(round_digits(v.real(), digits));
    if (digits >= 0) return v.is(Kind::kUint) ? v : Value::integer(v.integer());
    return Value::integer(static_cast<int64_t>(round_digits(v.number(), digits)));
  }
  if (method != "ceil" && method != "floor")
    return rt.type_error("round knows common, ceil and floor");
  double scale = std::pow(10.0, static_cast<double>(digits)), d = v.number() * scale;
  return Value::real((method == "ceil" ? std::ceil(d) : std::floor(d)) / scale);
}

}  // namespace

std::span<const FilterEntry> number_filters() {
  static constexpr FilterEntry kTable[] = {
      {"abs", absolute},
      {"float", to_real},
      {"int", to_integer},
      {"round", round},
  };
  return kTable;
}

const FilterEntry* find_filter(std::string_view name) {
  static const auto* by_name = [] {
    auto* map = new std::unordered_map<std::string_view, const FilterEntry*>;
    for (auto table : {text_filters(), sequence_filters(), number_filters()})
      for (const FilterEntry& entry : table) map->emplace(entry.name, &entry);
    return map;
  }();
  auto it = by_name->find(name);
  return it == by_name->end() ? nullptr : it->second;
}

Value call_filter(Runtime& rt, std::string_view name, const Value& v, const Args& args) {
  const FilterEntry* entry = find_filter(name);
  if (!entry)
    return rt.fail(ErrorCode::kUnsupported, "there is no filter '" + std::string(name) + "'");
  return entry->apply(rt, v, args);
}

}  // namespace xh::jinja

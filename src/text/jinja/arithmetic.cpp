// + - * / // % ** as Python defines them, over 64-bit integers: what would need more is an error.
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"

namespace xh::jinja {

namespace {

const char* symbol(Op op) {
  switch (op) {
    case Op::kAdd: return "+";
    case Op::kSubtract: return "-";
    case Op::kMultiply: return "*";
    case Op::kDivide: return "/";
    case Op::kFloorDivide: return "//";
    case Op::kModulo: return "%";
    default: return "**";
  }
}

Value overflow(Runtime& rt) {
  return rt.fail(ErrorCode::kUnsupported, "an integer beyond 64 bits");
}

Value integer_power(Runtime& rt, int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return overflow(rt);
    exponent >>= 1;
    if (exponent && __builtin_mul_overflow(base, base, &base)) return overflow(rt);
  }
  return Value::integer(result);
}

Value integers(Runtime& rt, Op op, int64_t a, int64_t b) {
  int64_t r;
  switch (op) {
    case Op::kAdd: return __builtin_add_overflow(a, b, &r) ? overflow(rt) : Value::integer(r);
    case Op::kSubtract: return __builtin_sub_overflow(a, b, &r) ? overflow(rt) : Value::integer(r);
    case Op::kMultiply: return __builtin_mul_overflow(a, b, &r) ? overflow(rt) : Value::integer(r);
    case Op::kPower:
      if (b >= 0) return integer_power(rt, a, b);
      if (a == 0) return rt.type_error("division by zero");
      return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
    default: break;
  }
  if (b == 0) return rt.type_error("division by zero");
  if (op == Op::kDivide) return Value::real(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {  // the one quotient that can overflow
    if (op == Op::kModulo) return Value::integer(0);
    return __builtin_sub_overflow(int64_t{0}, a, &r) ? overflow(rt) : Value::integer(r);
  }
  int64_t quotient = a / b, rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) --quotient, rest += b;  // floor, as Python rounds
  return Value::integer(op == Op::kFloorDivide ? quotient : rest);
}

Value reals(Runtime& rt, Op op, double a, double b) {
  switch (op) {
    case Op::kAdd: return Value::real(a + b);
    case Op::kSubtract: return Value::real(a - b);
    case Op::kMultiply: return Value::real(a * b);
    case Op::kPower: {
      if (a == 0 && b < 0) return rt.type_error("division by zero");
      double r = std::pow(a, b);
      if (std::isnan(r) && !std::isnan(a) && !std::isnan(b))
        return rt.type_error("a power of a negative number that is not a whole number");
      if (std::isinf(r) && !std::isinf(a) && !std::isinf(b))
        return rt.type_error("number too large");
      return Value::real(r);
    }
    default: break;
  }
  if (b == 0) return rt.type_error("division by zero");
  if (op == Op::kDivide) return Value::real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == Op::kModulo) return Value::real(rest == 0 ? std::copysign(0.0, b) : rest);
  return Value::real(std::floor((a - rest) / b + 0.5));
}

Value joined(Runtime& rt, const Value& a, const Value& b) {
  bool safe = a.as<String>().safe || b.as<String>().safe;
  Value left = a, right = b;
  if (safe) {  // joining with Markup escapes the other side
    if (!a.as<String>().safe) left = escape_html(rt, a);
    if (!b.as<String>().safe) right = escape_html(rt, b);
    if (left.failed() || right.failed()) return Value::error();
  }
  if (!rt.fits(left.text().size() + right.text().size())) return Value::error();
  std::string text;
  text.reserve(left.text().size() + right.text().size());
  text.append(left.text()).append(right.text());
  Value out = rt.string(std::move(text));
  if (safe && !out.failed()) out.as<String>().safe = true;
  return out;
}

Value repeated(Runtime& rt, const Value& what, int64_t times) {
  if (times < 0) times = 0;
  if (what.is_string()) {
    uint64_t bytes;
    if (__builtin_mul_overflow(what.text().size(), static_cast<uint64_t>(times), &bytes))
      bytes = UINT64_MAX;
    if (!rt.fits(bytes) || !rt.burn_bytes(bytes)) return Value::error();
    std::string text;
    text.reserve(bytes);
    if (bytes)
      for (int64_t i = 0; i < times; ++i) text.append(what.text());
    return rt.string(std::move(text));
  }
  const auto& items = what.as<Sequence>().items;
  uint64_t count;
  if (__builtin_mul_overflow(items.size(), static_cast<uint64_t>(times), &count) ||
      count > UINT64_MAX / sizeof(Value))
    count = UINT64_MAX / sizeof(Value);
  if (!rt.fits(count * sizeof(Value)) || !rt.burn_bytes(count * sizeof(Value)))
    return Value::error();
  std::vector<Value> out;
  out.reserve(count);
  if (count)
    for (int64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return rt.sequence(what.kind(), std::move(out));
}

}  // namespace

Value arithmetic(Runtime& rt, Op op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integers(rt, op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) {
    if (!a.is(Kind::kFloat) && !b.is(Kind::kFloat)) return overflow(rt);
    return reals(rt, op, a.number(), b.number());
  }
  if (op == Op::kModulo && a.is_string()) return format_percent(rt, a, b);
  if (a.is_undefined()) return rt.use_of_undefined(a);
  if (b.is_undefined()) return rt.use_of_undefined(b);
  if (op == Op::kAdd && a.is_string() && b.is_string()) return joined(rt, a, b);
  if (op == Op::kAdd && a.is_sequence() && a.kind() == b.kind()) {
    std::vector<Value> items;
    const auto &x = a.as<Sequence>().items, &y = b.as<Sequence>().items;
    if (!rt.burn_bytes((x.size() + y.size()) * sizeof(Value))) return Value::error();
    items.reserve(x.size() + y.size());
    items.insert(items.end(), x.begin(), x.end());
    items.insert(items.end(), y.begin(), y.end());
    return rt.sequence(a.kind(), std::move(items));
  }
  if (op == Op::kMultiply) {
    auto can_repeat = [](const Value& v) { return v.is_string() || v.is_sequence(); };
    if (can_repeat(a) && b.is_integral()) return repeated(rt, a, b.integer());
    if (a.is_integral() && can_repeat(b)) return repeated(rt, b, a.integer());
  }
  return rt.type_error(std::string("values of type ") + type_name(a.kind()) + " and " +
                       type_name(b.kind()) + " cannot be combined with " + symbol(op));
}

Value negate(Runtime& rt, const Value& v, bool minus) {
  if (v.is(Kind::kFloat)) return minus ? Value::real(-v.real()) : v;
  if (v.is_integral())
    return minus ? integers(rt, Op::kSubtract, 0, v.integer()) : Value::integer(v.integer());
  if (v.is_undefined()) return rt.use_of_undefined(v);
  return rt.type_error(std::string("a value of type ") + type_name(v.kind()) + " has no sign");
}

Value escape_html(Runtime& rt, const Value& v) {
  Value text = to_text(rt, v);
  if (text.failed() || text.as<String>().safe) return text;
  std::string out;
  if (!rt.burn_bytes(text.text().size()) || !rt.fits(text.text().size())) return Value::error();
  for (char c : text.text()) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  Value safe = rt.string(std::move(out));
  if (!safe.failed()) safe.as<String>().safe = true;
  return safe;
}

}  // namespace xh::jinja

// The functions every template finds: range, dict, namespace, raise_exception, strftime_now.
#include <array>
#include <ctime>

#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"

namespace xh::jinja {

namespace {

Value range(Runtime& rt, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "range", {"start", "stop", "step"}, 1, a)) return Value::error();
  for (const Value& v : a) {
    if (v.is_undefined()) return rt.use_of_undefined(v);
    if (!v.missing() && !v.is_integral())
      return rt.type_error(std::string("range() needs integers, not ") + type_name(v.kind()));
  }
  if (a[1].missing()) return rt.range(0, a[0].integer(), 1);
  return rt.range(a[0].integer(), a[1].integer(), a[2].missing() ? 1 : a[2].integer());
}

// dict(mapping or pairs, name=value …): the entries, later ones over earlier ones.
bool entries(Runtime& rt, const Args& args, const char* function,
             std::vector<std::pair<Value, Value>>& out) {
  auto put = [&](const Value& key, const Value& value) {
    uint64_t key_bytes = key.is_string() ? key.text().size() : 0;
    if (!rt.burn(out.size() * (key_bytes / 256) + out.size() / 8 + 1)) return false;
    for (auto& [held, old] : out) {
      if (!same_key(held, key)) continue;
      old = value;
      return true;
    }
    out.emplace_back(key, value);
    return true;
  };
  if (args.positional.size() > 1) {
    rt.type_error(std::string(function) + "() takes one mapping and names");
    return false;
  }
  if (args.positional.size() == 1 && args.positional[0].is(Kind::kDict)) {
    out = args.positional[0].as<Dict>().entries;
    if (!rt.burn(out.size())) return false;
  } else if (args.positional.size() == 1) {
    std::vector<Value> pairs;
    if (!rt.to_vector(args.positional[0], pairs)) return false;
    for (const Value& pair : pairs) {
      std::vector<Value> two;
      if (!rt.to_vector(pair, two)) return false;
      if (two.size() != 2 || !hashable(two[0])) {
        rt.type_error(std::string(function) + "() needs pairs of a key and a value");
        return false;
      }
      if (!put(two[0], two[1])) return false;
    }
  }
  for (const auto& [name, value] : args.named)
    if (!put(name, value)) return false;
  return true;
}

Value dict(Runtime& rt, const Args& args) {
  std::vector<std::pair<Value, Value>> out;
  return entries(rt, args, "dict", out) ? rt.dict(std::move(out)) : Value::error();
}

Value namespace_function(Runtime& rt, const Args& args) {
  std::vector<std::pair<Value, Value>> out;
  if (!entries(rt, args, "namespace", out)) return Value::error();
  Value ns = rt.namespace_object();
  if (ns.failed()) return ns;
  for (auto& [name, value] : out) {
    if (!name.is_string()) return rt.type_error("names in a namespace are texts");
    if (!rt.set_attribute(ns.as<Namespace>(), name, std::move(value))) return Value::error();
  }
  return ns;
}

Value raise_exception(Runtime& rt, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "raise_exception", {"message"}, 1, a)) return Value::error();
  std::string message;
  if (!write_text(rt, a[0], message)) return Value::error();
  return rt.fail(ErrorCode::kInvalidArgument, std::move(message));
}

// datetime.strftime of a moment without a time zone, in UTC and the C locale.
Value strftime_now(Runtime& rt, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "strftime_now", {"format"}, 1, a)) return Value::error();
  if (!a[0].is_string() || a[0].text().size() > 1000)
    return rt.type_error("strftime_now() needs a short format");
  std::string format;
  std::string_view text = a[0].text();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 1 == text.size()) {
      format += text[i];
      continue;
    }
    char c = text[++i];
    if (c == 'f')
      format += "000000";  // microseconds: the clock has seconds
    else if (c == 'z' || c == 'Z')
      continue;  // no zone: Python writes nothing
    else
      (format += '%') += c;
  }
  std::time_t now = static_cast<std::time_t>(rt.now);
  std::tm parts{};
  if (!gmtime_r(&now, &parts)) return rt.type_error("the time is out of range");
  std::array<char, 8192> buffer;
  format += '.';  // tells an empty result from one that does not fit
  size_t n = std::strftime(buffer.data(), buffer.size(), format.c_str(), &parts);
  if (n == 0) return rt.fail(ErrorCode::kTooLarge, "strftime_now() gives more than 8191 bytes");
  return rt.string(std::string(buffer.data(), n - 1));
}

struct Function {
  std::string_view name;
  Value (*call)(Runtime&, const Args&);
};
constexpr Function kFunctions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", namespace_function},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

int64_t find_function(std::string_view name) {
  for (size_t i = 0; i < std::size(kFunctions); ++i)
    if (kFunctions[i].name == name) return static_cast<int64_t>(i);
  return -1;
}

Value call_function(Runtime& rt, int64_t number, const Args& args) {
  return kFunctions[number].call(rt, args);
}

}  // namespace xh::jinja

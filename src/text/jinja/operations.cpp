#include "text/jinja/operations.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/methods.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

constexpr int kMaxCompareDepth = 400;

int fail_depth(Runtime& rt) {
  rt.fail(ErrorCode::kTooLarge, "values are nested too deeply to be compared");
  return -1;
}

int equal_sequences(Runtime& rt, const std::vector<Value>& x, const std::vector<Value>& y,
                    int depth) {
  if (x.size() != y.size()) return 0;
  for (size_t i = 0; i < x.size(); ++i)
    if (int r = equal(rt, x[i], y[i], depth + 1); r != 1) return r;
  return 1;
}

int equal_dicts(Runtime& rt, Dict& x, Dict& y, int depth) {
  if (x.entries.size() != y.entries.size()) return 0;
  for (const auto& [key, value] : x.entries) {
    if (key.is_string() && !rt.burn(key.text().size() / 32)) return -1;
    int64_t at = y.find(key);
    if (at < 0) return 0;
    if (int r = equal(rt, value, y.entries[static_cast<size_t>(at)].second, depth + 1); r != 1)
      return r;
  }
  return 1;
}

bool index_of(const Value& key, int64_t size, int64_t& at) {
  if (!key.is_integral()) return false;
  at = key.integer();
  if (at < 0) at += size;
  return at >= 0 && at < size;
}

Value character(Runtime& rt, const Value& v, const Value& key, bool& found) {
  auto& s = v.as<String>();
  if (!key.is_integral() || !rt.burn_bytes(s.length < 0 ? s.text.size() : 0)) return Value();
  int64_t at;
  found = index_of(key, s.code_points(), at);
  if (!found) return Value();
  if (s.ascii()) return rt.string(std::string(1, s.text[static_cast<size_t>(at)]));
  if (!rt.burn(static_cast<uint64_t>(at) / 4)) return Value::error();
  size_t pos = byte_offset(s.text, static_cast<size_t>(at));
  return rt.string(std::string(s.text.substr(pos, char_bytes(s.text, pos))));
}

// obj[key] without the fall-back to attributes; kMissing when Python would raise.
Value subscript(Runtime& rt, const Value& v, const Value& key) {
  int64_t at;
  switch (v.kind()) {
    case Kind::kDict: {
      auto& d = v.as<Dict>();
      if (key.is_string() && !rt.burn(key.text().size() / 32)) return Value::error();
      int64_t i = key.is_string() ? d.find(key.text()) : d.find(key);
      return i < 0 ? Value() : d.entries[static_cast<size_t>(i)].second;
    }
    case Kind::kList:
    case Kind::kTuple: {
      const auto& items = v.as<Sequence>().items;
      if (!index_of(key, static_cast<int64_t>(items.size()), at)) return Value();
      return items[static_cast<size_t>(at)];
    }
    case Kind::kString: {
      bool found = false;
      return character(rt, v, key, found);
    }
    case Kind::kRange:
      if (!index_of(key, v.as<Range>().count, at)) return Value();
      return Value::integer(v.as<Range>().start + at * v.as<Range>().step);
    default: return Value();
  }
}

}  // namespace

bool truthy(const Value& v) {
  switch (v.kind()) {
    case Kind::kMissing:
    case Kind::kError:
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool:
    case Kind::kInt: return v.integer() != 0;
    case Kind::kFloat: return v.real() != 0;
    case Kind::kString: return !v.text().empty();
    case Kind::kList:
    case Kind::kTuple: return !v.as<Sequence>().items.empty();
    case Kind::kDict: return !v.as<Dict>().entries.empty();
    case Kind::kView: return !v.as<View>().dict.as<Dict>().entries.empty();
    case Kind::kRange: return v.as<Range>().count != 0;
    default: return true;
  }
}

int equal(Runtime& rt, const Value& a, const Value& b, int depth) {
  if (depth > kMaxCompareDepth) return fail_depth(rt);
  if (!rt.burn(1)) return -1;
  if (a.is_number() && b.is_number())
    return !(a.is(Kind::kFloat) && std::isnan(a.real())) && compare_keys(a, b) == 0;
  if (a.kind() != b.kind()) return 0;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return 1;
    case Kind::kString:
      return rt.burn(std::min(a.text().size(), b.text().size()) / kBytesPerStep)
                 ? a.text() == b.text()
                 : -1;
    case Kind::kList:
    case Kind::kTuple:
      return equal_sequences(rt, a.as<Sequence>().items, b.as<Sequence>().items, depth);
    case Kind::kDict: return equal_dicts(rt, a.as<Dict>(), b.as<Dict>(), depth);
    case Kind::kRange: {
      const auto &x = a.as<Range>(), &y = b.as<Range>();
      return x.count == y.count &&
             (x.count == 0 || (x.start == y.start && (x.count == 1 || x.step == y.step)));
    }
    case Kind::kFunction: return a.integer() == b.integer();
    default: return a.object() == b.object();
  }
}

int less_than(Runtime& rt, const Value& a, const Value& b, int depth) {
  if (depth > kMaxCompareDepth) return fail_depth(rt);
  if (!rt.burn(1)) return -1;
  if (a.is_number() && b.is_number()) return compare_keys(a, b) < 0;
  if (a.is_string() && b.is_string())
    return rt.burn(std::min(a.text().size(), b.text().size()) / kBytesPerStep) ? a.text() < b.text()
                                                                               : -1;
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto &x = a.as<Sequence>().items, &y = b.as<Sequence>().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      int same = equal(rt, x[i], y[i], depth + 1);
      if (same < 0) return -1;
      if (!same) return less_than(rt, x[i], y[i], depth + 1);
    }
    return x.size() < y.size();
  }
  if (a.is_undefined() || b.is_undefined()) {
    rt.use_of_undefined(a.is_undefined() ? a : b);
  } else {
    rt.type_error(std::string("values of type ") + type_name(a.kind()) + " and " +
                  type_name(b.kind()) + " have no order");
  }
  return -1;
}

int contains(Runtime& rt, const Value& item, const Value& container) {
  switch (container.kind()) {
    case Kind::kString: {
      if (!item.is_string()) {
        rt.type_error(std::string("'in' a text needs a text, not ") + type_name(item.kind()));
        return -1;
      }
      return find_text(rt, container.text(), item.text(), 0) >= 0 ? 1 : rt.failed() ? -1 : 0;
    }
    case Kind::kDict:
      if (!hashable(item)) break;
      if (item.is_string() && !rt.burn(item.text().size() / 32)) return -1;
      return container.as<Dict>().find(item) >= 0;
    default: {
      Cursor cursor;
      if (!rt.start(cursor, container)) return -1;
      for (Value v = rt.next(cursor); !v.missing(); v = rt.next(cursor)) {
        if (v.failed()) return -1;
        if (int r = equal(rt, item, v); r != 0) return r;
      }
      return 0;
    }
  }
  rt.type_error(std::string("a value of type ") + type_name(item.kind()) + " cannot be a key");
  return -1;
}

int compare(Runtime& rt, Compare op, const Value& a, const Value& b) {
  auto invert = [](int r) { return r < 0 ? r : !r; };
  bool nan =
      (a.is(Kind::kFloat) && std::isnan(a.real())) || (b.is(Kind::kFloat) && std::isnan(b.real()));
  switch (op) {
    case Compare::kEq: return equal(rt, a, b);
    case Compare::kNe: return invert(equal(rt, a, b));
    case Compare::kLt: return nan ? 0 : less_than(rt, a, b);
    case Compare::kGt: return nan ? 0 : less_than(rt, b, a);
    case Compare::kLe: return nan ? 0 : invert(less_than(rt, b, a));
    case Compare::kGe: return nan ? 0 : invert(less_than(rt, a, b));
    case Compare::kIn: return contains(rt, a, b);
    case Compare::kNotIn: return invert(contains(rt, a, b));
  }
  return -1;
}

int64_t length(Runtime& rt, const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString:
      if (v.as<String>().length < 0 && !rt.burn(v.text().size() / 16 + 1)) return -1;
      return v.as<String>().code_points();
    case Kind::kList:
    case Kind::kTuple: return static_cast<int64_t>(v.as<Sequence>().items.size());
    case Kind::kDict: return static_cast<int64_t>(v.as<Dict>().entries.size());
    case Kind::kView: return static_cast<int64_t>(v.as<View>().dict.as<Dict>().entries.size());
    case Kind::kRange: return v.as<Range>().count;
    default: break;
  }
  rt.type_error(std::string("a value of type ") + type_name(v.kind()) + " has no length");
  return -1;
}

Value get_item(Runtime& rt, const Value& v, const Value& key, const Expr* source) {
  if (v.is_undefined()) return rt.use_of_undefined(v);
  Value found = subscript(rt, v, key);
  if (!found.missing()) return found;
  if (rt.failed()) return Value::error();
  if (key.is_string() && !v.is(Kind::kDict))
    return get_attribute(rt, v, key.text(), find_method(key.text()), source);
  if (key.is_string())
    if (const MethodEntry* method = find_method(key.text()); method && has_method(v, method))
      return rt.method(v, method);
  return Value::undefined(source, v.kind());
}

Value get_attribute(Runtime& rt, const Value& v, std::string_view name, const MethodEntry* method,
                    const Expr* source) {
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (method) {
    if (has_method(v, method)) return rt.method(v, method);
    // Methods that change their object exist in Python but are closed to templates.
    if (is_closed_method(v, method)) return Value::undefined(source, v.kind());
  }
  switch (v.kind()) {
    case Kind::kDict: {
      int64_t i = v.as<Dict>().find(name);
      if (i >= 0) return v.as<Dict>().entries[static_cast<size_t>(i)].second;
      break;
    }
    case Kind::kNamespace:
      for (const auto& [key, value] : v.as<Namespace>().attributes)
        if (key.text() == name) return value;
      break;
    case Kind::kTuple:
      if (v.as<Sequence>().group && (name == "grouper" || name == "list"))
        return v.as<Sequence>().items[name == "list"];
      break;
    case Kind::kMacro:
      if (name == "name") return rt.string(v.as<Macro>().node->name);
      break;
    default: break;
  }
  return Value::undefined(source, v.kind());
}

namespace {

// Python's slice.indices(): resolves absent and negative bounds against `size`.
bool slice_bounds(Runtime& rt, int64_t size, const Value& from, const Value& to, const Value& step,
                  int64_t& start, int64_t& stop, int64_t& count, int64_t& stride) {
  for (const Value* v : {&from, &to, &step}) {
    if (v->missing() || v->is(Kind::kNone) || v->is_integral()) continue;
    if (v->is_undefined()) rt.use_of_undefined(*v);
    rt.type_error("slice bounds must be integers");
    return false;
  }
  stride = step.is_integral() ? step.integer() : 1;
  if (stride == 0) {
    rt.type_error("a slice with a step of zero");
    return false;
  }
  bool forward = stride > 0;
  auto clamp = [&](const Value& v, int64_t absent) {
    if (!v.is_integral()) return absent;
    int64_t i = v.integer();
    if (i < 0) i = i < -size ? -1 : i + size;
    if (i < 0) return forward ? int64_t{0} : int64_t{-1};
    return std::min(i, forward ? size : size - 1);
  };
  start = clamp(from, forward ? 0 : size - 1);
  stop = clamp(to, forward ? size : -1);
  uint64_t span = forward ? (stop > start ? static_cast<uint64_t>(stop - start) : 0)
                          : (start > stop ? static_cast<uint64_t>(start - stop) : 0);
  uint64_t by = forward ? static_cast<uint64_t>(stride) : 0 - static_cast<uint64_t>(stride);
  count = span ? static_cast<int64_t>((span - 1) / by + 1) : 0;
  return true;
}

Value slice_text(Runtime& rt, const Value& v, const Value& from, const Value& to,
                 const Value& step) {
  auto& s = v.as<String>();
  if (!rt.burn(s.text.size() / 32 + 1)) return Value::error();
  int64_t start, stop, count, stride;
  if (!slice_bounds(rt, s.code_points(), from, to, step, start, stop, count, stride))
    return Value::error();
  if (stride == 1) {
    if (s.ascii())
      return rt.string(
          std::string(s.text.substr(static_cast<size_t>(start), static_cast<size_t>(count))));
    if (!rt.burn(s.text.size() / 4)) return Value::error();
    size_t begin = byte_offset(s.text, static_cast<size_t>(start));
    size_t bytes = byte_offset(s.text.substr(begin), static_cast<size_t>(count));
    return rt.string(std::string(s.text.substr(begin, bytes)));
  }
  if (!rt.burn(s.text.size() / 2)) return Value::error();
  std::vector<uint32_t> offsets;
  for (size_t i = 0; i < s.text.size(); i += char_bytes(s.text, i))
    offsets.push_back(static_cast<uint32_t>(i));
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    size_t at = offsets[static_cast<size_t>(start + i * stride)];
    out += s.text.substr(at, char_bytes(s.text, at));
  }
  return rt.string(std::move(out));
}

}  // namespace

Value slice(Runtime& rt, const Value& v, const Value& from, const Value& to, const Value& step) {
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (v.is_string()) return slice_text(rt, v, from, to, step);
  int64_t start, stop, count, stride;
  if (v.is_sequence()) {
    const auto& items = v.as<Sequence>().items;
    if (!slice_bounds(rt, static_cast<int64_t>(items.size()), from, to, step, start, stop, count,
                      stride))
      return Value::error();
    std::vector<Value> out;
    out.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
      out.push_back(items[static_cast<size_t>(start + i * stride)]);
    return rt.sequence(v.kind(), std::move(out));
  }
  if (v.is(Kind::kRange)) {
    const auto& r = v.as<Range>();
    if (!slice_bounds(rt, r.count, from, to, step, start, stop, count, stride))
      return Value::error();
    __int128 first = r.start + __int128{start} * r.step, by = __int128{stride} * r.step;
    __int128 end = r.start + __int128{stop} * r.step;
    if (by > INT64_MAX || by < INT64_MIN || end > INT64_MAX || end < INT64_MIN ||
        first > INT64_MAX || first < INT64_MIN)
      return rt.type_error("a slice of range() beyond 64 bits");
    return rt.range(static_cast<int64_t>(first), static_cast<int64_t>(end),
                    static_cast<int64_t>(by));
  }
  return rt.type_error(std::string("a value of type ") + type_name(v.kind()) + " cannot be sliced");
}

Value get_path(Runtime& rt, const Value& v, const Value& path) {
  if (!path.is_string()) return get_item(rt, v, path);
  Value at = v;
  std::string_view rest = path.text();
  while (true) {
    size_t dot = rest.find('.');
    std::string_view part = rest.substr(0, dot);
    bool digits =
        !part.empty() && part.size() < 18 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    Value key =
        digits ? Value::integer(std::stoll(std::string(part))) : rt.string(std::string(part));
    if (key.failed()) return key;
    at = get_item(rt, at, key);
    if (at.failed() || dot == rest.npos) return at;
    rest.remove_prefix(dot + 1);
  }
}

bool sort_by_key(Runtime& rt, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  if (!rt.burn(keyed.size())) return false;
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    if (rt.failed()) return false;
    return (reverse ? less_than(rt, b.first, a.first) : less_than(rt, a.first, b.first)) == 1;
  });
  return !rt.failed();
}

}  // namespace xh::jinja

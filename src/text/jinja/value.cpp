#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/loop.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

void destroy(Object* object) {
  if (object->heap) object->heap->live -= object->bytes;
  switch (object->kind) {
    case Kind::kString: delete static_cast<String*>(object); break;
    case Kind::kList:
    case Kind::kTuple: delete static_cast<Sequence*>(object); break;
    case Kind::kDict: delete static_cast<Dict*>(object); break;
    case Kind::kView: delete static_cast<View*>(object); break;
    case Kind::kRange: delete static_cast<Range*>(object); break;
    case Kind::kGenerator: delete static_cast<Generator*>(object); break;
    case Kind::kNamespace: delete static_cast<Namespace*>(object); break;
    case Kind::kMacro: delete static_cast<Macro*>(object); break;
    case Kind::kMethod: delete static_cast<BoundMethod*>(object); break;
    case Kind::kLoop: delete static_cast<Loop*>(object); break;
    default: break;
  }
}

double Value::number() const {
  if (kind_ == Kind::kFloat) return as_.real;
  if (kind_ == Kind::kUint) return static_cast<double>(unsigned_integer());
  return static_cast<double>(as_.integer);
}

int64_t String::code_points() {
  if (length < 0) length = static_cast<int64_t>(count_code_points(text));
  return length;
}

const char* type_name(Kind kind) {
  switch (kind) {
    case Kind::kNone: return "None";
    case Kind::kBool: return "bool";
    case Kind::kInt:
    case Kind::kUint: return "int";
    case Kind::kFloat: return "float";
    case Kind::kString: return "str";
    case Kind::kList: return "list";
    case Kind::kTuple: return "tuple";
    case Kind::kDict: return "dict";
    case Kind::kView: return "dict view";
    case Kind::kRange: return "range";
    case Kind::kGenerator: return "generator";
    case Kind::kNamespace: return "namespace";
    case Kind::kMacro: return "macro";
    case Kind::kMethod:
    case Kind::kFunction: return "function";
    case Kind::kLoop: return "loop";
    case Kind::kUndefined: return "undefined";
    case Kind::kMissing:
    case Kind::kError: break;
  }
  return "nothing";
}

namespace {

int key_class(const Value& v) {
  if (v.is_number()) return 0;
  return static_cast<int>(v.kind()) + 1;
}

int three_way(double a, double b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral())
    return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
  if (a.is(Kind::kUint) && b.is(Kind::kUint))
    return a.unsigned_integer() < b.unsigned_integer()
               ? -1
               : a.unsigned_integer() > b.unsigned_integer();
  if (a.is(Kind::kUint) && b.is_integral()) return 1;
  if (a.is_integral() && b.is(Kind::kUint)) return -1;
  return three_way(a.number(), b.number());
}

}  // namespace

bool hashable(const Value& v) {
  switch (v.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kNamespace:
    case Kind::kView: return false;
    case Kind::kTuple:
      return std::all_of(v.as<Sequence>().items.begin(), v.as<Sequence>().items.end(), hashable);
    default: return true;
  }
}

int compare_keys(const Value& a, const Value& b) {
  int ca = key_class(a), cb = key_class(b);
  if (ca != cb) return ca < cb ? -1 : 1;
  if (a.is_number()) return compare_numbers(a, b);
  switch (a.kind()) {
    case Kind::kString: return a.object() == b.object() ? 0 : a.text().compare(b.text());
    case Kind::kTuple: {
      const auto &x = a.as<Sequence>().items, &y = b.as<Sequence>().items;
      for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
        if (int c = compare_keys(x[i], y[i])) return c;
      return x.size() < y.size() ? -1 : x.size() > y.size();
    }
    case Kind::kNone:
    case Kind::kUndefined: return 0;
    case Kind::kFunction: return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
    default: return a.object() < b.object() ? -1 : a.object() > b.object();
  }
}

bool same_key(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) return a.object() == b.object() || a.text() == b.text();
  return compare_keys(a, b) == 0;
}

int64_t Dict::find(std::string_view key) {
  if (entries.size() <= 12) {
    for (size_t i = 0; i < entries.size(); ++i)
      if (entries[i].first.is_string() && entries[i].first.text() == key)
        return static_cast<int64_t>(i);
    return -1;
  }
  String probe;  // lives on this frame only: a reference held and dropped here never reaches zero
  probe.text = key;
  probe.refs = 1;
  return find(Value::object(&probe));
}

int64_t Dict::find(const Value& key) {
  if (!hashable(key)) return -1;
  if (entries.size() <= 12) {
    for (size_t i = 0; i < entries.size(); ++i)
      if (same_key(entries[i].first, key)) return static_cast<int64_t>(i);
    return -1;
  }
  auto less = [this](uint32_t a, uint32_t b) {
    return compare_keys(entries[a].first, entries[b].first) < 0;
  };
  if (index.size() != entries.size()) {
    index.resize(entries.size());
    for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<uint32_t>(i);
    std::sort(index.begin(), index.end(), less);
  }
  auto it = std::lower_bound(index.begin(), index.end(), key, [this](uint32_t i, const Value& k) {
    return compare_keys(entries[i].first, k) < 0;
  });
  if (it == index.end() || compare_keys(entries[*it].first, key) != 0) return -1;
  return *it;
}

}  // namespace xh::jinja

#include "text/jinja/methods.h"

#include <algorithm>
#include <unordered_map>

#include "text/jinja/operations.h"
#include "text/jinja/string_methods.h"

namespace xh::jinja {

namespace {

// Python's methods that change their object: hidden by the sandbox, never callable.
Value closed(Runtime& rt, const Value& self, const Args&) {
  return rt.type_error(std::string("this method would change a ") + type_name(self.kind()));
}

Value dict_get(Runtime& rt, const Value& self, const Args& args) {
  Value a[2];
  if (!bind(rt, args, "get", {"/key", "/default"}, 1, a)) return Value::error();
  if (!hashable(a[0])) return rt.type_error("this value cannot be a key");
  if (a[0].is_string() && !rt.burn(a[0].text().size() / 32)) return Value::error();
  int64_t at = self.as<Dict>().find(a[0]);
  if (at >= 0) return self.as<Dict>().entries[static_cast<size_t>(at)].second;
  return a[1].missing() ? Value::none() : a[1];
}

template <View::What what>
Value dict_view(Runtime& rt, const Value& self, const Args& args) {
  if (!bind(rt, args, "items", {}, 0, nullptr)) return Value::error();
  return rt.view(self, what);
}

Value copy(Runtime& rt, const Value& self, const Args& args) {
  if (!bind(rt, args, "copy", {}, 0, nullptr)) return Value::error();
  return self;  // containers never change, so one is as good as two
}

Value list_count(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "count", {"/value"}, 1, a)) return Value::error();
  int64_t n = 0;
  std::vector<Value> items;
  if (!rt.to_vector(self, items)) return Value::error();
  for (const Value& item : items) {
    int same = equal(rt, item, a[0]);
    if (same < 0) return Value::error();
    n += same;
  }
  return Value::integer(n);
}

Value list_index(Runtime& rt, const Value& self, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "index", {"/value"}, 1, a)) return Value::error();
  std::vector<Value> items;
  if (!rt.to_vector(self, items)) return Value::error();
  for (size_t i = 0; i < items.size(); ++i) {
    int same = equal(rt, items[i], a[0]);
    if (same < 0) return Value::error();
    if (same) return Value::integer(static_cast<int64_t>(i));
  }
  return rt.type_error("the value is not in the list");
}

const std::vector<MethodEntry>& table() {
  static const std::vector<MethodEntry> entries = [] {
    std::vector<MethodEntry> t = {
        {"get", nullptr, nullptr, dict_get},
        {"items", nullptr, nullptr, dict_view<View::What::kItems>},
        {"keys", nullptr, nullptr, dict_view<View::What::kKeys>},
        {"values", nullptr, nullptr, dict_view<View::What::kValues>},
        {"copy", nullptr, copy, copy},
        {"count", string_count, list_count, nullptr},
        {"index", string_index, list_index, nullptr},
        {"append", nullptr, closed, nullptr},
        {"clear", nullptr, closed, closed},
        {"extend", nullptr, closed, nullptr},
        {"insert", nullptr, closed, nullptr},
        {"pop", nullptr, closed, closed},
        {"popitem", nullptr, nullptr, closed},
        {"remove", nullptr, closed, nullptr},
        {"reverse", nullptr, closed, nullptr},
        {"setdefault", nullptr, nullptr, closed},
        {"sort", nullptr, closed, nullptr},
        {"update", nullptr, nullptr, closed},
    };
    for (const auto& [name, fn] : string_methods()) t.push_back({name, fn, nullptr, nullptr});
    return t;
  }();
  return entries;
}

Native pick(const Value& v, const MethodEntry* entry) {
  switch (v.kind()) {
    case Kind::kString: return entry->of_string;
    case Kind::kList: return entry->of_list;
    case Kind::kTuple:
    case Kind::kRange:
      return entry->of_list == list_count || entry->of_list == list_index ? entry->of_list
                                                                          : nullptr;
    case Kind::kDict: return entry->of_dict;
    default: return nullptr;
  }
}

}  // namespace

const MethodEntry* find_method(std::string_view name) {
  static const auto* by_name = [] {
    auto* map = new std::unordered_map<std::string_view, const MethodEntry*>;
    for (const auto& entry : table()) map->emplace(entry.name, &entry);
    return map;
  }();
  auto it = by_name->find(name);
  return it == by_name->end() ? nullptr : it->second;
}

bool has_method(const Value& v, const MethodEntry* entry) {
  Native fn = pick(v, entry);
  return fn && fn != closed;
}

bool is_closed_method(const Value& v, const MethodEntry* entry) {
  return pick(v, entry) == closed;
}

Value call_method(Runtime& rt, const Value& self, const MethodEntry* entry, const Args& args) {
  return pick(self, entry)(rt, self, args);
}

}  // namespace xh::jinja

// Filters over sequences and mappings. Those that Jinja makes lazy give a generator, which can be
// walked once and has no length.
#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/predicates.h"
#include "text/jinja/text_form.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

using Items = std::vector<Value>;
using Keyed = std::vector<std::pair<Value, Value>>;  // sort key, item

Value folded(Runtime& rt, const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.is_string()) return v;
  if (!rt.burn_bytes(v.text().size() * 4)) return Value::error();
  return rt.string(to_lower(v.text()));
}

Value length_of(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "length", {}, 0, nullptr)) return Value::error();
  int64_t n = length(rt, v);
  return n < 0 ? Value::error() : Value::integer(n);
}

Value first(Runtime& rt, const Value& v, const Args& args) {
  Cursor cursor;
  if (!bind(rt, args, "first", {}, 0, nullptr) || !rt.start(cursor, v)) return Value::error();
  Value out = rt.next(cursor);
  return out.missing() ? Value::undefined() : out;
}

Value last(Runtime& rt, const Value& v, const Args& args) {
  Items items;
  if (!bind(rt, args, "last", {}, 0, nullptr)) return Value::error();
  if (v.is(Kind::kGenerator))
    return rt.type_error("last cannot be taken of a generator; use |list first");
  if (v.is_sequence())
    return v.as<Sequence>().items.empty() ? Value::undefined() : v.as<Sequence>().items.back();
  if (!rt.to_vector(v, items)) return Value::error();
  return items.empty() ? Value::undefined() : items.back();
}

Value list(Runtime& rt, const Value& v, const Args& args) {
  Items items;
  if (!bind(rt, args, "list", {}, 0, nullptr) || !rt.to_vector(v, items)) return Value::error();
  return rt.list(std::move(items));
}

Value items_of(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "items", {}, 0, nullptr)) return Value::error();
  if (v.is_undefined()) return rt.generator({});
  if (!v.is(Kind::kDict)) return rt.type_error("items can only be taken of a mapping");
  Items items;
  for (const auto& [key, value] : v.as<Dict>().entries) {
    items.push_back(rt.tuple({key, value}));
    if (rt.failed()) return Value::error();
  }
  return rt.generator(std::move(items));
}

Value reverse(Runtime& rt, const Value& v, const Args& args) {
  if (!bind(rt, args, "reverse", {}, 0, nullptr)) return Value::error();
  if (v.is_string()) return slice(rt, v, Value(), Value(), Value::integer(-1));
  Items items;
  if (!rt.to_vector(v, items)) return Value::error();
  std::reverse(items.begin(), items.end());
  return v.is(Kind::kGenerator) ? rt.list(std::move(items)) : rt.generator(std::move(items));
}

Value join(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  Items items;
  if (!bind(rt, args, "join", {"d", "attribute"}, 0, a) || !rt.to_vector(v, items))
    return Value::error();
  Value between = a[0].missing() ? rt.string("") : to_text(rt, a[0]);
  if (between.failed()) return between;
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = a[1].missing() || a[1].is(Kind::kNone) ? items[i] : get_path(rt, items[i], a[1]);
    if (item.failed() || (i && !rt.append(out, between.text())) || !write_text(rt, item, out))
      return Value::error();
  }
  return rt.string(std::move(out));
}

Value dictsort(Runtime& rt, const Value& v, const Args& args) {
  Value a[3];
  if (!bind(rt, args, "dictsort", {"case_sensitive", "by", "reverse"}, 0, a)) return Value::error();
  if (v.is_undefined()) return rt.use_of_undefined(v);
  if (!v.is(Kind::kDict)) return rt.type_error("dictsort needs a mapping");
  std::string_view by = a[1].is_string() ? a[1].text() : "key";
  if (by != "key" && by != "value") return rt.type_error("dictsort sorts by key or by value");
  Keyed keyed;
  for (const auto& [key, value] : v.as<Dict>().entries) {
    Value pair = rt.tuple({key, value});
    keyed.emplace_back(folded(rt, by == "key" ? key : value, truthy(a[0])), pair);
    if (rt.failed()) return Value::error();
  }
  if (!sort_by_key(rt, keyed, truthy(a[2]))) return Value::error();
  Items items;
  for (auto& [key, pair] : keyed) items.push_back(std::move(pair));
  return rt.list(std::move(items));
}

// The sort key of an item: one path, or several separated by commas.
Value sort_key(Runtime& rt, const Value& item, const Value& attribute, bool case_sensitive) {
  if (attribute.missing() || attribute.is(Kind::kNone)) return folded(rt, item, case_sensitive);
  if (!attribute.is_string()) return folded(rt, get_item(rt, item, attribute), case_sensitive);
  Items parts;
  std::string_view rest = attribute.text();
  while (true) {
    size_t comma = rest.find(',');
    Value path = rt.string(std::string(rest.substr(0, comma)));
    if (path.failed()) return path;
    parts.push_back(folded(rt, get_path(rt, item, path), case_sensitive));
    if (rt.failed()) return Value::error();
    if (comma == rest.npos) return rt.list(std::move(parts));
    rest.remove_prefix(comma + 1);
  }
}

Value sort(Runtime& rt, const Value& v, const Args& args) {
  Value a[3];
  Items items;
  if (!bind(rt, args, "sort", {"reverse", "case_sensitive", "attribute"}, 0, a) ||
      !rt.to_vector(v, items))
    return Value::error();
  Keyed keyed;
  for (Value& item : items) {
    keyed.emplace_back(sort_key(rt, item, a[2], truthy(a[1])), item);
    if (rt.failed()) return Value::error();
  }
  if (!sort_by_key(rt, keyed, truthy(a[0]))) return Value::error();
  for (size_t i = 0; i < items.size(); ++i) items[i] = std::move(keyed[i].second);
  return rt.list(std::move(items));
}

Value attribute_key(Runtime& rt, const Value& item, const Value& attribute, bool case_sensitive) {
  if (attribute.missing() || attribute.is(Kind::kNone)) return folded(rt, item, case_sensitive);
  Value v = get_path(rt, item, attribute);
  return v.failed() ? v : folded(rt, v, case_sensitive);
}

Value unique(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  Items items;
  if (!bind(rt, args, "unique", {"case_sensitive", "attribute"}, 0, a) || !rt.to_vector(v, items))
    return Value::error();
  Keyed keyed;
  for (const Value& item : items) {
    keyed.emplace_back(attribute_key(rt, item, a[1], truthy(a[0])), item);
    if (rt.failed()) return Value::error();
    if (!hashable(keyed.back().first))
      return rt.type_error("unique cannot compare values of this type");
  }
  std::vector<size_t> order(keyed.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (!rt.burn(order.size() * 4)) return Value::error();
  auto key_bytes = [&](size_t i) {
    return keyed[i].first.is_string() ? keyed[i].first.text().size() : 0;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) {
    if (!rt.burn(std::min(key_bytes(x), key_bytes(y)) / kBytesPerStep)) return false;
    return compare_keys(keyed[x].first, keyed[y].first) < 0;
  });
  if (rt.failed()) return Value::error();
  std::vector<bool> repeated(keyed.size());
  for (size_t i = 1; i < order.size(); ++i)
    repeated[order[i]] = compare_keys(keyed[order[i - 1]].first, keyed[order[i]].first) == 0;
  Items out;
  for (size_t i = 0; i < items.size(); ++i)
    if (!repeated[i]) out.push_back(items[i]);
  return rt.generator(std::move(out));
}

template <bool largest>
Value extreme(Runtime& rt, const Value& v, const Args& args) {
  Value a[2], best, best_key;
  Items items;
  if (!bind(rt, args, largest ? "max" : "min", {"case_sensitive", "attribute"}, 0, a) ||
      !rt.to_vector(v, items))
    return Value::error();
  for (const Value& item : items) {
    Value key = attribute_key(rt, item, a[1], truthy(a[0]));
    if (key.failed()) return key;
    int better = best.missing() ? 1
                 : largest      ? less_than(rt, best_key, key)
                                : less_than(rt, key, best_key);
    if (better < 0) return Value::error();
    if (better) best = item, best_key = key;
  }
  return best.missing() ? Value::undefined() : best;
}

Value sum(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  Items items;
  if (!bind(rt, args, "sum", {"attribute", "start"}, 0, a) || !rt.to_vector(v, items))
    return Value::error();
  Value total = a[1].missing() ? Value::integer(0) : a[1];
  if (total.is_string()) return rt.type_error("sum cannot add texts; use join");
  for (const Value& item : items) {
    Value term = a[0].missing() || a[0].is(Kind::kNone) ? item : get_path(rt, item, a[0]);
    if (term.failed()) return term;
    total = arithmetic(rt, Op::kAdd, total, term);
    if (total.failed()) return total;
  }
  return total;
}

Value named_or(const Args& args, std::string_view name) {
  for (const auto& [key, value] : args.named)
    if (key.text() == name) return value;
  return Value();
}

Value map(Runtime& rt, const Value& v, const Args& args) {
  Items items, out;
  if (!truthy(v)) return rt.generator({});
  if (!rt.to_vector(v, items)) return Value::error();
  if (args.positional.empty()) {
    Value attribute = named_or(args, "attribute"), fallback = named_or(args, "default");
    if (attribute.missing()) return rt.type_error("map needs a filter or an attribute");
    for (const Value& item : items) {
      Value found = get_path(rt, item, attribute);
      if (found.failed()) return found;
      bool replace = found.is_undefined() && !fallback.missing() && !fallback.is(Kind::kNone);
      out.push_back(replace ? fallback : found);
    }
    return rt.generator(std::move(out));
  }
  if (!args.positional[0].is_string()) return rt.type_error("map needs the name of a filter");
  Args rest;
  rest.positional.assign(args.positional.begin() + 1, args.positional.end());
  rest.named = args.named;
  for (const Value& item : items) {
    out.push_back(call_filter(rt, args.positional[0].text(), item, rest));
    if (rt.failed() || !rt.burn(1)) return Value::error();
  }
  return rt.generator(std::move(out));
}

template <bool keep, bool by_attribute>
Value chosen(Runtime& rt, const Value& v, const Args& args) {
  Items items, out;
  if (!truthy(v)) return rt.generator({});
  if (!rt.to_vector(v, items)) return Value::error();
  size_t at = by_attribute ? 1 : 0;
  if (args.positional.size() < at) return rt.type_error("the attribute's name is missing");
  const TestEntry* test = nullptr;
  Args rest;
  if (args.positional.size() > at) {
    const Value& name = args.positional[at];
    test = name.is_string() ? find_test(name.text()) : nullptr;
    if (!test) return rt.fail(ErrorCode::kUnsupported, "there is no such test");
    rest.positional.assign(args.positional.begin() + static_cast<int64_t>(at) + 1,
                           args.positional.end());
    rest.named = args.named;
  }
  for (const Value& item : items) {
    Value subject = by_attribute ? get_path(rt, item, args.positional[0]) : item;
    if (subject.failed() || !rt.burn(1)) return Value::error();
    int yes = test ? test->ask(rt, subject, rest) : truthy(subject);
    if (yes < 0) return Value::error();
    if ((yes == 1) == keep) out.push_back(item);
  }
  return rt.generator(std::move(out));
}

Value groupby(Runtime& rt, const Value& v, const Args& args) {
  Value a[3];
  Items items, out;
  if (!bind(rt, args, "groupby", {"attribute", "default", "case_sensitive"}, 1, a) ||
      !rt.to_vector(v, items))
    return Value::error();
  auto raw_key = [&](const Value& item) {
    Value key = get_path(rt, item, a[0]);
    return key.is_undefined() && !a[1].missing() && !a[1].is(Kind::kNone) ? a[1] : key;
  };
  Keyed keyed;
  for (const Value& item : items) {
    Value key = raw_key(item);
    keyed.emplace_back(key.failed() ? key : folded(rt, key, truthy(a[2])), item);
    if (rt.failed()) return Value::error();
  }
  if (!sort_by_key(rt, keyed, false)) return Value::error();
  for (size_t i = 0; i < keyed.size();) {
    Items group;
    size_t start = i;
    int same = 1;
    while (i < keyed.size() && same == 1) {
      group.push_back(keyed[i++].second);
      same = i < keyed.size() ? equal(rt, keyed[start].first, keyed[i].first) : 0;
    }
    Value name = raw_key(group[0]);  // with the case of the group's first item
    Value members = rt.list(std::move(group));
    if (rt.failed()) return Value::error();
    out.push_back(rt.sequence(Kind::kTuple, {name, members}, true));
  }
  return rt.failed() ? Value::error() : rt.list(std::move(out));
}

Value batch(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  Items items, out, row;
  if (!bind(rt, args, "batch", {"linecount", "fill_with"}, 1, a) || !rt.to_vector(v, items))
    return Value::error();
  if (!a[0].is_integral() || a[0].integer() < 1)
    return rt.type_error("batch needs a positive count");
  size_t n = static_cast<size_t>(a[0].integer());
  for (size_t i = 0; i < items.size(); ++i) {
    row.push_back(items[i]);
    bool end = i + 1 == items.size();
    if (row.size() < n && !end) continue;
    if (end && !a[1].missing() && !a[1].is(Kind::kNone)) {
      if (n > 100'000 || !rt.burn(n - row.size()))
        return rt.fail(ErrorCode::kTooLarge, "batch is too wide");
      row.resize(n, a[1]);
    }
    out.push_back(rt.list(std::move(row)));
    if (rt.failed()) return Value::error();
    row = {};
  }
  return rt.generator(std::move(out));
}

Value slices(Runtime& rt, const Value& v, const Args& args) {
  Value a[2];
  Items items, out;
  if (!bind(rt, args, "slice", {"slices", "fill_with"}, 1, a) || !rt.to_vector(v, items))
    return Value::error();
  if (!a[0].is_integral() || a[0].integer() < 1 || a[0].integer() > 100'000)
    return rt.type_error("slice needs a positive count");
  size_t n = static_cast<size_t>(a[0].integer()), each = items.size() / n, extra = items.size() % n,
         at = 0;
  for (size_t i = 0; i < n; ++i) {
    size_t take = each + (i < extra);
    Items row(items.begin() + static_cast<int64_t>(at),
              items.begin() + static_cast<int64_t>(at + take));
    at += take;
    if (!a[1].missing() && !a[1].is(Kind::kNone) && i >= extra) row.push_back(a[1]);
    out.push_back(rt.list(std::move(row)));
    if (rt.failed()) return Value::error();
  }
  return rt.generator(std::move(out));
}

}  // namespace

std::span<const FilterEntry> sequence_filters() {
  static constexpr FilterEntry kTable[] = {
      {"batch", batch},
      {"count", length_of},
      {"dictsort", dictsort},
      {"first", first},
      {"groupby", groupby},
      {"items", items_of},
      {"join", join},
      {"last", last},
      {"length", length_of},
      {"list", list},
      {"map", map},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reject", chosen<false, false>},
      {"rejectattr", chosen<false, true>},
      {"reverse", reverse},
      {"select", chosen<true, false>},
      {"selectattr", chosen<true, true>},
      {"slice", slices},
      {"sort", sort},
      {"sum", sum},
      {"unique", unique},
  };
  return kTable;
}

}  // namespace xh::jinja

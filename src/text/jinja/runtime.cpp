#include "text/jinja/runtime.h"

#include <algorithm>

#include "text/jinja/utf8.h"

namespace xh::jinja {

Runtime::~Runtime() {
  // Namespaces may point at each other in circles; emptying each frees everything.
  for (Value& v : rooted_) {
    auto attributes = std::move(v.as<Namespace>().attributes);
    v.as<Namespace>().attributes.clear();
  }
}

Value Runtime::fail(ErrorCode code, std::string message, std::string remedy) {
  if (!failed_) {
    failed_ = true;
    error_ = Error{code, std::move(message), {}, std::move(remedy)};
  }
  return Value::error();
}

bool Runtime::out_of_fuel() {
  fuel_ = 0;
  fail(ErrorCode::kTooLarge,
       "the template takes more than " + std::to_string(limits_.fuel) + " steps",
       "shorten the conversation, or use another template");
  return false;
}

Value Runtime::use_of_undefined(const Value& undefined) {
  const Expr* source = undefined.source();
  if (!source) return fail(ErrorCode::kInvalidArgument, "a value is undefined");
  std::string name(source->op == Op::kName || source->op == Op::kAttr
                       ? "'" + std::string(tmpl_.names[source->symbol]) + "'"
                       : "the element");
  if (source->op == Op::kName || undefined.origin() == Kind::kMissing)
    return fail(ErrorCode::kInvalidArgument, name + " is undefined");
  return fail(ErrorCode::kInvalidArgument, name + " is undefined: a value of type " +
                                               type_name(undefined.origin()) + " has none");
}

bool Runtime::fits(uint64_t bytes) {
  if (bytes <= limits_.output_bytes) return true;
  fail(ErrorCode::kTooLarge,
       "the template makes a text of more than " + std::to_string(limits_.output_bytes) + " bytes");
  return false;
}

bool Runtime::append(std::string& out, std::string_view piece) {
  if (!fits(out.size() + piece.size()) || !burn_growth(out.size(), piece.size())) return false;
  out.append(piece);
  return true;
}

bool Runtime::append(std::string& out, uint64_t count, char c) {
  if (count > limits_.output_bytes || !fits(out.size() + count) || !burn_growth(out.size(), count))
    return fits(count);
  out.append(count, c);
  return true;
}

Value Runtime::adopt(Object* object, uint64_t bytes) {
  object->heap = &heap_;
  object->bytes = bytes;
  heap_.live += bytes;
  Value v = Value::object(object);
  if (heap_.live > heap_.limit)
    return fail(ErrorCode::kOutOfMemory,
                "the template holds more than " + std::to_string(heap_.limit) + " bytes of values");
  if (!burn_growth(0, bytes) || !burn(1)) return Value::error();
  return v;
}

Value Runtime::string(std::string text) {
  if (!fits(text.size())) return Value::error();
  auto* s = new String;
  s->owned = std::move(text);
  s->text = s->owned;
  return adopt(s, sizeof(String) + s->text.size());
}

Value Runtime::borrowed(std::string_view text) {
  auto* s = new String;
  s->text = text;
  return adopt(s, sizeof(String));
}

namespace {
uint16_t depth_of(const Value& v) {
  return v.kind() > Kind::kString ? v.object()->depth : 0;
}
}  // namespace

Value Runtime::sequence(Kind kind, std::vector<Value> items, bool group) {
  auto* s = new Sequence(kind);
  for (const Value& v : items) s->depth = std::max<uint16_t>(s->depth, depth_of(v));
  uint16_t depth = ++s->depth;  // the object may be gone once it is adopted
  s->group = group;
  s->items = std::move(items);
  Value out = adopt(s, sizeof(Sequence) + s->items.size() * sizeof(Value));
  if (depth > kMaxValueDepth) return fail(ErrorCode::kTooLarge, "lists are nested too deeply");
  return out;
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  auto* d = new Dict;
  for (const auto& [key, v] : entries) d->depth = std::max<uint16_t>(d->depth, depth_of(v));
  uint16_t depth = ++d->depth;  // the object may be gone once it is adopted
  d->entries = std::move(entries);
  Value out = adopt(d, sizeof(Dict) + d->entries.size() * (sizeof(Value) * 2 + sizeof(uint32_t)));
  if (depth > kMaxValueDepth) return fail(ErrorCode::kTooLarge, "mappings are nested too deeply");
  return out;
}

Value Runtime::generator(std::vector<Value> items) {
  auto* g = new Generator;
  for (const Value& v : items) g->depth = std::max<uint16_t>(g->depth, depth_of(v));
  uint16_t depth = ++g->depth;  // the object may be gone once it is adopted
  g->items = std::move(items);
  Value out = adopt(g, sizeof(Generator) + g->items.size() * sizeof(Value));
  if (depth > kMaxValueDepth) return fail(ErrorCode::kTooLarge, "lists are nested too deeply");
  return out;
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step) {
  constexpr uint64_t kMaxRange = 100'000;  // as Jinja's sandbox
  if (step == 0) return type_error("range() with a step of zero");
  uint64_t span = 0;
  if (step > 0 && stop > start) span = static_cast<uint64_t>(stop) - static_cast<uint64_t>(start);
  if (step < 0 && stop < start) span = static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  uint64_t count = span ? (span - 1) / stride + 1 : 0;
  if (count > kMaxRange) return fail(ErrorCode::kTooLarge, "range() of more than 100000 numbers");
  auto* r = new Range;
  r->start = start, r->stop = stop, r->step = step, r->count = static_cast<int64_t>(count);
  return adopt(r, sizeof(Range));
}

Value Runtime::view(const Value& dict, View::What what) {
  auto* v = new View;
  v->dict = dict;
  v->what = what;
  v->depth = static_cast<uint16_t>(depth_of(dict) + 1);
  return adopt(v, sizeof(View));
}

Value Runtime::namespace_object() {
  Value v = adopt(new Namespace, sizeof(Namespace));
  if (!v.failed()) rooted_.push_back(v);
  return v;
}

Value Runtime::macro(const MacroNode* node, Scope* scope) {
  auto* m = new Macro;
  m->node = node;
  m->scope = scope;
  for (Scope* s = scope; s && !s->captured; s = s->parent) s->captured = true;
  return adopt(m, sizeof(Macro));
}

Value Runtime::method(const Value& self, const MethodEntry* entry) {
  auto* m = new BoundMethod;
  m->self = self;
  m->entry = entry;
  m->depth = static_cast<uint16_t>(depth_of(self) + 1);
  return adopt(m, sizeof(BoundMethod));
}

Value Runtime::loop(const Stmt* stmt, Scope* outer) {
  auto* l = new Loop;
  l->stmt = stmt;
  l->outer = outer;
  return adopt(l, sizeof(Loop));
}

bool Runtime::set_attribute(Namespace& ns, const Value& name, Value value) {
  for (auto& [key, held] : ns.attributes) {
    if (key.text() == name.text()) {
      held = std::move(value);
      return true;
    }
  }
  if (ns.attributes.size() >= 1000) {
    fail(ErrorCode::kTooLarge, "a namespace of more than 1000 names");
    return false;
  }
  ns.attributes.emplace_back(name, std::move(value));
  return true;
}

Value Runtime::from_json(const boost::json::value& json, int depth) {
  if (depth > kMaxValueDepth - 2)
    return fail(ErrorCode::kTooLarge, "the variables are nested too deeply");
  switch (json.kind()) {
    case boost::json::kind::null: return Value::none();
    case boost::json::kind::bool_: return Value::boolean(json.get_bool());
    case boost::json::kind::int64: return Value::integer(json.get_int64());
    case boost::json::kind::uint64: return Value::unsigned_integer(json.get_uint64());
    case boost::json::kind::double_: return Value::real(json.get_double());
    case boost::json::kind::string:
      return borrowed({json.get_string().data(), json.get_string().size()});
    case boost::json::kind::array: {
      std::vector<Value> items;
      items.reserve(json.get_array().size());
      for (const auto& v : json.get_array()) {
        items.push_back(from_json(v, depth + 1));
        if (items.back().failed()) return Value::error();
      }
      return list(std::move(items));
    }
    case boost::json::kind::object: break;
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(json.get_object().size());
  for (const auto& [key, v] : json.get_object()) {
    entries.emplace_back(borrowed({key.data(), key.size()}), from_json(v, depth + 1));
    if (failed_) return Value::error();
  }
  return dict(std::move(entries));
}

bool Runtime::start(Cursor& cursor, const Value& iterable) {
  cursor.over = iterable;
  cursor.at = 0;
  switch (iterable.kind()) {
    case Kind::kUndefined: cursor.end = 0; return true;
    case Kind::kList:
    case Kind::kTuple: cursor.end = iterable.as<Sequence>().items.size(); return true;
    case Kind::kDict: cursor.end = iterable.as<Dict>().entries.size(); return true;
    case Kind::kView: cursor.end = iterable.as<View>().dict.as<Dict>().entries.size(); return true;
    case Kind::kString: cursor.end = iterable.text().size(); return true;
    case Kind::kRange: cursor.end = static_cast<size_t>(iterable.as<Range>().count); return true;
    case Kind::kGenerator: return true;
    default: break;
  }
  type_error(std::string("a value of type ") + type_name(iterable.kind()) + " cannot be iterated");
  return false;
}

Value Runtime::next(Cursor& cursor) {
  const Value& over = cursor.over;
  if (over.is(Kind::kGenerator)) {
    auto& g = over.as<Generator>();
    return g.next < g.items.size() ? g.items[g.next++] : Value();
  }
  if (cursor.at >= cursor.end) return Value();
  switch (over.kind()) {
    case Kind::kList:
    case Kind::kTuple: return over.as<Sequence>().items[cursor.at++];
    case Kind::kDict: return over.as<Dict>().entries[cursor.at++].first;
    case Kind::kRange:
      return Value::integer(over.as<Range>().start +
                            static_cast<int64_t>(cursor.at++) * over.as<Range>().step);
    case Kind::kString: {
      size_t n = char_bytes(over.text(), cursor.at);
      cursor.at += n;
      return string(std::string(over.text().substr(cursor.at - n, n)));
    }
    case Kind::kView: {
      const auto& [key, value] = over.as<View>().dict.as<Dict>().entries[cursor.at++];
      if (over.as<View>().what == View::What::kKeys) return key;
      if (over.as<View>().what == View::What::kValues) return value;
      return tuple({key, value});
    }
    default: return Value();
  }
}

bool Runtime::to_vector(const Value& iterable, std::vector<Value>& out) {
  Cursor cursor;
  if (!start(cursor, iterable)) return false;
  for (Value v = next(cursor); !v.missing(); v = next(cursor)) {
    if (v.failed() || !burn(1)) return false;
    out.push_back(std::move(v));
  }
  return true;
}

bool bind(Runtime& rt, const Args& args, const char* function,
          std::initializer_list<const char*> names, size_t required, Value* out) {
  auto fail = [&](std::string what) {
    rt.type_error(std::string(function) + "() " + what);
    return false;
  };
  if (args.positional.size() > names.size())
    return fail("takes at most " + std::to_string(names.size()) + " arguments");
  for (size_t i = 0; i < names.size(); ++i)
    out[i] = i < args.positional.size() ? args.positional[i] : Value();
  for (const auto& [name, value] : args.named) {
    auto it = std::find_if(names.begin(), names.end(), [&](const char* n) {
      return name.text() == n;
    });  // "/name" never matches
    if (it == names.end()) return fail("has no argument '" + std::string(name.text()) + "'");
    Value& slot = out[it - names.begin()];
    if (!slot.missing()) return fail("got '" + std::string(name.text()) + "' twice");
    slot = value;
  }
  for (size_t i = 0; i < required; ++i)
    if (out[i].missing())
      return fail("needs '" + std::string(names.begin()[i] + (names.begin()[i][0] == '/')) + "'");
  return true;
}

}  // namespace xh::jinja

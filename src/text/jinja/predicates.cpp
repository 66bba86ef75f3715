#include "text/jinja/predicates.h"

#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"

namespace xh::jinja {

namespace {

bool none_given(Runtime& rt, const Args& args) {
  return bind(rt, args, "this test", {}, 0, nullptr);
}

template <bool (*test)(const Value&)>
int simple(Runtime& rt, const Value& v, const Args& args) {
  return none_given(rt, args) ? test(v) : -1;
}

bool defined(const Value& v) {
  return !v.is_undefined();
}
bool undefined(const Value& v) {
  return v.is_undefined();
}
bool none(const Value& v) {
  return v.is(Kind::kNone);
}
bool boolean(const Value& v) {
  return v.is(Kind::kBool);
}
bool is_true(const Value& v) {
  return v.is(Kind::kBool) && v.boolean();
}
bool is_false(const Value& v) {
  return v.is(Kind::kBool) && !v.boolean();
}
bool integer(const Value& v) {
  return v.is(Kind::kInt) || v.is(Kind::kUint);
}
bool real(const Value& v) {
  return v.is(Kind::kFloat);
}
bool number(const Value& v) {
  return v.is_number();
}
bool string(const Value& v) {
  return v.is_string();
}
bool mapping(const Value& v) {
  return v.is(Kind::kDict);
}
bool escaped(const Value& v) {
  return v.is_string() && v.as<String>().safe;
}
bool callable(const Value& v) {
  // An undefined value has a call operator in Jinja, though calling it is an error.
  return v.is(Kind::kMacro) || v.is(Kind::kFunction) || v.is(Kind::kMethod) || v.is(Kind::kLoop) ||
         v.is_undefined();
}
bool sequence(const Value& v) {
  return v.is_string() || v.is_sequence() || v.is(Kind::kDict) || v.is(Kind::kRange) ||
         v.is_undefined();
}
bool iterable(const Value& v) {
  return sequence(v) || v.is(Kind::kView) || v.is(Kind::kGenerator) || v.is(Kind::kLoop);
}

template <Compare op>
int compared(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  return bind(rt, args, "this test", {"other"}, 1, a) ? compare(rt, op, v, a[0]) : -1;
}

int remainder_is(Runtime& rt, const Value& v, const Value& by, int64_t rest) {
  Value r = arithmetic(rt, Op::kModulo, v, by);
  return r.failed() ? -1 : equal(rt, r, Value::integer(rest));
}
int odd(Runtime& rt, const Value& v, const Args& args) {
  return none_given(rt, args) ? remainder_is(rt, v, Value::integer(2), 1) : -1;
}
int even(Runtime& rt, const Value& v, const Args& args) {
  return none_given(rt, args) ? remainder_is(rt, v, Value::integer(2), 0) : -1;
}
int divisible(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  return bind(rt, args, "divisibleby", {"num"}, 1, a) ? remainder_is(rt, v, a[0], 0) : -1;
}

int same_as(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  if (!bind(rt, args, "sameas", {"other"}, 1, a)) return -1;
  if (v.kind() != a[0].kind()) return 0;
  if (v.kind() >= Kind::kString && !v.is_string()) return v.object() == a[0].object();
  return equal(rt, v, a[0]);
}

int in_container(Runtime& rt, const Value& v, const Args& args) {
  Value a[1];
  return bind(rt, args, "in", {"seq"}, 1, a) ? contains(rt, v, a[0]) : -1;
}

int cased(Runtime& rt, const Value& v, const char* method) {
  Value text = to_text(rt, v);
  if (text.failed()) return -1;
  Value r = call_method(rt, text, find_method(method), Args{});
  return r.failed() ? -1 : r.boolean();
}
int lower(Runtime& rt, const Value& v, const Args&) {
  return cased(rt, v, "islower");
}
int upper(Runtime& rt, const Value& v, const Args&) {
  return cased(rt, v, "isupper");
}

int is_filter(Runtime&, const Value& v, const Args&) {
  return v.is_string() && find_filter(v.text()) != nullptr;
}
int is_test(Runtime&, const Value& v, const Args&) {
  return v.is_string() && find_test(v.text()) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"defined", simple<defined>},
    {"undefined", simple<undefined>},
    {"none", simple<none>},
    {"boolean", simple<boolean>},
    {"true", simple<is_true>},
    {"false", simple<is_false>},
    {"integer", simple<integer>},
    {"float", simple<real>},
    {"number", simple<number>},
    {"string", simple<string>},
    {"mapping", simple<mapping>},
    {"escaped", simple<escaped>},
    {"callable", simple<callable>},
    {"sequence", simple<sequence>},
    {"iterable", simple<iterable>},
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisible},
    {"sameas", same_as},
    {"in", in_container},
    {"lower", lower},
    {"upper", upper},
    {"filter", is_filter},
    {"test", is_test},
    {"==", compared<Compare::kEq>},
    {"eq", compared<Compare::kEq>},
    {"equalto", compared<Compare::kEq>},
    {"!=", compared<Compare::kNe>},
    {"ne", compared<Compare::kNe>},
    {">", compared<Compare::kGt>},
    {"gt", compared<Compare::kGt>},
    {"greaterthan", compared<Compare::kGt>},
    {">=", compared<Compare::kGe>},
    {"ge", compared<Compare::kGe>},
    {"<", compared<Compare::kLt>},
    {"lt", compared<Compare::kLt>},
    {"lessthan", compared<Compare::kLt>},
    {"<=", compared<Compare::kLe>},
    {"le", compared<Compare::kLe>},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& entry : kTests)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace xh::jinja

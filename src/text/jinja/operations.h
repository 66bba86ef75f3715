// What operators, tests and subscripts do to values, as in Python.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace xh::jinja {

bool truthy(const Value& v);

// Comparisons: 1 true, 0 false, -1 failed (the types have no order, or a limit was met).
int equal(Runtime& rt, const Value& a, const Value& b, int depth = 0);
int less_than(Runtime& rt, const Value& a, const Value& b, int depth = 0);
int contains(Runtime& rt, const Value& item, const Value& container);
int compare(Runtime& rt, Compare op, const Value& a, const Value& b);

Value arithmetic(Runtime& rt, Op op, const Value& a, const Value& b);
Value negate(Runtime& rt, const Value& v, bool minus);

// len(v), or -1 with an error.
int64_t length(Runtime& rt, const Value& v);
// v[key]; undefined when there is no such element. `source` is named by messages.
Value get_item(Runtime& rt, const Value& v, const Value& key, const Expr* source = nullptr);
// v.name: methods first, then elements, as Jinja does.
Value get_attribute(Runtime& rt, const Value& v, std::string_view name, const MethodEntry* method,
                    const Expr* source = nullptr);
Value slice(Runtime& rt, const Value& v, const Value& from, const Value& to, const Value& step);

// Follows a path such as "function.name" or "0.id" (filters' attribute arguments); an integer is
// one step.
Value get_path(Runtime& rt, const Value& v, const Value& path);

// Sorts by Python's <, stably; false when two values have no order.
bool sort_by_key(Runtime& rt, std::vector<std::pair<Value, Value>>& keyed, bool reverse);

Value escape_html(Runtime& rt, const Value& v);  // Markup

}  // namespace xh::jinja

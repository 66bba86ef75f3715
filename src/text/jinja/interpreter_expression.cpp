#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"
#include "text/jinja/predicates.h"
#include "text/jinja/text_form.h"

namespace xh::jinja {

Value Interpreter::eval(const Expr& e) {
  if (!rt_.burn(1)) {
    rt_.at(e);
    return Value::error();
  }
  if (e.op == Op::kConst) return e.value;
  if (e.op == Op::kName) return lookup(e);
  Value v = enter() ? eval_inner(e) : Value::error();
  --depth_;
  return v;
}

Value Interpreter::eval_inner(const Expr& e) {
  switch (e.op) {
    case Op::kConst: return e.value;
    case Op::kName:
    case Op::kNamespaceRef: return lookup(e);
    case Op::kAttr: return eval_attribute(e);
    case Op::kItem: return eval_item(e);
    case Op::kSlice: return eval_slice(e);
    case Op::kCall: return eval_call(e);
    case Op::kFilter: return eval_filter(e, nullptr);
    case Op::kTest: return eval_test(e);
    case Op::kNot:
    case Op::kNegate:
    case Op::kPlus: {
      Value v = eval(*e.args[0]);
      if (v.failed()) return v;
      rt_.at(e);
      return e.op == Op::kNot ? Value::boolean(!truthy(v)) : negate(rt_, v, e.op == Op::kNegate);
    }
    case Op::kAnd:
    case Op::kOr:
    case Op::kIf: return eval_logic(e);
    case Op::kCompare: return eval_compare(e);
    case Op::kConcat: return eval_concat(e);
    case Op::kList:
    case Op::kTuple: return eval_items(e);
    case Op::kDict: return eval_dict(e);
    default: return eval_binary(e);
  }
}

Value Interpreter::lookup(const Expr& e) {
  for (Scope* s = scope_; s; s = s->parent) {
    for (const auto& [name, value] : s->names)
      if (name == e.symbol) return value;
    if (!rt_.burn(s->names.size() / 8)) return Value::error();
  }
  if (!outermost_[e.symbol].missing()) return outermost_[e.symbol];
  Value& global = globals_[e.symbol];
  if (!global.missing()) return global;
  std::string_view name = tmpl_.names[e.symbol];
  if (auto it = variables_.find(name); it != variables_.end()) {
    global = rt_.from_json(it->value());
  } else if (int64_t function = find_function(name); function >= 0) {
    global = Value::function(function);
  } else {
    return Value::undefined(&e);
  }
  return global;
}

Value Interpreter::eval_attribute(const Expr& e) {
  Value v = eval(*e.args[0]);
  if (v.failed()) return v;
  rt_.at(e);
  if (v.is(Kind::kLoop)) return loop_attribute(v, tmpl_.names[e.symbol], &e);
  return get_attribute(rt_, v, tmpl_.names[e.symbol], e.method, &e);
}

Value Interpreter::eval_item(const Expr& e) {
  Value v = eval(*e.args[0]);
  if (v.failed()) return v;
  Value key = eval(*e.args[1]);
  if (key.failed()) return key;
  rt_.at(e);
  if (v.is(Kind::kLoop) && key.is_string()) return loop_attribute(v, key.text(), &e);
  return get_item(rt_, v, key, &e);
}

Value Interpreter::eval_slice(const Expr& e) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (!e.args[i]) continue;
    parts[i] = eval(*e.args[i]);
    if (parts[i].failed()) return Value::error();
  }
  rt_.at(e);
  return slice(rt_, parts[0], parts[1], parts[2], parts[3]);
}

Value Interpreter::eval_logic(const Expr& e) {
  if (e.op == Op::kIf) {
    Value condition = eval(*e.args[1]);
    if (condition.failed()) return condition;
    if (truthy(condition)) return eval(*e.args[0]);
    return e.args[2] ? eval(*e.args[2]) : Value::undefined(&e);
  }
  Value left = eval(*e.args[0]);
  if (left.failed() || truthy(left) == (e.op == Op::kOr)) return left;
  return eval(*e.args[1]);
}

Value Interpreter::eval_compare(const Expr& e) {
  Value left = eval(*e.args[0]);
  if (left.failed()) return left;
  int result = 1;
  for (size_t i = 0; i < e.compares.size() && result == 1; ++i) {
    Value right = eval(*e.args[i + 1]);
    if (right.failed()) return right;
    rt_.at(e);
    result = compare(rt_, e.compares[i], left, right);
    left = std::move(right);
  }
  return result < 0 ? Value::error() : Value::boolean(result == 1);
}

Value Interpreter::eval_concat(const Expr& e) {
  std::string text;
  for (const Expr* part : e.args) {
    Value v = eval(*part);
    if (v.failed()) return v;
    rt_.at(e);
    if (!write_text(rt_, v, text)) return Value::error();
  }
  return rt_.string(std::move(text));
}

Value Interpreter::eval_binary(const Expr& e) {
  Value left = eval(*e.args[0]);
  if (left.failed()) return left;
  Value right = eval(*e.args[1]);
  if (right.failed()) return right;
  rt_.at(e);
  return arithmetic(rt_, e.op, left, right);
}

Value Interpreter::eval_items(const Expr& e) {
  std::vector<Value> items;
  items.reserve(e.args.size());
  for (const Expr* item : e.args) {
    items.push_back(eval(*item));
    if (items.back().failed()) return Value::error();
  }
  rt_.at(e);
  return rt_.sequence(e.op == Op::kList ? Kind::kList : Kind::kTuple, std::move(items));
}

Value Interpreter::eval_dict(const Expr& e) {
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(e.args.size() / 2);
  for (size_t i = 0; i < e.args.size(); i += 2) {
    Value key = eval(*e.args[i]);
    if (key.failed()) return key;
    Value value = eval(*e.args[i + 1]);
    if (value.failed()) return value;
    rt_.at(e);
    if (!hashable(key))
      return rt_.type_error(std::string("a value of type ") + type_name(key.kind()) +
                            " cannot be a key");
    uint64_t key_bytes = key.is_string() ? key.text().size() : 0;
    if (!rt_.burn(entries.size() * (key_bytes / 256) + entries.size() / 8)) return Value::error();
    bool found = false;
    for (auto& [held, old] : entries) {
      if (!same_key(held, key)) continue;
      old = value;
      found = true;
      break;
    }
    if (!found) entries.emplace_back(std::move(key), std::move(value));
  }
  return rt_.dict(std::move(entries));
}

bool Interpreter::eval_args(const CallArgs* call, Args& out) {
  if (!call) return true;
  auto add = [&](const Expr& e, std::vector<Value>& to) {
    to.push_back(eval(e));
    return !to.back().failed();
  };
  for (const Expr* e : call->positional)
    if (!add(*e, out.positional)) return false;
  for (const auto& [name, e] : call->named) {
    out.named.emplace_back(name, eval(*e));
    if (out.named.back().second.failed()) return false;
  }
  if (call->star) {
    Value more = eval(*call->star);
    if (more.failed() || !rt_.to_vector(more, out.positional)) return false;
  }
  if (call->star_star) {
    Value more = eval(*call->star_star);
    if (more.failed()) return false;
    if (!more.is(Kind::kDict)) {
      rt_.type_error("** needs a mapping");
      return false;
    }
    for (const auto& [key, value] : more.as<Dict>().entries) {
      if (!key.is_string()) {
        rt_.type_error("names of arguments must be texts");
        return false;
      }
      out.named.emplace_back(key, value);
    }
    if (!rt_.burn(out.named.size())) return false;
  }
  return true;
}

Value Interpreter::eval_call(const Expr& e, const Value* caller) {
  const Expr& target = *e.args[0];
  Args args;
  // A method called at once needs no object that binds it.
  if (target.op == Op::kAttr) {
    Value self = eval(*target.args[0]);
    if (self.failed()) return self;
    std::string_view name = tmpl_.names[target.symbol];
    bool of_loop = self.is(Kind::kLoop) && (name == "cycle" || name == "changed");
    bool method = target.method && has_method(self, target.method);
    Value callee;
    rt_.at(target);
    if (!of_loop && !method) {
      callee = self.is(Kind::kLoop) ? loop_attribute(self, name, &target)
                                    : get_attribute(rt_, self, name, target.method, &target);
      if (callee.failed()) return callee;
    }
    if (!eval_args(e.call, args)) return Value::error();
    if (caller) args.named.emplace_back(caller_name_, *caller);
    rt_.at(target);
    if (of_loop) return call_loop(self, name, args);
    if (method) return call_method(rt_, self, target.method, args);
    return call(callee, args);
  }
  Value callee = eval(target);
  if (callee.failed() || !eval_args(e.call, args)) return Value::error();
  if (caller) args.named.emplace_back(caller_name_, *caller);
  rt_.at(e);
  return call(callee, args);
}

Value Interpreter::call(const Value& callee, Args& args) {
  switch (callee.kind()) {
    case Kind::kFunction: return call_function(rt_, callee.integer(), args);
    case Kind::kMethod: {
      const auto& bound = callee.as<BoundMethod>();
      return call_method(rt_, bound.self, bound.entry, args);
    }
    case Kind::kMacro: return call_macro(callee.as<Macro>(), args);
    case Kind::kLoop: return recurse(callee.as<Loop>(), args);
    case Kind::kUndefined: return rt_.use_of_undefined(callee);
    default: break;
  }
  return rt_.type_error(std::string("a value of type ") + type_name(callee.kind()) +
                        " cannot be called");
}

Value Interpreter::call_macro(const Macro& macro, Args& args) {
  Scope* outer = scope_;
  uint32_t line = rt_.line(), column = rt_.column();
  Scope* scope = push_scope(macro.scope);
  std::string text;
  std::string* outer_out = std::exchange(out_, &text);
  bool ok = enter_call() && bind_macro(macro, args, *scope) &&
            run_block(macro.node->body) != Flow::kFailed;
  --call_depth_;
  out_ = outer_out;
  pop_scope(outer);
  if (!ok) return Value::error();
  rt_.at(line, column);
  return rt_.string(std::move(text));
}

bool Interpreter::bind_macro(const Macro& macro, Args& args, Scope& scope) {
  const MacroNode& node = *macro.node;
  size_t n = node.params.size(), first_default = n - node.defaults.size();
  bool explicit_caller = false;
  auto take = [&](std::string_view name) {
    Value found;
    for (size_t i = 0; i < args.named.size(); ++i) {
      if (args.named[i].first.text() != name) continue;
      found = std::move(args.named[i].second);
      args.named.erase(args.named.begin() + static_cast<int64_t>(i));
      break;
    }
    return found;
  };
  for (size_t i = 0; i < n; ++i) {
    Symbol symbol = node.params[i];
    explicit_caller |= symbol == caller_symbol_;
    Value v = i < args.positional.size() ? args.positional[i] : take(tmpl_.names[symbol]);
    if (v.missing()) {
      v = i >= first_default ? eval(*node.defaults[i - first_default]) : Value::undefined();
      if (v.failed()) return false;
    }
    if (!rt_.burn(1)) return false;
    scope.names.emplace_back(symbol, std::move(v));
  }
  if (node.uses_caller && !explicit_caller) {
    Value caller = take("caller");
    scope.names.emplace_back(caller_symbol_, caller.missing() ? Value::undefined() : caller);
  }
  if (node.uses_kwargs) {
    Value rest = rt_.dict(std::move(args.named));
    if (rest.failed()) return false;
    args.named.clear();
    scope.names.emplace_back(kwargs_symbol_, std::move(rest));
  } else if (!args.named.empty()) {
    rt_.type_error("macro '" + node.name + "' has no parameter '" +
                   std::string(args.named[0].first.text()) + "'");
    return false;
  }
  std::vector<Value> rest;
  for (size_t i = n; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
  if (node.uses_varargs) {
    Value tuple = rt_.tuple(std::move(rest));
    if (tuple.failed()) return false;
    scope.names.emplace_back(varargs_symbol_, std::move(tuple));
  } else if (!rest.empty()) {
    rt_.type_error("macro '" + node.name + "' takes at most " + std::to_string(n) + " arguments");
    return false;
  }
  return true;
}

Value Interpreter::eval_filter(const Expr& e, const Value* input) {
  Value v;
  if (!e.args[0]) {
    v = *input;  // the text of a filter block
  } else {
    // A chain inside a filter block ends at its text, several levels down.
    v = e.args[0]->op == Op::kFilter ? (enter() ? eval_filter(*e.args[0], input) : Value::error())
                                     : eval(*e.args[0]);
    if (e.args[0]->op == Op::kFilter) --depth_;
  }
  if (v.failed()) return v;
  Args args;
  if (!eval_args(e.call, args)) return Value::error();
  rt_.at(e);
  if (!rt_.burn(1)) return Value::error();
  if (!e.filter)
    return rt_.fail(ErrorCode::kUnsupported,
                    "there is no filter '" + std::string(tmpl_.names[e.symbol]) + "'");
  return e.filter->apply(rt_, v, args);
}

Value Interpreter::eval_test(const Expr& e) {
  Value v = eval(*e.args[0]);
  Args args;
  if (v.failed() || !eval_args(e.call, args)) return Value::error();
  rt_.at(e);
  if (!e.test)
    return rt_.fail(ErrorCode::kUnsupported,
                    "there is no test '" + std::string(tmpl_.names[e.symbol]) + "'");
  int r = e.test->ask(rt_, v, args);
  return r < 0 ? Value::error() : Value::boolean(r == 1);
}

}  // namespace xh::jinja

#include "text/jinja/interpreter.h"

#include "text/jinja/operations.h"
#include "text/jinja/text_form.h"

namespace xh::jinja {

namespace {
// Levels of the evaluator's own recursion for each level of calls and loops: together they bound
// the stack (a level takes some 300 bytes; several times that under sanitizers).
constexpr uint32_t kEvalLevelsPerCall = 12;
}  // namespace

Interpreter::Interpreter(const Template& tmpl, const TemplateLimits& limits,
                         const boost::json::object& variables, int64_t now)
    : tmpl_(tmpl), variables_(variables), limits_(limits), rt_(tmpl, limits) {
  rt_.now = now;
  outermost_.resize(tmpl.names.size());
  globals_.resize(tmpl.names.size());
  auto symbol = [&](std::string_view name) {
    auto it = tmpl.symbols.find(name);
    return it == tmpl.symbols.end() ? UINT32_MAX : it->second;
  };
  loop_symbol_ = symbol("loop");
  caller_symbol_ = symbol("caller");
  varargs_symbol_ = symbol("varargs");
  kwargs_symbol_ = symbol("kwargs");
  caller_name_ = rt_.borrowed("caller");
}

bool Interpreter::run(std::string& out) {
  out_ = &out;
  return run_block(tmpl_.body) != Flow::kFailed;
}

Scope* Interpreter::push_scope(Scope* parent) {
  if (free_scopes_.empty()) {
    scopes_.push_back(std::make_unique<Scope>());
    free_scopes_.push_back(scopes_.back().get());
  }
  Scope* scope = free_scopes_.back();
  free_scopes_.pop_back();
  scope->parent = parent;
  return scope_ = scope;
}

void Interpreter::pop_scope(Scope* previous) {
  Scope* scope = scope_;
  scope_ = previous;
  if (scope->captured) return;
  scope->names.clear();
  free_scopes_.push_back(scope);
}

bool Interpreter::enter() {
  if (++depth_ <= limits_.depth * kEvalLevelsPerCall) return true;
  rt_.fail(ErrorCode::kTooLarge, "the template is nested too deeply");
  return false;
}

bool Interpreter::enter_call() {
  if (++call_depth_ <= limits_.depth) return true;
  rt_.fail(ErrorCode::kTooLarge, "calls and loops are nested more than " +
                                     std::to_string(limits_.depth) + " levels deep");
  return false;
}

Interpreter::Flow Interpreter::run_block(const Block& block) {
  for (const Stmt* s : block)
    if (Flow flow = run_statement(*s); flow != Flow::kNext) return flow;
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_statement(const Stmt& s) {
  auto done = [](bool ok) { return ok ? Flow::kNext : Flow::kFailed; };
  rt_.at(s.line, s.column);
  if (!rt_.burn(1)) return Flow::kFailed;
  switch (s.op) {
    case StmtOp::kText: return done(rt_.append(*out_, s.text));
    case StmtOp::kPrint: {
      Value v = eval(*s.value);
      return done(!v.failed() && write_text(rt_, v, *out_));
    }
    case StmtOp::kIf: return run_if(s);
    case StmtOp::kFor: return run_for(s);
    case StmtOp::kSet:
    case StmtOp::kSetBlock: return run_set(s);
    case StmtOp::kMacro: {
      Value macro = rt_.macro(s.macro, scope_);
      return done(!macro.failed() && assign_name(s.symbol, macro));
    }
    case StmtOp::kCallBlock: return run_call_block(s);
    case StmtOp::kFilterBlock: {
      Value text = capture(s.body);
      if (text.failed()) return Flow::kFailed;
      Value v = eval_filter(*s.value, &text);
      return done(!v.failed() && write_text(rt_, v, *out_));
    }
    case StmtOp::kWith: return run_with(s);
    case StmtOp::kScope: {
      Value text = capture(s.body);
      return done(!text.failed() && write_text(rt_, text, *out_));
    }
    case StmtOp::kBreak: return Flow::kBreak;
    case StmtOp::kContinue: return Flow::kContinue;
  }
  return Flow::kFailed;
}

Interpreter::Flow Interpreter::run_if(const Stmt& s) {
  for (const auto& [condition, body] : s.branches) {
    if (condition) {
      Value v = eval(*condition);
      if (v.failed()) return Flow::kFailed;
      if (!truthy(v)) continue;
    }
    if (!enter()) return Flow::kFailed;
    Flow flow = run_block(body);
    --depth_;
    return flow;
  }
  return Flow::kNext;
}

bool Interpreter::assign_name(Symbol symbol, Value value) {
  if (!scope_) {
    outermost_[symbol] = std::move(value);
    return true;
  }
  for (auto& [name, held] : scope_->names) {
    if (name == symbol) {
      held = std::move(value);
      return true;
    }
  }
  scope_->names.emplace_back(symbol, std::move(value));
  return rt_.burn(scope_->names.size() / 8);
}

bool Interpreter::assign(const Expr& target, Value value) {
  if (target.op == Op::kName) return assign_name(target.symbol, std::move(value));
  if (target.op == Op::kNamespaceRef) {
    Value ns = eval(*target.args[0]);
    if (ns.failed()) return false;
    if (!ns.is(Kind::kNamespace)) {
      rt_.type_error("only attributes of a namespace can be set");
      return false;
    }
    return rt_.set_attribute(ns.as<Namespace>(), target.value, std::move(value));
  }
  std::vector<Value> items;
  if (!rt_.to_vector(value, items)) return false;
  if (items.size() != target.args.size()) {
    rt_.type_error(std::to_string(target.args.size()) + " names are set from " +
                   std::to_string(items.size()) + " values");
    return false;
  }
  for (size_t i = 0; i < items.size(); ++i)
    if (!assign(*target.args[i], std::move(items[i]))) return false;
  return true;
}

Value Interpreter::capture(const Block& block) {
  std::string text;
  std::string* outer_out = std::exchange(out_, &text);
  Scope* outer = scope_;
  push_scope(outer);
  Flow flow = enter() ? run_block(block) : Flow::kFailed;
  --depth_;
  pop_scope(outer);
  out_ = outer_out;
  return flow == Flow::kFailed ? Value::error() : rt_.string(std::move(text));
}

Interpreter::Flow Interpreter::run_set(const Stmt& s) {
  Value v;
  if (s.op == StmtOp::kSet) {
    v = eval(*s.value);
  } else {
    v = capture(s.body);
    if (!v.failed() && s.value) v = eval_filter(*s.value, &v);
  }
  return !v.failed() && assign(*s.target, std::move(v)) ? Flow::kNext : Flow::kFailed;
}

Interpreter::Flow Interpreter::run_with(const Stmt& s) {
  std::vector<Value> values;
  for (const auto& [target, expr] : s.bindings) {
    values.push_back(eval(*expr));
    if (values.back().failed()) return Flow::kFailed;
  }
  Scope* outer = scope_;
  push_scope(outer);
  bool ok = true;
  for (size_t i = 0; ok && i < values.size(); ++i) ok = assign(*s.bindings[i].first, values[i]);
  Flow flow = ok && enter() ? run_block(s.body) : Flow::kFailed;
  if (ok) --depth_;
  pop_scope(outer);
  return flow;
}

Interpreter::Flow Interpreter::run_call_block(const Stmt& s) {
  Value caller = rt_.macro(s.macro, scope_);
  if (caller.failed()) return Flow::kFailed;
  Value v = eval_call(*s.value, &caller);
  return !v.failed() && write_text(rt_, v, *out_) ? Flow::kNext : Flow::kFailed;
}

Interpreter::Flow Interpreter::run_for(const Stmt& s) {
  Value over = eval(*s.value);
  if (over.failed()) return Flow::kFailed;
  rt_.at(s.line, s.column);
  Value holder = rt_.loop(&s, scope_);
  if (holder.failed()) return Flow::kFailed;
  Loop& loop = holder.as<Loop>();
  if (!rt_.start(loop.cursor, over)) return Flow::kFailed;
  bool any = false;
  Flow flow = run_loop(s, loop, any);
  if (flow != Flow::kFailed && !any && !s.otherwise.empty()) {
    Scope* outer = scope_;
    push_scope(outer);
    flow = enter() ? run_block(s.otherwise) : Flow::kFailed;
    --depth_;
    pop_scope(outer);
  }
  return flow;
}

// Runs the body for every item; `any` tells whether there was one. The loop keeps nothing
// afterwards, so that loops kept alive by a namespace cannot chain.
Interpreter::Flow Interpreter::run_loop(const Stmt& s, Loop& loop, bool& any) {
  Value self = Value::object(&loop);
  Scope* outer = scope_;
  Flow flow = enter_call() && enter() ? Flow::kNext : Flow::kFailed;
  while (flow == Flow::kNext || flow == Flow::kContinue) {
    Value item = next_item(loop);
    if (item.missing()) break;
    if (item.failed() || !rt_.burn(1)) {
      flow = Flow::kFailed;
      break;
    }
    any = true;
    push_scope(loop.outer);
    if (loop_symbol_ != UINT32_MAX) scope_->names.emplace_back(loop_symbol_, self);
    flow = assign(*s.target, std::move(item)) ? run_block(s.body) : Flow::kFailed;
    pop_scope(outer);
  }
  --call_depth_;
  --depth_;
  scope_ = outer;
  loop.active = false;
  loop.cursor.over = Value();
  loop.previous = loop.current = loop.changed = Value();
  loop.ahead.clear();
  return flow == Flow::kFailed ? flow : Flow::kNext;
}

// The next item that passes the loop's condition, without counting it.
Value Interpreter::peek_item(Loop& loop) {
  if (!loop.ahead.empty()) return loop.ahead.front();
  if (!loop.active) return Value();
  const Stmt& s = *loop.stmt;
  while (true) {
    Value item = rt_.next(loop.cursor);
    if (item.missing() || item.failed()) return item;
    if (s.condition) {
      Scope* outer = scope_;
      push_scope(loop.outer);
      Value pass = assign(*s.target, item) ? eval(*s.condition) : Value::error();
      pop_scope(outer);
      if (pass.failed() || !rt_.burn(1)) return Value::error();
      if (!truthy(pass)) continue;
    }
    loop.ahead.push_back(item);
    return item;
  }
}

Value Interpreter::next_item(Loop& loop) {
  Value item = peek_item(loop);
  if (item.missing() || item.failed()) return item;
  loop.ahead.pop_front();
  ++loop.index0;
  loop.previous = std::move(loop.current);
  loop.current = item;
  return item;
}

Value Interpreter::loop_length(Loop& loop) {
  if (loop.length >= 0) return Value::integer(loop.length);
  const Cursor& c = loop.cursor;
  if (!loop.stmt->condition && !c.over.is(Kind::kGenerator)) {
    int64_t n = length(rt_, c.over);
    if (n < 0) return Value::error();
    loop.length = n;
    return Value::integer(n);
  }
  std::deque<Value> ahead = std::exchange(loop.ahead, {});
  while (true) {
    Value item = peek_item(loop);
    if (item.failed()) return item;
    if (item.missing()) break;
    ahead.push_back(std::move(item));
    loop.ahead.clear();
  }
  loop.ahead = std::move(ahead);
  loop.length = loop.index0 + 1 + static_cast<int64_t>(loop.ahead.size());
  return Value::integer(loop.length);
}

Value Interpreter::loop_attribute(const Value& v, std::string_view name, const Expr* source) {
  Loop& loop = v.as<Loop>();
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem")
    return loop.index0 == 0 ? Value::undefined(source, Kind::kLoop) : loop.previous;
  if (name == "last" || name == "nextitem") {
    Value item = peek_item(loop);
    if (item.failed()) return item;
    if (name == "last") return Value::boolean(item.missing());
    return item.missing() ? Value::undefined(source, Kind::kLoop) : item;
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    Value n = loop_length(loop);
    if (n.failed() || name == "length") return n;
    return Value::integer(n.integer() - loop.index0 - (name == "revindex0"));
  }
  return Value::undefined(source, Kind::kLoop);
}

Value Interpreter::call_loop(const Value& v, std::string_view method, const Args& args) {
  Loop& loop = v.as<Loop>();
  if (method == "cycle") {
    if (args.positional.empty()) return rt_.type_error("loop.cycle() without values");
    return args.positional[static_cast<size_t>(loop.index0) % args.positional.size()];
  }
  Value now = rt_.tuple(args.positional);  // changed
  if (now.failed()) return now;
  int same = loop.changed.missing() ? 0 : equal(rt_, now, loop.changed);
  if (same < 0) return Value::error();
  loop.changed = now;
  return Value::boolean(!same);
}

// loop(items) inside a recursive loop: the loop's body over other items.
Value Interpreter::recurse(Loop& loop, const Args& args) {
  Value a[1];
  if (!loop.stmt->recursive || !loop.active)
    return rt_.type_error("only a loop marked recursive can be called");
  if (!bind(rt_, args, "loop", {"iterable"}, 1, a)) return Value::error();
  Value holder = rt_.loop(loop.stmt, loop.outer);
  if (holder.failed()) return holder;
  Loop& inner = holder.as<Loop>();
  inner.depth0 = loop.depth0 + 1;
  if (!rt_.start(inner.cursor, a[0])) return Value::error();
  std::string text;
  std::string* outer_out = std::exchange(out_, &text);
  Scope* outer = scope_;
  bool any = false;
  Flow flow = run_loop(*loop.stmt, inner, any);
  if (flow != Flow::kFailed && !any) flow = run_block(loop.stmt->otherwise);
  scope_ = outer;
  out_ = outer_out;
  return flow == Flow::kFailed ? Value::error() : rt_.string(std::move(text));
}

}  // namespace xh::jinja

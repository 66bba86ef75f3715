// Walks a parsed template once: one object per rendering, on one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace xh::jinja {

class Interpreter {
 public:
  Interpreter(const Template& tmpl, const TemplateLimits& limits,
              const boost::json::object& variables, int64_t now);

  // False on failure: see error(), line(), column().
  bool run(std::string& out);
  const Error& error() const { return rt_.error(); }
  uint32_t line() const { return rt_.line(); }
  uint32_t column() const { return rt_.column(); }

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue, kFailed };

  // Statements (interpreter.cpp)
  Flow run_block(const Block& block);
  Flow run_statement(const Stmt& s);
  Flow run_if(const Stmt& s);
  Flow run_for(const Stmt& s);
  Flow run_loop(const Stmt& s, Loop& loop, bool& any);
  Flow run_set(const Stmt& s);
  Flow run_call_block(const Stmt& s);
  Flow run_with(const Stmt& s);
  // Runs a block in a scope of its own, its output as a value.
  Value capture(const Block& block);
  bool assign(const Expr& target, Value value);
  bool assign_name(Symbol symbol, Value value);

  // Loops
  Value next_item(Loop& loop);
  Value peek_item(Loop& loop);
  Value loop_attribute(const Value& v, std::string_view name, const Expr* source);
  Value loop_length(Loop& loop);
  Value call_loop(const Value& v, std::string_view method, const Args& args);
  Value recurse(Loop& loop, const Args& args);

  // Expressions (interpreter_expression.cpp)
  Value eval(const Expr& e);
  Value eval_inner(const Expr& e);
  Value lookup(const Expr& e);
  Value eval_attribute(const Expr& e);
  Value eval_item(const Expr& e);
  Value eval_slice(const Expr& e);
  Value eval_compare(const Expr& e);
  Value eval_concat(const Expr& e);
  Value eval_binary(const Expr& e);
  Value eval_logic(const Expr& e);
  Value eval_items(const Expr& e);
  Value eval_dict(const Expr& e);
  Value eval_call(const Expr& e, const Value* caller = nullptr);
  Value eval_filter(const Expr& e, const Value* input);
  Value eval_test(const Expr& e);
  bool eval_args(const CallArgs* call, Args& out);
  Value call(const Value& callee, Args& args);
  Value call_macro(const Macro& macro, Args& args);
  bool bind_macro(const Macro& macro, Args& args, Scope& scope);

  Scope* push_scope(Scope* parent);
  void pop_scope(Scope* previous);
  bool enter();  // one level of recursion deeper; false at the limit
  bool enter_call();

  const Template& tmpl_;
  const boost::json::object& variables_;
  TemplateLimits limits_;
  Runtime rt_;                    // outlives the values below
  std::vector<Value> outermost_;  // by symbol: what the template set at top level
  std::vector<Value> globals_;    // by symbol: variables and functions, once looked up
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> free_scopes_;
  Scope* scope_ = nullptr;  // null: the outermost
  Value caller_name_;       // "caller"
  std::string* out_ = nullptr;
  uint32_t depth_ = 0, call_depth_ = 0;
  Symbol loop_symbol_ = UINT32_MAX, caller_symbol_ = UINT32_MAX, varargs_symbol_ = UINT32_MAX,
         kwargs_symbol_ = UINT32_MAX;
};

// Global functions (functions.cpp): by number, as Value::function holds them; -1 for an unknown
// name.
int64_t find_function(std::string_view name);
Value call_function(Runtime& rt, int64_t number, const Args& args);

}  // namespace xh::jinja

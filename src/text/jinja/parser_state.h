// The parser's inside, shared by parser.cpp (statements) and parser_expression.cpp.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace xh::jinja {

class Parser {
 public:
  Parser(std::string_view source, Template& out) : lexer_(source), out_(out) { advance(); }

  bool parse();  // fills the template's body
  const Error& error() const { return error_; }
  const Lexeme& failed_at() const { return failed_at_; }

 private:
  // Statements: null or false on failure, with the error kept.
  bool parse_block(std::initializer_list<std::string_view> ends, Block& out);
  bool parse_body(std::initializer_list<std::string_view> ends, Block& out);  // from the tag's end
  Stmt* parse_statement();
  Stmt* parse_if();
  Stmt* parse_for();
  Stmt* parse_set();
  Stmt* parse_macro();
  Stmt* parse_call_block();
  Stmt* parse_filter_block();
  Stmt* parse_with();
  Stmt* parse_loop_control(StmtOp op);
  bool parse_signature(MacroNode& macro);
  bool parse_macro_body(MacroNode& macro, std::string_view end);

  // Expressions.
  Expr* parse_expression(bool conditional = true);
  Expr* parse_conditional();
  Expr* parse_or();
  Expr* parse_and();
  Expr* parse_not();
  Expr* parse_compare();
  Expr* parse_sum();
  Expr* parse_concat();
  Expr* parse_product();
  Expr* parse_power();
  Expr* parse_unary(bool with_filter = true);
  Expr* parse_primary(bool namespace_target = false);
  Expr* parse_literal_name();
  Expr* parse_number();
  Expr* parse_text();
  Expr* parse_list();
  Expr* parse_dict();
  Expr* parse_postfix(Expr* e);
  Expr* parse_filters_and_tests(Expr* e);
  Expr* parse_subscript(Expr* e);
  Expr* parse_subscript_part(Expr* of);
  Expr* parse_filter(Expr* e, bool first_inline = false);
  Expr* parse_test(Expr* e);
  bool parse_call_args(Expr& call);
  struct TupleRule {
    bool simple = false;       // names and literals only
    bool conditional = true;   // may hold `a if b else c`
    bool parentheses = false;  // may be empty
    bool namespaces = false;
    std::string_view end = {};  // a name that ends the tuple
  };
  Expr* parse_tuple(TupleRule rule);
  Expr* parse_target(TupleRule rule);
  bool assignable(const Expr& e);

  // Tokens.
  void advance();
  const Lexeme& peek();
  bool is(Token type) const { return current_.type == type; }
  bool is_name(std::string_view name) const { return is(Token::kName) && current_.text == name; }
  bool take(Token type);
  bool take_name(std::string_view name);
  bool expect(Token type, const char* what);

  // Nodes.
  Expr* node(Op op, const Lexeme& at);
  Expr* node(Op op, const Lexeme& at, std::initializer_list<Expr*> args);
  Stmt* statement(StmtOp op, const Lexeme& at);
  std::nullptr_t fail(std::string message, ErrorCode code = ErrorCode::kCorrupt);

  struct Nest {  // one level of nesting, for as long as it lives
    explicit Nest(Parser& p) : parser(p) { ++parser.depth_; }
    ~Nest() { --parser.depth_; }
    Parser& parser;
    bool too_deep();
  };

  Lexer lexer_;
  Template& out_;
  Lexeme current_, ahead_;
  bool have_ahead_ = false;
  Error error_;
  bool failed_ = false;
  Lexeme failed_at_;
  int depth_ = 0;
  int loops_ = 0;
  std::vector<MacroNode*> macros_;  // being parsed, for caller, varargs and kwargs
};

}  // namespace xh::jinja

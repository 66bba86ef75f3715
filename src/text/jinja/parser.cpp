#include "text/jinja/parser.h"

#include "text/jinja/filters.h"
#include "text/jinja/parser_state.h"
#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {
constexpr int kMaxNesting = 160;  // levels of brackets, operators and blocks together
}

Value Template::constant(std::string text) {
  String& s = strings.emplace_back();
  s.owned = std::move(text);
  s.text = s.owned;
  s.immortal = true;
  s.code_points();  // counted here, so that threads only read it
  return Value::object(&s);
}

void Parser::advance() {
  if (have_ahead_) {
    current_ = ahead_;
    have_ahead_ = false;
  } else {
    current_ = lexer_.next();
  }
  if (lexer_.failed() && !failed_) fail(lexer_.error());
}

const Lexeme& Parser::peek() {
  if (!have_ahead_) ahead_ = lexer_.next();
  have_ahead_ = true;
  return ahead_;
}

bool Parser::take(Token type) {
  if (!is(type)) return false;
  advance();
  return true;
}

bool Parser::take_name(std::string_view name) {
  if (!is_name(name)) return false;
  advance();
  return true;
}

bool Parser::expect(Token type, const char* what) {
  if (take(type)) return true;
  std::string found = is(Token::kEnd) ? "the end of the template"
                                      : "'" + std::string(current_.text.substr(0, 40)) + "'";
  fail(std::string("expected ") + what + ", found " + found);
  return false;
}

std::nullptr_t Parser::fail(std::string message, ErrorCode code) {
  if (failed_) return nullptr;
  failed_ = true;
  failed_at_ = current_;
  if (lexer_.failed()) failed_at_.line = lexer_.line(), failed_at_.column = lexer_.column();
  error_ = Error{code, std::move(message), {}, {}};
  return nullptr;
}

bool Parser::Nest::too_deep() {
  if (parser.depth_ <= kMaxNesting) return false;
  parser.fail("nested more than " + std::to_string(kMaxNesting) + " levels deep",
              ErrorCode::kTooLarge);
  return true;
}

Expr* Parser::node(Op op, const Lexeme& at) {
  Expr& e = out_.exprs.emplace_back();
  e.op = op;
  e.line = at.line;
  e.column = at.column;
  return &e;
}

Expr* Parser::node(Op op, const Lexeme& at, std::initializer_list<Expr*> args) {
  Expr* e = node(op, at);
  e->args.assign(args);
  return e;
}

Stmt* Parser::statement(StmtOp op, const Lexeme& at) {
  Stmt& s = out_.stmts.emplace_back();
  s.op = op;
  s.line = at.line;
  s.column = at.column;
  return &s;
}

bool Parser::parse() {
  return parse_block({}, out_.body) && !failed_;
}

// Statements up to a tag named in `ends`, whose name becomes the current token.
bool Parser::parse_block(std::initializer_list<std::string_view> ends, Block& out) {
  Nest nest(*this);
  if (nest.too_deep()) return false;
  while (!failed_) {
    Lexeme at = current_;
    if (is(Token::kData)) {
      Stmt* text = statement(StmtOp::kText, at);
      text->text = at.text;
      out.push_back(text);
      advance();
    } else if (take(Token::kVariableBegin)) {
      Stmt* print = statement(StmtOp::kPrint, at);
      print->value = parse_tuple({});
      if (!print->value || !expect(Token::kVariableEnd, "'}}'")) return false;
      out.push_back(print);
    } else if (take(Token::kBlockBegin)) {
      for (std::string_view end : ends)
        if (is_name(end)) return true;
      Stmt* s = parse_statement();
      if (!s || !expect(Token::kBlockEnd, "'%}'")) return false;
      out.push_back(s);
    } else if (ends.size() == 0) {
      return true;
    } else {
      fail("the template ends where '" + std::string(*ends.begin()) + "' is still needed");
    }
  }
  return false;
}

bool Parser::parse_body(std::initializer_list<std::string_view> ends, Block& out) {
  take(Token::kColon);
  return expect(Token::kBlockEnd, "'%}'") && parse_block(ends, out);
}

Stmt* Parser::parse_statement() {
  if (!is(Token::kName)) return fail("a tag's name is needed here");
  std::string_view name = current_.text;
  if (name == "if") return parse_if();
  if (name == "for") return parse_for();
  if (name == "set") return parse_set();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call_block();
  if (name == "filter") return parse_filter_block();
  if (name == "with") return parse_with();
  if (name == "break") return parse_loop_control(StmtOp::kBreak);
  if (name == "continue") return parse_loop_control(StmtOp::kContinue);
  if (name == "generation") {
    Stmt* s = statement(StmtOp::kScope, current_);
    advance();
    if (!parse_body({"endgeneration"}, s->body)) return nullptr;
    advance();
    return s;
  }
  for (std::string_view closed :
       {"include", "import", "from", "extends", "block", "autoescape", "print"})
    if (name == closed)
      return fail("the tag '" + std::string(name) + "' is not part of chat templates",
                  ErrorCode::kUnsupported);
  return fail("unknown tag '" + std::string(name.substr(0, 40)) + "'");
}

Stmt* Parser::parse_if() {
  Stmt* s = statement(StmtOp::kIf, current_);
  while (true) {
    advance();  // past if or elif
    auto& branch = s->branches.emplace_back();
    branch.first = parse_tuple({.conditional = false});
    if (!branch.first || !parse_body({"elif", "else", "endif"}, branch.second)) return nullptr;
    if (!is_name("elif")) break;
  }
  if (take_name("else")) {
    auto& branch = s->branches.emplace_back();
    if (!parse_body({"endif"}, branch.second)) return nullptr;
  }
  advance();
  return s;
}

Stmt* Parser::parse_for() {
  Stmt* s = statement(StmtOp::kFor, current_);
  advance();
  s->target = parse_target({.end = "in"});
  if (!s->target) return nullptr;
  if (!take_name("in")) return fail("expected 'in'");
  s->value = parse_tuple({.conditional = false, .end = "recursive"});
  if (!s->value) return nullptr;
  if (take_name("if")) {
    s->condition = parse_expression();
    if (!s->condition) return nullptr;
  }
  s->recursive = take_name("recursive");
  ++loops_;
  bool ok = parse_body({"endfor", "else"}, s->body);
  --loops_;
  if (!ok) return nullptr;
  if (take_name("else") && !parse_body({"endfor"}, s->otherwise)) return nullptr;
  advance();
  return s;
}

Stmt* Parser::parse_set() {
  Stmt* s = statement(StmtOp::kSet, current_);
  advance();
  s->target = parse_target({.namespaces = true});
  if (!s->target) return nullptr;
  if (take(Token::kAssign)) {
    s->value = parse_tuple({});
    return s->value ? s : nullptr;
  }
  s->op = StmtOp::kSetBlock;
  if (is(Token::kPipe)) {
    s->value = parse_filter(nullptr);
    if (!s->value) return nullptr;
  }
  if (!parse_body({"endset"}, s->body)) return nullptr;
  advance();
  return s;
}

bool Parser::parse_signature(MacroNode& macro) {
  if (!expect(Token::kLeftParen, "'('")) return false;
  while (!is(Token::kRightParen)) {
    if (!macro.params.empty() && !expect(Token::kComma, "',' or ')'")) return false;
    Lexeme name = current_;
    if (!expect(Token::kName, "a parameter's name")) return false;
    macro.params.push_back(out_.intern(name.text));
    if (take(Token::kAssign)) {
      Expr* value = parse_expression();
      if (!value) return false;
      macro.defaults.push_back(value);
    } else if (!macro.defaults.empty()) {
      fail("a parameter without a default after one with it");
      return false;
    }
  }
  advance();
  return true;
}

bool Parser::parse_macro_body(MacroNode& macro, std::string_view end) {
  int loops = std::exchange(loops_, 0);
  bool ok = parse_body({end}, macro.body);
  loops_ = loops;
  if (ok) advance();
  return ok;
}

Stmt* Parser::parse_macro() {
  Stmt* s = statement(StmtOp::kMacro, current_);
  advance();
  Lexeme name = current_;
  if (!expect(Token::kName, "the macro's name")) return nullptr;
  s->symbol = out_.intern(name.text);
  s->macro = &out_.macros.emplace_back();
  s->macro->name = name.text;
  macros_.push_back(s->macro);
  if (macros_.size() > 32) return fail("macros are nested too deeply", ErrorCode::kTooLarge);
  bool ok = parse_signature(*s->macro) && parse_macro_body(*s->macro, "endmacro");
  macros_.pop_back();
  return ok ? s : nullptr;
}

Stmt* Parser::parse_call_block() {
  Stmt* s = statement(StmtOp::kCallBlock, current_);
  advance();
  s->macro = &out_.macros.emplace_back();
  s->macro->name = "caller";
  macros_.push_back(s->macro);
  if (macros_.size() > 32) return fail("macros are nested too deeply", ErrorCode::kTooLarge);
  bool ok = !is(Token::kLeftParen) || parse_signature(*s->macro);
  if (ok) {
    s->value = parse_expression();
    ok = s->value != nullptr;
    if (ok && s->value->op != Op::kCall) fail("expected a call"), ok = false;
  }
  ok = ok && parse_macro_body(*s->macro, "endcall");
  macros_.pop_back();
  return ok ? s : nullptr;
}

Stmt* Parser::parse_filter_block() {
  Stmt* s = statement(StmtOp::kFilterBlock, current_);
  advance();
  s->value = parse_filter(nullptr, true);
  if (!s->value || !parse_body({"endfilter"}, s->body)) return nullptr;
  advance();
  return s;
}

Stmt* Parser::parse_with() {
  Stmt* s = statement(StmtOp::kWith, current_);
  advance();
  while (!is(Token::kBlockEnd)) {
    if (!s->bindings.empty() && !expect(Token::kComma, "','")) return nullptr;
    Expr* target = parse_target({});
    if (!target || !expect(Token::kAssign, "'='")) return nullptr;
    Expr* value = parse_expression();
    if (!value) return nullptr;
    s->bindings.emplace_back(target, value);
  }
  if (!parse_body({"endwith"}, s->body)) return nullptr;
  advance();
  return s;
}

Stmt* Parser::parse_loop_control(StmtOp op) {
  Stmt* s = statement(op, current_);
  if (!loops_) return fail("'" + std::string(current_.text) + "' outside of a loop");
  advance();
  return s;
}

std::string place(const std::string& label, uint32_t line, uint32_t column) {
  return label + ":" + std::to_string(line) + ":" + std::to_string(column);
}

Result<std::unique_ptr<Template>> parse_template(std::string_view source,
                                                 const std::string& label) {
  if (source.size() > kMaxSourceBytes)
    return fail(ErrorCode::kTooLarge, "the template has more than 1 MiB", label);
  if (!valid_utf8(source)) return fail(ErrorCode::kCorrupt, "the template is not UTF-8", label);
  auto out = std::make_unique<Template>();
  std::string normal = normalize_source(source);
  Parser parser(normal, *out);
  if (!parser.parse()) {
    Error error = parser.error();
    error.where = place(label, parser.failed_at().line, parser.failed_at().column);
    return std::unexpected(std::move(error));
  }
  return out;
}

}  // namespace xh::jinja

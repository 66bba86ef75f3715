#include <charconv>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"
#include "text/jinja/parser_state.h"
#include "text/jinja/predicates.h"

namespace xh::jinja {

Expr* Parser::parse_expression(bool conditional) {
  Nest nest(*this);
  if (nest.too_deep()) return nullptr;
  return conditional ? parse_conditional() : parse_or();
}

Expr* Parser::parse_conditional() {
  Lexeme at = current_;
  Expr* value = parse_or();
  while (value && take_name("if")) {
    Expr* condition = parse_or();
    if (!condition) return nullptr;
    Expr* otherwise = nullptr;
    if (take_name("else")) {
      otherwise = parse_expression();
      if (!otherwise) return nullptr;
    }
    value = node(Op::kIf, at, {value, condition, otherwise});
  }
  return value;
}

Expr* Parser::parse_or() {
  Lexeme at = current_;
  Expr* left = parse_and();
  while (left && take_name("or")) {
    Expr* right = parse_and();
    left = right ? node(Op::kOr, at, {left, right}) : nullptr;
  }
  return left;
}

Expr* Parser::parse_and() {
  Lexeme at = current_;
  Expr* left = parse_not();
  while (left && take_name("and")) {
    Expr* right = parse_not();
    left = right ? node(Op::kAnd, at, {left, right}) : nullptr;
  }
  return left;
}

Expr* Parser::parse_not() {
  Lexeme at = current_;
  if (!take_name("not")) return parse_compare();
  Nest nest(*this);
  if (nest.too_deep()) return nullptr;
  Expr* e = parse_not();
  return e ? node(Op::kNot, at, {e}) : nullptr;
}

Expr* Parser::parse_compare() {
  Lexeme at = current_;
  Expr* first = parse_sum();
  if (!first) return nullptr;
  Expr* chain = nullptr;
  while (true) {
    Compare op;
    if (is(Token::kEq))
      op = Compare::kEq;
    else if (is(Token::kNe))
      op = Compare::kNe;
    else if (is(Token::kLt))
      op = Compare::kLt;
    else if (is(Token::kLe))
      op = Compare::kLe;
    else if (is(Token::kGt))
      op = Compare::kGt;
    else if (is(Token::kGe))
      op = Compare::kGe;
    else if (is_name("in"))
      op = Compare::kIn;
    else if (is_name("not") && peek().type == Token::kName && peek().text == "in") {
      advance();
      op = Compare::kNotIn;
    } else {
      return chain ? chain : first;
    }
    advance();
    Expr* right = parse_sum();
    if (!right) return nullptr;
    if (!chain) chain = node(Op::kCompare, at, {first});
    chain->args.push_back(right);
    chain->compares.push_back(op);
  }
}

Expr* Parser::parse_sum() {
  Expr* left = parse_concat();
  while (left && (is(Token::kAdd) || is(Token::kSub))) {
    Lexeme at = current_;
    advance();
    Expr* right = parse_concat();
    if (!right) return nullptr;
    left = node(at.type == Token::kAdd ? Op::kAdd : Op::kSubtract, at, {left, right});
  }
  return left;
}

Expr* Parser::parse_concat() {
  Lexeme at = current_;
  Expr* first = parse_product();
  if (!first || !is(Token::kTilde)) return first;
  Expr* all = node(Op::kConcat, at, {first});
  while (take(Token::kTilde)) {
    Expr* part = parse_product();
    if (!part) return nullptr;
    all->args.push_back(part);
  }
  return all;
}

Expr* Parser::parse_product() {
  Expr* left = parse_power();
  while (left) {
    Op op;
    if (is(Token::kMul))
      op = Op::kMultiply;
    else if (is(Token::kDiv))
      op = Op::kDivide;
    else if (is(Token::kFloorDiv))
      op = Op::kFloorDivide;
    else if (is(Token::kMod))
      op = Op::kModulo;
    else
      break;
    Lexeme at = current_;
    advance();
    Expr* right = parse_power();
    left = right ? node(op, at, {left, right}) : nullptr;
  }
  return left;
}

Expr* Parser::parse_power() {
  Expr* left = parse_unary();
  while (left && is(Token::kPow)) {
    Lexeme at = current_;
    advance();
    Expr* right = parse_unary();
    left = right ? node(Op::kPower, at, {left, right}) : nullptr;
  }
  return left;
}

Expr* Parser::parse_unary(bool with_filter) {
  Nest nest(*this);
  if (nest.too_deep()) return nullptr;
  Lexeme at = current_;
  Expr* e;
  if (is(Token::kSub) || is(Token::kAdd)) {
    advance();
    Expr* inner = parse_unary(false);
    e = inner ? node(at.type == Token::kSub ? Op::kNegate : Op::kPlus, at, {inner}) : nullptr;
  } else {
    e = parse_primary();
  }
  if (e) e = parse_postfix(e);
  return e && with_filter ? parse_filters_and_tests(e) : e;
}

Expr* Parser::parse_primary(bool namespace_target) {
  Lexeme at = current_;
  switch (current_.type) {
    case Token::kName: {
      if (Expr* literal = parse_literal_name()) return literal;
      advance();
      Expr* name = node(Op::kName, at);
      name->symbol = out_.intern(at.text);
      for (MacroNode* macro : macros_) {
        macro->uses_caller |= at.text == "caller";
        macro->uses_varargs |= at.text == "varargs";
        macro->uses_kwargs |= at.text == "kwargs";
      }
      if (!namespace_target || !is(Token::kDot)) return name;
      advance();
      Lexeme attribute = current_;
      if (!expect(Token::kName, "a name")) return nullptr;
      Expr* ref = node(Op::kNamespaceRef, at, {name});
      ref->symbol = out_.intern(attribute.text);
      ref->value = out_.constant(std::string(attribute.text));
      return ref;
    }
    case Token::kString: return parse_text();
    case Token::kInteger:
    case Token::kFloat: return parse_number();
    case Token::kLeftParen: {
      advance();
      Nest nest(*this);
      if (nest.too_deep()) return nullptr;
      Expr* e = parse_tuple({.parentheses = true});
      return e && expect(Token::kRightParen, "')'") ? e : nullptr;
    }
    case Token::kLeftBracket: return parse_list();
    case Token::kLeftBrace: return parse_dict();
    default: return fail("an expression is needed here");
  }
}

// true, False, none …; null when the name is not one of them.
Expr* Parser::parse_literal_name() {
  Value value;
  if (current_.text == "true" || current_.text == "True")
    value = Value::boolean(true);
  else if (current_.text == "false" || current_.text == "False")
    value = Value::boolean(false);
  else if (current_.text == "none" || current_.text == "None")
    value = Value::none();
  else
    return nullptr;
  Expr* e = node(Op::kConst, current_);
  e->value = value;
  advance();
  return e;
}

Expr* Parser::parse_number() {
  std::string digits;
  for (char c : current_.text)
    if (c != '_') digits += c;
  Expr* e = node(Op::kConst, current_);
  const char* end = digits.data() + digits.size();
  if (current_.type == Token::kFloat) {
    double d = 0;
    auto [stop, status] = std::from_chars(digits.data(), end, d);
    if (status == std::errc::result_out_of_range) d = std::strtod(digits.c_str(), nullptr);
    e->value = Value::real(d);
  } else {
    char kind = digits.size() > 1 ? static_cast<char>(digits[1] | 0x20) : '0';
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    int64_t n = 0;
    auto [stop, status] = std::from_chars(digits.data() + (base == 10 ? 0 : 2), end, n, base);
    if (status != std::errc{} || stop != end) return fail("an integer beyond 64 bits");
    e->value = Value::integer(n);
  }
  advance();
  return e;
}

Expr* Parser::parse_text() {
  Expr* e = node(Op::kConst, current_);
  std::string text;
  while (is(Token::kString)) {
    if (!unescape(current_.text, text)) return fail("a malformed escape in a string");
    advance();
  }
  e->value = out_.constant(std::move(text));
  return e;
}

Expr* Parser::parse_list() {
  Expr* list = node(Op::kList, current_);
  advance();
  while (!is(Token::kRightBracket)) {
    if (!list->args.empty() && !expect(Token::kComma, "',' or ']'")) return nullptr;
    if (is(Token::kRightBracket)) break;
    Expr* item = parse_expression();
    if (!item) return nullptr;
    list->args.push_back(item);
  }
  advance();
  return list;
}

Expr* Parser::parse_dict() {
  Expr* dict = node(Op::kDict, current_);
  advance();
  while (!is(Token::kRightBrace)) {
    if (!dict->args.empty() && !expect(Token::kComma, "',' or '}'")) return nullptr;
    if (is(Token::kRightBrace)) break;
    Expr* key = parse_expression();
    if (!key || !expect(Token::kColon, "':'")) return nullptr;
    Expr* value = parse_expression();
    if (!value) return nullptr;
    dict->args.push_back(key);
    dict->args.push_back(value);
  }
  advance();
  return dict;
}

Expr* Parser::parse_postfix(Expr* e) {
  while (e) {
    if (is(Token::kDot) || is(Token::kLeftBracket)) {
      e = parse_subscript(e);
    } else if (is(Token::kLeftParen)) {
      e = node(Op::kCall, current_, {e});
      if (!parse_call_args(*e)) return nullptr;
    } else {
      break;
    }
  }
  return e;
}

Expr* Parser::parse_filters_and_tests(Expr* e) {
  while (e) {
    if (is(Token::kPipe)) {
      e = parse_filter(e);
    } else if (is_name("is")) {
      e = parse_test(e);
    } else if (is(Token::kLeftParen)) {
      e = node(Op::kCall, current_, {e});
      if (!parse_call_args(*e)) return nullptr;
    } else {
      break;
    }
  }
  return e;
}

Expr* Parser::parse_subscript(Expr* e) {
  Lexeme at = current_;
  if (take(Token::kDot)) {
    Lexeme name = current_;
    if (is(Token::kInteger)) {
      Expr* index = parse_number();
      return index ? node(Op::kItem, at, {e, index}) : nullptr;
    }
    if (!expect(Token::kName, "a name after '.'")) return nullptr;
    Expr* attribute = node(Op::kAttr, name, {e});
    attribute->symbol = out_.intern(name.text);
    attribute->method = find_method(name.text);
    return attribute;
  }
  advance();
  Expr* item = parse_subscript_part(e);
  if (!item) return nullptr;
  if (is(Token::kComma)) {  // x[a, b]
    if (item->op == Op::kSlice) return fail("a slice within a tuple");
    Expr* tuple = node(Op::kTuple, at, {item->args[1]});
    while (take(Token::kComma)) {
      Expr* part = parse_expression();
      if (!part) return nullptr;
      tuple->args.push_back(part);
    }
    item = node(Op::kItem, at, {e, tuple});
  }
  return expect(Token::kRightBracket, "']'") ? item : nullptr;
}

// What stands between brackets: an index or a slice of `of`.
Expr* Parser::parse_subscript_part(Expr* of) {
  Lexeme at = current_;
  Expr* parts[3] = {nullptr, nullptr, nullptr};
  if (!is(Token::kColon)) {
    parts[0] = parse_expression();
    if (!parts[0]) return nullptr;
    if (!is(Token::kColon)) return node(Op::kItem, at, {of, parts[0]});
  }
  for (int i = 1; i < 3 && take(Token::kColon); ++i) {
    if (is(Token::kColon) || is(Token::kRightBracket) || is(Token::kComma)) continue;
    parts[i] = parse_expression();
    if (!parts[i]) return nullptr;
  }
  return node(Op::kSlice, at, {of, parts[0], parts[1], parts[2]});
}

bool Parser::parse_call_args(Expr& e) {
  e.call = &out_.calls.emplace_back();
  CallArgs& call = *e.call;
  if (!expect(Token::kLeftParen, "'('")) return false;
  bool comma = false;
  while (!is(Token::kRightParen)) {
    if (comma && !expect(Token::kComma, "',' or ')'")) return false;
    if (comma && is(Token::kRightParen)) break;
    comma = true;
    bool star = is(Token::kMul), stars = is(Token::kPow);
    bool named = is(Token::kName) && peek().type == Token::kAssign;
    bool positional = !star && !stars && !named;
    if ((call.star_star) || (star && call.star) ||
        (positional && (call.star || !call.named.empty())))
      return fail("arguments in an order that a call does not allow"), false;
    Lexeme name = current_;
    if (named) advance();
    if (!positional) advance();
    Expr* value = parse_expression();
    if (!value) return false;
    if (star)
      call.star = value;
    else if (stars)
      call.star_star = value;
    else if (named)
      call.named.emplace_back(out_.constant(std::string(name.text)), value);
    else
      call.positional.push_back(value);
  }
  advance();
  return true;
}

Expr* Parser::parse_filter(Expr* e, bool first_inline) {
  while (first_inline || is(Token::kPipe)) {
    if (!first_inline) advance();
    first_inline = false;
    Lexeme name = current_;
    if (!expect(Token::kName, "a filter's name")) return nullptr;
    Expr* filter = node(Op::kFilter, name, {e});
    filter->symbol = out_.intern(name.text);
    filter->filter = find_filter(name.text);
    if (is(Token::kLeftParen) && !parse_call_args(*filter)) return nullptr;
    e = filter;
  }
  return e;
}

Expr* Parser::parse_test(Expr* e) {
  Lexeme at = current_;
  advance();
  bool negated = take_name("not");
  Lexeme name = current_;
  if (!expect(Token::kName, "a test's name")) return nullptr;
  Expr* test = node(Op::kTest, name, {e});
  test->symbol = out_.intern(name.text);
  test->test = find_test(name.text);
  bool operand = is(Token::kString) || is(Token::kInteger) || is(Token::kFloat) ||
                 is(Token::kLeftBracket) || is(Token::kLeftBrace) ||
                 (is(Token::kName) && !is_name("else") && !is_name("or") && !is_name("and"));
  if (is(Token::kLeftParen)) {
    if (!parse_call_args(*test)) return nullptr;
  } else if (operand) {
    if (is_name("is")) return fail("tests cannot be chained with 'is'");
    Nest nest(*this);
    if (nest.too_deep()) return nullptr;
    Expr* argument = parse_primary();
    if (argument) argument = parse_postfix(argument);
    if (!argument) return nullptr;
    test->call = &out_.calls.emplace_back();
    test->call->positional.push_back(argument);
  }
  return negated ? node(Op::kNot, at, {test}) : test;
}

Expr* Parser::parse_tuple(TupleRule rule) {
  Lexeme at = current_;
  std::vector<Expr*> items;
  bool tuple = false;
  while (true) {
    if (!items.empty() && !expect(Token::kComma, "','")) return nullptr;
    if (is(Token::kVariableEnd) || is(Token::kBlockEnd) || is(Token::kRightParen) ||
        (!rule.end.empty() && is_name(rule.end)))
      break;
    Expr* item = rule.simple ? parse_primary(rule.namespaces) : parse_expression(rule.conditional);
    if (!item) return nullptr;
    items.push_back(item);
    if (!is(Token::kComma)) break;
    tuple = true;
  }
  if (!tuple && !items.empty()) return items[0];
  if (!tuple && !rule.parentheses) return fail("an expression is needed here");
  Expr* e = node(Op::kTuple, at);
  e->args = std::move(items);
  return e;
}

bool Parser::assignable(const Expr& e) {
  if (e.op == Op::kName || e.op == Op::kNamespaceRef) return true;
  if (e.op != Op::kTuple) return false;
  for (const Expr* item : e.args)
    if (!assignable(*item)) return false;
  return true;
}

Expr* Parser::parse_target(TupleRule rule) {
  rule.simple = true;
  Expr* target = parse_tuple(rule);
  if (target && !assignable(*target)) return fail("this cannot be assigned to");
  return target;
}

}  // namespace xh::jinja

#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/utf8.h"

namespace xh::jinja {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

size_t skip_space(std::string_view s, size_t pos) {
  while (pos < s.size()) {
    size_t next = pos;
    if (!is_space(next_code_point(s, next))) break;
    pos = next;
  }
  return pos;
}

// digits with single underscores between them
size_t skip_digits(std::string_view s, size_t pos) {
  while (pos < s.size() && (is_digit(s[pos]) || (s[pos] == '_' && pos + 1 < s.size() &&
                                                 is_digit(s[pos + 1]) && is_digit(s[pos - 1]))))
    ++pos;
  return pos;
}

struct Operator {
  std::string_view text;
  Token type;
};
constexpr std::array<Operator, 26> kOperators = {{
    {"//", Token::kFloorDiv},   {"**", Token::kPow},         {"==", Token::kEq},
    {"!=", Token::kNe},         {">=", Token::kGe},          {"<=", Token::kLe},
    {"+", Token::kAdd},         {"-", Token::kSub},          {"/", Token::kDiv},
    {"*", Token::kMul},         {"%", Token::kMod},          {"~", Token::kTilde},
    {"[", Token::kLeftBracket}, {"]", Token::kRightBracket}, {"(", Token::kLeftParen},
    {")", Token::kRightParen},  {"{", Token::kLeftBrace},    {"}", Token::kRightBrace},
    {">", Token::kGt},          {"<", Token::kLt},           {"=", Token::kAssign},
    {".", Token::kDot},         {":", Token::kColon},        {"|", Token::kPipe},
    {",", Token::kComma},       {";", Token::kSemicolon},
}};

}  // namespace

std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

void Lexer::advance(size_t to) {
  for (; pos_ < to; ++pos_) {
    if (source_[pos_] != '\n') continue;
    ++line_;
    line_start_ = pos_ + 1;
  }
  line_starting_ = to > 0 && source_[to - 1] == '\n';
}

Lexeme Lexer::make(Token type, size_t begin, size_t end) {
  Lexeme out{type, source_.substr(begin, end - begin), line_,
             static_cast<uint32_t>(begin - line_start_ + 1)};
  advance(end);
  return out;
}

Lexeme Lexer::fail(std::string message) {
  if (error_.empty()) error_ = std::move(message);
  return Lexeme{Token::kEnd, {}, line_, column()};
}

Lexeme Lexer::next() {
  if (failed()) return Lexeme{Token::kEnd, {}, line_, column()};
  if (have_pending_) {
    have_pending_ = false;
    state_ = pending_ == Token::kVariableBegin ? State::kVariable : State::kBlock;
    return make(pending_, pos_, pending_end_);
  }
  return state_ == State::kText ? text() : code();
}

// The data before a tag, as its sign ('-', '+' or none) and lstrip_blocks leave it.
std::string_view Lexer::trimmed_before_tag(size_t begin, size_t end, char sign,
                                           bool variable) const {
  std::string_view data = source_.substr(begin, end - begin);
  if (sign == '-') return strip_right(data);
  if (sign == '+' || variable) return data;
  size_t newline = data.rfind('\n');
  size_t line = newline == data.npos ? 0 : newline + 1;
  if (line == 0 && !line_starting_) return data;
  if (skip_space(data, line) == data.size()) return data.substr(0, line);
  return data;
}

// `{% raw %}` or `{% endraw %}` at `at`: its end, or 0. `strip` tells of a closing '-'.
size_t Lexer::match_raw_tag(size_t at, std::string_view name, bool& strip) const {
  size_t pos = at + 2;
  if (pos < source_.size() && (source_[pos] == '-' || source_[pos] == '+')) ++pos;
  pos = skip_space(source_, pos);
  if (!source_.substr(pos).starts_with(name)) return 0;
  pos = skip_space(source_, pos + name.size());
  strip = false;
  if (source_.substr(pos).starts_with("-%}")) {
    strip = true;
    return pos + 3;
  }
  if (name == "endraw" && source_.substr(pos).starts_with("+%}")) return pos + 3;
  return source_.substr(pos).starts_with("%}") ? pos + 2 : 0;
}

Lexeme Lexer::text() {
  while (true) {
    if (pos_ >= source_.size()) return Lexeme{Token::kEnd, {}, line_, column()};
    size_t tag = pos_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == source_.npos || tag + 1 >= source_.size())
        return make(Token::kData, pos_, source_.size());
      char c = source_[tag + 1];
      if (c == '%' || c == '{' || c == '#') break;
      ++tag;
    }
    size_t begin = pos_, after = tag + 2;
    char sign = after < source_.size() ? source_[after] : 0;
    if (sign == '-' || sign == '+') ++after;
    char kind = source_[tag + 1];
    std::string_view data = trimmed_before_tag(begin, tag, sign, kind == '{');
    bool strip = false;
    size_t raw_end = kind == '%' ? match_raw_tag(tag, "raw", strip) : 0;
    Lexeme out{Token::kData, data, line_, column()};
    advance(tag);
    if (raw_end) {
      if (!data.empty()) {
        // The raw tag is read again at the next call, with nothing before it.
        return out;
      }
      return raw(strip ? skip_space(source_, raw_end) : raw_end);
    }
    if (kind == '#') {
      advance(after);
      if (!skip_comment()) return fail("a comment is not closed; it needs #}");
      if (!data.empty()) return out;
      continue;
    }
    pending_ = kind == '{' ? Token::kVariableBegin : Token::kBlockBegin;
    pending_end_ = after;
    if (data.empty()) {
      state_ = kind == '{' ? State::kVariable : State::kBlock;
      return make(pending_, tag, after);
    }
    have_pending_ = true;
    return out;
  }
}

bool Lexer::skip_comment() {
  size_t close = source_.find("#}", pos_);
  if (close == source_.npos) return false;
  char sign = close > pos_ ? source_[close - 1] : 0;
  size_t end = close + 2;
  if (sign == '-') {
    end = skip_space(source_, end);
  } else if (sign != '+' && end < source_.size() && source_[end] == '\n') {
    ++end;
  }
  advance(end);
  return true;
}

Lexeme Lexer::raw(size_t tag_end) {
  advance(tag_end);
  for (size_t tag = source_.find("{%", pos_); tag != source_.npos;
       tag = source_.find("{%", tag + 1)) {
    bool strip = false;
    size_t end = match_raw_tag(tag, "endraw", strip);
    if (!end) continue;
    Lexeme out{Token::kData, trimmed_before_tag(pos_, tag, source_[tag + 2], false), line_,
               column()};
    bool keep = source_[end - 3] == '+';
    if (strip) {
      end = skip_space(source_, end);
    } else if (!keep && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    advance(end);
    return out;
  }
  return fail("a raw block is not closed; it needs {% endraw %}");
}

bool Lexer::close_tag(Lexeme& out) {
  if (!brackets_.empty()) return false;
  std::string_view rest = source_.substr(pos_);
  bool block = state_ == State::kBlock;
  std::string_view mark = block ? "%}" : "}}";
  size_t end = pos_ + 2;
  if (rest.starts_with("-") && rest.substr(1).starts_with(mark)) {
    end = skip_space(source_, pos_ + 3);
  } else if (block && rest.starts_with("+%}")) {
    end = pos_ + 3;
  } else if (rest.starts_with(mark)) {
    if (block && end < source_.size() && source_[end] == '\n') ++end;
  } else {
    return false;
  }
  state_ = State::kText;
  out = make(block ? Token::kBlockEnd : Token::kVariableEnd, pos_, end);
  return true;
}

// End of the number at pos_; pos_ itself when there is none. A digit after a dot is never a
// fraction, so that a.0.1 is two subscripts.
size_t Lexer::number_end(bool& real) const {
  std::string_view s = source_;
  real = false;
  size_t start = pos_;
  if (!is_digit(s[start])) return start;
  if (s[start] == '0' && start + 1 < s.size()) {
    char c = static_cast<char>(s[start + 1] | 0x20);
    auto fits = [&](char d) {
      d = static_cast<char>(d | 0x20);
      if (c == 'b') return d == '0' || d == '1';
      if (c == 'o') return d >= '0' && d <= '7';
      return c == 'x' && (is_digit(d) || (d >= 'a' && d <= 'f'));
    };
    size_t end = start + 2;
    while (end < s.size() &&
           (fits(s[end]) || (s[end] == '_' && end + 1 < s.size() && fits(s[end + 1]))))
      ++end;
    if (end > start + 2) return end;
  }
  size_t whole = skip_digits(s, start), end = whole;
  bool after_dot = start > 0 && s[start - 1] == '.';
  if (!after_dot) {
    if (end + 1 < s.size() && s[end] == '.' && is_digit(s[end + 1])) {
      end = skip_digits(s, end + 1);
      real = true;
    }
    if (end < s.size() && (s[end] == 'e' || s[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < s.size() && (s[exponent] == '+' || s[exponent] == '-')) ++exponent;
      if (exponent < s.size() && is_digit(s[exponent])) {
        end = skip_digits(s, exponent);
        real = true;
      }
    }
    if (real) return end;
  }
  if (s[start] != '0') return whole;
  end = start + 1;  // 0 or 00_0, but not 012
  while (end < whole && (s[end] == '0' || (s[end] == '_' && end + 1 < whole && s[end + 1] == '0')))
    ++end;
  return end;
}

Lexeme Lexer::code() {
  advance(skip_space(source_, pos_));
  if (pos_ >= source_.size()) return Lexeme{Token::kEnd, {}, line_, column()};
  Lexeme out;
  if (close_tag(out)) return out;
  bool real;
  if (size_t end = number_end(real); end > pos_)
    return make(real ? Token::kFloat : Token::kInteger, pos_, end);
  char c = source_[pos_];
  if (c == '\'' || c == '"') {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != c) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail("a string is not closed");
    return make(Token::kString, pos_, end + 1);
  }
  size_t end = pos_, at = pos_;
  if (is_identifier_start(next_code_point(source_, at))) {
    do end = at;
    while (at < source_.size() && is_identifier_part(next_code_point(source_, at)));
    return make(Token::kName, pos_, end);
  }
  for (const Operator& op : kOperators) {
    if (!source_.substr(pos_).starts_with(op.text)) continue;
    if (c == '(' || c == '[' || c == '{') {
      brackets_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) return fail(std::string("unexpected '") + c + "'");
      if (brackets_.back() != c)
        return fail(std::string("unexpected '") + c + "', expected '" + brackets_.back() + "'");
      brackets_.pop_back();
    }
    return make(op.type, pos_, pos_ + op.text.size());
  }
  return fail("unexpected character '" +
              std::string(source_.substr(pos_, char_bytes(source_, pos_))) + "'");
}

bool unescape(std::string_view quoted, std::string& out) {
  std::string_view s = quoted.substr(1, quoted.size() - 2);
  auto hex = [&](size_t at, size_t n, char32_t& value) {
    value = 0;
    for (size_t i = 0; i < n; ++i) {
      if (at + i >= s.size()) return false;
      char c = static_cast<char>(s[at + i] | 0x20);
      if (!is_digit(s[at + i]) && (c < 'a' || c > 'f')) return false;
      value =
          value * 16 + static_cast<char32_t>(is_digit(s[at + i]) ? s[at + i] - '0' : c - 'a' + 10);
    }
    return value < 0x110000 && (value < 0xD800 || value > 0xDFFF);
  };
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 >= s.size()) {
      out += s[i];
      continue;
    }
    char c = s[++i];
    char32_t value = 0;
    static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    if (size_t at = kFrom.find(c); at != kFrom.npos) {
      out += kTo[at];
    } else if (c == '\n') {
      // an escaped line break is nothing
    } else if (c == 'x' || c == 'u' || c == 'U') {
      size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      if (!hex(i + 1, n, value)) return false;
      append_code_point(out, value);
      i += n;
    } else if (c >= '0' && c <= '7') {
      size_t n = 0;
      for (; n < 3 && i + n < s.size() && s[i + n] >= '0' && s[i + n] <= '7'; ++n)
        value = value * 8 + static_cast<char32_t>(s[i + n] - '0');
      append_code_point(out, value);
      i += n - 1;
    } else if (c == 'N') {
      return false;
    } else {
      out += '\\';
      out += c;
    }
  }
  return true;
}

}  // namespace xh::jinja

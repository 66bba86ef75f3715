// Template text → tokens, with Jinja's white space control and its defaults in transformers:
// trim_blocks and lstrip_blocks on, the last line break dropped, \r\n and \r read as \n.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace xh::jinja {

enum class Token : uint8_t {
  kEnd,
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kTilde,
  kLeftBracket,
  kRightBracket,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kEq,
  kNe,
  kGt,
  kGe,
  kLt,
  kLe,
  kAssign,
  kDot,
  kColon,
  kPipe,
  kComma,
  kSemicolon,
};

struct Lexeme {
  Token type = Token::kEnd;
  std::string_view text;  // of the source; strings keep their quotes
  uint32_t line = 1, column = 1;
};

// Replaces \r\n and \r by \n and drops one line break at the end.
std::string normalize_source(std::string_view source);

// Reads one lexeme after another from a normalised source that outlives it.
class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}
  // kEnd at the end and after a failure.
  Lexeme next();
  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }
  uint32_t line() const { return line_; }
  uint32_t column() const { return static_cast<uint32_t>(pos_ - line_start_ + 1); }

 private:
  enum class State : uint8_t { kText, kVariable, kBlock };
  Lexeme text();
  Lexeme raw(size_t tag_end);
  Lexeme code();
  Lexeme make(Token type, size_t begin, size_t end);  // and moves past it
  Lexeme fail(std::string message);
  void advance(size_t to);
  std::string_view trimmed_before_tag(size_t begin, size_t end, char sign, bool variable) const;
  bool skip_comment();
  size_t number_end(bool& real) const;
  bool close_tag(Lexeme& out);
  size_t match_raw_tag(size_t at, std::string_view name, bool& strip) const;

  std::string_view source_;
  size_t pos_ = 0;
  size_t line_start_ = 0;
  uint32_t line_ = 1;
  State state_ = State::kText;
  bool line_starting_ = true;
  std::vector<char> brackets_;
  Token pending_ = Token::kEnd;  // the tag that ended the data just returned
  size_t pending_end_ = 0;
  bool have_pending_ = false;
  std::string error_;
};

// The value of a string token. False for a malformed escape.
bool unescape(std::string_view quoted, std::string& out);

}  // namespace xh::jinja

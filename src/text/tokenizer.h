// Text → token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace xh {

using TokenId = int32_t;

enum class TokenKind : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Everything a tokenizer needs, as plain data; engine/ fills it from model metadata.
struct TokenizerSpec {
  std::string model;  // "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE)
  std::string pre;    // pre-tokenizer name for byte-level BPE: "qwen2", "smollm", …
  std::vector<std::string> tokens;
  std::vector<float> scores;        // SentencePiece; may be empty
  std::vector<int32_t> kinds;       // TokenKind values; may be empty (all normal)
  std::vector<std::string> merges;  // "left right", in rank order (byte-level BPE)
  TokenId bos = -1, eos = -1, unknown = -1, pad = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = true;
  std::vector<TokenId> end_tokens;  // every token that ends a turn (eos, eot, eom …)
};

struct EncodeOptions {
  bool add_special = true;    // put bos/eos as the model asks
  bool parse_special = true;  // recognise control tokens written in the text
};

// Immutable after create(); safe from any thread. encode() is linear in the input's length.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);

  // Text is treated as bytes: invalid UTF-8 is encoded byte by byte, never refused.
  virtual std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const = 0;

  // The bytes a token stands for. Control tokens give "" unless `special` is set.
  // An id outside the vocabulary gives "".
  virtual std::string token_bytes(TokenId id, bool special = false) const = 0;
  // Text of a sequence: valid UTF-8, without the space that SentencePiece puts in front.
  std::string decode(std::span<const TokenId> ids, bool special = false) const;
  // The same before broken characters are replaced.
  std::string decode_bytes(std::span<const TokenId> ids, bool special = false) const;
  // Takes the space that encode() puts before a text off the bytes of its first token.
  void strip_leading_space(std::string& bytes, TokenId id) const;

  const TokenizerSpec& spec() const { return spec_; }
  int32_t vocab_size() const { return static_cast<int32_t>(spec_.tokens.size()); }
  bool is_end(TokenId id) const;
  // The id of a token by its exact stored text, or -1.
  virtual TokenId find(std::string_view token) const = 0;

 protected:
  explicit Tokenizer(TokenizerSpec spec) : spec_(std::move(spec)) {}
  TokenizerSpec spec_;
};

// Turns a token stream into text a piece at a time; holds back bytes of an unfinished UTF-8
// character, and replaces bytes that can never become valid with U+FFFD. One per stream.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool special = false)
      : tokenizer_(&tokenizer), special_(special) {}
  std::string push(TokenId id);  // text that is complete now; may be empty
  std::string finish();          // what was held back, made valid

 private:
  const Tokenizer* tokenizer_;
  bool special_;
  bool first_ = true;
  std::string pending_;
};

}  // namespace xh

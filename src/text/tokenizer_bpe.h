// Byte-level BPE ("gpt2" in GGUF): text → words (pre_tokenizer.h) → bytes → merges by rank.
// In the file, a token's bytes are written in a printable alphabet of 256 characters.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "text/bpe_merge.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_index.h"

namespace xh {

class BpeTokenizer final : public Tokenizer {
 public:
  // `spec` has passed check_tokenizer_spec().
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override;
  std::string token_bytes(TokenId id, bool special) const override;
  TokenId find(std::string_view token) const override;

 private:
  struct Encoding;  // the state of one encode()

  BpeTokenizer(TokenizerSpec spec, const PreTokenizerRule& rule);
  void index_tokens();
  struct MergeTokens {
    TokenId left = -1, right = -1, both = -1;  // -1: no token of this vocabulary
  };
  // False when the line is not two tokens with a space between.
  bool find_merge(std::string_view line, MergeTokens& out) const;
  Result<void> read_merges();
  void encode_text(std::string_view text, Encoding& to) const;
  void encode_word(std::string_view word, Encoding& to) const;

  const PreTokenizerRule& rule_;
  TokenIndex index_;
  SpecialTokens specials_;      // control and user-defined tokens
  SpecialTokens user_defined_;  // only the latter
  MergeTable merges_;
  std::array<TokenId, 256> byte_ids_{};
  // What is known of a token whose bytes are a word: 0 nothing yet, 1 merging gives the token
  // itself, 2 it gives something else. Facts of the vocabulary, found on first use.
  mutable std::unique_ptr<std::atomic<uint8_t>[]> whole_;
};

}  // namespace xh

// SentencePiece BPE ("llama" in GGUF): spaces become U+2581, characters merge by the score of
// what they make, what no token covers falls back to byte tokens <0xXX>.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "text/bpe_merge.h"
#include "text/tokenizer.h"
#include "text/tokenizer_index.h"

namespace xh {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  // `spec` has passed check_tokenizer_spec().
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override;
  std::string token_bytes(TokenId id, bool special) const override;
  TokenId find(std::string_view token) const override;

 private:
  struct Encoding;  // the state of one encode()

  explicit SentencePieceTokenizer(TokenizerSpec spec) : Tokenizer(std::move(spec)) {}
  void index_tokens();
  void derive_merges();
  void encode_text(std::string_view text, Encoding& to) const;
  void encode_run(std::string_view text, Encoding& to) const;
  void encode_word(std::string_view word, Encoding& to) const;
  void emit(TokenId symbol, Encoding& to) const;
  TokenId symbol_of(std::string_view text, size_t pos, size_t size) const;

  TokenIndex index_;  // stored texts; normal and user-defined tokens are findable
  SpecialTokens control_;
  SpecialTokens user_defined_;  // with spaces written as U+2581
  MergeTable merges_;
  std::array<TokenId, 256> byte_ids_{};
  bool words_ = false;  // no token has U+2581 after another character: text can be cut there
};

}  // namespace xh

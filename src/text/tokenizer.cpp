#include "text/tokenizer.h"

#include <algorithm>

#include "text/sentencepiece.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_spec.h"

namespace xh {

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  XH_TRY_VOID(check_tokenizer_spec(spec));
  if (spec.model == "llama") return SentencePieceTokenizer::create(std::move(spec));
  return BpeTokenizer::create(std::move(spec));
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool special) const {
  Detokenizer detokenizer(*this, special);
  std::string out;
  for (const TokenId id : ids) out += detokenizer.push(id);
  return out + detokenizer.finish();
}

std::string Tokenizer::decode_bytes(std::span<const TokenId> ids, bool special) const {
  std::string out;
  bool first = true;
  for (const TokenId id : ids) {
    std::string bytes = token_bytes(id, special);
    if (bytes.empty()) continue;
    if (first) strip_leading_space(bytes, id);
    first = false;
    out += bytes;
  }
  return out;
}

void Tokenizer::strip_leading_space(std::string& bytes, TokenId id) const {
  // Only what encode() put there; a byte token <0x20> is text.
  if (spec_.model != "llama" || !spec_.add_space_prefix || bytes.empty() || bytes[0] != ' ') return;
  const std::string& stored = spec_.tokens[static_cast<size_t>(id)];
  if (stored.starts_with("\xE2\x96\x81")) bytes.erase(0, 1);
}

bool Tokenizer::is_end(TokenId id) const {
  return id >= 0 && (id == spec_.eos || std::find(spec_.end_tokens.begin(), spec_.end_tokens.end(),
                                                  id) != spec_.end_tokens.end());
}

}  // namespace xh

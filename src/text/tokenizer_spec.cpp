#include "text/tokenizer_spec.h"

#include <cmath>

namespace xh {
namespace {

constexpr const char* kConvertAgain = "the file is damaged; fetch or convert the model again";

std::string at(const char* field, size_t i) {
  return "tokenizer.ggml." + std::string(field) + "[" + std::to_string(i) + "]";
}

Result<void> check_count(const char* field, size_t count, size_t limit) {
  if (count <= limit) return {};
  return fail(ErrorCode::kTooLarge,
              std::to_string(count) + " entries, the limit is " + std::to_string(limit),
              "tokenizer.ggml." + std::string(field), kConvertAgain);
}

Result<void> check_per_token(const char* field, size_t count, size_t tokens) {
  if (count == 0 || count == tokens) return {};
  return fail(ErrorCode::kCorrupt,
              std::to_string(count) + " entries for " + std::to_string(tokens) + " tokens",
              "tokenizer.ggml." + std::string(field), kConvertAgain);
}

Result<void> check_id(const char* field, TokenId id, size_t tokens) {
  if (id >= -1 && (id < 0 || static_cast<size_t>(id) < tokens)) return {};
  return fail(ErrorCode::kCorrupt,
              "id " + std::to_string(id) + " is outside the vocabulary of " +
                  std::to_string(tokens) + " tokens",
              "tokenizer.ggml." + std::string(field), kConvertAgain);
}

Result<void> check_tokens(const TokenizerSpec& spec) {
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (!spec.kinds.empty() && (spec.kinds[i] < 0 || spec.kinds[i] > 6))
      return fail(ErrorCode::kCorrupt, "unknown kind " + std::to_string(spec.kinds[i]),
                  at("token_type", i), kConvertAgain);
    const TokenKind kind = token_kind(spec, static_cast<TokenId>(i));
    const bool special = kind == TokenKind::kControl || kind == TokenKind::kUserDefined;
    const size_t limit = special ? kMaxSpecialBytes : kMaxTokenBytes;
    if (spec.tokens[i].size() > limit)
      return fail(ErrorCode::kTooLarge,
                  "a token of " + std::to_string(spec.tokens[i].size()) + " bytes, the limit is " +
                      std::to_string(limit),
                  at("tokens", i), kConvertAgain);
    if (!spec.scores.empty() && std::isnan(spec.scores[i]))
      return fail(ErrorCode::kCorrupt, "the score is not a number", at("scores", i), kConvertAgain);
  }
  return {};
}

}  // namespace

Result<void> check_tokenizer_spec(const TokenizerSpec& spec) {
  if (spec.model != "gpt2" && spec.model != "llama")
    return fail(ErrorCode::kUnsupported,
                "unknown tokenizer model \"" + printable(spec.model) + "\"", "tokenizer.ggml.model",
                "known are: gpt2 (byte-level BPE), llama (SentencePiece BPE)");
  const size_t n = spec.tokens.size();
  if (n == 0)
    return fail(ErrorCode::kCorrupt, "the vocabulary is empty", "tokenizer.ggml.tokens",
                kConvertAgain);
  XH_TRY_VOID(check_count("tokens", n, kMaxTokens));
  XH_TRY_VOID(check_count("merges", spec.merges.size(), kMaxMerges));
  XH_TRY_VOID(check_per_token("token_type", spec.kinds.size(), n));
  XH_TRY_VOID(check_per_token("scores", spec.scores.size(), n));
  XH_TRY_VOID(check_id("bos_token_id", spec.bos, n));
  XH_TRY_VOID(check_id("eos_token_id", spec.eos, n));
  XH_TRY_VOID(check_id("unknown_token_id", spec.unknown, n));
  XH_TRY_VOID(check_id("padding_token_id", spec.pad, n));
  for (const TokenId id : spec.end_tokens) XH_TRY_VOID(check_id("eot_token_id", id, n));
  for (size_t i = 0; i < spec.merges.size(); ++i)
    if (spec.merges[i].size() > 2 * kMaxTokenBytes)
      return fail(ErrorCode::kTooLarge, "a merge longer than two tokens can be", at("merges", i),
                  kConvertAgain);
  return check_tokens(spec);
}

TokenKind token_kind(const TokenizerSpec& spec, TokenId id) {
  if (spec.kinds.empty()) return TokenKind::kNormal;
  const int32_t kind = spec.kinds[static_cast<size_t>(id)];
  return kind == 0 ? TokenKind::kNormal : static_cast<TokenKind>(kind);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) out.push_back(c >= 32 && c < 127 ? c : '?');
  if (text.size() > 40) out += "...";
  return out;
}

}  // namespace xh

#include "engine/tokenizer_metadata.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>

namespace xh {
namespace {

// Published by the makers of the models; each ends an assistant's turn or a document, whatever the
// file's own end token says.
constexpr std::string_view kEndTexts[] = {"<|im_end|>",
                                          "<|eot_id|>",
                                          "<|eom_id|>",
                                          "<|endoftext|>",
                                          "<|end_of_text|>",
                                          "<end_of_turn>",
                                          "<|end|>",
                                          "<|eot|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "</s>",
                                          "<eos>",
                                          "<｜end▁of▁sentence｜>",
                                          "<|end_of_turn|>",
                                          "<|END_OF_TURN_TOKEN|>",
                                          "<|endofturn|>",
                                          "<|end_of_msg|>",
                                          "<seed:eos>",
                                          "[e~[",
                                          "<|user|>",
                                          "<|observation|>"};

bool is_special(int32_t kind) {
  return kind == static_cast<int32_t>(TokenKind::kControl) ||
         kind == static_cast<int32_t>(TokenKind::kUserDefined);
}

std::string key_of(std::string_view field) {
  return "tokenizer.ggml." + std::string(field);
}

// -1 when absent.
Result<TokenId> token_id(const Metadata& metadata, std::string_view field) {
  const std::string key = key_of(field);
  XH_TRY(const int64_t id, metadata.get_int_or(key, -1));
  // Some converters write "none" as the largest 32-bit value.
  if (id == std::numeric_limits<uint32_t>::max()) return -1;
  if (id < -1 || id > std::numeric_limits<TokenId>::max())
    return fail(ErrorCode::kCorrupt, std::to_string(id) + " cannot be a token", key,
                "convert the model again");
  return static_cast<TokenId>(id);
}

void add_end(TokenizerSpec& spec, TokenId id) {
  if (id >= 0 && std::ranges::find(spec.end_tokens, id) == spec.end_tokens.end())
    spec.end_tokens.push_back(id);
}

Result<void> find_end_tokens(const Metadata& metadata, TokenizerSpec& spec) {
  add_end(spec, spec.eos);
  for (const char* field : {"eot_token_id", "eom_token_id"}) {
    XH_TRY(const TokenId id, token_id(metadata, field));
    add_end(spec, id);
  }
  const size_t n = std::min(spec.tokens.size(), spec.kinds.size());
  for (size_t i = 0; i < n; ++i)
    if (is_special(spec.kinds[i]) &&
        std::ranges::find(kEndTexts, spec.tokens[i]) != std::end(kEndTexts))
      add_end(spec, static_cast<TokenId>(i));
  return {};
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec(const Metadata& metadata) {
  TokenizerSpec spec;
  XH_TRY(spec.model, metadata.get_string(key_of("model")));
  XH_TRY(spec.pre, metadata.get_string_or(key_of("pre"), "default"));
  const auto* tokens = metadata.strings(key_of("tokens"));
  if (tokens == nullptr)
    return fail(ErrorCode::kNotFound, "the file has no vocabulary", key_of("tokens"),
                "use a file that was converted with its tokenizer");
  spec.tokens = *tokens;
  for (double score : metadata.floats(key_of("scores")))
    spec.scores.push_back(static_cast<float>(score));
  for (int64_t kind : metadata.ints(key_of("token_type")))
    spec.kinds.push_back(static_cast<int32_t>(std::clamp<int64_t>(kind, -1, 1 << 20)));
  if (const auto* merges = metadata.strings(key_of("merges"))) spec.merges = *merges;

  XH_TRY(spec.bos, token_id(metadata, "bos_token_id"));
  XH_TRY(spec.eos, token_id(metadata, "eos_token_id"));
  XH_TRY(spec.unknown, token_id(metadata, "unknown_token_id"));
  XH_TRY(spec.pad, token_id(metadata, "padding_token_id"));
  // SentencePiece models begin with bos and a space unless their file says otherwise; Llama 3 too
  // begins with bos.
  const bool sentencepiece = spec.model == "llama";
  XH_TRY(spec.add_bos,
         metadata.get_bool_or(key_of("add_bos_token"), sentencepiece || spec.pre == "llama-bpe"));
  XH_TRY(spec.add_eos, metadata.get_bool_or(key_of("add_eos_token"), false));
  XH_TRY(spec.add_space_prefix, metadata.get_bool_or(key_of("add_space_prefix"), sentencepiece));
  if (spec.bos < 0) spec.add_bos = false;
  if (spec.eos < 0) spec.add_eos = false;
  XH_TRY_VOID(find_end_tokens(metadata, spec));
  return spec;
}

}  // namespace xh

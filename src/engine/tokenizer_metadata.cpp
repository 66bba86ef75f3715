#include "engine/tokenizer_metadata.h"

#include <algorithm>
#include <array>

namespace xh {
namespace {

// Control tokens that end a turn in some family, whatever the file's own end token says.
constexpr std::array<std::string_view, 14> kTurnEnds = {"<|im_end|>",     "<|eot_id|>",
                                                        "<|eom_id|>",     "<|end|>",
                                                        "<|endoftext|>",  "<end_of_turn>",
                                                        "<|return|>",     "<|call|>",
                                                        "<seed:eos>",     "[e~[",
                                                        "<|user|>",       "<|observation|>",
                                                        "<|end_of_msg|>", "<｜end▁of▁sentence｜>"};

bool is_control(const TokenizerSpec& spec, size_t id) {
  return id < spec.kinds.size() &&
         (spec.kinds[id] == static_cast<int32_t>(TokenKind::kControl) ||
          spec.kinds[id] == static_cast<int32_t>(TokenKind::kUserDefined));
}

Result<TokenId> token_id(const Metadata& meta, const std::string& name, size_t vocab) {
  const std::string key = "tokenizer.ggml." + name;
  XH_TRY(int64_t id, meta.get_int_or(key, -1));
  if (id < -1 || id >= static_cast<int64_t>(vocab))
    return fail(ErrorCode::kCorrupt, "names a token outside the vocabulary", key);
  return static_cast<TokenId>(id);
}

void add_end(TokenizerSpec& spec, TokenId id) {
  if (id >= 0 && std::ranges::find(spec.end_tokens, id) == spec.end_tokens.end())
    spec.end_tokens.push_back(id);
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec(const Metadata& meta) {
  const std::string p = "tokenizer.ggml.";
  TokenizerSpec spec;
  XH_TRY(spec.model, meta.get_string(p + "model"));
  XH_TRY(spec.pre, meta.get_string_or(p + "pre", "default"));
  const auto* tokens = meta.strings(p + "tokens");
  if (tokens == nullptr)
    return fail(ErrorCode::kNotFound, "the file has no vocabulary", p + "tokens",
                "use a model file that holds its tokenizer");
  spec.tokens = *tokens;
  for (double score : meta.floats(p + "scores")) spec.scores.push_back(static_cast<float>(score));
  for (int64_t kind : meta.ints(p + "token_type"))
    spec.kinds.push_back(static_cast<int32_t>(std::clamp<int64_t>(kind, 0, 255)));
  if (const auto* merges = meta.strings(p + "merges")) spec.merges = *merges;

  const size_t vocab = spec.tokens.size();
  XH_TRY(spec.bos, token_id(meta, "bos_token_id", vocab));
  XH_TRY(spec.eos, token_id(meta, "eos_token_id", vocab));
  XH_TRY(spec.unknown, token_id(meta, "unknown_token_id", vocab));
  XH_TRY(spec.pad, token_id(meta, "padding_token_id", vocab));
  const bool sentencepiece = spec.model == "llama";
  XH_TRY(spec.add_bos,
         meta.get_bool_or(p + "add_bos_token", sentencepiece || spec.pre == "llama-bpe"));
  XH_TRY(spec.add_eos, meta.get_bool_or(p + "add_eos_token", false));
  XH_TRY(spec.add_space_prefix, meta.get_bool_or(p + "add_space_prefix", sentencepiece));

  add_end(spec, spec.eos);
  for (const char* name : {"eot_token_id", "eom_token_id"}) {
    XH_TRY(TokenId id, token_id(meta, name, vocab));
    add_end(spec, id);
  }
  for (size_t id = 0; id < vocab; ++id)
    if (is_control(spec, id) && std::ranges::find(kTurnEnds, spec.tokens[id]) != kTurnEnds.end())
      add_end(spec, static_cast<TokenId>(id));
  return spec;
}

}  // namespace xh

// Llama and what shares its shape (SmolLM2, Mistral, Yi, DeepSeek LLM, Seed-Coder …). GGUF stores Q
// and K permuted so that rotation pairs are neighbours.
#include "model/families/families.h"

namespace xh {

Result<ModelSpec> llama_spec(const ModelFile& file) {
  XH_TRY(ModelSpec spec, read_plain_spec(file, /*interleaved_rope=*/true));
  XH_TRY(int64_t experts, file.metadata().get_int_or("llama.expert_count", 0));
  if (experts > 0)
    return fail(ErrorCode::kUnsupported, "mixture-of-experts models of this family are not known",
                file.path());
  // Mistral 7B of 2023: every layer sees the last so many positions.
  constexpr int64_t kLongest = 1 << 26;
  XH_TRY(int64_t window, file.metadata().get_int_or("llama.attention.sliding_window", 0));
  if (window < 0 || window > kLongest)
    return fail(ErrorCode::kCorrupt, "value " + std::to_string(window) + " is out of range",
                "llama.attention.sliding_window");
  for (auto& layer : spec.layers) {
    layer.attention.window = static_cast<int32_t>(window);
    layer.attention.bias_qkv = file.find("blk.0.attn_q.bias") != nullptr;
    layer.attention.bias_out = file.find("blk.0.attn_output.bias") != nullptr;
  }
  return spec;
}

}  // namespace xh

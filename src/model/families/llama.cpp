// Llama and what shares its shape (SmolLM2, Yi, DeepSeek LLM, Seed-Coder …). GGUF stores Q and K
// permuted so that rotation pairs are neighbours.
#include "model/families/families.h"

namespace xh {

Result<ModelSpec> llama_spec(const ModelFile& file) {
  XH_TRY(ModelSpec spec, read_plain_spec(file, /*interleaved_rope=*/true));
  XH_TRY(int64_t experts, file.metadata().get_int_or("llama.expert_count", 0));
  if (experts > 0)
    return fail(ErrorCode::kUnsupported, "mixture-of-experts models of this family are not known",
                file.path());
  for (auto& layer : spec.layers) {
    layer.attention.bias_qkv = file.find("blk.0.attn_q.bias") != nullptr;
    layer.attention.bias_out = file.find("blk.0.attn_output.bias") != nullptr;
  }
  return spec;
}

}  // namespace xh

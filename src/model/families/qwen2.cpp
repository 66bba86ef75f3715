// Qwen 1.5, 2, 2.5, QwQ and the R1 distillations on them: biases on q, k, v; half-split rotation.
#include "model/families/families.h"

namespace xh {

Result<ModelSpec> qwen2_spec(const ModelFile& file) {
  XH_TRY(ModelSpec spec, read_plain_spec(file, /*interleaved_rope=*/false));
  for (auto& layer : spec.layers) layer.attention.bias_qkv = true;
  return spec;
}

}  // namespace xh

// Qwen 3 (dense): no biases, RMSNorm on each query and key head before rotation.
#include "model/families/families.h"

namespace xh {

Result<ModelSpec> qwen3_spec(const ModelFile& file) {
  XH_TRY(ModelSpec spec, read_plain_spec(file, /*interleaved_rope=*/false));
  for (auto& layer : spec.layers) layer.attention.qk_norm = QkNorm::kPerHead;
  return spec;
}

}  // namespace xh

#include "tensor/formats/q8_0.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ8_0& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

}  // namespace xh

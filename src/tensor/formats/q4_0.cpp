#include "tensor/formats/q4_0.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ4_0& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

}  // namespace xh

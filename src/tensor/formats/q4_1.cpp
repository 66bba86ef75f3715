#include "tensor/formats/q4_1.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ4_1& block, float* out) {
  const float d = fp16_to_float(block.d);
  const float m = fp16_to_float(block.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

}  // namespace xh

#include "tensor/formats/q5_0.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ5_0& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int i = 0; i < 32; ++i) {
    const int low = i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
    const int high = (block.qh[i / 8] >> (i % 8)) & 1;
    out[i] = d * static_cast<float>((low | high << 4) - 16);
  }
}

}  // namespace xh

#include "tensor/formats/q6_k.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ6_K& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int group = 0; group < 8; ++group) {
    const int half = group / 4;
    const int g = group % 4;
    const uint8_t* ql = block.ql + 64 * half + 32 * (g % 2);
    const uint8_t* qh = block.qh + 32 * half;
    for (int i = 0; i < 32; ++i) {
      const float scale = d * static_cast<float>(block.scales[2 * group + i / 16]);
      const int q = ((ql[i] >> (g / 2 * 4)) & 15) | ((qh[i] >> (2 * g)) & 3) << 4;
      out[32 * group + i] = scale * static_cast<float>(q - 32);
    }
  }
}

}  // namespace xh

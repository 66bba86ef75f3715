#include "tensor/formats/q2_k.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ2_K& block, float* out) {
  const float d = fp16_to_float(block.d);
  const float dmin = fp16_to_float(block.dmin);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(block.scales[j] & 15);
    const float min = dmin * static_cast<float>(block.scales[j] >> 4);
    const uint8_t* qs = block.qs + j / 8 * 32 + j % 2 * 16;
    const int shift = j / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i)
      out[16 * j + i] = scale * static_cast<float>((qs[i] >> shift) & 3) - min;
  }
}

}  // namespace xh

#include "tensor/formats/q3_k.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockQ3_K& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int j = 0; j < 16; ++j) {
    const int low = (block.scales[j % 8] >> (j < 8 ? 0 : 4)) & 15;
    const int high = (block.scales[8 + j % 4] >> (j / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* qs = block.qs + j / 8 * 32 + j % 2 * 16;
    const uint8_t* hmask = block.hmask + j % 2 * 16;
    const int shift = j / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      const int q = ((qs[i] >> shift) & 3) | ((hmask[i] >> (j / 2)) & 1) << 2;
      out[16 * j + i] = scale * static_cast<float>(q - 4);
    }
  }
}

}  // namespace xh

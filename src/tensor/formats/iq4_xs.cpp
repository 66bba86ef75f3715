#include "tensor/formats/iq4_xs.h"

#include "tensor/float16.h"
#include "tensor/formats/iq4_nl.h"

namespace xh {

void decode_block(const BlockIQ4_XS& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int j = 0; j < 8; ++j) {
    const int low = (block.scales_l[j / 2] >> (j % 2 * 4)) & 15;
    const int high = (block.scales_h >> (2 * j)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const uint8_t* qs = block.qs + 16 * j;
    for (int i = 0; i < 16; ++i) {
      out[32 * j + i] = scale * static_cast<float>(kIq4Table[qs[i] & 15]);
      out[32 * j + 16 + i] = scale * static_cast<float>(kIq4Table[qs[i] >> 4]);
    }
  }
}

}  // namespace xh

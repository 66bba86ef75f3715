#include "tensor/formats/q5_k.h"

#include "tensor/float16.h"
#include "tensor/formats/q4_k.h"

namespace xh {

void decode_block(const BlockQ5_K& block, float* out) {
  const float d = fp16_to_float(block.d);
  const float dmin = fp16_to_float(block.dmin);
  const ScalesAndMins sub = unpack_scales(block.scales);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(sub.scale[j]);
    const float min = dmin * static_cast<float>(sub.min[j]);
    const uint8_t* qs = block.qs + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int q = ((qs[i] >> shift) & 15) | ((block.qh[i] >> j) & 1) << 4;
      out[32 * j + i] = scale * static_cast<float>(q) - min;
    }
  }
}

}  // namespace xh

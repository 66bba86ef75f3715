#include "tensor/formats/q4_k.h"

#include "tensor/float16.h"

namespace xh {

ScalesAndMins unpack_scales(const uint8_t packed[12]) {
  ScalesAndMins out;
  for (int j = 0; j < 4; ++j) {
    out.scale[j] = packed[j] & 63;
    out.min[j] = packed[j + 4] & 63;
    out.scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | (packed[j] >> 6) << 4);
    out.min[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | (packed[j + 4] >> 6) << 4);
  }
  return out;
}

void pack_scales(const ScalesAndMins& in, uint8_t packed[12]) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(in.scale[j] | (in.scale[j + 4] >> 4) << 6);
    packed[j + 4] = static_cast<uint8_t>(in.min[j] | (in.min[j + 4] >> 4) << 6);
    packed[j + 8] = static_cast<uint8_t>((in.scale[j + 4] & 15) | (in.min[j + 4] & 15) << 4);
  }
}

void decode_block(const BlockQ4_K& block, float* out) {
  const float d = fp16_to_float(block.d);
  const float dmin = fp16_to_float(block.dmin);
  const ScalesAndMins sub = unpack_scales(block.scales);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(sub.scale[j]);
    const float min = dmin * static_cast<float>(sub.min[j]);
    const uint8_t* qs = block.qs + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i)
      out[32 * j + i] = scale * static_cast<float>((qs[i] >> shift) & 15) - min;
  }
}

}  // namespace xh

// Q4_K: 256 values in 144 bytes: 8 sub-blocks of 32 values, 4-bit with a minimum.
//   y = (d · scale) · q - dmin · min
// Sub-blocks 2c and 2c + 1 share qs[32c…32c+31]: low halves, then high halves.
// Scales and minimums are 6-bit, packed into 12 bytes (see unpack_scales).
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ4_K {
  uint16_t d;     // fp16 scale of the scales
  uint16_t dmin;  // fp16 scale of the minimums
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

// The packing that Q4_K and Q5_K share. For j < 4: the low six bits of packed[j] are scale j, those
// of packed[j + 4] are minimum j. Scale 4 + j has its low four bits in the low half of
// packed[j + 8] and its high two in the top bits of packed[j]; minimum 4 + j likewise in the high
// half of packed[j + 8] and the top bits of packed[j + 4].
struct ScalesAndMins {
  uint8_t scale[8];
  uint8_t min[8];
};
ScalesAndMins unpack_scales(const uint8_t packed[12]);
void pack_scales(const ScalesAndMins& in, uint8_t packed[12]);  // entries 0…63

void decode_block(const BlockQ4_K& block, float* out);  // out: 256 values

}  // namespace xh

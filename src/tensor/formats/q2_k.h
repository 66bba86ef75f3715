// Q2_K: 256 values in 84 bytes: 16 sub-blocks of 16 values, 2-bit with a minimum.
//   y = (d · scale) · q - dmin · min
// scales[j] holds the 4-bit scale (low) and minimum (high) of sub-block j, that is values
// 16j…16j+15. Values come in two halves of 128. Half h uses qs[32h…32h+31]; in it, value 32s + l (s
// 0…3, l 0…31) is in bits 2s, 2s+1 of byte l.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ2_K {
  uint8_t scales[16];  // scale | min << 4
  uint8_t qs[64];
  uint16_t d;     // fp16 scale of the scales
  uint16_t dmin;  // fp16 scale of the minimums
};
static_assert(sizeof(BlockQ2_K) == 84);

void decode_block(const BlockQ2_K& block, float* out);  // out: 256 values

}  // namespace xh

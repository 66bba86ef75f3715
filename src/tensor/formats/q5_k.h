// Q5_K: 256 values in 176 bytes: 8 sub-blocks of 32 values, 5-bit with a minimum.
//   y = (d · scale) · q - dmin · min
// Low four bits and scales lie as in Q4_K; bit j of qh[l] is the fifth bit of value l in sub-block
// j.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ5_K {
  uint16_t d;     // fp16 scale of the scales
  uint16_t dmin;  // fp16 scale of the minimums
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

void decode_block(const BlockQ5_K& block, float* out);  // out: 256 values

}  // namespace xh

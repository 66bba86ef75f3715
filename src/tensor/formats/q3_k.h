// Q3_K: 256 values in 110 bytes: 16 sub-blocks of 16 values, symmetric 3-bit.
//   y = (d · (scale - 32)) · (q - 4)
// The low two bits of the values lie as in Q2_K; bit j of hmask[l] is the third bit of value
// 32j + l. The 6-bit scale of sub-block j: low four bits in scales[j % 8] (low half for j < 8, else
// high half), high two bits in scales[8 + j % 4] at bit 2 (j / 4).
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;  // fp16 scale of the scales
};
static_assert(sizeof(BlockQ3_K) == 110);

void decode_block(const BlockQ3_K& block, float* out);  // out: 256 values

}  // namespace xh

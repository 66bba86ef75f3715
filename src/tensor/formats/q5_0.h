// Q5_0: 32 values in 22 bytes, symmetric 5-bit.  y = d · (q - 16)
// The low four bits lie as in Q4_0; bit i of qh (little-endian, 32 bits) is the fifth bit of value
// i.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ5_0 {
  uint16_t d;      // fp16 scale
  uint8_t qh[4];   // fifth bits
  uint8_t qs[16];  // low four bits
};
static_assert(sizeof(BlockQ5_0) == 22);

void decode_block(const BlockQ5_0& block, float* out);  // out: 32 values

}  // namespace xh

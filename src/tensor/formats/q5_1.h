// Q5_1: 32 values in 24 bytes, 5-bit with a minimum.  y = d · q + m
// The low four bits lie as in Q4_1; bit i of qh (little-endian, 32 bits) is the fifth bit of value
// i.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ5_1 {
  uint16_t d;      // fp16 scale
  uint16_t m;      // fp16 minimum
  uint8_t qh[4];   // fifth bits
  uint8_t qs[16];  // low four bits
};
static_assert(sizeof(BlockQ5_1) == 24);

void decode_block(const BlockQ5_1& block, float* out);  // out: 32 values

}  // namespace xh

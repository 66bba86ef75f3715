// Q4_1: 32 values in 20 bytes, 4-bit with a minimum.  y = d · q + m
// Byte i of qs holds value i in its low half and value i + 16 in its high half.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ4_1 {
  uint16_t d;      // fp16 scale
  uint16_t m;      // fp16 minimum
  uint8_t qs[16];  // 0…15
};
static_assert(sizeof(BlockQ4_1) == 20);

void decode_block(const BlockQ4_1& block, float* out);  // out: 32 values

}  // namespace xh

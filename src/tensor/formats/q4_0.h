// Q4_0: 32 values in 18 bytes, symmetric 4-bit.  y = d · (q - 8)
// Byte i of qs holds value i in its low half and value i + 16 in its high half.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ4_0 {
  uint16_t d;      // fp16 scale
  uint8_t qs[16];  // 0…15
};
static_assert(sizeof(BlockQ4_0) == 18);

void decode_block(const BlockQ4_0& block, float* out);  // out: 32 values

}  // namespace xh

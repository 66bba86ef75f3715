// Q8_0: 32 values in 34 bytes, symmetric 8-bit.  y = d · q
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ8_0 {
  uint16_t d;     // fp16 scale
  int8_t qs[32];  // -128…127
};
static_assert(sizeof(BlockQ8_0) == 34);

void decode_block(const BlockQ8_0& block, float* out);  // out: 32 values

}  // namespace xh

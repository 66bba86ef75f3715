// MXFP4 (OCP Microscaling): 32 values in 17 bytes, 4-bit floats (E2M1) under one power of two.
//   y = 2^(e - 128) · kMxfp4Table[q]     (the table holds twice the E2M1 value)
// Byte i of qs holds value i in its low half and value i + 16 in its high half.
#pragma once

#include <cstdint>

namespace xh {

constexpr int8_t kMxfp4Table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct BlockMXFP4 {
  uint8_t e;  // E8M0 scale: 2^(e - 127)
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

void decode_block(const BlockMXFP4& block, float* out);  // out: 32 values

}  // namespace xh

// Q6_K: 256 values in 210 bytes: 16 sub-blocks of 16 values, symmetric 6-bit, 8-bit scales.
//   y = (d · scale) · (q - 32)
// Values come in two halves of 128; each half has four groups g of 32 values (l = 0…31).
// Low four bits: ql[64h + 32 (g % 2) + l], low half for g < 2, else high half.
// High two bits: qh[32h + l] at bit 2g.
#pragma once

#include <cstdint>

namespace xh {

struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  // fp16 scale of the scales
};
static_assert(sizeof(BlockQ6_K) == 210);

void decode_block(const BlockQ6_K& block, float* out);  // out: 256 values

}  // namespace xh

// IQ4_XS: 256 values in 136 bytes: 8 sub-blocks of 32 values, the table of IQ4_NL, 6-bit scales.
//   y = (d · (scale - 32)) · kIq4Table[q]
// Sub-block j uses qs[16j…16j+15] laid out as in IQ4_NL. Its scale: low four bits in
// scales_l[j / 2] (low half for even j), high two bits in scales_h at bit 2j.
#pragma once

#include <cstdint>

namespace xh {

struct BlockIQ4_XS {
  uint16_t d;  // fp16 scale of the scales
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

void decode_block(const BlockIQ4_XS& block, float* out);  // out: 256 values

}  // namespace xh

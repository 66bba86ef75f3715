// IQ4_NL: 32 values in 18 bytes, 4-bit indices into a table of uneven steps.  y = d · table[q]
// Byte i of qs holds value i in its low half and value i + 16 in its high half.
#pragma once

#include <cstdint>

namespace xh {

// Steps are finer near zero, where weights are dense.
constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

struct BlockIQ4_NL {
  uint16_t d;  // fp16 scale
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

void decode_block(const BlockIQ4_NL& block, float* out);  // out: 32 values

}  // namespace xh

#include "tensor/formats/iq4_nl.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockIQ4_NL& block, float* out) {
  const float d = fp16_to_float(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kIq4Table[block.qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kIq4Table[block.qs[i] >> 4]);
  }
}

}  // namespace xh

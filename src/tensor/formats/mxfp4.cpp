#include "tensor/formats/mxfp4.h"

#include "tensor/float16.h"

namespace xh {

void decode_block(const BlockMXFP4& block, float* out) {
  const float d = e8m0_half_to_float(block.e);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kMxfp4Table[block.qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kMxfp4Table[block.qs[i] >> 4]);
  }
}

}  // namespace xh

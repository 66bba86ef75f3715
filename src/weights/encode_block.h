// One block of each format from float32. Internal to the quantiser (quantize.h is what others use);
// tensor/formats/ has the layouts. x holds the block's values, all finite.
#pragma once

#include "tensor/formats/blocks.h"

namespace xh {

void encode_block(const float* x, BlockQ4_0& block);
void encode_block(const float* x, BlockQ4_1& block);
void encode_block(const float* x, BlockQ5_0& block);
void encode_block(const float* x, BlockQ5_1& block);
void encode_block(const float* x, BlockQ8_0& block);
void encode_block(const float* x, BlockQ2_K& block);
void encode_block(const float* x, BlockQ3_K& block);
void encode_block(const float* x, BlockQ4_K& block);
void encode_block(const float* x, BlockQ5_K& block);
void encode_block(const float* x, BlockQ6_K& block);
void encode_block(const float* x, BlockIQ4_NL& block);
void encode_block(const float* x, BlockIQ4_XS& block);
void encode_block(const float* x, BlockMXFP4& block);

}  // namespace xh

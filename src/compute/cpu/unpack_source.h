// A stored block taken apart into the numbers that the packed layout holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace xh::cpu {

// One block of 32 or 256 values of one row.
struct SourceBlock {
  uint8_t u[256];         // unsigned values; table formats: the table's index; 8-bit: value + 128
  uint16_t d = 0, m = 0;  // fp16 bits
  uint8_t exponent = 0;   // MXFP4
  // Per group of 16 or 32: the scale byte (signed where the format is), the minimum's.
  uint8_t scale[16] = {};
  uint8_t min[16] = {};
};

// `type` is a quantised type; `data` holds one of its blocks.
void unpack_source(DType type, const std::byte* data, SourceBlock& out);

}  // namespace xh::cpu

// Scalar decode of every stored type to float32: the single place that knows all formats.
// One header per format beside this file holds its block struct and decode function.
#pragma once

#include <span>

#include "tensor/tensor_view.h"

namespace xh {

// Decodes out.size() values (a whole number of blocks) starting at `data`. Integer types (kI8…kI64)
// convert to float.
void decode_values(DType type, const std::byte* data, std::span<float> out);

// Decodes row r of a rank-2 tensor; out.size() == view.cols().
void decode_row(const TensorView& view, int64_t r, std::span<float> out);

}  // namespace xh

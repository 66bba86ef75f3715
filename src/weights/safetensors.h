// Reads one safetensors file:
//
//   header length u64 | header, JSON | data
//
// The header maps each tensor name to {"dtype", "shape", "data_offsets": [begin, end]}, offsets
// from the start of the data; "__metadata__" may hold strings. Tensors must cover the data without
// holes or overlaps. Source: the specification in the safetensors project.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "weights/model_file.h"

namespace xh {

// In file order; views point into `bytes` and may lie at any address, aligned for their type or
// not. Errors name `label`, and the tensor or offset.
Result<std::vector<NamedTensor>> parse_safetensors(std::span<const std::byte> bytes,
                                                   const std::string& label);

}  // namespace xh

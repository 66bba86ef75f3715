// float32 → every stored type, by rounding to nearest with a search for good scales. No calibration
// data: each block is fitted to its own values in the least-squares sense.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "tensor/dtype.h"

namespace xh {

// values: a whole number of blocks; out: exactly dtype_bytes(type, values.size()) bytes.
// kInvalidArgument when the sizes do not fit, or a value is not finite or beyond what the type's
// fp16 scales can reach (65504); kUnsupported for integer types.
// Deterministic: the same values always give the same bytes.
Result<void> quantize(DType type, std::span<const float> values, std::span<std::byte> out);

}  // namespace xh

// The element types a model file may hold. Quantised types store blocks of values:
// tensor/formats/ has one header per type with its block layout and scalar decode.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace xh {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kI8,
  kI16,
  kI32,
  kI64,
};

// Values per block and bytes per block; plain types have blocks of one value.
struct BlockShape {
  uint32_t values;
  uint32_t bytes;
};

BlockShape block_shape(DType type);
std::string_view dtype_name(DType type);  // "Q4_K"
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes of `count` values, or nothing when count is not a whole number of blocks or the size wraps.
std::optional<uint64_t> dtype_bytes(DType type, uint64_t count);

}  // namespace xh

#include "weights/quantize.h"

#include <cmath>
#include <cstring>
#include <string>

#include "tensor/float16.h"
#include "weights/encode_block.h"

namespace xh {
namespace {

// The largest magnitude a type can take: formats with fp16 scales are kept within fp16's own range.
float largest(DType type) {
  switch (type) {
    case DType::kF32: return 0x1.fffffep127f;
    case DType::kBF16: return 0x1.fep127f;
    case DType::kMXFP4: return 0x1.8p127f;
    default: return 65504.0f;
  }
}

template <class Block, size_t kValues>
Result<void> encode_all(std::span<const float> values, std::span<std::byte> out) {
  for (size_t b = 0; b < values.size() / kValues; ++b) {
    Block block;
    encode_block(values.data() + b * kValues, block);
    std::memcpy(out.data() + b * sizeof(Block), &block, sizeof(Block));
  }
  return {};
}

template <uint16_t (*kFromFloat)(float)>
Result<void> convert_all(std::span<const float> values, std::span<std::byte> out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = kFromFloat(values[i]);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return {};
}

}  // namespace

Result<void> quantize(DType type, std::span<const float> values, std::span<std::byte> out) {
  const auto bytes = dtype_bytes(type, values.size());
  if (!bytes || *bytes != out.size()) {
    return fail(ErrorCode::kInvalidArgument,
                std::to_string(values.size()) + " values do not make " +
                    std::to_string(out.size()) + " bytes of " + std::string(dtype_name(type)));
  }
  const float limit = largest(type);
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::fabs(values[i]) <= limit) continue;  // false for NaN
    return fail(ErrorCode::kInvalidArgument, "value " + std::to_string(i) + " is " +
                                                 std::to_string(values[i]) + ", which " +
                                                 std::string(dtype_name(type)) + " cannot hold");
  }
  switch (type) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), values.data(), out.size());
      return {};
    case DType::kF16: return convert_all<float_to_fp16>(values, out);
    case DType::kBF16: return convert_all<float_to_bf16>(values, out);
    case DType::kQ4_0: return encode_all<BlockQ4_0, 32>(values, out);
    case DType::kQ4_1: return encode_all<BlockQ4_1, 32>(values, out);
    case DType::kQ5_0: return encode_all<BlockQ5_0, 32>(values, out);
    case DType::kQ5_1: return encode_all<BlockQ5_1, 32>(values, out);
    case DType::kQ8_0: return encode_all<BlockQ8_0, 32>(values, out);
    case DType::kQ2_K: return encode_all<BlockQ2_K, 256>(values, out);
    case DType::kQ3_K: return encode_all<BlockQ3_K, 256>(values, out);
    case DType::kQ4_K: return encode_all<BlockQ4_K, 256>(values, out);
    case DType::kQ5_K: return encode_all<BlockQ5_K, 256>(values, out);
    case DType::kQ6_K: return encode_all<BlockQ6_K, 256>(values, out);
    case DType::kIQ4_NL: return encode_all<BlockIQ4_NL, 32>(values, out);
    case DType::kIQ4_XS: return encode_all<BlockIQ4_XS, 256>(values, out);
    case DType::kMXFP4: return encode_all<BlockMXFP4, 32>(values, out);
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64: break;
  }
  return fail(ErrorCode::kUnsupported,
              "floats are not converted to " + std::string(dtype_name(type)));
}

}  // namespace xh

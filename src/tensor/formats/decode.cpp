#include "tensor/formats/decode.h"

#include <cstring>

#include "base/check.h"
#include "tensor/float16.h"
#include "tensor/formats/blocks.h"

namespace xh {
namespace {

// Elements are copied out before use: stored tensors need not be aligned for their type.
template <class T>
T load(const std::byte* data, size_t index) {
  T value;
  std::memcpy(&value, data + index * sizeof(T), sizeof(T));
  return value;
}

template <class Block, size_t kValues>
void decode_blocks(const std::byte* data, std::span<float> out) {
  for (size_t b = 0; b < out.size() / kValues; ++b)
    decode_block(load<Block>(data, b), out.data() + b * kValues);
}

template <class T>
void convert(const std::byte* data, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(load<T>(data, i));
}

template <float (*kToFloat)(uint16_t)>
void convert_half(const std::byte* data, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = kToFloat(load<uint16_t>(data, i));
}

}  // namespace

void decode_values(DType type, const std::byte* data, std::span<float> out) {
  XH_CHECK(out.size() % block_shape(type).values == 0);
  switch (type) {
    case DType::kF32: return convert<float>(data, out);
    case DType::kF16: return convert_half<fp16_to_float>(data, out);
    case DType::kBF16: return convert_half<bf16_to_float>(data, out);
    case DType::kQ4_0: return decode_blocks<BlockQ4_0, 32>(data, out);
    case DType::kQ4_1: return decode_blocks<BlockQ4_1, 32>(data, out);
    case DType::kQ5_0: return decode_blocks<BlockQ5_0, 32>(data, out);
    case DType::kQ5_1: return decode_blocks<BlockQ5_1, 32>(data, out);
    case DType::kQ8_0: return decode_blocks<BlockQ8_0, 32>(data, out);
    case DType::kQ2_K: return decode_blocks<BlockQ2_K, 256>(data, out);
    case DType::kQ3_K: return decode_blocks<BlockQ3_K, 256>(data, out);
    case DType::kQ4_K: return decode_blocks<BlockQ4_K, 256>(data, out);
    case DType::kQ5_K: return decode_blocks<BlockQ5_K, 256>(data, out);
    case DType::kQ6_K: return decode_blocks<BlockQ6_K, 256>(data, out);
    case DType::kIQ4_NL: return decode_blocks<BlockIQ4_NL, 32>(data, out);
    case DType::kIQ4_XS: return decode_blocks<BlockIQ4_XS, 256>(data, out);
    case DType::kMXFP4: return decode_blocks<BlockMXFP4, 32>(data, out);
    case DType::kI8: return convert<int8_t>(data, out);
    case DType::kI16: return convert<int16_t>(data, out);
    case DType::kI32: return convert<int32_t>(data, out);
    case DType::kI64: return convert<int64_t>(data, out);
  }
}

void decode_row(const TensorView& view, int64_t r, std::span<float> out) {
  XH_CHECK(r >= 0 && r < view.rows() && static_cast<int64_t>(out.size()) == view.cols());
  decode_values(view.type, view.row(r), out);
}

}  // namespace xh

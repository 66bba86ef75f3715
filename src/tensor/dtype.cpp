#include "tensor/dtype.h"

#include <array>

#include "base/check.h"
#include "base/checked.h"

namespace xh {
namespace {

struct TypeRow {
  DType type;
  std::string_view name;
  BlockShape block;
};

// Block sizes: ggml's file format (gguf specification, "ggml_type").
constexpr std::array<TypeRow, 20> kTypes = {{
    {DType::kF32, "F32", {1, 4}},
    {DType::kF16, "F16", {1, 2}},
    {DType::kBF16, "BF16", {1, 2}},
    {DType::kQ4_0, "Q4_0", {32, 18}},
    {DType::kQ4_1, "Q4_1", {32, 20}},
    {DType::kQ5_0, "Q5_0", {32, 22}},
    {DType::kQ5_1, "Q5_1", {32, 24}},
    {DType::kQ8_0, "Q8_0", {32, 34}},
    {DType::kQ2_K, "Q2_K", {256, 84}},
    {DType::kQ3_K, "Q3_K", {256, 110}},
    {DType::kQ4_K, "Q4_K", {256, 144}},
    {DType::kQ5_K, "Q5_K", {256, 176}},
    {DType::kQ6_K, "Q6_K", {256, 210}},
    {DType::kIQ4_NL, "IQ4_NL", {32, 18}},
    {DType::kIQ4_XS, "IQ4_XS", {256, 136}},
    {DType::kMXFP4, "MXFP4", {32, 17}},
    {DType::kI8, "I8", {1, 1}},
    {DType::kI16, "I16", {1, 2}},
    {DType::kI32, "I32", {1, 4}},
    {DType::kI64, "I64", {1, 8}},
}};

}  // namespace

BlockShape block_shape(DType type) {
  auto index = static_cast<size_t>(type);
  XH_CHECK(index < kTypes.size());
  return kTypes[index].block;
}

std::string_view dtype_name(DType type) {
  auto index = static_cast<size_t>(type);
  XH_CHECK(index < kTypes.size());
  return kTypes[index].name;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const auto& row : kTypes)
    if (row.name == name) return row.type;
  return std::nullopt;
}

std::optional<uint64_t> dtype_bytes(DType type, uint64_t count) {
  auto block = block_shape(type);
  if (count % block.values != 0) return std::nullopt;
  return checked_mul(count / block.values, block.bytes);
}

}  // namespace xh

#include "weights/gguf_format.h"

#include <array>
#include <utility>

#include "base/check.h"

namespace xh {
namespace {

constexpr std::array<std::pair<uint32_t, DType>, 20> kReadable = {{
    {0, DType::kF32},     {1, DType::kF16},     {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},    {7, DType::kQ5_1},    {8, DType::kQ8_0},  {10, DType::kQ2_K},
    {11, DType::kQ3_K},   {12, DType::kQ4_K},   {13, DType::kQ5_K}, {14, DType::kQ6_K},
    {20, DType::kIQ4_NL}, {23, DType::kIQ4_XS}, {24, DType::kI8},   {25, DType::kI16},
    {26, DType::kI32},    {27, DType::kI64},    {30, DType::kBF16}, {39, DType::kMXFP4},
}};

constexpr std::array<std::pair<uint32_t, std::string_view>, 20> kUnreadable = {{
    {4, "Q4_2"},    {5, "Q4_3"},     {9, "Q8_1"},        {15, "Q8_K"},     {16, "IQ2_XXS"},
    {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},      {21, "IQ3_S"},    {22, "IQ2_S"},
    {28, "F64"},    {29, "IQ1_M"},   {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"},
    {34, "TQ1_0"},  {35, "TQ2_0"},   {36, "IQ4_NL_4_4"}, {40, "NVFP4"},    {41, "Q1_0"},
}};

}  // namespace

uint32_t gguf_type_bytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool: return 1;
    case GgufType::kUint16:
    case GgufType::kInt16: return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32: return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64: return 8;
    case GgufType::kString:
    case GgufType::kArray: return 0;
  }
  return 0;
}

std::optional<DType> dtype_from_gguf(uint32_t id) {
  for (const auto& [number, type] : kReadable)
    if (number == id) return type;
  return std::nullopt;
}

uint32_t dtype_to_gguf(DType type) {
  for (const auto& [number, known] : kReadable)
    if (known == type) return number;
  XH_CHECK(false);
}

std::string_view unreadable_gguf_dtype(uint32_t id) {
  for (const auto& [number, name] : kUnreadable)
    if (number == id) return name;
  return {};
}

}  // namespace xh

// Random stored tensors of every weight type, for tests.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "tensor/float16.h"
#include "tensor/formats/blocks.h"
#include "tensor/tensor_view.h"

namespace xh::cpu {

inline constexpr DType kWeightTypes[] = {
    DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
    DType::kQ5_1, DType::kQ8_0,   DType::kQ2_K,   DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
    DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

struct RandomTensor {
  std::vector<std::byte> bytes;
  TensorView view;
};

// Every bit pattern of the quants and sub-scales; block scales of about 0.01.
inline RandomTensor random_tensor(DType type, int64_t rows, int64_t cols, uint32_t seed) {
  std::mt19937 rng(seed);
  RandomTensor t;
  const BlockShape shape = block_shape(type);
  t.bytes.resize(static_cast<size_t>(rows * cols / shape.values * shape.bytes));
  for (auto& b : t.bytes) b = static_cast<std::byte>(rng());
  std::uniform_real_distribution<float> value(-0.02f, 0.02f);
  auto put = [&](size_t at) {
    const uint16_t h = float_to_fp16(value(rng));
    std::memcpy(t.bytes.data() + at, &h, 2);
  };
  for (size_t at = 0; at < t.bytes.size(); at += shape.bytes) {
    switch (type) {
      case DType::kF32: {
        const float f = value(rng);
        std::memcpy(t.bytes.data() + at, &f, 4);
        break;
      }
      case DType::kF16: put(at); break;
      case DType::kBF16: {
        const uint16_t h = float_to_bf16(value(rng));
        std::memcpy(t.bytes.data() + at, &h, 2);
        break;
      }
      case DType::kQ4_1:
      case DType::kQ5_1:
      case DType::kQ4_K:
      case DType::kQ5_K:
        put(at);
        put(at + 2);
        break;
      case DType::kQ2_K:
        put(at + offsetof(BlockQ2_K, d));
        put(at + offsetof(BlockQ2_K, dmin));
        break;
      case DType::kQ3_K: put(at + offsetof(BlockQ3_K, d)); break;
      case DType::kQ6_K: put(at + offsetof(BlockQ6_K, d)); break;
      case DType::kMXFP4: t.bytes[at] = static_cast<std::byte>(115 + rng() % 12); break;
      default: put(at);
    }
  }
  t.view.type = type;
  t.view.shape = {{rows, cols, 1, 1}, 2};
  t.view.data = t.bytes.data();
  t.view.bytes = t.bytes.size();
  return t;
}

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> value(0.0f, scale);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = value(rng);
  return out;
}

}  // namespace xh::cpu

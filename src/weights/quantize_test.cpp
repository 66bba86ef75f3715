#include "weights/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tensor/formats/decode.h"

namespace xh {
namespace {

std::vector<float> normal_values(size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<float> x(n);
  // Sum of uniforms: the same on every standard library, near enough to a bell.
  for (auto& v : x) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += rng() * 0x1p-32;
    v = static_cast<float>(0.02 * (sum - 6));
  }
  return x;
}

std::vector<float> round_trip(DType type, const std::vector<float>& x) {
  std::vector<std::byte> bytes(*dtype_bytes(type, x.size()));
  auto done = quantize(type, x, bytes);
  EXPECT_TRUE(done) << done.error().to_string();
  std::vector<float> y(x.size());
  decode_values(type, bytes.data(), y);
  return y;
}

double nmse(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * static_cast<double>(x[i] - y[i]);
    power += x[i] * static_cast<double>(x[i]);
  }
  return error / power;
}

struct Case {
  DType type;
  double limit;  // normalised mean squared error on bell-shaped values
};

class Quantize : public testing::TestWithParam<Case> {};

TEST_P(Quantize, StaysWithinTheErrorOfItsBits) {
  const auto x = normal_values(64 * 256, 7);
  const auto y = round_trip(GetParam().type, x);
  const double error = nmse(x, y);
  EXPECT_LT(error, GetParam().limit);
  RecordProperty("nmse", std::to_string(error));
}

TEST_P(Quantize, KeepsZeroExactly) {
  const std::vector<float> zeros(512, 0.0f);
  EXPECT_EQ(round_trip(GetParam().type, zeros), zeros);
}

TEST_P(Quantize, HandlesAwkwardBlocks) {
  const DType type = GetParam().type;
  const float extremes[] = {65504.0f, -65504.0f, 1e-7f, 1e-30f, 1e-42f};
  for (float v : extremes) {
    for (float y : round_trip(type, std::vector<float>(256, v))) ASSERT_TRUE(std::isfinite(y)) << v;
    std::vector<float> spike(256, 0.0f);
    spike[77] = v;
    for (float y : round_trip(type, spike)) ASSERT_TRUE(std::isfinite(y)) << v;
  }
  // Only positive, only negative: signs survive.
  auto x = normal_values(256, 3);
  for (auto& v : x) v = 0.5f + std::fabs(v);
  for (float y : round_trip(type, x)) EXPECT_GT(y, 0.2f);
  for (auto& v : x) v = -v;
  for (float y : round_trip(type, x)) EXPECT_LT(y, -0.2f);
}

TEST_P(Quantize, RefusesWhatItCannotHold) {
  std::vector<float> x(256, 1.0f);
  std::vector<std::byte> out(*dtype_bytes(GetParam().type, 256));
  x[200] = NAN;
  auto r = quantize(GetParam().type, x, out);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(r.error().message.find("value 200"), std::string::npos);
  x[200] = INFINITY;
  EXPECT_FALSE(quantize(GetParam().type, x, out));
  x[200] = 1;
  EXPECT_FALSE(quantize(GetParam().type, x, std::span(out).first(out.size() - 1)));
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Quantize,
                         testing::Values(Case{DType::kF32, 1e-30}, Case{DType::kF16, 1e-6},
                                         Case{DType::kBF16, 1e-5}, Case{DType::kQ4_0, 0.0070},
                                         Case{DType::kQ4_1, 0.0055}, Case{DType::kQ5_0, 0.0018},
                                         Case{DType::kQ5_1, 0.0014}, Case{DType::kQ8_0, 4e-5},
                                         Case{DType::kQ2_K, 0.08}, Case{DType::kQ3_K, 0.025},
                                         Case{DType::kQ4_K, 0.0055}, Case{DType::kQ5_K, 0.0014},
                                         Case{DType::kQ6_K, 4e-4}, Case{DType::kIQ4_NL, 0.0065},
                                         Case{DType::kIQ4_XS, 0.0065}, Case{DType::kMXFP4, 0.015}),
                         [](const auto& info) { return std::string(dtype_name(info.param.type)); });

TEST(QuantizeExact, ReproducesValuesOnItsGrid) {
  // Multiples of a power of two within the integer range come back exactly.
  std::vector<float> x(256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.25f * (static_cast<float>(i % 16) - 8);
  EXPECT_EQ(round_trip(DType::kQ4_0, x), x);
  EXPECT_EQ(round_trip(DType::kQ4_1, x), x);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.5f * (static_cast<float>(i % 32) - 16);
  EXPECT_EQ(round_trip(DType::kQ5_0, x), x);
  EXPECT_EQ(round_trip(DType::kQ5_1, x), x);
}

TEST(QuantizeExact, RefusesIntegerTypes) {
  std::vector<float> x(4);
  std::vector<std::byte> out(4);
  EXPECT_EQ(quantize(DType::kI8, x, out).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace xh

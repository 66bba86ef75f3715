#include "tensor/formats/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "tensor/float16.h"
#include "tensor/formats/blocks.h"

namespace xh {
namespace {

std::vector<char> read_fixture(const std::string& name) {
  std::ifstream in(std::string(XH_SOURCE_DIR) + "/tests/fixtures/formats/" + name,
                   std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A fixture holds blocks, then the float32 values another implementation decoded from them
// (tools/make_format_fixtures.py). Equality is exact: the formulas leave no freedom.
class DecodeFixture : public testing::TestWithParam<DType> {};

TEST_P(DecodeFixture, EqualsTheIndependentDecoder) {
  const DType type = GetParam();
  std::string name(dtype_name(type));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto bytes = read_fixture(name + ".bin");
  const auto shape = block_shape(type);
  const size_t per_block = shape.bytes + 4 * shape.values;
  ASSERT_GT(bytes.size(), 0u) << "fixture missing";
  ASSERT_EQ(bytes.size() % per_block, 0u);
  const size_t n_blocks = bytes.size() / per_block;

  std::vector<float> want(n_blocks * shape.values), got(want.size());
  std::memcpy(want.data(), bytes.data() + n_blocks * shape.bytes, 4 * want.size());
  decode_values(type, reinterpret_cast<const std::byte*>(bytes.data()), got);
  for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i], want[i]) << "value " << i;

  // Stored tensors may lie at any address.
  std::vector<char> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  std::ranges::fill(got, 0.0f);
  decode_values(type, reinterpret_cast<const std::byte*>(shifted.data() + 1), got);
  EXPECT_EQ(got, want);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, DecodeFixture,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1,
                                         DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,
                                         DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                                         DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

template <class Block>
std::vector<float> decoded(const Block& block, size_t n_values) {
  std::vector<float> out(n_values);
  decode_block(block, out.data());
  return out;
}

constexpr uint16_t kHalf = 0x3800;    // 0.5
constexpr uint16_t kOne = 0x3c00;     // 1
constexpr uint16_t kTwo = 0x4000;     // 2
constexpr uint16_t kMinus1 = 0xbc00;  // -1

TEST(DecodeByHand, Q4_0) {
  BlockQ4_0 b{.d = kHalf, .qs = {}};
  b.qs[0] = 0xf0;   // value 0: 0 - 8, value 16: 15 - 8
  b.qs[15] = 0x89;  // value 15: 9 - 8, value 31: 8 - 8
  auto y = decoded(b, 32);
  EXPECT_EQ(y[0], -4.0f);
  EXPECT_EQ(y[16], 3.5f);
  EXPECT_EQ(y[15], 0.5f);
  EXPECT_EQ(y[31], 0.0f);
}

TEST(DecodeByHand, Q4_1) {
  BlockQ4_1 b{.d = kHalf, .m = kMinus1, .qs = {}};
  b.qs[3] = 0x2f;
  auto y = decoded(b, 32);
  EXPECT_EQ(y[3], 0.5f * 15 - 1);
  EXPECT_EQ(y[19], 0.5f * 2 - 1);
  EXPECT_EQ(y[0], -1.0f);
}

TEST(DecodeByHand, Q5_0) {
  BlockQ5_0 b{.d = kTwo, .qh = {}, .qs = {}};
  b.qs[1] = 0x37;    // values 1 and 17
  b.qh[2] = 1 << 1;  // fifth bit of value 17
  auto y = decoded(b, 32);
  EXPECT_EQ(y[1], 2.0f * (7 - 16));
  EXPECT_EQ(y[17], 2.0f * (3 + 16 - 16));
}

TEST(DecodeByHand, Q5_1) {
  BlockQ5_1 b{.d = kTwo, .m = kHalf, .qh = {}, .qs = {}};
  b.qs[8] = 0xa5;
  b.qh[1] = 1;  // fifth bit of value 8
  auto y = decoded(b, 32);
  EXPECT_EQ(y[8], 2.0f * 21 + 0.5f);
  EXPECT_EQ(y[24], 2.0f * 10 + 0.5f);
}

TEST(DecodeByHand, Q8_0) {
  BlockQ8_0 b{.d = kHalf, .qs = {}};
  b.qs[0] = -128;
  b.qs[31] = 127;
  auto y = decoded(b, 32);
  EXPECT_EQ(y[0], -64.0f);
  EXPECT_EQ(y[31], 63.5f);
}

TEST(DecodeByHand, Q2_K) {
  BlockQ2_K b{};
  b.d = kHalf;
  b.dmin = kOne;
  b.scales[11] = 0x25;       // sub-block 11 is values 176…191: scale 5, minimum 2
  b.qs[32 + 16 + 4] = 0x0c;  // second half, values 16…31 of a row; bits 2, 3 are s = 1
  auto y = decoded(b, 256);
  EXPECT_EQ(y[128 + 32 + 16 + 4], 0.5f * 5 * 3 - 2);
  EXPECT_EQ(y[128 + 32 + 16 + 5], -2.0f);
  EXPECT_EQ(y[0], 0.0f);
}

TEST(DecodeByHand, Q3_K) {
  BlockQ3_K b{};
  b.d = kOne;
  // Sub-block 9 (values 144…159): scale 0b10'0110 = 38, hence +6.
  b.scales[1] = 0x60;
  b.scales[8 + 1] = 2 << 4;
  b.qs[32 + 16 + 7] = 0x03;  // value 144 + 7: low bits 3
  b.hmask[16 + 7] = 1 << 4;  // its third bit
  b.qs[32 + 16 + 8] = 0x01;  // value 144 + 8: low bits 1, no third bit
  auto y = decoded(b, 256);
  EXPECT_EQ(y[151], 6.0f * (7 - 4));
  EXPECT_EQ(y[152], 6.0f * (1 - 4));
}

TEST(DecodeByHand, Q4_K) {
  BlockQ4_K b{};
  b.d = kOne;
  b.dmin = kHalf;
  b.scales[1] = 0x40 | 3;   // scale 1 = 3; two top bits go to scale 5
  b.scales[5] = 0xc0 | 9;   // min 1 = 9; two top bits go to min 5
  b.scales[9] = 0x72;       // scale 5 = 1<<4 | 2 = 18, min 5 = 3<<4 | 7 = 55
  b.qs[0 * 32 + 2] = 0xb0;  // sub-block 1 is the high half of the first 32 bytes
  b.qs[2 * 32 + 4] = 0x50;  // sub-block 5
  auto y = decoded(b, 256);
  EXPECT_EQ(y[32 + 2], 3.0f * 11 - 4.5f);
  EXPECT_EQ(y[160 + 4], 18.0f * 5 - 27.5f);
  EXPECT_EQ(y[0], 0.0f);
}

TEST(DecodeByHand, Q5_K) {
  BlockQ5_K b{};
  b.d = kOne;
  b.dmin = kOne;
  b.scales[0] = 2;
  b.scales[4] = 1;
  b.qs[10] = 0x03;  // sub-block 0, value 10
  b.qh[10] = 0x01;
  auto y = decoded(b, 256);
  EXPECT_EQ(y[10], 2.0f * 19 - 1);
  EXPECT_EQ(y[11], -1.0f);
}

TEST(DecodeByHand, Q6_K) {
  BlockQ6_K b{};
  b.d = kHalf;
  b.scales[15] = -4;          // values 240…255: half 1, group 3, l = 16…31
  b.ql[64 + 32 + 20] = 0x90;  // high half of the second run
  b.qh[32 + 20] = 0xc0;       // bits 6, 7
  auto y = decoded(b, 256);
  EXPECT_EQ(y[128 + 96 + 20], 0.5f * -4 * ((9 | 3 << 4) - 32));
  EXPECT_EQ(y[128 + 96 + 21], 0.5f * -4 * -32);
}

TEST(DecodeByHand, Iq4Nl) {
  BlockIQ4_NL b{.d = kTwo, .qs = {}};
  b.qs[5] = 0xf7;
  auto y = decoded(b, 32);
  EXPECT_EQ(y[5], -20.0f);
  EXPECT_EQ(y[21], 226.0f);
  EXPECT_EQ(y[0], -254.0f);
}

TEST(DecodeByHand, Iq4Xs) {
  BlockIQ4_XS b{};
  b.d = kOne;
  b.scales_l[1] = 0x50;     // sub-block 3: low bits 5
  b.scales_h = 2 << 6;      // high bits 2: scale 37 - 32
  b.qs[3 * 16 + 1] = 0x98;  // table 1 and 13
  auto y = decoded(b, 256);
  EXPECT_EQ(y[96 + 1], 5.0f * 1);
  EXPECT_EQ(y[96 + 17], 5.0f * 13);
  EXPECT_EQ(y[0], -32.0f * -127);
}

TEST(DecodeByHand, Mxfp4) {
  BlockMXFP4 b{.e = 128, .qs = {}};  // scale 2, so half of it is 1
  b.qs[0] = 0xf7;
  auto y = decoded(b, 32);
  EXPECT_EQ(y[0], 12.0f);  // E2M1 0111 = 6, times 2
  EXPECT_EQ(y[16], -12.0f);
  b.e = 0;
  EXPECT_EQ(decoded(b, 32)[0], 12 * 0x1p-128f);
}

TEST(Decode, IntegersAndFloats) {
  const int16_t shorts[] = {-32768, 5};
  float out[2];
  decode_values(DType::kI16, reinterpret_cast<const std::byte*>(shorts), out);
  EXPECT_EQ(out[0], -32768.0f);
  const int64_t longs[] = {-1, int64_t{1} << 40};
  decode_values(DType::kI64, reinterpret_cast<const std::byte*>(longs), out);
  EXPECT_EQ(out[1], 0x1p40f);
  const float floats[] = {1.25f, -0.0f};
  decode_values(DType::kF32, reinterpret_cast<const std::byte*>(floats), out);
  EXPECT_EQ(out[0], 1.25f);
  EXPECT_TRUE(std::signbit(out[1]));
}

TEST(Decode, RowsOfAMatrix) {
  std::vector<BlockQ4_0> blocks(4, BlockQ4_0{.d = kOne, .qs = {}});
  blocks[3].qs[0] = 0x0f;
  TensorView view{DType::kQ4_0, Shape{{2, 64, 1, 1}, 2},
                  reinterpret_cast<const std::byte*>(blocks.data()), 4 * sizeof(BlockQ4_0)};
  std::vector<float> row(64);
  decode_row(view, 1, row);
  EXPECT_EQ(row[0], -8.0f);
  EXPECT_EQ(row[32], 7.0f);
}

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto bits = static_cast<uint16_t>(h);
    const float f = fp16_to_float(bits);
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(fp16_to_float(float_to_fp16(f))));
    } else {
      ASSERT_EQ(float_to_fp16(f), bits);
    }
  }
}

TEST(Float16, RoundsToNearestEven) {
  EXPECT_EQ(float_to_fp16(1.0f + 0x1p-11f), 0x3c00);             // tie: down to even
  EXPECT_EQ(float_to_fp16(1.0f + 3 * 0x1p-11f), 0x3c02);         // tie: up to even
  EXPECT_EQ(float_to_fp16(1.0f + 0x1p-11f + 0x1p-23f), 0x3c01);  // just above the tie
  EXPECT_EQ(float_to_fp16(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_fp16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_fp16(0x1p-25f), 0);  // tie with zero
  EXPECT_EQ(float_to_fp16(0x1.000002p-25f), 1);
  EXPECT_EQ(float_to_fp16(0x1.ffcp-15f), 0x0400);  // the largest subnormal's upper neighbour
  EXPECT_EQ(float_to_fp16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(float_to_fp16(-0.0f), 0x8000);
}

TEST(Float16, RoundsAsNumpyDoes) {
  const auto bytes = read_fixture("to_f16.bin");
  const size_t n = bytes.size() / 6;
  ASSERT_GT(n, 1000u);
  for (size_t i = 0; i < n; ++i) {
    float single;
    uint16_t half;
    std::memcpy(&single, bytes.data() + 4 * i, 4);
    std::memcpy(&half, bytes.data() + 4 * n + 2 * i, 2);
    ASSERT_EQ(float_to_fp16(single), half) << single;
  }
}

TEST(Float16, BFloat16) {
  EXPECT_EQ(bf16_to_float(0x3fc0), 1.5f);
  EXPECT_EQ(float_to_bf16(1.5f), 0x3fc0);
  EXPECT_EQ(float_to_bf16(1.0f + 0x1p-8f), 0x3f80);      // tie: to even
  EXPECT_EQ(float_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);  // tie: to even
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(NAN))));
}

TEST(Float16, E8m0) {
  EXPECT_EQ(e8m0_half_to_float(0), 0x1p-128f);
  EXPECT_EQ(e8m0_half_to_float(1), 0x1p-127f);
  EXPECT_EQ(e8m0_half_to_float(2), 0x1p-126f);
  EXPECT_EQ(e8m0_half_to_float(128), 1.0f);
  EXPECT_EQ(e8m0_half_to_float(255), 0x1p127f);
}

}  // namespace
}  // namespace xh

// Every entry of every kernel table this machine can run, over odd sizes and misalignments, against
// scalar decoding and double sums.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "compute/cpu/act_tiles.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"
#include "compute/cpu/tested_tables_test.h"
#include "tensor/formats/decode.h"

namespace xh::cpu {
namespace {

std::string type_name(DType type) {
  return std::string(dtype_name(type));
}

class EveryTable : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryTable, testing::ValuesIn(tested_tables()),
                         [](const auto& info) { return std::string(info.param->name); });

std::vector<const KernelTable*> bf16_tables() {
  auto tables = tested_tables();
  std::erase_if(tables, [](const auto* t) { return t->act_form != ActForm::kBf16; });
  return tables;
}

std::vector<const KernelTable*> tables_of_both() {
  auto tables = tested_tables();
  std::erase_if(tables, [](const auto* t) {
    return std::ranges::all_of(t->batch_from, [](int64_t from) { return from == 0; });
  });
  return tables;
}

std::vector<int64_t> widths_of(DType type) {
  const int64_t block = block_shape(type).values;
  if (block == 256) return {256, 512, 768, 2048};
  if (block == 32) return {32, 96, 576, 896};
  return {1, 7, 32, 100, 576};
}

// The activations of `tiles` as numbers.
std::vector<double> values_of(const ActTiles& tiles, int64_t in) {
  std::vector<double> out(static_cast<size_t>(tiles.rows * in));
  for (int64_t r = 0; r < tiles.rows; ++r) {
    const int64_t tile = tiles.tile_of(r), stride = tiles.stride(tile), c = r - tiles.first(tile);
    for (int64_t k = 0; k < in; ++k) {
      double& to = out[static_cast<size_t>(r * in + k)];
      const std::byte* data = tiles.tile_data(tile);
      const int64_t block = k / kBlock * stride, at = k % kBlock;
      if (tiles.form == ActForm::kInt8) {
        const auto& b = reinterpret_cast<const ActBlock*>(data)[block + c];
        to = static_cast<double>(b.d) * b.q[at];
        if (!tiles.rests) continue;
        const auto& rest = reinterpret_cast<const ActBlock*>(tiles.rest_data(tile))[block + c];
        to += static_cast<double>(rest.d) * rest.q[at];
      } else if (tiles.form == ActForm::kInt8Columns) {
        const auto& b = reinterpret_cast<const ColumnBlock*>(data)[k / kBlock];
        to = static_cast<double>(b.scales[c].d) * b.q[c][at];
      } else if (tiles.form == ActForm::kBf16) {
        const int64_t pair = block * 16 + at / 2 * stride + c;
        to = bf16_to_float(reinterpret_cast<const uint16_t*>(data)[2 * pair + at % 2]);
      } else {
        to = reinterpret_cast<const float*>(data)[k * stride + c];
      }
    }
  }
  return out;
}

// Tiles over memory of their own, off alignment.
struct Tiles {
  std::vector<std::byte> memory;
  ActTiles tiles;
  Tiles(const KernelTable& table, const PackedMatrix& w, const float* x, int64_t n, int tile,
        bool rests)
      : memory(ActTiles::bytes(n, w.in() + kBlock, form_taken(table, w, n, rests), rests) + 16),
        tiles(ActTiles::make(memory.data() + 8, n, w.in(), form_taken(table, w, n, rests), tile,
                             even_tiles(table))) {
    tiles.rests = rests && tiles.form == ActForm::kInt8;
    for (int64_t r = 0; r < n; ++r) tiles.put(table, r, 0, x + r * w.in(), w.in());
  }
};

void multiply_all(const KernelTable& table, const PackedMatrix& w, const ActTiles& tiles,
                  const Output& out) {
  const auto scratch = Memory::map(static_cast<uint64_t>(table.scratch_bytes) + 1);
  static const std::byte others[1 << 16] = {};
  LaterReads later;
  later.reset(sizeof others);
  later.add(others, sizeof others);
  multiply(table, w, tiles, out, {scratch->data(), &later});
}

// Products of all panels, (n, rows).
std::vector<float> product(const KernelTable& table, const PackedMatrix& w, const float* x,
                           int64_t n, int tile, bool rests,
                           std::vector<double>* x_values = nullptr) {
  const Tiles t(table, w, x, n, tile, rests);
  if (x_values) *x_values = values_of(t.tiles, w.in());
  std::vector<float> y(static_cast<size_t>(n * w.out()));
  multiply_all(table, w, t.tiles, {{y.data(), n, w.out(), w.out()}, nullptr, false});
  return y;
}

// Row r as the table multiplies it: bf16 tiles round weights as well.
void weights_of(const KernelTable& table, const PackedMatrix& w, const TensorView& source,
                int64_t r, std::vector<float>& row) {
  decode_row(source, r, row);
  if (form_taken(table, w, 1, false) == ActForm::kBf16)
    for (float& f : row) f = bf16_to_float(float_to_bf16(f));
}

void check_product(const KernelTable& table, DType type, int64_t rows, int64_t in, int64_t n,
                   bool rests) {
  SCOPED_TRACE(type_name(type) + " rows " + std::to_string(rows) + " in " + std::to_string(in) +
               " columns " + std::to_string(n) + (rests ? " with rests" : ""));
  ThreadPool pool(1);
  const RandomTensor source = random_tensor(type, rows, in, static_cast<uint32_t>(rows * 7 + in));
  auto w = PackedMatrix::pack(source.view, "w", pool, table.layout);
  ASSERT_TRUE(w) << w.error().to_string();
  // One float off alignment.
  const std::vector<float> x = random_floats(n * in + 1, static_cast<uint32_t>(n));
  std::vector<double> x_values;
  const auto y = product(table, **w, x.data() + 1, n, table.tile_columns, rests, &x_values);

  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t r = 0; r < rows; ++r) {
    weights_of(table, **w, source.view, r, row);
    for (int64_t c = 0; c < n; ++c) {
      double sum = 0, size = 0;
      for (int64_t k = 0; k < in; ++k) {
        const double term = row[static_cast<size_t>(k)] * x_values[static_cast<size_t>(c * in + k)];
        sum += term;
        size += std::fabs(term);
      }
      // Offsets make single terms larger than the decoded weights: hence 4e-6, not one ulp.
      ASSERT_NEAR(y[static_cast<size_t>(c * rows + r)], sum, 4e-6 * size + 1e-12)
          << "row " << r << " column " << c;
    }
  }
}

TEST_P(EveryTable, ProductsMatchScalarDecode) {
  for (DType type : kWeightTypes)
    for (int64_t in : widths_of(type))
      for (int64_t rows : {1, 15, 16, 17, 40})
        for (bool rests : {true, false}) check_product(table(), type, rows, in, 3, rests);
}

TEST_P(EveryTable, ProductsMatchAtEveryWidth) {
  for (DType type : kWeightTypes)
    for (int64_t n = 1; n <= kMaxTile + 1; ++n)
      for (bool rests : {true, false})
        check_product(table(), type, 33, widths_of(type)[1], n, rests);
  // Kernels that take whole batches have ways of their own for three tiles and more.
  for (DType type : {DType::kQ4_0, DType::kQ6_K})
    for (int64_t n : {31, 32, 33, 48, 65})
      for (int64_t in : {widths_of(type)[1], widths_of(type).back()})
        check_product(table(), type, 49, in, n, false);
}

class EveryBf16Table : public EveryTable {};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryBf16Table, testing::ValuesIn(bf16_tables()),
                         [](const auto& info) { return std::string(info.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryBf16Table);

// Each weight alone, exactly.
TEST_P(EveryBf16Table, RoundsEveryWeightToNearest) {
  ThreadPool pool(1);
  for (DType type : kWeightTypes) {
    const int64_t in = 256, rows = 33;
    const RandomTensor source = random_tensor(type, rows, in, 77);
    auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
    ASSERT_TRUE(w);
    if (!(*w)->takes_blocks()) continue;
    std::vector<float> x(static_cast<size_t>(in * in)), row(static_cast<size_t>(in));
    for (int64_t k = 0; k < in; ++k) x[static_cast<size_t>(k * in + k)] = 1.0f;
    const auto y = product(table(), **w, x.data(), in, table().tile_columns, false);
    for (int64_t r = 0; r < rows; ++r) {
      weights_of(table(), **w, source.view, r, row);
      for (int64_t k = 0; k < in; ++k)
        ASSERT_EQ(y[static_cast<size_t>(k * rows + r)], row[static_cast<size_t>(k)])
            << type_name(type) << " row " << r << " k " << k;
    }
  }
}

// Sums of whole numbers are exact up to the largest there can be: every weight 32 · 128, every
// activation as large as its byte may be.
TEST_P(EveryTable, LargestSumsAreExact) {
  ThreadPool pool(1);
  const int64_t in = 256, rows = 16, n = 33;
  RandomTensor source = random_tensor(DType::kQ6_K, rows, in, 5);
  std::ranges::fill(source.bytes, std::byte{0});
  for (size_t at = 0; at < source.bytes.size(); at += sizeof(BlockQ6_K)) {
    BlockQ6_K block{};
    std::ranges::fill(block.scales, int8_t{-128});
    const uint16_t one = float_to_fp16(1.0f);
    std::memcpy(&block.d, &one, sizeof one);
    std::memcpy(source.bytes.data() + at, &block, sizeof block);
  }
  auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
  ASSERT_TRUE(w);
  const auto largest = static_cast<float>(table().act_limit);
  const std::vector<float> x(static_cast<size_t>(n * in), largest);
  for (int64_t columns : {int64_t{1}, n})
    for (float y : product(table(), **w, x.data(), columns, table().tile_columns, false))
      ASSERT_EQ(y, 256.0f * largest * 32 * 128) << columns;
}

// Four-bit weights at both ends, activations at both ends: what a byte must hold when they are
// added.
TEST_P(EveryTable, ExtremesOfFourBitsAreExact) {
  ThreadPool pool(1);
  const int64_t in = 64, rows = 16, n = 33;
  for (const int nibble : {0, 15}) {
    RandomTensor source = random_tensor(DType::kQ4_0, rows, in, 5);
    std::ranges::fill(source.bytes, static_cast<std::byte>(nibble * 17));
    const uint16_t one = float_to_fp16(1.0f);
    for (size_t at = 0; at < source.bytes.size(); at += block_shape(DType::kQ4_0).bytes)
      std::memcpy(source.bytes.data() + at, &one, sizeof one);
    auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
    ASSERT_TRUE(w);
    const auto largest = static_cast<float>(table().act_limit);
    for (const int64_t negative : {0, 16, 24, 64}) {  // of 64
      std::vector<float> x(static_cast<size_t>(n * in), largest);
      for (size_t i = 0; i < x.size(); ++i)
        if (static_cast<int64_t>(i) % in < negative) x[i] = -largest;
      const float want = largest * static_cast<float>((nibble - 8) * (in - 2 * negative));
      for (int64_t columns : {int64_t{1}, int64_t{3}, n})
        for (float y : product(table(), **w, x.data(), columns, table().tile_columns, false))
          ASSERT_EQ(y, want) << nibble << " " << negative << " " << columns;
    }
  }
}

TEST_P(EveryTable, BlocksWithScaleZeroAddNothing) {
  ThreadPool pool(1);
  const int64_t in = 64, rows = 16;
  RandomTensor source = random_tensor(DType::kQ4_0, rows, in, 5);
  const BlockShape shape = block_shape(DType::kQ4_0);
  for (size_t at = 0, i = 0; at < source.bytes.size(); at += shape.bytes, ++i) {
    const uint16_t zero = i % 3 == 0 ? 0x8000 : 0;  // both zeros
    std::memcpy(source.bytes.data() + at, &zero, 2);
  }
  auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
  ASSERT_TRUE(w);
  const auto x = random_floats(in, 6);
  for (const float y : product(table(), **w, x.data(), 1, table().tile_columns, false))
    EXPECT_LT(std::abs(y), 1e-30f);
}

// The way for few columns, however many come.
KernelTable without_batches(KernelTable table) {
  std::ranges::fill(table.batch_from, INT64_MAX);
  return table;
}

TEST_P(EveryTable, ResultsAreTheSameBitsAtEveryWidth) {
  const KernelTable plain = without_batches(table());
  ThreadPool pool(1);
  constexpr int64_t kColumns = 3 * kMaxTile;
  for (DType type : kWeightTypes) {
    const int64_t in = widths_of(type).back();
    const RandomTensor source = random_tensor(type, 37, in, 11);
    auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
    ASSERT_TRUE(w);
    const std::vector<float> x = random_floats(kColumns * in, 5);
    for (bool rests : {true, false}) {
      const auto alone = product(plain, **w, x.data(), kColumns, 1, rests);
      for (int tile = 2; tile <= table().tile_columns; ++tile) {
        const auto together = product(plain, **w, x.data(), kColumns, tile, rests);
        ASSERT_EQ(0, std::memcmp(alone.data(), together.data(), alone.size() * sizeof(float)))
            << type_name(type) << " tile " << tile;
      }
      for (int64_t n : {int64_t{1}, int64_t{15}, int64_t{17}, int64_t{32}, int64_t{33}, kColumns}) {
        const auto some = product(table(), **w, x.data(), n, table().tile_columns, rests);
        ASSERT_EQ(0, std::memcmp(alone.data(), some.data(), some.size() * sizeof(float)))
            << type_name(type) << " columns " << n;
      }
    }
  }
}

// Tables with one way for few columns and another for many: the same bits.
class EveryTableOfBoth : public EveryTable {};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryTableOfBoth, testing::ValuesIn(tables_of_both()),
                         [](const auto& info) { return std::string(info.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EveryTableOfBoth);

void expect_bits_of_few(const KernelTable& table, DType type, int64_t rows, int64_t in) {
  const KernelTable plain = without_batches(table);
  ThreadPool pool(1);
  const RandomTensor source = random_tensor(type, rows, in, 12);
  auto w = PackedMatrix::pack(source.view, "w", pool, table.layout);
  ASSERT_TRUE(w);
  for (int64_t n : {std::max<int64_t>(1, table.batch_from[static_cast<size_t>(type)]), int64_t{17},
                    int64_t{32}, int64_t{45}, int64_t{64}, int64_t{100}}) {
    const std::vector<float> x = random_floats(n * in, 6);
    ASSERT_EQ(product(table, **w, x.data(), n, table.tile_columns, false),
              product(plain, **w, x.data(), n, table.tile_columns, false))
        << type_name(type) << " in " << in << " columns " << n;
  }
}

TEST_P(EveryTableOfBoth, ProductsOfManyColumnsHaveTheBitsOfFew) {
  for (DType type : kWeightTypes)
    for (int64_t in : widths_of(type)) expect_bits_of_few(table(), type, 53, in);
  // more panels than go together
  for (DType type : {DType::kQ4_0, DType::kQ4_K}) expect_bits_of_few(table(), type, 820, 1280);
}

TEST_P(EveryTable, AddsBiasAndResidual) {
  ThreadPool pool(1);
  const int64_t rows = 21, in = 64, n = 5;
  for (DType type : {DType::kQ4_0, DType::kF16}) {
    const RandomTensor source = random_tensor(type, rows, in, 3);
    auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
    ASSERT_TRUE(w);
    const auto x = random_floats(n * in, 8), bias = random_floats(rows, 9);
    const auto plain = product(table(), **w, x.data(), n, table().tile_columns, false);
    const Tiles t(table(), **w, x.data(), n, 8, false);
    // Rows of y lie further apart than they are wide; what lies between must stay.
    const int64_t stride = rows + 3;
    std::vector<float> y(static_cast<size_t>(n * stride), 0.5f);
    multiply_all(table(), **w, t.tiles, {{y.data(), n, rows, stride}, bias.data(), true});
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t o = 0; o < rows; ++o) {
        const float want =
            0.5f + (plain[static_cast<size_t>(r * rows + o)] + bias[static_cast<size_t>(o)]);
        EXPECT_EQ(y[static_cast<size_t>(r * stride + o)], want);
      }
      for (int64_t o = rows; o < stride; ++o)
        EXPECT_EQ(y[static_cast<size_t>(r * stride + o)], 0.5f);
    }
  }
}

constexpr int64_t kQuantised = 5;  // blocks
std::vector<float> values_to_quantise() {
  auto x = random_floats(kBlock * kQuantised + 1, 2, 3.0f);
  std::fill_n(x.begin() + 1 + 2 * kBlock, kBlock, 0.0f);
  return x;
}

// n values with one scale; returns Σ q.
int expect_quantised(const float* v, int n, const int8_t* q, float d, int limit) {
  float amax = 0;
  for (int i = 0; i < n; ++i) amax = std::max(amax, std::fabs(v[i]));
  const auto most = static_cast<float>(limit);
  const float inverse = amax > 0 ? most / amax : 0.0f;
  EXPECT_EQ(d, amax * (1.0f / most));
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    EXPECT_EQ(q[i], static_cast<int>(std::nearbyint(v[i] * inverse)));
    sum += q[i];
  }
  return sum;
}

TEST_P(EveryTable, QuantisesExactlyAsDefined) {
  const auto x = values_to_quantise();
  ActBlock out[kQuantised];
  table().quantise(x.data() + 1, kQuantised, out, 1);
  const float* v = x.data() + 1;
  for (const ActBlock& b : out) {
    const int sum = expect_quantised(v, kBlock, b.q, b.d, table().act_limit);
    EXPECT_EQ(b.d_sum, b.d * static_cast<float>(sum));
    EXPECT_EQ(b.d_sum_first, b.d * static_cast<float>(std::accumulate(b.q, b.q + 16, 0)));
    const int pairs = std::inner_product(b.q, b.q + 16, b.q + 16, 0) +
                      128 * std::accumulate(b.q + 16, b.q + 32, 0);
    EXPECT_EQ(b.seed[0], kSeedBits - (table().pairs ? pairs : 8 * sum));
    EXPECT_EQ(b.seed[1], kSeedBits - 128 * sum);
    EXPECT_EQ(b.half_seed[0], kSeedBits - 32 * std::accumulate(b.q, b.q + 16, 0));
    EXPECT_EQ(b.half_seed[1], kSeedBits - 32 * std::accumulate(b.q + 16, b.q + 32, 0));
    v += kBlock;
  }
}

// Exactly the blocks that reach much further than their row's average, to about 15 bits.
TEST_P(EveryTable, OutlyingBlocksHaveRests) {
  if (table().act_form != ActForm::kInt8) GTEST_SKIP();
  ThreadPool pool(1);
  const int64_t in = 9 * kBlock, n = 5;
  auto w = PackedMatrix::pack(random_tensor(DType::kQ4_0, 16, in, 5).view, "w", pool);
  ASSERT_TRUE(w);
  auto x = random_floats(n * in, 3);
  for (int64_t r = 0; r < n; ++r)  // blocks r and 8 of row r; none of row 4
    for (int64_t i = 0; i < kBlock && r < 4; ++i)
      for (int64_t b : {r, int64_t{8}}) x[static_cast<size_t>(r * in + b * kBlock + i)] *= 100.0f;
  for (int64_t i = 0; i < in; ++i) x[static_cast<size_t>(4 * in + i)] = i % 2 ? 0.7f : -0.7f;
  const Tiles t(table(), **w, x.data(), n, 4, true);
  const auto values = values_of(t.tiles, in);
  for (int64_t r = 0; r < n; ++r) {
    const uint64_t mask = t.tiles.rest_masks()[r];
    EXPECT_EQ(mask, r < 4 ? uint64_t{1} << r | uint64_t{1} << 8 : 0);
    for (int64_t i = 0; i < in; ++i) {
      const float* block = &x[static_cast<size_t>(r * in + i / kBlock * kBlock)];
      float most = 0;
      for (int64_t k = 0; k < kBlock; ++k) most = std::max(most, std::abs(block[k]));
      const double half_unit = most / table().act_limit / 2;
      const double rounding =
          mask >> i / kBlock & 1 ? half_unit / table().act_limit / 2 : half_unit;
      EXPECT_NEAR(values[static_cast<size_t>(r * in + i)], block[i % kBlock], 1.001 * rounding)
          << r << " " << i;
    }
  }
}

// A damaged value must be seen in the result, whatever the weights' type does with scales and sums.
TEST_P(EveryTable, NotANumberReachesTheProduct) {
  ThreadPool pool(1);
  const int64_t in = 256;
  for (DType type : kWeightTypes) {
    const RandomTensor source = random_tensor(type, 16, in, 5);
    auto w = PackedMatrix::pack(source.view, "w", pool, table().layout);
    ASSERT_TRUE(w);
    for (float bad : {NAN, -NAN, INFINITY})
      for (bool rests : {true, false})
        for (int64_t at : {0, 17, 255}) {
          auto x = random_floats(in, 3);
          x[static_cast<size_t>(at)] = bad;
          for (float y : product(table(), **w, x.data(), 1, table().tile_columns, rests))
            ASSERT_FALSE(std::isfinite(y)) << type_name(type) << " " << bad << " at " << at;
        }
  }
}

TEST_P(EveryTable, RowOperationsMatchDoubles) {
  for (int64_t n : {1, 3, 8, 16, 31, 100, 577}) {
    const auto x = random_floats(n + 1, 4, 2.0f), w = random_floats(n, 6);
    std::vector<float> y(static_cast<size_t>(n));
    const float* v = x.data() + 1;
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(v[i]) * v[i];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    table().rms_norm(v, w.data(), 1e-5f, n, y.data());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], v[i] * factor * w[i], 4e-6);
    for (int act = 0; act < 3; ++act) {
      table().gated(act, v, w.data(), n, y.data());
      for (size_t i = 0; i < y.size(); ++i) {
        const double g = v[i];
        const double want =
            act == 0 ? g / (1 + std::exp(-g))
            : act == 1
                ? 0.5 * g * (1 + std::erf(g / std::sqrt(2.0)))
                : 0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
        EXPECT_NEAR(y[i], want * w[i], 2e-6 * (1 + std::fabs(g * w[i]))) << act << " " << g;
      }
    }
    table().scale(v, -1.75f, n, y.data());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], v[i] * -1.75f);
    float top = v[0];
    for (int64_t i = 0; i < n; ++i) top = std::max(top, v[i]);
    EXPECT_EQ(table().max(v, n), top);
    std::vector<float> p(static_cast<size_t>(n * 3));
    double sum = 0;
    const float got = table().exp_sum(v, n, top, p.data(), 3);
    for (int64_t i = 0; i < n; ++i) {
      const double e = std::exp(static_cast<double>(v[i]) - top);
      sum += e;
      EXPECT_NEAR(p[static_cast<size_t>(3 * i)], e, 1e-6 * e);
    }
    EXPECT_NEAR(got, sum, 1e-6 * sum);
  }
}

TEST_P(EveryTable, RotatesHalvesAndPairs) {
  for (int64_t half : {1, 3, 8, 16, 20, 32, 37, 64}) {
    const auto x = random_floats(2 * half, 1), cos = random_floats(half, 2),
               sin = random_floats(half, 3);
    auto halves = x, pairs = x;
    table().rotate_half(halves.data(), cos.data(), sin.data(), half);
    table().rotate_pairs(pairs.data(), cos.data(), sin.data(), half);
    for (size_t i = 0; i < cos.size(); ++i) {
      auto expect = [&](const std::vector<float>& y, size_t first, size_t second) {
        const double a = x[first], b = x[second];
        EXPECT_NEAR(y[first], a * cos[i] - b * sin[i], 1e-6) << half;
        EXPECT_NEAR(y[second], b * cos[i] + a * sin[i], 1e-6) << half;
      };
      expect(halves, i, i + cos.size());
      expect(pairs, 2 * i, 2 * i + 1);
    }
  }
}

TEST_P(EveryTable, GatesFarFromZero) {
  std::vector<float> x;
  for (float size : {1e-30f, 1e-3f, 1.0f, 10.0f, 20.0f, 86.0f, 87.0f, 87.5f, 88.5f, 104.0f, 1e4f})
    x.insert(x.end(), {size, -size});
  x.push_back(0.0f);
  const std::vector<float> ones(x.size(), 1.0f);
  std::vector<float> y(x.size());
  table().gated(0, x.data(), ones.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = x[i] / (1 + std::exp(-static_cast<double>(x[i])));
    EXPECT_NEAR(y[i], want, 3e-7 * std::fabs(want) + 1e-30) << x[i];
  }
  const float bad[] = {NAN, INFINITY};
  table().gated(0, bad, ones.data(), 2, y.data());
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], INFINITY);
}

TEST_P(EveryTable, HalvesRoundToNearestEven) {
  std::vector<float> x = {0.0f,           -0.0f,     1.0f,    65504.0f,  65519.0f,
                          1e9f,           -INFINITY, 6e-8f,   2e-8f,     1.00048828125f,
                          1.00146484375f, 3e-5f,     6.1e-5f, -6.097e-5f};
  for (float f : random_floats(1000, 77, 0.001f)) x.push_back(f);
  std::vector<uint16_t> y(x.size());
  table().to_f16(x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    const float clamped = std::min(std::max(x[i], -65504.0f), 65504.0f);
    EXPECT_EQ(y[i], float_to_fp16(clamped)) << x[i];
  }
}

TEST(PackedMatrix, DecodesToTheSourcesValues) {
  ThreadPool pool(3);
  for (DType type : kWeightTypes) {
    const int64_t in = widths_of(type).back();
    const RandomTensor source = random_tensor(type, 35, in, 21);
    for (Layout layout : {Layout::kInterleaved, Layout::kRowWise}) {
      auto w = PackedMatrix::pack(source.view, "w", pool, layout);
      ASSERT_TRUE(w);
      std::vector<float> want(static_cast<size_t>(in)), got(static_cast<size_t>(in));
      for (int64_t r = 0; r < 35; ++r) {
        decode_row(source.view, r, want);
        (*w)->decode_row(r, got.data());
        for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i], want[i]) << type_name(type);
      }
    }
  }
}

TEST(PackedMatrix, RefusesWhatIsNoWeight) {
  ThreadPool pool(1);
  RandomTensor t = random_tensor(DType::kF32, 4, 8, 1);
  t.view.type = DType::kI32;
  EXPECT_FALSE(PackedMatrix::pack(t.view, "w", pool));
  t.view.type = DType::kF32;
  t.view.shape.rank = 1;
  EXPECT_FALSE(PackedMatrix::pack(t.view, "w", pool));
  t.view.shape.rank = 2;
  t.view.bytes -= 4;
  EXPECT_FALSE(PackedMatrix::pack(t.view, "w", pool));
}

TEST(Dispatch, RefusesAnUnknownInstructionSet) {
  EXPECT_FALSE(choose_table("avx1024"));
  auto generic = choose_table("generic");
  ASSERT_TRUE(generic);
  EXPECT_STREQ((*generic)->name, "generic");
  EXPECT_TRUE(choose_table(""));
}

// Where the processor is known, as under an emulator, a sweep must not pass by missing its table.
TEST(Dispatch, ChoosesTheExpectedInstructionSet) {
  const char* expected = std::getenv("XIAOHU_EXPECT_ISA");
  if (expected == nullptr) GTEST_SKIP() << "XIAOHU_EXPECT_ISA names no instruction set";
  EXPECT_STREQ((*choose_table(""))->name, expected);
}

}  // namespace
}  // namespace xh::cpu

// 8-bit attention kernels of every instruction set: integer sums are exact, so scores and weighted
// sums are compared with plain sums in double at every width; rounding is bounded by its unit.
#include <gtest/gtest.h>

#include <cmath>

#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

class EveryAttention : public testing::TestWithParam<const KernelTable*> {
 protected:
  const AttentionKernels& kernels() const { return *GetParam()->attention; }
};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryAttention, testing::ValuesIn(runnable_tables()),
                         [](const auto& info) { return std::string(info.param->name); });

uint32_t next_random(uint32_t& state) {
  return state = state * 1664525u + 1013904223u;
}

TEST_P(EveryAttention, ScoresAreExactSumsTimesScales) {
  uint32_t seed = 1;
  for (int64_t groups : {1, 3, 16, 32, 256}) {
    for (int columns = 1; columns <= kernels().score_columns; ++columns) {
      const int64_t n_pages = 1 + columns % 3, bytes = groups * 128 + kPage * 4;
      std::vector<uint8_t> memory(static_cast<size_t>(n_pages * bytes) + 4);
      const uint8_t* pages[kChunkPages];
      for (int64_t p = 0; p < n_pages; ++p) {
        uint8_t* page = memory.data() + 4 + p * bytes;  // not aligned to a line
        pages[p] = page;
        for (int64_t i = 0; i < groups * 128; ++i)  // extremes are frequent
          page[i] = next_random(seed) >> 30
                        ? static_cast<uint8_t>(1 + (next_random(seed) >> 8) % 255)
                        : 255;
        for (int64_t t = 0; t < kPage; ++t)
          reinterpret_cast<float*>(page + groups * 128)[t] = 0.5f + static_cast<float>(t);
      }
      std::vector<int8_t> q(static_cast<size_t>(columns * groups * 4));
      std::vector<int32_t> offsets;
      std::vector<float> scales, scores(static_cast<size_t>(columns * kChunk), -1.0f);
      for (int c = 0; c < columns; ++c) {
        int32_t sum = 0;
        for (int64_t i = 0; i < groups * 4; ++i) {
          const auto v = static_cast<int8_t>(
              next_random(seed) >> 30 ? static_cast<int>((next_random(seed) >> 8) % 255) - 127
                                      : 127);
          q[static_cast<size_t>(c * groups * 4 + i)] = v;
          sum += v;
        }
        offsets.push_back(-128 * sum);
        scales.push_back(0.25f * static_cast<float>(c + 1));
      }
      kernels().score[columns - 1]({pages, nullptr, n_pages, groups, q.data(), groups * 4,
                                    scales.data(), offsets.data(), scores.data()});
      for (int c = 0; c < columns; ++c) {
        for (int64_t t = 0; t < n_pages * kPage; ++t) {
          const uint8_t* page = pages[t / kPage];
          const int64_t r = t % kPage;
          int32_t sum = 0;
          for (int64_t i = 0; i < groups * 4; ++i)
            sum += (page[(r / 16 * groups + i / 4) * 64 + r % 16 * 4 + i % 4] - 128) *
                   q[static_cast<size_t>(c * groups * 4 + i)];
          const float want = static_cast<float>(sum) * (0.5f + static_cast<float>(r)) *
                             scales[static_cast<size_t>(c)];
          ASSERT_EQ(scores[static_cast<size_t>(c * kChunk + t)], want)
              << groups << " groups, column " << c << " of " << columns << ", token " << t;
        }
      }
    }
  }
}

TEST_P(EveryAttention, WeighedSumsAreExactPerPage) {
  uint32_t seed = 2;
  for (int64_t panels : {1, 2, 3, 8}) {
    for (int columns = 1; columns <= kernels().weigh_columns; ++columns) {
      const int64_t n_pages = columns == 2 ? kChunkPages : 1;
      std::vector<int8_t> v(static_cast<size_t>(n_pages * panels * 512) + 4);
      for (auto& x : v)
        x = static_cast<int8_t>(
            next_random(seed) >> 30 ? static_cast<int>((next_random(seed) >> 8) % 129) - 64 : 64);
      const int8_t* pages[kChunkPages];
      for (int64_t p = 0; p < n_pages; ++p) pages[p] = v.data() + 4 + p * panels * 512;
      std::vector<uint8_t> p(static_cast<size_t>(columns * kChunk));
      for (auto& x : p)
        x = next_random(seed) >> 30 ? static_cast<uint8_t>(next_random(seed) >> 8) : 255;
      std::vector<float> p_scale(static_cast<size_t>(kChunkPages * kMaxColumns));
      for (size_t i = 0; i < p_scale.size(); ++i) p_scale[i] = 0.125f * static_cast<float>(i % 16);
      const int64_t stride = panels * 16 + 5;
      std::vector<float> acc(static_cast<size_t>(columns * stride), 9.0f);
      kernels().weigh[columns - 1](
          {pages, nullptr, n_pages, panels, p.data(), p_scale.data(), acc.data(), stride});
      for (int c = 0; c < columns; ++c) {
        for (int64_t d = 0; d < panels * 16; ++d) {
          double want = 0;  // exact in float as well: small integers times eighths
          for (int64_t t = 0; t < n_pages * kPage; ++t)
            want += static_cast<double>(p_scale[static_cast<size_t>(t / kPage * kMaxColumns + c)]) *
                    p[static_cast<size_t>(c * kChunk + t)] *
                    pages[t / kPage][d / 16 * 512 + t % kPage / 4 * 64 + d % 16 * 4 + t % 4];
          ASSERT_EQ(acc[static_cast<size_t>(c * stride + d)], want) << panels << " " << columns;
        }
        for (int64_t d = panels * 16; d < stride; ++d)
          ASSERT_EQ(acc[static_cast<size_t>(c * stride + d)], 9.0f);
      }
    }
  }
}

TEST_P(EveryAttention, SoftenRoundsWithinHalfAUnit) {
  for (auto [from, to] : {std::pair{0, 1}, {0, 256}, {3, 77}, {31, 33}, {200, 256}, {64, 96}}) {
    auto scores = random_floats(kChunk, 3);
    for (auto& x : scores) x *= 12.0f;
    const auto plain = scores;
    std::vector<float> v_scales = random_floats(kPage, 4);
    for (auto& x : v_scales) x = std::fabs(x);
    const float* scales[kChunkPages];
    for (auto& x : scales) x = v_scales.data();
    std::vector<uint8_t> p(kChunk, 77);
    std::vector<float> p_scale(static_cast<size_t>(kChunkPages * kMaxColumns), -1.0f);
    float top = 0, sum = 0;
    kernels().soften({scores.data(), from, to, scales, p.data(), p_scale.data(), &top, &sum});
    double best = -1e9, total = 0;
    for (int i = from; i < to; ++i) best = std::max<double>(best, plain[static_cast<size_t>(i)]);
    for (int i = from; i < to; ++i) total += std::exp2(plain[static_cast<size_t>(i)] - best);
    ASSERT_EQ(top, best);
    ASSERT_NEAR(sum, total, 1e-5 * total);
    for (int i = from / 32 * 32; i < (to + 31) / 32 * 32; ++i) {
      const auto at = static_cast<size_t>(i);
      const double want = i < from || i >= to ? 0.0
                                              : std::exp2(plain[at] - best) *
                                                    static_cast<double>(v_scales[at % kPage]);
      const double unit = p_scale[static_cast<size_t>(i / 32 * kMaxColumns)];
      ASSERT_NEAR(p[at] * unit, want, 0.51 * unit + 1e-5 * want) << i;
    }
  }
}

TEST_P(EveryAttention, QuantisesWithinHalfAUnitAndSaturates) {
  for (int64_t n : {1, 10, 16, 40, 128}) {
    auto x = random_floats(n, static_cast<uint32_t>(n));
    std::vector<int8_t> q(static_cast<size_t>(n) + 1, 99);
    int32_t sum = 0;
    const float scale = kernels().quantise(x.data(), n, kValueLimit, q.data(), &sum);
    int32_t want_sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(q[i] * scale, x[i], 0.51f * scale);
      want_sum += q[i];
    }
    ASSERT_EQ(sum, want_sum);
    ASSERT_EQ(q.back(), 99);
    x[0] = -INFINITY;
    ASSERT_TRUE(std::isfinite(kernels().quantise(x.data(), n, kKeyLimit, q.data(), &sum)));
    ASSERT_EQ(q[0], -127);
  }
  std::vector<float> zeros(64);
  std::vector<int8_t> q(64, 1);
  int32_t sum = 1;
  kernels().quantise(zeros.data(), 64, kKeyLimit, q.data(), &sum);
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(q, std::vector<int8_t>(64));
}

TEST_P(EveryAttention, HadamardKeepsProducts) {
  for (int64_t n : {1, 6, 8, 72, 80, 96, 128, 256}) {
    auto a = random_floats(n, 5), b = random_floats(n, 6);
    double before = 0, after = 0;
    for (size_t i = 0; i < a.size(); ++i) before += static_cast<double>(a[i]) * b[i];
    kernels().hadamard(a.data(), n);
    kernels().hadamard(b.data(), n);
    for (size_t i = 0; i < a.size(); ++i) after += static_cast<double>(a[i]) * b[i];
    EXPECT_NEAR(after / static_cast<double>(n & -n), before, 1e-4 * static_cast<double>(n)) << n;
    // One outlying channel spreads over its whole block.
    std::vector<float> spike(static_cast<size_t>(n));
    spike[0] = 1.0f;
    kernels().hadamard(spike.data(), n);
    for (int64_t i = 0; i < n; ++i)
      EXPECT_EQ(std::fabs(spike[static_cast<size_t>(i)]), i < (n & -n) ? 1.0f : 0.0f) << n;
  }
}

TEST_P(EveryAttention, UnpacksEveryValueByEveryFactor) {
  for (int64_t panels : {1, 2, 5, 8}) {
    const int64_t pairs = (panels + 1) / 2;
    std::vector<uint8_t> memory(static_cast<size_t>(pairs * 512 + panels * kPage) + 4);
    uint8_t* packed = memory.data() + 4;  // not aligned to a line
    uint8_t* factors = packed + pairs * 512;
    uint32_t seed = 9;
    for (int64_t i = 0; i < pairs * 512; ++i)
      packed[i] = static_cast<uint8_t>(next_random(seed) >> 24);
    for (int64_t i = 0; i < panels * kPage; ++i)
      factors[i] = static_cast<uint8_t>(1 + i % kMaxFactor);
    std::vector<int8_t> values(static_cast<size_t>(panels * 512) + 1, 99);
    kernels().unpack_values(packed, factors, panels, values.data());
    for (int64_t panel = 0; panel < panels; ++panel)
      for (int64_t i = 0; i < 512; ++i) {
        const int both = packed[panel / 2 * 512 + i];
        const int value = (panel % 2 == 0 ? both & 15 : both >> 4) - 8;
        const int64_t token = i / 64 * 4 + i % 4;
        ASSERT_EQ(values[static_cast<size_t>(panel * 512 + i)],
                  value * factors[panel * kPage + token])
            << panel << " " << i;
      }
    ASSERT_EQ(values.back(), 99);
  }
}

}  // namespace
}  // namespace xh::cpu

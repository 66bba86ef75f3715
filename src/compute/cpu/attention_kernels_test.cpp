// 8-bit attention kernels of every instruction set: integer sums are exact, so scores and weighted
// sums are compared with plain sums in double at every width; rounding is bounded by its unit.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "compute/cpu/random_tensor_test.h"
#include "compute/cpu/tested_tables_test.h"

namespace xh::cpu {
namespace {

TEST(Ahead, GoesThroughItsRunsLineByLine) {
  const std::vector<uint8_t> first(128), second(128);
  const Ahead::Run runs[] = {{first.data(), first.data() + 128},
                             {second.data(), second.data() + 128}};
  Ahead ahead;
  ahead.fetch(3);  // nothing is wanted
  EXPECT_EQ(ahead.at, nullptr);
  ahead = {.runs = runs, .n_runs = 2};
  ahead.fetch(1);
  EXPECT_EQ(ahead.at, first.data() + 64);
  EXPECT_EQ(ahead.n_runs, 1);
  ahead.fetch(2);
  EXPECT_EQ(ahead.at, second.data() + 64);
  ahead.fetch(5);
  EXPECT_EQ(ahead.at, second.data() + 128);
  EXPECT_EQ(ahead.n_runs, 0);
}

class EveryAttention : public testing::TestWithParam<const KernelTable*> {
 protected:
  const AttentionKernels& kernels() const { return *GetParam()->attention; }
};
INSTANTIATE_TEST_SUITE_P(Cpu, EveryAttention, testing::ValuesIn(tested_tables()),
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
  // the fourth sees nothing
  const int32_t from[] = {0, 0, 3, 50, 31, 200, 64, 255, 0, 17, 32, 1},
                to[] = {1, 256, 77, 50, 33, 256, 96, 256, 32, 200, 256, 255};
  static_assert(std::size(from) == kMaxColumns && std::size(to) == kMaxColumns);
  for (int64_t columns = 1; columns <= kMaxColumns; ++columns) {
    auto scores = random_floats(columns * kChunk, 3);
    for (auto& x : scores) x *= 12.0f;
    const auto plain = scores;
    std::vector<float> v_scales = random_floats(kPage, 4);
    for (auto& x : v_scales) x = std::fabs(x);
    const float* scales[kChunkPages];
    for (auto& x : scales) x = v_scales.data();
    std::vector<uint8_t> p(static_cast<size_t>(columns * kChunk), 77);
    std::vector<float> p_scale(static_cast<size_t>(kChunkPages * kMaxColumns), -1.0f);
    float top[kMaxColumns], sum[kMaxColumns];
    std::fill_n(top, kMaxColumns, 5.0f);
    std::fill_n(sum, kMaxColumns, 6.0f);
    kernels().soften({scores.data(), columns, kChunkPages, from, to, scales, p.data(),
                      p_scale.data(), top, sum});
    for (int64_t c = 0; c < columns; ++c) {
      double best = -1e9, total = 0;
      const float* x = plain.data() + c * kChunk;
      for (int i = from[c]; i < to[c]; ++i) best = std::max<double>(best, x[i]);
      for (int i = from[c]; i < to[c]; ++i) total += std::exp2(x[i] - best);
      ASSERT_EQ(top[c], from[c] < to[c] ? best : 5.0);
      ASSERT_NEAR(sum[c], from[c] < to[c] ? total : 6.0, 1e-5 * total);
      for (int i = 0; i < kChunk; ++i) {
        const double scale = v_scales[static_cast<size_t>(i % kPage)];
        const double want = i < from[c] || i >= to[c] ? 0.0 : std::exp2(x[i] - best) * scale;
        const double unit = p_scale[static_cast<size_t>(i / 32 * kMaxColumns + c)];
        ASSERT_NEAR(p[static_cast<size_t>(c * kChunk + i)] * unit, want, 0.51 * unit + 1e-5 * want)
            << c << " " << i;
      }
    }
    for (int64_t c = columns; c < kMaxColumns; ++c) ASSERT_EQ(top[c], 5.0f);
  }
}

// One chunk of random pages and 48 random queries. Sharper ones have scores further apart.
struct Chunk {
  int64_t dim, k_pad, v_pad, n_pages, q_stride;
  std::vector<uint8_t> keys;
  std::vector<int8_t> values, q;
  std::vector<float> v_scales, q_scale, top, sum, acc;
  std::vector<int32_t> q_offset, from, to;
  const uint8_t* key_pages[kChunkPages];
  const int8_t* value_pages[kChunkPages];
  const float* scale_pages[kChunkPages];
  std::vector<std::byte> scratch = std::vector<std::byte>(kAttendScratch + 64);

  Chunk(int64_t dims, int64_t pages, float sharpness = 1) : dim(dims), n_pages(pages) {
    k_pad = (dim + 3) / 4 * 4, v_pad = (dim + 15) / 16 * 16, q_stride = (dim + 63) / 64 * 64;
    uint32_t seed = static_cast<uint32_t>(dim + pages);
    auto random = [&](int below) { return static_cast<int>((next_random(seed) >> 8) % below); };
    const int64_t k_bytes = k_pad * kPage + kPage * 4, v_bytes = v_pad * kPage;
    keys.resize(static_cast<size_t>(n_pages * k_bytes));
    values.resize(static_cast<size_t>(n_pages * v_bytes));
    for (auto& x : keys) x = static_cast<uint8_t>(1 + random(255));
    for (auto& x : values) x = static_cast<int8_t>(random(129) - 64);
    for (int64_t i = 0; i < n_pages * kPage; ++i)
      v_scales.push_back(0.01f * static_cast<float>(1 + random(9)));
    for (int64_t p = 0; p < n_pages; ++p) {
      key_pages[p] = keys.data() + p * k_bytes;
      auto* scales = reinterpret_cast<float*>(keys.data() + p * k_bytes + k_pad * kPage);
      for (int64_t t = 0; t < kPage; ++t) scales[t] = 0.002f * static_cast<float>(1 + random(9));
      value_pages[p] = values.data() + p * v_bytes;
      scale_pages[p] = v_scales.data() + p * kPage;
    }
    q.resize(static_cast<size_t>(kAttendColumns * q_stride));
    for (int64_t c = 0; c < kAttendColumns; ++c) {
      int32_t total = 0;
      for (int64_t i = 0; i < dim; ++i) {
        const auto v = static_cast<int8_t>(c == 5 ? 0 : random(255) - 127);
        q[static_cast<size_t>(c * q_stride + i)] = v;
        total += v;
      }
      q_offset.push_back(-128 * total);
      q_scale.push_back(c == 5 ? 0.0f : 0.0005f * sharpness * static_cast<float>(1 + c % 4));
      from.push_back(c % 3 == 0 ? 0 : c);
      to.push_back(c % 7 == 6 ? c : static_cast<int32_t>(n_pages * kPage) - c % 4 * 3);
    }
    top.resize(kAttendColumns);
    sum.resize(kAttendColumns);
    acc.resize(static_cast<size_t>(kAttendColumns * v_pad));
  }

  // Columns [first, first + n).
  void run(const AttentionKernels& kernels, int64_t first, int64_t n) {
    const auto at = static_cast<size_t>(first);
    std::fill_n(sum.begin() + first, n, 0.0f);
    std::fill_n(acc.begin() + first * v_pad, n * v_pad, NAN);  // nobody reads an empty state
    auto* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
    kernels.attend({.keys = key_pages,
                    .values = value_pages,
                    .v_scales = scale_pages,
                    .ahead = nullptr,
                    .n_pages = n_pages,
                    .groups = k_pad / 4,
                    .panels = v_pad / 16,
                    .n_columns = n,
                    .q = q.data() + first * q_stride,
                    .q_stride = q_stride,
                    .q_scale = &q_scale[at],
                    .q_offset = &q_offset[at],
                    .from = &from[at],
                    .to = &to[at],
                    .top = &top[at],
                    .sum = &sum[at],
                    .acc = acc.data() + first * v_pad,
                    .acc_stride = v_pad,
                    .scratch = aligned});
  }

  int32_t product(int64_t c, int64_t t) const {
    const uint8_t* page = key_pages[t / kPage];
    int32_t total = q_offset[static_cast<size_t>(c)];
    for (int64_t i = 0; i < k_pad; ++i)
      total += page[(t % kPage / 16 * (k_pad / 4) + i / 4) * 64 + t % 16 * 4 + i % 4] *
               q[static_cast<size_t>(c * q_stride + i)];
    return total;
  }
  double score(int64_t c, int64_t t) const {
    const float scale =
        reinterpret_cast<const float*>(key_pages[t / kPage] + k_pad * kPage)[t % kPage];
    return static_cast<double>(product(c, t)) * scale *
           static_cast<double>(q_scale[static_cast<size_t>(c)]);
  }
  double value(int64_t t, int64_t i) const {
    return static_cast<double>(v_scales[static_cast<size_t>(t)]) *
           value_pages[t / kPage][i / 16 * 512 + t % kPage / 4 * 64 + i % 16 * 4 + t % 4];
  }
};

// Weights are rounded to bf16, 2^-9 each at most, and 2^x is good to 1e-4.
void expect_plain_sums(const Chunk& chunk) {
  for (int64_t c = 0; c < kAttendColumns; ++c) {
    const auto at = static_cast<size_t>(c);
    if (chunk.from[at] >= chunk.to[at]) {
      ASSERT_EQ(chunk.sum[at], 0);
      continue;
    }
    double total = 0, error = 0, size = 0;
    std::vector<double> want(static_cast<size_t>(chunk.v_pad));
    for (int64_t t = chunk.from[at]; t < chunk.to[at]; ++t) {
      const double e = std::exp2(chunk.score(c, t) - static_cast<double>(chunk.top[at]));
      total += e;
      for (size_t i = 0; i < want.size(); ++i)
        want[i] += e * chunk.value(t, static_cast<int64_t>(i));
    }
    ASSERT_NEAR(chunk.sum[at], total, 2e-4 * total) << chunk.dim << " dims, column " << c;
    for (size_t i = 0; i < want.size(); ++i) {
      const double got = chunk.acc[at * want.size() + i];
      error += (got - want[i]) * (got - want[i]);
      size += want[i] * want[i];
    }
    ASSERT_LT(error, 3e-5 * size) << chunk.dim << " dims, column " << c;
  }
}

TEST_P(EveryAttention, AttendsLikePlainSums) {
  if (kernels().attend == nullptr) GTEST_SKIP() << "has no kernel for whole chunks";
  for (int64_t dim : {128, 64, 10, 72, 80, 96, 192, 256}) {
    Chunk chunk(dim, dim == 96 ? 3 : kChunkPages);
    chunk.run(kernels(), 0, kAttendColumns);
    expect_plain_sums(chunk);
  }
}

constexpr float kSharp = 50;

// A kernel may not take the first page's scores for the largest: 2^200 is no number any more.
TEST_P(EveryAttention, ScoresMayLieFarAboveTheFirstPages) {
  if (kernels().attend == nullptr) GTEST_SKIP() << "has no kernel for whole chunks";
  for (int64_t dim : {64, 72, 128}) {
    Chunk chunk(dim, kChunkPages, kSharp);
    int far = 0;
    for (int64_t c = 0; c < kAttendColumns; ++c) {
      double first = -1e9, all = -1e9;
      const auto at = static_cast<size_t>(c);
      for (int64_t t = chunk.from[at]; t < chunk.to[at]; ++t) {
        all = std::max(all, chunk.score(c, t));
        if (t / kPage == chunk.from[at] / kPage) first = std::max(first, chunk.score(c, t));
      }
      far += all > first + 130;
    }
    ASSERT_GT(far, 0) << "this test tests nothing";
    chunk.run(kernels(), 0, kAttendColumns);
    expect_plain_sums(chunk);
  }
}

TEST_P(EveryAttention, AttendedColumnsDoNotSeeEachOther) {
  if (kernels().attend == nullptr) GTEST_SKIP() << "has no kernel for whole chunks";
  for (auto [dim, sharpness] : {std::pair{64, 1.0f}, {80, 1.0f}, {128, 1.0f}, {128, kSharp}}) {
    Chunk whole(dim, kChunkPages, sharpness), alone(dim, kChunkPages, sharpness);
    whole.run(kernels(), 0, kAttendColumns);
    for (int64_t n : {1, 2, 5, 15, 16, 17, 31, 32, 33}) {
      for (int64_t first = 0; first + n <= kAttendColumns; first += 16) {
        alone.run(kernels(), first, n);
        for (int64_t c = first; c < first + n; ++c) {
          const auto at = static_cast<size_t>(c);
          ASSERT_EQ(alone.sum[at], whole.sum[at]) << c << " of " << n;
          if (whole.sum[at] == 0) continue;
          ASSERT_EQ(alone.top[at], whole.top[at]);
          for (int64_t i = c * alone.v_pad; i < (c + 1) * alone.v_pad; ++i)
            ASSERT_EQ(alone.acc[static_cast<size_t>(i)], whole.acc[static_cast<size_t>(i)])
                << c << " of " << n;
        }
      }
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

// By its definition: y[i] = Σ over j of a block, x[j] · (-1)^(bits that i and j share). Whole
// numbers, so that sums are exact.
TEST_P(EveryAttention, HadamardIsExact) {
  for (int64_t n : {2, 4, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024}) {
    const int64_t block = n & -n;
    std::vector<float> x(static_cast<size_t>(n)), want(x.size());
    uint32_t seed = static_cast<uint32_t>(n);
    for (float& v : x) v = static_cast<float>(next_random(seed) >> 24);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < block; ++j) {
        const int64_t of = i / block * block + j;
        const bool minus = std::popcount(static_cast<uint64_t>(i % block & j)) % 2;
        want[static_cast<size_t>(i)] +=
            minus ? -x[static_cast<size_t>(of)] : x[static_cast<size_t>(of)];
      }
    kernels().hadamard(x.data(), n);
    EXPECT_EQ(x, want) << n;
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

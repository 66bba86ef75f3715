// Every instruction set does bit for bit what the generic loops do, whatever the size.
#include "sampling/scan_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "sampling/logit_scan.h"

namespace xh {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> row_of(std::mt19937& rng, size_t n) {
  std::normal_distribution<float> normal(0, 5);
  std::vector<float> out(n);
  for (auto& x : out) x = rng() % 9 == 0 ? std::round(normal(rng)) : normal(rng);
  if (rng() % 4 == 0) out[rng() % n] = 1e30f;
  if (rng() % 4 == 0) out[rng() % n] = -1e30f;
  return out;
}

TEST(ScanKernels, EveryIsaGivesTheSameBits) {
  const auto scans = runnable_scans();
  std::mt19937 rng(1);
  for (size_t n : {1u, 3u, 15u, 16u, 17u, 31u, 33u, 255u, 256u, 257u, 300u, 511u, 1023u, 5003u})
    for (int round = 0; round < 8; ++round) {
      const auto row = row_of(rng, n);
      const size_t blocks = (n + kScanBlock - 1) / kScanBlock;
      const float max = *std::max_element(row.begin(), row.end());
      const float scale = round % 2 == 0 ? 1.0f : 1.7f;
      std::vector<float> maxima(blocks), expected_maxima(blocks);
      std::vector<float> weights(kScanBlock), expected_weights(kScanBlock);
      std::vector<double> sums(blocks), expected_sums(blocks);
      const auto first = static_cast<int64_t>(std::min<size_t>(n, kScanBlock));
      const auto all = static_cast<int64_t>(n);
      kScanGeneric.block_maxima(row.data(), all, expected_maxima.data());
      kScanGeneric.exp_sums(row.data(), all, max, scale, expected_sums.data());
      const double sum =
          kScanGeneric.exp_block(row.data(), first, max, scale, expected_weights.data());
      EXPECT_EQ(sum, expected_sums[0]);
      for (size_t b = 0; b < blocks; ++b)
        EXPECT_EQ(expected_maxima[b],
                  *std::max_element(row.begin() + long(b * kScanBlock),
                                    row.begin() + long(std::min(n, (b + 1) * kScanBlock))));
      for (size_t i = 0; i < size_t(first); ++i) {
        const double exact = std::exp(double((row[i] - max) * scale));
        ASSERT_NEAR(expected_weights[i], exact, 3e-7 * exact + 2e-38) << row[i];
      }
      for (const ScanKernels* scan : scans) {
        SCOPED_TRACE(std::string(scan->name) + " " + std::to_string(n));
        EXPECT_TRUE(scan->block_maxima(row.data(), all, maxima.data()));
        scan->exp_sums(row.data(), all, max, scale, sums.data());
        EXPECT_EQ(scan->exp_block(row.data(), first, max, scale, weights.data()), sum);
        EXPECT_EQ(maxima, expected_maxima);
        EXPECT_EQ(0, std::memcmp(sums.data(), expected_sums.data(), blocks * sizeof(double)));
        EXPECT_EQ(
            0, std::memcmp(weights.data(), expected_weights.data(), size_t(first) * sizeof(float)));
      }
    }
}

TEST(ScanKernels, EveryIsaFindsWhatIsNotFinite) {
  std::mt19937 rng(2);
  for (size_t n : {1u, 16u, 40u, 256u, 700u})
    for (float bad : {std::nanf(""), kInf, -kInf})
      for (size_t at = 0; at < n; at += 1 + n / 50) {
        std::vector<float> row(n, 1.0f), maxima(n / kScanBlock + 1);
        row[at] = bad;
        for (const ScanKernels* scan : runnable_scans())
          EXPECT_FALSE(scan->block_maxima(row.data(), int64_t(n), maxima.data()))
              << scan->name << " " << n << " " << at;
      }
}

// The passes that skip blocks find what a plain loop finds.
TEST(LogitScan, SkipsNothingThatCounts) {
  std::mt19937 rng(3);
  for (int round = 0; round < 60; ++round) {
    auto row = row_of(rng, 1 + rng() % 6000);
    if (round % 3 == 0) row[rng() % row.size()] = -kInf;
    std::vector<float> maxima;
    const LogitScan scan(row, maxima);
    const float scale = 0.05f + float(rng() % 100) / 50;
    std::vector<Candidate> got;
    const float threshold = row[rng() % row.size()];
    scan.at_least(threshold, got);
    size_t k = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      if (!(row[i] >= threshold)) continue;
      ASSERT_LT(k, got.size());
      EXPECT_EQ(got[k].id, int32_t(i));
      EXPECT_EQ(got[k++].value, row[i]);
    }
    EXPECT_EQ(k, got.size());
    for (float least : {0.5f, 0x1.0p-8f, 0x1.0p-18f, 0.0f}) {
      scan.weights_at_least(scale, least, got);
      k = 0;
      for (size_t b = 0; b < scan.n_blocks(); ++b) {
        float weights[kScanBlock];
        const int64_t n = scan.exp_block(b, scale, weights);
        for (int64_t i = 0; i < n; ++i) {
          if (!(weights[i] >= least)) continue;
          ASSERT_LT(k, got.size());
          EXPECT_EQ(got[k].id, int32_t(scan.block_begin(b)) + int32_t(i));
          EXPECT_EQ(got[k++].value, weights[i]);
        }
      }
      EXPECT_EQ(k, got.size());
    }
  }
}

}  // namespace
}  // namespace xh

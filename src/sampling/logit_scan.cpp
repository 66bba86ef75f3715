#include "sampling/logit_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace xh {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int kLanes = 16;  // independent accumulators: hides latency, fits any vector width

// exp(x) for x <= 0 by 2^n · 2^f, f in [-0.5, 0.5], minimax polynomial of degree 6 (Cephes' expf
// coefficients). Branch-free, so that loops over it vectorise.
inline float exp_negative(float x) {
  const bool tiny = x < -87.0f;
  x = tiny ? -87.0f : x;
  const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // round to nearest
  float r = x - n * 0.693359375f;
  r += n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const auto power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return tiny ? 0.0f : p * power;
}

struct BlockScan {
  float max;
  float poison;  // 0, or NaN when the block has a NaN or an infinity
};

// `n` values; the maximum ignores NaN (comparisons with it are false).
BlockScan scan_block(const float* x, int64_t n) {
  float best[kLanes], poison[kLanes];
  for (int l = 0; l < kLanes; ++l) best[l] = -kInf, poison[l] = 0;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      best[l] = x[i + l] > best[l] ? x[i + l] : best[l];
      poison[l] += x[i + l] * 0.0f;
    }
  }
  for (; i < n; ++i) {
    best[0] = x[i] > best[0] ? x[i] : best[0];
    poison[0] += x[i] * 0.0f;
  }
  BlockScan out{best[0], poison[0]};
  for (int l = 1; l < kLanes; ++l) {
    out.max = std::max(out.max, best[l]);
    out.poison += poison[l];
  }
  return out;
}

float block_max(const float* x, int64_t n) {
  float best[kLanes];
  for (int l = 0; l < kLanes; ++l) best[l] = -kInf;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) best[l] = x[i + l] > best[l] ? x[i + l] : best[l];
  for (; i < n; ++i) best[0] = x[i] > best[0] ? x[i] : best[0];
  for (int l = 1; l < kLanes; ++l) best[0] = std::max(best[0], best[l]);
  return best[0];
}

// Maximum by blocks, then one search in the first block that has it.
template <class Scan>
RowMax max_by_blocks(std::span<const float> row, Scan scan) {
  RowMax out{-kInf, -1, true};
  const auto n = static_cast<int64_t>(row.size());
  int64_t found = -1;
  for (int64_t at = 0; at < n; at += kScanBlock) {
    const float m = scan(row.data() + at, std::min(kScanBlock, n - at), out.finite);
    if (m > out.value) out.value = m, found = at;
  }
  if (found < 0) return out;
  out.index = static_cast<int32_t>(found);
  while (row[static_cast<size_t>(out.index)] != out.value) ++out.index;
  return out;
}

double sum_lanes(const float* lanes) {
  double total = 0;
  for (int l = 0; l < kLanes; ++l) total += static_cast<double>(lanes[l]);
  return total;
}

}  // namespace

RowMax find_max(std::span<const float> row) {
  return max_by_blocks(row, [](const float* x, int64_t n, bool& finite) {
    const BlockScan s = scan_block(x, n);
    if (s.poison != 0.0f) finite = false;  // NaN compares unequal
    return s.max;
  });
}

RowMax find_max_allowed(std::span<const float> row) {
  return max_by_blocks(row, [](const float* x, int64_t n, bool&) { return block_max(x, n); });
}

namespace {

// One block: weights[i] = exp((x[i] - max) * scale), and their sum. Two plain loops: each one
// vectorises, which a single loop with lanes does not.
double exp_block(const float* x, int64_t n, float max, float scale, float* weights) {
  for (int64_t i = 0; i < n; ++i) weights[i] = exp_negative((x[i] - max) * scale);
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += weights[i + l];
  for (; i < n; ++i) lanes[0] += weights[i];
  return sum_lanes(lanes);
}

}  // namespace

double exp_weights(std::span<const float> row, float max, float scale, std::span<float> weights,
                   std::vector<double>& block_sums) {
  const auto n = static_cast<int64_t>(row.size());
  block_sums.clear();
  double total = 0;
  for (int64_t at = 0; at < n; at += kScanBlock) {
    block_sums.push_back(
        exp_block(row.data() + at, std::min(kScanBlock, n - at), max, scale, weights.data() + at));
    total += block_sums.back();
  }
  return total;
}

double log_sum_exp(std::span<const float> row, float max) {
  const auto n = static_cast<int64_t>(row.size());
  float weights[kScanBlock];
  double total = 0;
  for (int64_t at = 0; at < n; at += kScanBlock)
    total += exp_block(row.data() + at, std::min(kScanBlock, n - at), max, 1.0f, weights);
  return static_cast<double>(max) + std::log(total);
}

void largest(std::span<const float> row, int32_t k, std::vector<Candidate>& out) {
  out.clear();
  if (k <= 0) return;
  const auto n = static_cast<int64_t>(row.size());
  const auto limit = static_cast<size_t>(k);
  // Collect whatever beats the current k-th; cut back to k whenever the list has doubled. A block
  // whose maximum is below the threshold is skipped after one vector pass.
  float threshold = -kInf;
  auto cut = [&] {
    std::nth_element(out.begin(), out.begin() + k - 1, out.end(), before);
    out.resize(limit);
    threshold = out.back().value;
    for (const auto& c : out) threshold = std::min(threshold, c.value);
  };
  for (int64_t at = 0; at < n; at += kScanBlock) {
    const int64_t end = std::min(at + kScanBlock, n);
    if (!(block_max(row.data() + at, end - at) > threshold)) continue;
    for (int64_t i = at; i < end; ++i) {
      // Equal values come in ascending id, so a later one never displaces an earlier one.
      if (!(row[i] > threshold)) continue;
      out.push_back({static_cast<int32_t>(i), row[i]});
      if (out.size() >= 2 * limit + 64) cut();
    }
  }
  if (out.size() > limit) cut();
  std::sort(out.begin(), out.end(), before);
}

}  // namespace xh

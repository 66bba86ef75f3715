#include "sampling/logit_scan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace xh {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

const ScanKernels& kernels() {
  static const ScanKernels* const best = runnable_scans().back();
  return *best;
}

// Appends the values that are at least `threshold`. Few groups hold one: the others are passed in a
// vector's compare. Inside a group without a branch, whose way nobody can foretell.
void append_at_least(const float* values, int64_t n, float threshold, size_t first_id,
                     std::vector<Candidate>& out) {
  constexpr int64_t kGroup = 16;
  std::array<Candidate, kGroup> found;
  for (int64_t at = 0; at < n; at += kGroup) {
    const int64_t end = std::min(at + kGroup, n);
    int32_t hits = 0;
    for (int64_t i = at; i < end; ++i) hits += values[i] >= threshold;
    if (hits == 0) continue;
    size_t count = 0;
    for (int64_t i = at; i < end; ++i) {  // count <= i - at
      found[count] = {static_cast<int32_t>(first_id) + static_cast<int32_t>(i), values[i]};
      count += values[i] >= threshold;
    }
    out.insert(out.end(), found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace

std::vector<const ScanKernels*> runnable_scans() {
  std::vector<const ScanKernels*> out = {&kScanGeneric};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) out.push_back(&kScanAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    out.push_back(&kScanAvx512);
#endif
  return out;
}

LogitScan::LogitScan(std::span<const float> row, std::vector<float>& maxima) : row_(row) {
  maxima.resize((row.size() + kScanBlock - 1) / kScanBlock);
  maxima_ = maxima;
  finite_ = kernels().block_maxima(row.data(), static_cast<int64_t>(row.size()), maxima.data());
  const auto best = std::max_element(maxima_.begin(), maxima_.end());  // the first that has it
  if (best == maxima_.end() || *best == -kInf) return;
  max_ = *best;
  auto at = block_begin(static_cast<size_t>(best - maxima_.begin()));
  while (row_[at] != max_) ++at;
  top_ = static_cast<int32_t>(at);
}

size_t LogitScan::block_end(size_t block) const {
  return std::min(block_begin(block + 1), row_.size());
}

double LogitScan::exp_sums(float scale, std::vector<double>& sums) const {
  sums.resize(n_blocks());
  kernels().exp_sums(row_.data(), static_cast<int64_t>(row_.size()), max_, scale, sums.data());
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

int64_t LogitScan::exp_block(size_t block, float scale, float* weights) const {
  const auto n = static_cast<int64_t>(block_end(block) - block_begin(block));
  kernels().exp_block(row_.data() + block_begin(block), n, max_, scale, weights);
  return n;
}

double LogitScan::log_sum_exp(std::vector<double>& sums) const {
  return static_cast<double>(max_) + std::log(exp_sums(1.0f, sums));
}

void LogitScan::at_least(float threshold, std::vector<Candidate>& out) const {
  out.clear();
  for (size_t b = 0; b < n_blocks(); ++b)
    if (maxima_[b] >= threshold)
      append_at_least(row_.data() + block_begin(b),
                      static_cast<int64_t>(block_end(b) - block_begin(b)), threshold,
                      block_begin(b), out);
}

void LogitScan::weights_at_least(float scale, float threshold, std::vector<Candidate>& out) const {
  constexpr float kSlack = 1e-5f;  // more than exp's error, which may put a smaller logit before
  out.clear();
  float weights[kScanBlock];
  for (size_t b = 0; b < n_blocks(); ++b) {
    if (std::exp((maxima_[b] - max_) * scale) * (1 + kSlack) < threshold) continue;
    const int64_t n = exp_block(b, scale, weights);
    append_at_least(weights, n, threshold, block_begin(b), out);
  }
}

// As many blocks as k have a maximum of at least the k-th largest maximum, so the k-th largest of
// the row is no smaller: what is below that need not be looked at. Once k are found, nor need what
// is no larger: among equals the first ones are kept.
void LogitScan::largest(int32_t k, std::vector<Candidate>& out) const {
  out.clear();
  if (k <= 0) return;
  const auto limit = static_cast<size_t>(k);
  float threshold = std::numeric_limits<float>::lowest();
  if (limit <= n_blocks()) {
    for (size_t b = 0; b < n_blocks(); ++b) out.push_back({static_cast<int32_t>(b), maxima_[b]});
    std::nth_element(out.begin(), out.begin() + (k - 1), out.end(), before);
    threshold = std::max(threshold, out[limit - 1].value);
  }
  out.clear();
  auto cut = [&] {
    std::nth_element(out.begin(), out.begin() + (k - 1), out.end(), before);
    out.resize(limit);
    threshold = out.back().value;
  };
  for (size_t b = 0; b < n_blocks(); ++b) {
    if (out.size() < limit ? !(maxima_[b] >= threshold) : !(maxima_[b] > threshold)) continue;
    append_at_least(row_.data() + block_begin(b),
                    static_cast<int64_t>(block_end(b) - block_begin(b)), threshold, block_begin(b),
                    out);
    if (out.size() > 2 * limit + kScanBlock) cut();
  }
  if (out.size() > limit) cut();
  std::sort(out.begin(), out.end(), before);
}

}  // namespace xh

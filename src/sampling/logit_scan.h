// Passes over one row of logits (a vocabulary, up to some 200,000 floats). The first one finds the
// maximum of each block; most blocks hold nothing that a filter would keep, and the passes after it
// skip those. Results are the same on every run and every processor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sampling/scan_kernels.h"

namespace xh {

// Those that this machine can run, the best last; the others are for tests.
std::vector<const ScanKernels*> runnable_scans();

struct Candidate {
  int32_t id = 0;
  float value = 0;
};
// Higher value first, ties by lower id: the one order used everywhere.
inline bool before(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.id < b.id;
}

// A row and the maxima of its blocks. Borrows both; `maxima` is working memory.
class LogitScan {
 public:
  LogitScan(std::span<const float> row, std::vector<float>& maxima);

  std::span<const float> row() const { return row_; }
  bool finite() const { return finite_; }  // no NaN, no infinity
  int32_t top() const { return top_; }     // the lowest index of the maximum; -1: all are -infinity
  float max() const { return max_; }

  // sums[b] = sum over block b of exp((row[i] - max) * scale). scale > 0. Returns the total.
  // Relative error of exp below 3e-7; below -87 the weight is 0.
  double exp_sums(float scale, std::vector<double>& sums) const;
  // Those weights of one block, (kScanBlock) at most. Returns how many.
  int64_t exp_block(size_t block, float scale, float* weights) const;
  // log(sum(exp(row))).
  double log_sum_exp(std::vector<double>& sums) const;

  // The k largest of the row (fewer if the row is shorter), in the order of before(). -infinity
  // never counts.
  void largest(int32_t k, std::vector<Candidate>& out) const;
  // Every i with row[i] >= threshold, by ascending id.
  void at_least(float threshold, std::vector<Candidate>& out) const;
  // Every weight, as above, that is at least `threshold`, by ascending id.
  void weights_at_least(float scale, float threshold, std::vector<Candidate>& out) const;

  size_t n_blocks() const { return maxima_.size(); }
  size_t block_begin(size_t block) const { return block * static_cast<size_t>(kScanBlock); }
  size_t block_end(size_t block) const;

 private:
  std::span<const float> row_;
  std::span<float> maxima_;
  bool finite_ = false;
  int32_t top_ = -1;
  float max_ = 0;
};

}  // namespace xh

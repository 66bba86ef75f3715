// Passes over one row of logits (a vocabulary, up to some 200,000 floats). Written in blocks of
// independent lanes so that the compiler vectorises them; sums run in a fixed order, so results
// are the same on every run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace xh {

inline constexpr int64_t kScanBlock = 256;

struct RowMax {
  float value = 0;
  int32_t index = -1;  // the lowest index that has it
  bool finite = true;  // false: the row has a NaN or an infinity; value and index are void
};

// One pass: maximum and finiteness.
RowMax find_max(std::span<const float> row);

// As find_max, but -infinity counts as "forbidden" and is allowed. index is -1 when all are.
RowMax find_max_allowed(std::span<const float> row);

// weights[i] = exp((row[i] - max) * scale); block_sums[b] = sum over block b. scale > 0.
// Relative error of exp below 3e-7; below -87 the weight is 0. Returns the total.
double exp_weights(std::span<const float> row, float max, float scale, std::span<float> weights,
                   std::vector<double>& block_sums);

// log(sum(exp(row))), without storing the weights.
double log_sum_exp(std::span<const float> row, float max);

struct Candidate {
  int32_t id = 0;
  float value = 0;
};
// Higher value first, ties by lower id: the one order used everywhere.
inline bool before(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.id < b.id;
}

// The k largest of the row (fewer if the row is shorter), in that order. -infinity never counts.
void largest(std::span<const float> row, int32_t k, std::vector<Candidate>& out);

}  // namespace xh

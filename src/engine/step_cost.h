// What a step will cost, learned from the steps before it.
//
//   ms ≈ base + per_row · rows + per_key · Σ over rows of the positions each one attends to
//
// fitted by least squares with non-negative coefficients, over the most recent steps of streams
// alone and the most recent ones of streams beside a prompt's chunk: a stretch of decoding must not
// forget what a chunk costs. Steps of prompts alone are left out. They are many times as wide, and
// a row of theirs costs something else.
//
// Steps scatter around the fit, each machine in its own way, so a budget is kept with a margin:
// twice the second largest excess over a prediction that was seen lately. The largest one alone,
// however large, says little about the next.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace xh {

struct StepShape {
  int32_t rows = 0;
  int32_t stream_rows = 0;  // of these, of sequences that decode
  double keys = 0;          // Σ over rows of (position + 1)

  void add(int32_t first_pos, int32_t n_rows) {
    rows += n_rows;
    keys += static_cast<double>(n_rows) * (first_pos + 0.5 * (n_rows + 1));
  }
};

class StepCost {
 public:
  void observe(const StepShape& shape, double ms);
  double predict(const StepShape& shape) const;
  // The most rows from first_pos on that nearly always fit into `budget_ms` beside the streams of
  // `so_far`, at most `limit`, and only half as many again as were ever measured beside streams: no
  // leaps into the unknown.
  int32_t rows_within(double budget_ms, const StepShape& so_far, int32_t first_pos,
                      int32_t limit) const;

 private:
  void fit() const;
  double margin() const;
  struct Sample {
    double rows, keys, ms;
  };
  static constexpr size_t kSamples = 32;
  struct Ring {
    std::array<Sample, kSamples> samples{};
    size_t count = 0;  // ever observed
  };
  std::array<Ring, 2> rings_;  // streams alone, and beside a chunk
  int32_t widest_ = 0;         // with a chunk
  static constexpr size_t kRatios = 128;
  std::array<double, kRatios> ratios_{};  // of measured to predicted, the most recent ones
  size_t n_ratios_ = 0;                   // ever taken down
  mutable bool fitted_ = true;            // fitted when asked, not with every sample
  mutable double base_ = 0, per_row_ = 0, per_key_ = 0;
};

}  // namespace xh

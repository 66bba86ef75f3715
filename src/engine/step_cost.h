// What a step will cost, learned from the steps before it.
//
//   ms ≈ base + per_row · rows + per_key · Σ over rows of the positions each one attends to
//
// fitted by ridge regression over the recent steps, with coefficients kept non-negative.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace xh {

struct StepShape {
  int32_t rows = 0;
  double keys = 0;  // Σ over rows of (position + 1)

  void add(int32_t first_pos, int32_t n_rows) {
    rows += n_rows;
    keys += static_cast<double>(n_rows) * (first_pos + 0.5 * (n_rows + 1));
  }
};

class StepCost {
 public:
  void observe(const StepShape& shape, double ms);
  double predict(const StepShape& shape) const;
  // The most rows from first_pos on that fit into `budget_ms` beside `so_far`, at most `limit`.
  int32_t rows_within(double budget_ms, const StepShape& so_far, int32_t first_pos,
                      int32_t limit) const;
  bool known() const { return count_ >= 3; }

 private:
  void fit();
  struct Sample {
    double rows, keys, ms;
  };
  std::array<Sample, 64> samples_{};
  size_t count_ = 0;  // ever observed
  double base_ = 0, per_row_ = 0, per_key_ = 0;
};

}  // namespace xh

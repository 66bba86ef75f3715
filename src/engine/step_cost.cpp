#include "engine/step_cost.h"

#include <algorithm>
#include <cmath>

namespace xh {
namespace {
constexpr int32_t kNarrow = 32;
constexpr size_t kTrusted = 8;    // wide steps before the fit's errors mean anything
constexpr double kMargin = 0.98;  // the share of steps that the margin covers
constexpr double kMarginStep = 0.02;
constexpr double kLeastMargin = 1.03, kMostMargin = 1.5;
constexpr double kCatchUp = 0.3;  // of what the margin was exceeded by
}  // namespace

void StepCost::observe(const StepShape& shape, double ms) {
  const bool wide = shape.rows > kNarrow;
  Ring& ring = rings_[wide];
  if (const double expected = predict(shape); wide && ring.count >= kTrusted && expected > 0)
    learn_margin(ms / expected);
  ring.samples[ring.count++ % kSamples] = {static_cast<double>(shape.rows), shape.keys, ms};
  widest_ = std::max(widest_, shape.rows);
  fitted_ = false;
}

// A running quantile: up by much when exceeded, down by little when not, about in balance at
// kMargin. What was exceeded by far is caught up with at once: each such step is one too many.
void StepCost::learn_margin(double ratio) {
  const double over = ratio - margin_;
  margin_ +=
      over > 0 ? std::max(kMarginStep * kMargin, kCatchUp * over) : kMarginStep * (kMargin - 1);
  margin_ = std::clamp(margin_, kLeastMargin, kMostMargin);
}

double StepCost::predict(const StepShape& shape) const {
  if (!fitted_) fit();
  return base_ + per_row_ * shape.rows + per_key_ * shape.keys;
}

int32_t StepCost::rows_within(double budget_ms, const StepShape& so_far, int32_t first_pos,
                              int32_t limit) const {
  budget_ms /= margin_;
  const int32_t measured = std::max(2 * widest_, kNarrow) - so_far.rows;
  int32_t low = 0, high = std::clamp(measured, 0, limit);  // predict() grows with the rows
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    StepShape shape = so_far;
    shape.add(first_pos, middle);
    if (predict(shape) <= budget_ms)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Normal equations of relative error (each sample weighted by 1/ms²: a short step matters as much
// as a long one).
void StepCost::fit() const {
  fitted_ = true;
  std::array<Sample, 2 * kSamples> samples;
  size_t n = 0;
  for (const Ring& ring : rings_)
    for (size_t i = 0; i < std::min(ring.count, kSamples); ++i) samples[n++] = ring.samples[i];
  double scale[3] = {1, 1, 1}, m[3][3] = {}, v[3] = {};
  for (size_t i = 0; i < n; ++i) {
    scale[1] = std::max(scale[1], samples[i].rows);
    scale[2] = std::max(scale[2], samples[i].keys);
  }
  for (size_t i = 0; i < n; ++i) {
    const double ms = std::max(samples[i].ms, 1e-3), w = 1 / (ms * ms);
    const double x[3] = {1, samples[i].rows / scale[1], samples[i].keys / scale[2]};
    for (int a = 0; a < 3; ++a) {
      v[a] += w * x[a] * ms;
      for (int b = 0; b < 3; ++b) m[a][b] += w * x[a] * x[b];
    }
  }
  double c[3] = {};  // non-negative least squares by coordinate descent: small, never ill-posed
  for (int pass = 0; pass < 300; ++pass)
    for (int a = 0; a < 3; ++a) {
      double rest = v[a];
      for (int b = 0; b < 3; ++b)
        if (b != a) rest -= m[a][b] * c[b];
      c[a] = std::max(0.0, rest / (m[a][a] * (1 + 1e-6) + 1e-12));
    }
  base_ = c[0];
  per_row_ = c[1] / scale[1];
  per_key_ = c[2] / scale[2];
}

}  // namespace xh

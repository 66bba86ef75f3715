#include "engine/step_cost.h"

#include <algorithm>

namespace xh {
namespace {
constexpr double kGrowth = 1.5;    // of the widest step, from one to the next
constexpr int32_t kLeastRows = 8;  // by which it may grow in any case
constexpr size_t kTrusted = 8;     // steps of a kind before the fit's errors mean anything
constexpr double kFirstMargin = 1.3, kMostMargin = 2;
constexpr size_t kGuessed = 16;  // ratios taken down before the first margin gives way
constexpr double kReserve = 2;   // of what the second largest ratio is above one

// The least squares' m · c = v over the coefficients of `use` (a bit each), the others zero. What
// the samples do not determine, as rows that are always the same, stays small.
std::array<double, 3> solution(const double (&m)[3][3], const double (&v)[3], int use) {
  double a[3][4];
  for (int i = 0; i < 3; ++i) {
    const bool in = use >> i & 1;
    for (int j = 0; j < 3; ++j) a[i][j] = in && (use >> j & 1) ? m[i][j] : 0;
    a[i][i] = in ? m[i][i] * (1 + 1e-6) + 1e-12 : 1;
    a[i][3] = in ? v[i] : 0;
  }
  for (int i = 0; i < 3; ++i)  // symmetric and positive: no pivots are needed
    for (int k = i + 1; k < 3; ++k) {
      const double f = a[k][i] / a[i][i];
      for (int j = i; j < 4; ++j) a[k][j] -= f * a[i][j];
    }
  std::array<double, 3> c;
  for (int i = 2; i >= 0; --i) {
    c[static_cast<size_t>(i)] = a[i][3];
    for (int j = i + 1; j < 3; ++j)
      c[static_cast<size_t>(i)] -= a[i][j] * c[static_cast<size_t>(j)];
    c[static_cast<size_t>(i)] /= a[i][i];
  }
  return c;
}

// With three coefficients, every choice of those that are not zero can be tried.
std::array<double, 3> non_negative_solution(const double (&m)[3][3], const double (&v)[3]) {
  std::array<double, 3> best{};
  double most = 0;  // by how much it lowers the squared error
  for (int use = 1; use < 8; ++use) {
    const auto c = solution(m, v, use);
    const double gain = v[0] * c[0] + v[1] * c[1] + v[2] * c[2];
    if (gain <= most || c[0] < 0 || c[1] < 0 || c[2] < 0) continue;
    most = gain;
    best = c;
  }
  return best;
}

}  // namespace

void StepCost::observe(const StepShape& shape, double ms) {
  if (shape.stream_rows == 0) return;
  const bool chunk = shape.rows > shape.stream_rows;
  Ring& ring = rings_[chunk];
  if (const double expected = predict(shape); ring.count >= kTrusted && expected > 0)
    ratios_[n_ratios_++ % kRatios] = ms / expected;
  ring.samples[ring.count++ % kSamples] = {static_cast<double>(shape.rows), shape.keys, ms};
  if (chunk) widest_ = std::max(widest_, shape.rows);
  fitted_ = false;
}

double StepCost::margin() const {
  double largest = 1, second = 1;
  for (size_t i = 0; i < std::min(n_ratios_, kRatios); ++i) {
    second = std::max(second, std::min(largest, ratios_[i]));
    largest = std::max(largest, ratios_[i]);
  }
  return std::clamp(1 + kReserve * (second - 1), n_ratios_ < kGuessed ? kFirstMargin : 1.0,
                    kMostMargin);
}

double StepCost::predict(const StepShape& shape) const {
  if (!fitted_) fit();
  return base_ + per_row_ * shape.rows + per_key_ * shape.keys;
}

int32_t StepCost::rows_within(double budget_ms, const StepShape& so_far, int32_t first_pos,
                              int32_t limit) const {
  budget_ms /= margin();
  const auto grown = static_cast<int32_t>(kGrowth * std::max(widest_, so_far.stream_rows));
  const int32_t most = std::max(grown, so_far.stream_rows + kLeastRows) - so_far.rows;
  int32_t low = 0, high = std::clamp(most, 0, limit);  // predict() grows with the rows
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
  const std::array<double, 3> c = non_negative_solution(m, v);
  base_ = c[0];
  per_row_ = c[1] / scale[1];
  per_key_ = c[2] / scale[2];
}

}  // namespace xh

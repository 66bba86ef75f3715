#include "weights/fit_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace xh {
namespace {

// How far the candidate scales reach around the one that maps the extreme value to the end of the
// range: stretching the grid a little often fits the many small values better.
constexpr int kCandidates = 9;
constexpr float kStep = 0.1f;

float signed_extreme(std::span<const float> x) {
  float extreme = 0;
  for (float v : x)
    if (std::fabs(v) > std::fabs(extreme)) extreme = v;
  return extreme;
}

// Tries inverse scales: `to_grid(v · inverse)` gives the grid value of v. For fixed grid values g
// the best scale is Σxg / Σgg, which lowers the squared error by (Σxg)² / Σgg.
template <class ToGrid>
float best_scale(std::span<const float> x, std::span<const float> inverses, ToGrid to_grid) {
  float best = 0;
  double best_gain = 0;
  for (float inverse : inverses) {
    double xg = 0, gg = 0;
    for (float v : x) {
      const double g = to_grid(v * inverse);
      xg += v * g;
      gg += g * g;
    }
    if (gg > 0 && xg * xg > best_gain * gg) {
      best_gain = xg * xg / gg;
      best = static_cast<float>(xg / gg);
    }
  }
  return best;
}

}  // namespace

int round_clamped(float x, int lo, int hi) {
  if (!(x > static_cast<float>(lo))) return lo;
  if (x > static_cast<float>(hi)) return hi;
  return static_cast<int>(std::nearbyintf(x));
}

float fit_symmetric(std::span<const float> x, int lo, int hi) {
  const float extreme = signed_extreme(x);
  if (!std::isfinite(1.0f / extreme)) return 0;
  float inverses[4 * kCandidates + 2];
  size_t n = 0;
  for (int i = -kCandidates; i <= kCandidates; ++i) {
    const float stretch = static_cast<float>(i) * kStep;
    inverses[n++] = (static_cast<float>(lo) + stretch) / extreme;
    inverses[n++] = (static_cast<float>(hi) + stretch) / extreme;
  }
  return best_scale(x, {inverses, n}, [&](float v) { return round_clamped(v, lo, hi); });
}

int nearest_in_table(float x, const int8_t table[16]) {
  int best = 0;
  for (int i = 1; i < 16; ++i)
    if (std::fabs(x - table[i]) < std::fabs(x - table[best])) best = i;
  return best;
}

float fit_table(std::span<const float> x, const int8_t table[16]) {
  const float extreme = signed_extreme(x);
  if (!std::isfinite(1.0f / extreme)) return 0;
  float inverses[4 * kCandidates + 2];
  size_t n = 0;
  for (int i = -kCandidates; i <= kCandidates; ++i) {
    const float stretch = static_cast<float>(i) * 16 * kStep;
    inverses[n++] = (static_cast<float>(table[0]) + stretch) / extreme;
    inverses[n++] = (static_cast<float>(table[15]) + stretch) / extreme;
  }
  return best_scale(x, {inverses, n}, [&](float v) { return table[nearest_in_table(v, table)]; });
}

ScaleMin fit_scale_min(std::span<const float> x, int hi, bool min_at_least_zero) {
  auto [lowest, highest] = std::ranges::minmax(x);
  if (min_at_least_zero) lowest = std::min(lowest, 0.0f);
  const float range = highest - lowest;
  if (!(range > 0) || !std::isfinite(1.0f / range)) return {0, -lowest};

  ScaleMin best{0, -lowest};
  double best_error = std::numeric_limits<double>::infinity();
  const double n = static_cast<double>(x.size());
  for (int i = -kCandidates; i <= kCandidates; ++i) {
    const float inverse = (static_cast<float>(hi) + static_cast<float>(i) * kStep) / range;
    double sx = 0, sq = 0, sxq = 0, sqq = 0, sxx = 0;
    for (float v : x) {
      const double q = round_clamped((v - lowest) * inverse, 0, hi);
      sx += v, sq += q, sxq += v * q, sqq += q * q, sxx += static_cast<double>(v) * v;
    }
    // Normal equations of x ≈ scale · q + offset.
    const double det = n * sqq - sq * sq;
    double scale = det > 0 ? (n * sxq - sx * sq) / det : 0;
    double offset = (sx - scale * sq) / n;
    if (min_at_least_zero && offset > 0) {
      offset = 0;
      scale = sqq > 0 ? sxq / sqq : 0;
    }
    if (scale < 0) continue;
    const double error = sxx - 2 * scale * sxq - 2 * offset * sx + scale * scale * sqq +
                         2 * scale * offset * sq + n * offset * offset;
    if (error < best_error) {
      best_error = error;
      best = {static_cast<float>(scale), static_cast<float>(-offset)};
    }
  }
  return best;
}

}  // namespace xh

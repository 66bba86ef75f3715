#include <cmath>

#include "compute/reference/reference_matrix.h"

namespace xh::reference {

float dot(const float* a, const float* b, int64_t n) {
  constexpr int kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) sums[l] += a[i + l] * b[i + l];
  for (; i < n; ++i) sums[i % kLanes] += a[i] * b[i];
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int l = 0; l < width; ++l) sums[l] += sums[l + width];
  return sums[0];
}

void rms_norm(const float* x, int64_t n, const float* weight, float eps, float* out) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  float scale = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(n) + eps));
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * (weight != nullptr ? weight[i] : 1.0f);
}

void linear(MatView x, const ReferenceMatrix& w, const float* bias, MatView y) {
  for (int64_t o = 0; o < w.out(); ++o)
    for (int64_t r = 0; r < x.rows; ++r)
      y.row(r)[o] = dot(x.row(r), w.row(o), w.in()) + (bias != nullptr ? bias[o] : 0.0f);
}

float activate(Activation kind, float x) {
  switch (kind) {
    case Activation::kSilu: return x / (1.0f + std::exp(-x));
    case Activation::kGelu: return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
  }
  return x;
}

}  // namespace xh::reference

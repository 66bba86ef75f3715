// The loops of scan_kernels.h, written in independent lanes so that the compiler turns them into
// vectors of whatever width its flags allow. Included by one file per instruction set.
#pragma once

#include "sampling/scan_kernels.h"

namespace xh {
namespace {

constexpr int kLanes = 16;  // the widest vector there is, and as many chains where it is narrower

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
  const float power = __builtin_bit_cast(float, (static_cast<int32_t>(n) + 127) << 23);
  return tiny ? 0.0f : p * power;
}

bool block_maxima(const float* row, int64_t n, float* maxima) {
  float poison[kLanes] = {};  // stays 0, or becomes NaN at a NaN or an infinity
  for (int64_t at = 0; at < n; at += kScanBlock) {
    const float* x = row + at;
    const int64_t size = n - at < kScanBlock ? n - at : kScanBlock;
    float best[kLanes];
    for (int l = 0; l < kLanes; ++l) best[l] = -__builtin_inff();
    int64_t i = 0;
    for (; i + kLanes <= size; i += kLanes)
      for (int l = 0; l < kLanes; ++l) {
        best[l] = x[i + l] > best[l] ? x[i + l] : best[l];
        poison[l] += x[i + l] * 0.0f;
      }
    for (; i < size; ++i) {
      best[0] = x[i] > best[0] ? x[i] : best[0];
      poison[0] += x[i] * 0.0f;
    }
    for (int l = 1; l < kLanes; ++l) best[0] = best[l] > best[0] ? best[l] : best[0];
    *maxima++ = best[0];
  }
  for (int l = 1; l < kLanes; ++l) poison[0] += poison[l];
  return poison[0] == 0.0f;  // NaN compares unequal
}

// Two plain loops: each one vectorises, which a single loop with lanes does not.
double exp_block(const float* x, int64_t n, float max, float scale, float* weights) {
  for (int64_t i = 0; i < n; ++i) weights[i] = exp_negative((x[i] - max) * scale);
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += weights[i + l];
  for (; i < n; ++i) lanes[0] += weights[i];
  double total = 0;
  for (int l = 0; l < kLanes; ++l) total += static_cast<double>(lanes[l]);
  return total;
}

void exp_sums(const float* row, int64_t n, float max, float scale, double* sums) {
  float weights[kScanBlock];
  for (int64_t at = 0; at < n; at += kScanBlock) {
    const int64_t size = n - at < kScanBlock ? n - at : kScanBlock;
    *sums++ = exp_block(row + at, size, max, scale, weights);
  }
}

}  // namespace
}  // namespace xh

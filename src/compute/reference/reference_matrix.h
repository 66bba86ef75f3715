// Decoded float32 weights: what every packed form is judged against.
#pragma once

#include <vector>

#include "compute/compute.h"

namespace xh::reference {

class ReferenceMatrix : public Matrix {
 public:
  ReferenceMatrix(int64_t out, int64_t in)
      : out_(out), in_(in), values_(static_cast<size_t>(out * in)) {}
  int64_t out() const override { return out_; }
  int64_t in() const override { return in_; }
  uint64_t bytes() const override { return values_.size() * sizeof(float); }
  float* row(int64_t r) { return values_.data() + r * in_; }
  const float* row(int64_t r) const { return values_.data() + r * in_; }

 private:
  int64_t out_, in_;
  std::vector<float> values_;  // (out, in)
};

inline const ReferenceMatrix& decoded(const Matrix& m) {
  return static_cast<const ReferenceMatrix&>(m);
}

// Σ a[i]·b[i], in sixteen interleaved float sums added pairwise.
float dot(const float* a, const float* b, int64_t n);

// out[i] = x[i] / sqrt(mean(x²) + eps) · weight[i]; weight may be null.
void rms_norm(const float* x, int64_t n, const float* weight, float eps, float* out);

// y = x @ wᵀ + bias.  x: (rows, in)  y: (rows, out)  bias may be null.
void linear(MatView x, const ReferenceMatrix& w, const float* bias, MatView y);

float activate(Activation kind, float x);

}  // namespace xh::reference

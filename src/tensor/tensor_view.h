// A view of a dense row-major tensor. Never owns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace xh {

// Row-major: the last dimension is contiguous. A weight matrix (out, in) has rank 2.
struct Shape {
  std::array<int64_t, 4> dims{1, 1, 1, 1};
  int rank = 0;

  int64_t operator[](int i) const { return dims[static_cast<size_t>(i)]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[static_cast<size_t>(i)];
    return n;
  }
  bool operator==(const Shape&) const = default;
};

// Read-only bytes of a stored tensor (usually inside a mapped file).
struct TensorView {
  DType type = DType::kF32;
  Shape shape;
  const std::byte* data = nullptr;
  uint64_t bytes = 0;

  int64_t rows() const { return shape.rank >= 2 ? shape.count() / cols() : 1; }
  int64_t cols() const { return shape.rank >= 1 ? shape[shape.rank - 1] : 0; }
  const std::byte* row(int64_t r) const {
    return data + static_cast<uint64_t>(r) * (bytes / static_cast<uint64_t>(rows()));
  }
};

// A float32 matrix (rows, cols) in working memory; row r starts at data + r * stride.
struct MatView {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // in floats, at least cols

  float* row(int64_t r) const { return data + r * stride; }
};

}  // namespace xh

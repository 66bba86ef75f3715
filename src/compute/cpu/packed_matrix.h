// A weight matrix in the layout of kernels/packed_layout.h. No format loses accuracy by packing.
#pragma once

#include <span>
#include <string_view>

#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/kernels/packed_layout.h"
#include "compute/cpu/memory.h"

namespace xh::cpu {

class PackedMatrix : public Matrix {
 public:
  // Packs a rank-2 tensor with all threads of the pool, into memory of its own.
  static Result<std::unique_ptr<PackedMatrix>> pack(const TensorView& w, std::string_view name,
                                                    ThreadPool& pool,
                                                    Layout layout = Layout::kInterleaved);
  // A matrix whose packed bytes lie elsewhere: checks the tensor and sizes the matrix. It may be
  // used once `*base` points at bytes() bytes, aligned to 64; they may move between two calls of
  // the backend.
  static Result<std::unique_ptr<PackedMatrix>> over(const uint8_t* const* base, const TensorView& w,
                                                    std::string_view name,
                                                    Layout layout = Layout::kInterleaved);
  // Writes the packed form of the tensor it was made from to zeroed memory of bytes() bytes.
  void fill(const TensorView& w, uint8_t* to, ThreadPool& pool) const;

  int64_t out() const override { return out_; }
  int64_t in() const override { return in_; }
  uint64_t bytes() const override {
    return static_cast<uint64_t>(panel_bytes_) * static_cast<uint64_t>(n_panels());
  }

  DType type() const { return type_; }
  // Whether kernels take ActBlocks; otherwise they take floats.
  bool takes_blocks() const { return pack_format(type_).quants != Quants::kNone; }
  int64_t n_panels() const { return (out_ + kPanelRows - 1) / kPanelRows; }
  int64_t n_blocks() const { return takes_blocks() ? in_ / kBlock : in_; }
  const uint8_t* panel(int64_t i) const { return *base_ + i * panel_bytes_; }
  int64_t panel_bytes() const { return panel_bytes_; }

  // Decodes row r to out (in() values): exactly the source's values.
  void decode_row(int64_t r, float* out) const;

 private:
  DType type_ = DType::kF32;
  Layout layout_ = Layout::kInterleaved;
  int64_t out_ = 0, in_ = 0;
  int64_t panel_bytes_ = 0;  // a multiple of 64
  const uint8_t* const* base_ = nullptr;
  const uint8_t* own_ = nullptr;  // memory_, for base_
  Memory memory_;
};

}  // namespace xh::cpu

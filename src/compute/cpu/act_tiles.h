// The rows of a batch in the form that kernels take: tiles of a few columns, see packed_layout.h.
#pragma once

#include "compute/cpu/kernels/kernel_table.h"
#include "compute/cpu/packed_matrix.h"

namespace xh::cpu {

// A view of activation memory; never owns.
struct ActTiles {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t n_blocks = 0;  // K / 32, or K for floats
  int64_t n_tiles = 0;
  bool blocks = true;  // ActBlock, else float
  // Blocks come twice: a second set of tiles holds what rounding left over from the first, for
  // about 15 bits in all. Products cost double; made for inputs whose errors a softmax magnifies.
  bool fine = false;

  // Cuts `rows` as evenly as possible into tiles of at most `tile` columns.
  static ActTiles make(std::byte* data, int64_t rows, int64_t in, bool blocks, int tile) {
    return {data, rows, blocks ? in / kBlock : in, (rows + tile - 1) / tile, blocks};
  }
  static uint64_t bytes(int64_t rows, int64_t in, bool blocks) {
    return static_cast<uint64_t>(rows) *
           (blocks ? static_cast<uint64_t>(in) / kBlock * sizeof(ActBlock)
                   : static_cast<uint64_t>(in) * sizeof(float));
  }

  int64_t element_bytes() const { return blocks ? sizeof(ActBlock) : sizeof(float); }
  int64_t first(int64_t tile) const { return rows * tile / n_tiles; }
  int64_t width(int64_t tile) const { return first(tile + 1) - first(tile); }
  int64_t tile_of(int64_t row) const { return ((row + 1) * n_tiles - 1) / rows; }
  std::byte* tile_data(int64_t tile) const {
    return data + first(tile) * n_blocks * element_bytes();
  }
  std::byte* rest_data(int64_t tile) const {
    return tile_data(tile) + rows * n_blocks * element_bytes();
  }

  // Stores n values of `row`, starting at column k (a multiple of 32 for blocks).
  void put(const KernelTable& table, int64_t row, int64_t k, const float* x, int64_t n) const {
    const int64_t tile = tile_of(row), stride = width(tile), column = row - first(tile);
    if (blocks) {
      const int64_t at = k / kBlock * stride + column;
      auto* out = reinterpret_cast<ActBlock*>(tile_data(tile)) + at;
      table.quantise(x, n / kBlock, out, stride);
      if (fine)
        put_rest(table, out, reinterpret_cast<ActBlock*>(rest_data(tile)) + at, stride, x, n);
    } else {
      auto* out = reinterpret_cast<float*>(tile_data(tile)) + k * stride + column;
      for (int64_t i = 0; i < n; ++i) out[i * stride] = x[i];
    }
  }

 private:
  // rest = quantised(x - out)
  static void put_rest(const KernelTable& table, const ActBlock* out, ActBlock* rest,
                       int64_t stride, const float* x, int64_t n);
};

// Where a product goes.
struct Output {
  MatView y;
  const float* bias = nullptr;
  bool add = false;
};

// y (+)= x @ wᵀ for the panels [begin, end) of w.
void multiply(const KernelTable& table, const PackedMatrix& w, Share panels, const ActTiles& x,
              const Output& out);

// One panel, one tile. y: (width, rows) at stride.
void multiply_tile(const KernelTable& table, const PackedMatrix& w, int64_t panel,
                   const ActTiles& x, int64_t tile, float* y, int64_t y_stride, const float* bias,
                   bool add);

// Rows of activations that stay in the second-level cache while panels pass by.
int64_t tiles_per_pass(const ActTiles& x);

}  // namespace xh::cpu

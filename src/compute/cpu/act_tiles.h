// The rows of a batch in the form that kernels take: tiles of a few columns, see packed_layout.h.
#pragma once

#include <algorithm>

#include "compute/cpu/kernels/kernel_table.h"
#include "compute/cpu/later_reads.h"
#include "compute/cpu/packed_matrix.h"
#include "compute/cpu/product_parts.h"

namespace xh::cpu {

constexpr int64_t kMaxRestBlocks = 64;  // of a row

// A view of activation memory; never owns.
struct ActTiles {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t n_blocks = 0;  // K / 32, or K for floats
  int64_t n_tiles = 0;
  ActForm form = ActForm::kInt8;
  int64_t columns = 0;  // of every tile but the last, unless tiles are cut evenly
  bool even = true;
  // kInt8 only: blocks that reach much further than their row's average have a rest, what rounding
  // left over, for about 15 bits in all. What a norm puts out has most of its power, and so of its
  // rounding errors, in a few blocks. Rests are a second set of tiles, zero where a block has none.
  // Rows are put whole, kMaxRestBlocks blocks at most. A row's bits depend on that row alone.
  bool rests = false;

  // Cuts `rows` into tiles of at most `tile` columns: as evenly as possible, unless a narrow tile
  // costs the table's kernels as much as a full one (kBf16, and floats beside it). Tiles of
  // kInt8Columns always have room for kBlockColumns.
  static ActTiles make(std::byte* data, int64_t rows, int64_t in, ActForm form, int tile,
                       bool even) {
    const int64_t n_blocks = form == ActForm::kFloats ? in : in / kBlock;
    if (form == ActForm::kInt8Columns) tile = kBlockColumns;
    return {data, rows, n_blocks, (rows + tile - 1) / tile, form, std::min<int64_t>(rows, tile),
            even};
  }
  static uint64_t bytes(int64_t rows, int64_t in, ActForm form, bool rests = false) {
    if (rests) return 2 * bytes(rows, in, form) + static_cast<uint64_t>(rows) * sizeof(uint64_t);
    if (form == ActForm::kBf16) rows += kMaxTile - 1;  // the last tile in full
    if (form == ActForm::kInt8Columns)
      rows = (rows + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
    const int64_t elements = rows * (form == ActForm::kFloats ? in : in / kBlock);
    return static_cast<uint64_t>(elements + kMaxTile) * static_cast<uint64_t>(act_bytes(form));
  }

  int64_t element_bytes() const { return act_bytes(form); }
  Cut cut() const { return {rows, n_tiles, even ? 0 : columns}; }
  int64_t first(int64_t tile) const { return cut().first(tile); }
  int64_t width(int64_t tile) const { return cut().width(tile); }
  // Columns from block to block; kBf16: all tiles are alike, the last may be partly filled.
  int64_t stride(int64_t tile) const { return form == ActForm::kBf16 ? columns : width(tile); }
  int64_t tile_of(int64_t row) const {
    return even ? ((row + 1) * n_tiles - 1) / rows : row / columns;
  }
  std::byte* tile_data(int64_t tile) const {
    const int64_t column = form == ActForm::kInt8Columns ? tile * kBlockColumns : first(tile);
    return data + column * n_blocks * element_bytes();
  }
  // From a block to its rest, in bytes.
  int64_t rest_offset() const { return rows * n_blocks * element_bytes(); }
  std::byte* rest_data(int64_t tile) const { return tile_data(tile) + rest_offset(); }
  // Bit b of a row's: block b has a rest.
  uint64_t* rest_masks() const {
    const int64_t behind = 2 * rest_offset();
    return reinterpret_cast<uint64_t*>(data + (behind + 7) / 8 * 8);
  }

  // Stores n values of `row`, starting at column k (a multiple of 32 for blocks).
  void put(const KernelTable& table, int64_t row, int64_t k, const float* x, int64_t n) const {
    const int64_t tile = tile_of(row), stride = this->stride(tile), column = row - first(tile);
    if (form == ActForm::kBf16) {
      table.put_bf16(x, n / kBlock, column, stride,
                     tile_data(tile) + k / kBlock * stride * element_bytes());
    } else if (form == ActForm::kInt8) {
      const int64_t at = k / kBlock * stride + column;
      auto* out = reinterpret_cast<ActBlock*>(tile_data(tile)) + at;
      table.quantise(x, n / kBlock, out, stride);
      if (rests) put_rests(table, row, out, stride, x, n);
    } else if (form == ActForm::kInt8Columns) {
      auto* out = reinterpret_cast<ColumnBlock*>(tile_data(tile));
      put_column(table, out + k / kBlock, column, x, n / kBlock);
    } else {
      auto* out = reinterpret_cast<float*>(tile_data(tile)) + k * stride + column;
      for (int64_t i = 0; i < n; ++i) out[i * stride] = x[i];
    }
  }

 private:
  static void put_column(const KernelTable& table, ColumnBlock* out, int64_t column, const float* x,
                         int64_t n_blocks);
  void put_rests(const KernelTable& table, int64_t row, ActBlock* blocks, int64_t stride,
                 const float* x, int64_t n) const;
};

// Where a product goes.
struct Output {
  MatView y;
  const float* bias = nullptr;
  bool add = false;
};

// Whether narrow tiles cost less than full ones.
inline bool even_tiles(const KernelTable& table) {
  return table.act_form != ActForm::kBf16;
}

// Columns of a tile.
inline int tile_columns(const KernelTable& table, int64_t rows, int64_t in) {
  const bool small = rows > kFewRows && in <= table.small_tiles_to;
  return small ? std::min(table.tile_columns, kBlockColumns) : table.tile_columns;
}

// The form of `rows` rows that w is multiplied by.
ActForm form_taken(const KernelTable& table, const PackedMatrix& w, int64_t rows, bool rests);

// What a thread brings to a product.
struct OwnSpace {
  std::byte* scratch;  // scratch_bytes of the table
  LaterReads* later;   // to be fetched meanwhile; or null
};

// What takes many panels and all columns at once; null where nothing does.
Product batch_product(const KernelTable& table, const PackedMatrix& w, const ActTiles& x);

// y (+)= x @ wᵀ.
void multiply(const KernelTable& table, const PackedMatrix& w, const ActTiles& x, const Output& out,
              const OwnSpace& own);
// A part of it.
void multiply_part(const KernelTable& table, const PackedMatrix& w, const Part& part,
                   const ActTiles& x, const Output& out, const OwnSpace& own);
// Some panels and tiles: row 0 of y belongs to the first column of the first tile, column 0 to the
// first row of the first panel; likewise the bias.
// next: panels to fetch from memory meanwhile, all tiles together.
void multiply_tiles(const KernelTable& table, const PackedMatrix& w, Share panels, Share next,
                    const ActTiles& x, Share tiles, const Output& out, const OwnSpace& own);

// Panels of w to go through with tile after tile: they stay in the second-level cache, a tile in
// the first. All for kernels that see to that themselves.
int64_t panels_per_pass(const KernelTable& table, const PackedMatrix& w, const ActTiles& x);

}  // namespace xh::cpu

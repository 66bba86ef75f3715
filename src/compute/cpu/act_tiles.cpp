#include "compute/cpu/act_tiles.h"

#include <algorithm>

namespace xh::cpu {

int64_t tiles_per_pass(const ActTiles& x) {
  constexpr int64_t kCacheBytes = 512 << 10;
  const int64_t tile_bytes =
      std::max<int64_t>(1, x.rows * x.n_blocks * x.element_bytes() / x.n_tiles);
  return std::max<int64_t>(1, kCacheBytes / tile_bytes);
}

void ActTiles::put_rest(const KernelTable& table, const ActBlock* out, ActBlock* rest,
                        int64_t stride, const float* x, int64_t n) {
  float left[kBlock];
  for (int64_t b = 0; b < n / kBlock; ++b, x += kBlock, out += stride, rest += stride) {
    for (int i = 0; i < kBlock; ++i)
      left[i] = x[i] - out->d[i / 16] * static_cast<float>(out->q[i]);
    table.quantise(left, 1, rest, 1);
  }
}

void multiply_tile(const KernelTable& table, const PackedMatrix& w, int64_t panel,
                   const ActTiles& x, int64_t tile, float* y, int64_t y_stride, const float* bias,
                   bool add) {
  const int64_t first_row = panel * kPanelRows, width = x.width(tile);
  GemmArgs args;
  args.scales = w.scales(panel);
  args.quants = w.quants(panel);
  args.n_blocks = x.n_blocks;
  args.act = x.tile_data(tile);
  args.act_stride = width;
  args.y = y;
  args.y_stride = y_stride;
  args.rows = std::min<int64_t>(kPanelRows, w.out() - first_row);
  args.bias = bias ? bias + first_row : nullptr;
  args.add = add;
  const GemmTile gemm = table.gemm[static_cast<size_t>(w.type())][width - 1];
  gemm(args);
  if (!x.fine) return;
  args.act = x.rest_data(tile);
  args.bias = nullptr;
  args.add = true;
  gemm(args);
}

void multiply(const KernelTable& table, const PackedMatrix& w, Share panels, const ActTiles& x,
              const Output& out) {
  const int64_t pass = tiles_per_pass(x);
  for (int64_t from = 0; from < x.n_tiles; from += pass) {
    const int64_t to = std::min(from + pass, x.n_tiles);
    for (int64_t panel = panels.begin; panel < panels.end; ++panel)
      for (int64_t tile = from; tile < to; ++tile)
        multiply_tile(table, w, panel, x, tile, out.y.row(x.first(tile)) + panel * kPanelRows,
                      out.y.stride, out.bias, out.add);
  }
}

}  // namespace xh::cpu

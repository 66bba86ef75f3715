#include "compute/cpu/act_tiles.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace xh::cpu {

namespace {

// Blocks whose scale is so many times their row's average have a rest. Decision 051 has figures.
constexpr float kRestFrom = 2.0f;

// The blocks that have a rest in some column of a tile.
struct RestBlocks {
  uint8_t at[kMaxRestBlocks];
  int64_t n = 0;
  RestBlocks(const ActTiles& x, int64_t tile) {
    if (!x.rests) return;
    uint64_t mask = 0;
    for (int64_t c = 0; c < x.width(tile); ++c) mask |= x.rest_masks()[x.first(tile) + c];
    for (; mask; mask &= mask - 1) at[n++] = static_cast<uint8_t>(std::countr_zero(mask));
  }
};

// A tile's product with one panel after the other.
struct TileProduct {
  const ActTiles& x;
  const PackedMatrix& w;
  int64_t tile, width = x.width(tile);
  RestBlocks rests{x, tile};
  GemmTile gemm;
  GemmArgs shared{};  // by all panels

  TileProduct(const KernelTable& table, const PackedMatrix& weights, const ActTiles& acts,
              int64_t at, const Output& out)
      : x(acts),
        w(weights),
        tile(at),
        gemm(table.gemm[static_cast<size_t>(weights.type())][width - 1]) {
    shared.n_blocks = x.n_blocks;
    shared.act = x.tile_data(tile);
    shared.act_stride = width;
    shared.y_stride = out.y.stride;
    shared.add = out.add;
    shared.ahead = width == 1 ? table.fetch_one : table.fetch_more;
    // One tile of few columns fetches ahead in its own panel.
    if ((x.n_tiles > 1 || width > kBlockColumns) && x.n_tiles <= kFewTiles)
      shared.fetch_step = w.panel_bytes() / (x.n_tiles * x.n_blocks);
  }

  // next: the panel to fetch meanwhile, all tiles together, or -1.
  void run(int64_t panel, int64_t next, float* y, const float* bias, LaterReads* later) const {
    GemmArgs args = shared;
    args.panel = w.panel(panel);
    args.y = y;
    args.rows = std::min<int64_t>(kPanelRows, w.out() - panel * kPanelRows);
    args.bias = bias;
    if (later && width > kNarrowTile)
      args.later = reinterpret_cast<const uint8_t*>(later->take(x.n_blocks * kLaterBytes));
    if (next >= 0 && args.fetch_step > 0)
      args.fetch = w.panel(next) + w.panel_bytes() * tile / x.n_tiles;
    gemm(args);
    if (rests.n > 0) add_rests(args);
  }

  void add_rests(GemmArgs args) const {
    args.n_blocks = rests.n;
    args.blocks = rests.at;
    args.act = x.rest_data(tile);
    args.bias = nullptr;
    args.add = true;
    args.fetch = args.later = nullptr;
    gemm(args);
  }
};

}  // namespace

ActForm form_taken(const KernelTable& table, const PackedMatrix& w, int64_t rows, bool rests) {
  if (!w.takes_blocks()) return ActForm::kFloats;
  const auto type = static_cast<size_t>(w.type());
  const bool batch = !rests && table.product[type] && rows >= table.batch_from[type] &&
                     w.n_blocks() <= table.batch_blocks;
  return batch ? table.batch_form : table.act_form;
}

Product batch_product(const KernelTable& table, const PackedMatrix& w, const ActTiles& x) {
  return x.form == table.batch_form ? table.product[static_cast<size_t>(w.type())] : nullptr;
}

int64_t panels_per_pass(const KernelTable& table, const PackedMatrix& w, const ActTiles& x) {
  const int64_t cache_bytes = x.n_tiles <= kFewTiles ? 32 << 10 : 256 << 10;
  if (batch_product(table, w, x)) return w.n_panels();
  return std::max<int64_t>(1, cache_bytes / w.panel_bytes());
}

// By way of ActBlocks: the same bits.
void ActTiles::put_column(const KernelTable& table, ColumnBlock* out, int64_t column,
                          const float* x, int64_t n_blocks) {
  constexpr int64_t kAtOnce = 8;
  ActBlock blocks[kAtOnce];
  for (int64_t b = 0; b < n_blocks; b += kAtOnce, x += kAtOnce * kBlock) {
    const int64_t n = std::min(kAtOnce, n_blocks - b);
    table.quantise(x, n, blocks, 1);
    for (int64_t i = 0; i < n; ++i, ++out) {
      std::memcpy(out->q[column], blocks[i].q, kBlock);
      out->scales[column] = {blocks[i].d, blocks[i].d_sum};
    }
  }
}

void ActTiles::put_rests(const KernelTable& table, int64_t row, ActBlock* blocks, int64_t stride,
                         const float* x, int64_t n) const {
  static constexpr ActBlock kNone{.q = {},
                                  .d = 0,
                                  .d_sum = 0,
                                  .d_sum_first = 0,
                                  .seed = {kSeedBits, kSeedBits},
                                  .half_seed = {kSeedBits, kSeedBits}};
  XH_CHECK(n == n_blocks * kBlock && n_blocks <= kMaxRestBlocks);
  float total = 0;
  for (int64_t b = 0; b < n_blocks; ++b) total += blocks[b * stride].d;
  const float enough = kRestFrom * total / static_cast<float>(n_blocks);
  float left[kMaxRestBlocks * kBlock], *to = left;
  uint64_t mask = 0;
  for (int64_t b = 0; b < n_blocks; ++b, x += kBlock) {
    const ActBlock& block = blocks[b * stride];
    if (!(block.d > enough)) continue;
    mask |= uint64_t{1} << b;
    for (int i = 0; i < kBlock; ++i) *to++ = x[i] - block.d * static_cast<float>(block.q[i]);
  }
  ActBlock rounded[kMaxRestBlocks];  // all at once, as the table likes it
  table.quantise(left, std::popcount(mask), rounded, 1);
  auto* rest = reinterpret_cast<ActBlock*>(reinterpret_cast<std::byte*>(blocks) + rest_offset());
  for (int64_t b = 0, found = 0; b < n_blocks; ++b)
    rest[b * stride] = mask >> b & 1 ? rounded[found++] : kNone;
  rest_masks()[row] = mask;
}

void multiply_tiles(const KernelTable& table, const PackedMatrix& w, Share panels, Share next,
                    const ActTiles& x, Share tiles, const Output& out, const OwnSpace& own) {
  if (panels.begin >= panels.end) return;
  const int64_t first = x.first(tiles.begin);
  if (const Product product = batch_product(table, w, x)) {
    ProductArgs args;
    args.panels = w.panel(panels.begin);
    args.panel_bytes = w.panel_bytes();
    args.rows = std::min(panels.end * kPanelRows, w.out()) - panels.begin * kPanelRows;
    args.n_blocks = x.n_blocks;
    args.act = x.data;
    args.cut = x.cut();
    args.first_tile = tiles.begin;
    args.end_tile = tiles.end;
    args.y = out.y.data;
    args.y_stride = out.y.stride;
    args.bias = out.bias;
    args.add = out.add;
    args.scratch = own.scratch;
    return product(args);
  }
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    const TileProduct product(table, w, x, tile, out);
    float* y = out.y.row(x.first(tile) - first);
    const float* bias = out.bias;
    for (int64_t panel = panels.begin; panel < panels.end; ++panel, y += kPanelRows) {
      const int64_t follower = next.begin + (panel - panels.begin);
      product.run(panel, follower < next.end ? follower : -1, y, bias, own.later);
      if (bias) bias += kPanelRows;
    }
  }
}

void multiply_part(const KernelTable& table, const PackedMatrix& w, const Part& part,
                   const ActTiles& x, const Output& out, const OwnSpace& own) {
  const int64_t row = part.panels.begin * kPanelRows;
  Output at = out;
  at.y.data = out.y.row(x.first(part.tiles.begin)) + row;
  if (out.bias) at.bias = out.bias + row;
  multiply_tiles(table, w, part.panels, part.next, x, part.tiles, at, own);
}

void multiply(const KernelTable& table, const PackedMatrix& w, const ActTiles& x, const Output& out,
              const OwnSpace& own) {
  each_part({0, w.n_panels()}, panels_per_pass(table, w, x), x.n_tiles, true,
            [&](const Part& part) { multiply_part(table, w, part, x, out, own); });
}

}  // namespace xh::cpu

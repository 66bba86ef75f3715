#include "compute/cpu/act_tiles.h"

#include <algorithm>
#include <cstring>

namespace xh::cpu {

namespace {

// Few tiles wait for weights from memory: passes are short, and each fetches the next one's panels
// evenly, all tiles together. With many tiles activations come from far away in each pass.
constexpr int64_t kFewTiles = 4;

// One panel, one tile. next: the panel to fetch meanwhile, all tiles together, or -1.
void multiply_tile(const KernelTable& table, const PackedMatrix& w, int64_t panel, int64_t next,
                   const ActTiles& x, int64_t tile, float* y, int64_t y_stride, const float* bias,
                   bool add, LaterReads* later) {
  const int64_t width = x.width(tile);
  GemmArgs args{};
  args.scales = w.scales(panel);
  args.quants = w.quants(panel);
  args.n_blocks = x.n_blocks;
  args.act = x.tile_data(tile);
  args.act_stride = width;
  args.y = y;
  args.y_stride = y_stride;
  args.rows = std::min<int64_t>(kPanelRows, w.out() - panel * kPanelRows);
  args.bias = bias;
  args.add = add;
  args.near = table.fetch_near;
  if (later && width > kNarrowTile)
    args.later = reinterpret_cast<const uint8_t*>(later->take(x.n_blocks * kLaterBytes));
  if (next >= 0 && x.n_tiles > 1 && x.n_tiles <= kFewTiles) {
    args.fetch = w.scales(next) + w.panel_bytes() * tile / x.n_tiles;
    args.fetch_step = w.panel_bytes() / (x.n_tiles * x.n_blocks);
  }
  const auto& kernels = x.form == ActForm::kInt8Coarse ? table.gemm_coarse : table.gemm;
  const GemmTile gemm = kernels[static_cast<size_t>(w.type())][width - 1];
  gemm(args);
  if (!x.fine) return;
  args.act = x.rest_data(tile);
  args.bias = nullptr;
  args.add = true;
  gemm(args);
}

}  // namespace

ActForm form_taken(const KernelTable& table, const PackedMatrix& w, ActForm form, int64_t rows) {
  if (!w.takes_blocks()) return ActForm::kFloats;
  const auto type = static_cast<size_t>(w.type());
  const bool batch = form == table.wide_form && table.product[type] &&
                     rows >= table.batch_from[type] && w.n_blocks() <= table.batch_blocks;
  return batch ? table.batch_form : form;
}

Product batch_product(const KernelTable& table, const PackedMatrix& w, const ActTiles& x) {
  return x.form == table.batch_form ? table.product[static_cast<size_t>(w.type())] : nullptr;
}

int64_t panels_per_pass(const KernelTable& table, const PackedMatrix& w, const ActTiles& x) {
  const int64_t cache_bytes = x.n_tiles <= kFewTiles ? 32 << 10 : 256 << 10;
  if (batch_product(table, w, x)) return w.n_panels();
  return std::max<int64_t>(1, cache_bytes / w.panel_bytes());
}

// By way of CoarseActBlocks: the same bits.
void ActTiles::put_column(const KernelTable& table, ColumnBlock* out, int64_t column,
                          const float* x, int64_t n_blocks) {
  constexpr int64_t kAtOnce = 8;
  CoarseActBlock blocks[kAtOnce];
  for (int64_t b = 0; b < n_blocks; b += kAtOnce, x += kAtOnce * kBlock) {
    const int64_t n = std::min(kAtOnce, n_blocks - b);
    table.quantise_coarse(x, n, blocks, 1);
    for (int64_t i = 0; i < n; ++i, ++out) {
      std::memcpy(out->q[column], blocks[i].q, kBlock);
      out->scales[column] = {blocks[i].d, blocks[i].d_sum};
    }
  }
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

void multiply_tiles(const KernelTable& table, const PackedMatrix& w, Share panels, Share next,
                    const ActTiles& x, Share tiles, const Output& out, const OwnSpace& own) {
  if (panels.begin >= panels.end) return;
  const int64_t first = x.first(tiles.begin);
  if (const Product product = batch_product(table, w, x)) {
    ProductArgs args;
    args.panels = w.scales(panels.begin);
    args.panel_bytes = w.panel_bytes();
    args.scale_area = w.scale_area();
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
  for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
    for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
      const int64_t at = (panel - panels.begin) * kPanelRows;
      const int64_t follower = next.begin + (panel - panels.begin);
      multiply_tile(table, w, panel, follower < next.end ? follower : -1, x, tile,
                    out.y.row(x.first(tile) - first) + at, out.y.stride,
                    out.bias ? out.bias + at : nullptr, out.add, own.later);
    }
}

void multiply(const KernelTable& table, const PackedMatrix& w, Share panels, const ActTiles& x,
              const Output& out, const OwnSpace& own) {
  const int64_t pass = panels_per_pass(table, w, x);
  for (int64_t from = panels.begin; from < panels.end; from += pass) {
    Output part = out;
    part.y.data += from * kPanelRows;
    if (out.bias) part.bias = out.bias + from * kPanelRows;
    const int64_t to = std::min(from + pass, panels.end);
    multiply_tiles(table, w, {from, to}, {to, std::min(to + pass, panels.end)}, x, {0, x.n_tiles},
                   part, own);
  }
}

}  // namespace xh::cpu

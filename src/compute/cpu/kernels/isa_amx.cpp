// AMX: quantised weights times activations in tiles of bf16, with float sums in the tile for the
// whole of K. Weights are the left operand (16 rows × 32 k), activations the right one (16 pairs of
// k × up to 16 columns): a product of 512 weights costs the same for one column as for sixteen. The
// order of a sum depends on k alone, so every width gives the same bits.
//
// Up to two tiles of columns: blocks are expanded to bf16 into a ring in the first-level cache,
// some ahead of their product, so that vector and tile units work at once. More: a group of panels
// is expanded once into scratch memory that stays in the second-level cache. Then two tiles of
// columns at a time go through all its panels in steps of 8 blocks: as much of the activations
// stays in the first-level cache. Sums wait in scratch memory meanwhile, which changes no bit.
#include <immintrin.h>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/amx_tiles.h"
#include "compute/cpu/kernels/avx512_panel.h"
#include "compute/cpu/kernels/avx512_scales.h"
// use those above
#include "compute/cpu/kernels/amx_expand.h"
#include "compute/cpu/kernels/amx_sums.h"

constexpr int64_t kTileBytes = 1024;                                       // 16 rows × 32 bf16
constexpr int64_t kExpandedBytes = 768 << 10;                              // of a group of panels
constexpr int64_t kMaxGroup = 48;                                          // panels
constexpr int64_t kScratch = kExpandedBytes + kMaxGroup * 2 * kTileBytes;  // and their sums
constexpr int64_t kStep = 8;                                               // blocks
constexpr int kRing = 8, kAhead = 4;                                       // blocks

// Tiles 0 … 3: sums of panel i % 2 and column tile i / 2; 4, 5: weights; 6, 7: activations.
void configure(int64_t columns) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.rows[i] = 16;
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 64 : 4 * columns);
  }
  configure_tiles(config);
}

// Walks over kPanels panels at a time, block by block, a few KiB ahead of those in use.
template <DType kType, int kPanels>
class Ahead {
 public:
  Ahead(const ProductArgs& args, const uint8_t* panel)
      : panel_(panel), args_(args), block_(kPrefetchAhead / kPanels / kBytes) {
    while (block_ >= args.n_blocks) next_panels();
  }
  inline void step() {
    for (int i = 0; i < kPanels; ++i)
      prefetch<kBytes>(panel_ + i * args_.panel_bytes + block_ * kBytes);
    if (++block_ == args_.n_blocks) next_panels();
  }

 private:
  static constexpr int kBytes = block_bytes(pack_format(kType));
  inline void next_panels() {
    panel_ += kPanels * args_.panel_bytes;
    block_ -= args_.n_blocks;
  }

  const uint8_t* panel_;
  const ProductArgs& args_;
  int64_t block_;
};

// One block: panels lie `w_step` bytes apart, tiles of columns `x_step`; a row of theirs has x_row.
template <int kPanels, int kTiles>
inline void multiply_block(const uint8_t* w, int64_t w_step, const uint8_t* x, int64_t x_step,
                           int64_t x_row) {
  load_tile<4>(w, 64);
  load_tile<6>(x, x_row);
  multiply_bf16<0, 4, 6>();
  if constexpr (kPanels == 2) {
    load_tile<5>(w + w_step, 64);
    multiply_bf16<1, 5, 6>();
  }
  if constexpr (kTiles == 2) {
    load_tile<7>(x + x_step, x_row);
    multiply_bf16<2, 4, 7>();
    if constexpr (kPanels == 2) multiply_bf16<3, 5, 7>();
  }
}

// kPanels panels, one or two tiles of columns. Two panels share the loads of activations.
template <DType kType, int kPanels, int kTiles>
void narrow(const ProductArgs& args, int64_t panel, int64_t tile) {
  const uint8_t* first = args.panels + panel * args.panel_bytes;
  const uint8_t* next = first + args.panel_bytes;
  auto* ring = reinterpret_cast<uint8_t*>(args.scratch);
  const int64_t row_bytes = 4 * args.cut.columns, tile_bytes = args.n_blocks * 16 * row_bytes;
  const auto* x = static_cast<const uint8_t*>(args.act) + tile * tile_bytes;
  Ahead<kType, kPanels> ahead(args, first);
  SuperScales super[2];
  zero_sums();
  for (int64_t b = 0; b < args.n_blocks + kAhead; ++b) {
    if (b < args.n_blocks) {
      uint8_t* to = ring + b % kRing * kPanels * kTileBytes;
      ahead.step();
      expand<kType>(first, b, super[0], to);
      if constexpr (kPanels == 2) expand<kType>(next, b, super[1], to + kTileBytes);
    }
    const int64_t done = b - kAhead;
    if (done < 0) continue;
    const uint8_t* w = ring + done % kRing * kPanels * kTileBytes;
    multiply_block<kPanels, kTiles>(w, kTileBytes, x + done * 16 * row_bytes, tile_bytes,
                                    row_bytes);
  }
  alignas(64) float sums[4 * 256];
  store_sums(sums);
  finish_sums(args, panel, kPanels, tile, kTiles, sums);
}

// n blocks of kPanels expanded panels times kTiles tiles of columns, added to four tiles of sums.
// `stride`: bytes of a panel, and of a tile of columns.
template <int kPanels, int kTiles>
void wide(const uint8_t* w, const uint8_t* x, int64_t stride, int64_t n, bool begin, float* sums) {
  if (begin)
    zero_sums();
  else
    load_sums(sums);
  for (int64_t b = 0; b < n; ++b, w += kTileBytes, x += kTileBytes)
    multiply_block<kPanels, kTiles>(w, stride, x, stride, 64);
  store_sums(sums);
}

// All columns times the n panels, from `first` on, that lie expanded in scratch.
void multiply_group(const ProductArgs& args, int64_t first, int64_t n) {
  const auto* w = reinterpret_cast<const uint8_t*>(args.scratch);
  auto* sums = reinterpret_cast<float*>(args.scratch + kExpandedBytes);
  const int64_t stride = args.n_blocks * kTileBytes;
  for (int64_t t = args.first_tile; t < args.end_tile; t += 2) {
    const auto* x = static_cast<const uint8_t*>(args.act) + t * stride;
    const bool two = t + 1 < args.end_tile;
    for (int64_t b = 0; b < args.n_blocks; b += kStep) {
      const int64_t at = b * kTileBytes,
                    blocks = args.n_blocks - b < kStep ? args.n_blocks - b : kStep;
      for (int64_t p = 0; p < n; p += 2) {
        const auto part = p + 1 < n ? two ? wide<2, 2> : wide<2, 1> : two ? wide<1, 2> : wide<1, 1>;
        part(w + p * stride + at, x + at, stride, blocks, b == 0, sums + p * 512);
      }
    }
    for (int64_t p = 0; p < n; p += 2)
      finish_sums(args, first + p, p + 1 < n ? 2 : 1, t, two ? 2 : 1, sums + p * 512);
  }
}

template <DType kType>
void product(const ProductArgs& args) {
  configure(args.cut.columns);
  const int64_t panels = (args.rows + kPanelRows - 1) / kPanelRows;
  const int64_t panel_bytes = args.n_blocks * kTileBytes;
  // Panels too wide for the scratch memory go the narrow way, two tiles of columns at a time.
  int64_t group = kExpandedBytes / panel_bytes / 2 * 2;
  if (group > kMaxGroup) group = kMaxGroup;
  if (args.end_tile - args.first_tile <= 2 || args.cut.columns < 16 || group == 0) {
    for (int64_t t = args.first_tile; t < args.end_tile; t += 2) {
      const bool two = t + 1 < args.end_tile;
      for (int64_t p = 0; p < panels; p += 2) {
        const auto run = p + 1 < panels ? two ? narrow<kType, 2, 2> : narrow<kType, 2, 1>
                         : two ? narrow<kType, 1, 2>
                                        : narrow<kType, 1, 1>;
        run(args, p, t);
      }
    }
    return;
  }
  for (int64_t from = 0; from < panels; from += group) {
    const int64_t n = panels - from < group ? panels - from : group;
    auto* out = reinterpret_cast<uint8_t*>(args.scratch);
    Ahead<kType, 1> ahead(args, args.panels + from * args.panel_bytes);
    for (int64_t p = from; p < from + n; ++p) {
      const uint8_t* panel = args.panels + p * args.panel_bytes;
      SuperScales super;
      for (int64_t b = 0; b < args.n_blocks; ++b, out += kTileBytes) {
        ahead.step();
        expand<kType>(panel, b, super, out);
      }
    }
    multiply_group(args, from, n);
  }
}

void put_bf16_op(const float* x, int64_t n_blocks, int64_t column, int64_t stride, void* tile) {
  const __m512i pairs = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i at = _mm512_mullo_epi32(pairs, _mm512_set1_epi32(static_cast<int32_t>(stride)));
  auto* to = static_cast<uint8_t*>(tile) + 4 * column;
  for (int64_t b = 0; b < n_blocks; ++b, x += 32, to += 64 * stride) {
    const __m512i v = to_bf16(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16));
    if (stride == 1)
      _mm512_storeu_si512(to, v);
    else
      _mm512_i32scatter_epi32(to, at, v, 4);
  }
}

template <DType... kTypes>
void use(KernelTable& table) {
  ((table.product[static_cast<int>(kTypes)] = product<kTypes>), ...);
}

}  // namespace

void use_amx(KernelTable& table) {
  table.name = "amx";
  table.tile_columns = 16;
  table.layout = Layout::kRowWise;
  table.act_form = table.batch_form = ActForm::kBf16;
  table.put_bf16 = put_bf16_op;
  table.scratch_bytes = kScratch;
  table.rests_below = 0;
  use<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,
      DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
      DType::kMXFP4>(table);
}

}  // namespace xh::cpu

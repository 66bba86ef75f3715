// AMX: AVX-512's products of 8-bit activations, with the integer sums of a block made by tiles. A
// tile instruction does what 128 of vpdpbusd do, and the sums are exact, so a result has the same
// bits whether it comes from here or from isa_avx512.cpp: few columns go there, many here.
//
// Tiles: activations are the left operand (up to 16 columns × 32 k), a block of the panel, unpacked
// to bytes, the right one (4 k of 16 rows in a line). The block's scales force its sums out to
// memory, to be scaled and added up in registers while next blocks are multiplied (amx_blocks.h).
#include <immintrin.h>

#include <type_traits>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/act_blocks.h"
#include "compute/cpu/kernels/amx_tiles.h"
#include "compute/cpu/kernels/avx512_panel.h"
#include "compute/cpu/kernels/avx512_scales.h"
#include "compute/cpu/kernels/avx512_unpack.h"
// use those above
#include "compute/cpu/kernels/block_scales.h"
// uses that too
#include "compute/cpu/kernels/amx_blocks.h"

constexpr int64_t kUnpackedBytes = 768 << 10;  // of a group of panels: the second-level cache's
constexpr int64_t kPanelBytes = 1088 << 10;    // the most of a single one
constexpr int64_t kMaxGroup = 48;              // panels
constexpr int64_t kScratch = kPanelBytes + kMaxGroup * kSums * int64_t{sizeof(float)};
constexpr int64_t kStep = 32;  // blocks: a tile's activations stay in the first-level cache
constexpr int64_t kFewTiles = 4;
constexpr int64_t kFewGroup = 32;     // panels
constexpr int64_t kMaxBlocks = 1024;  // of a panel: fits unpacked, whatever the format

// A step: n blocks of a panel and a tile. `sums` has those of the steps before unless this is the
// first, and gets them unless it is the last.
struct Step {
  int64_t columns;
  bool first, last;
  float* sums;
};
template <class Blocks, int kColumns>
void run_step(const GemmArgs& args, const uint8_t* w, const ColumnBlock* x, int64_t n,
              const uint8_t* next_w, const ColumnBlock* next_x, const Step& step,
              Stages<Blocks>& stages, Wanted& wanted) {
  __asm__ volatile("" ::: "memory");  // what tiles are loaded from is written
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c)
    acc[c] = step.first ? _mm512_setzero_ps() : _mm512_load_ps(step.sums + 16 * c);
  stages.template add<kColumns>(acc, {w, x}, n, {next_w, next_x}, wanted);
  if (step.last) return finish<kColumns>(args, acc, step.columns);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) _mm512_store_ps(step.sums + 16 * c, acc[c]);
}

template <PackFormat kFormat, class Blocks>
class Product {
 public:
  explicit Product(const ProductArgs& args)
      : args_(args),
        panels_((args.rows + kPanelRows - 1) / kPanelRows),
        tiles_(args.end_tile - args.first_tile) {
    // Cut as evenly as can be, so widths differ by one at most.
    Blocks::configure((args.cut.width(args.cut.tiles - 1) + 3) / 4 * 4);
  }
  void run() const { tiles_ > kFewTiles ? many() : few(); }

 private:
  static constexpr int64_t kBytes = block_bytes(kFormat);
  static_assert(Blocks::kBytes * kMaxBlocks <= kPanelBytes);

  // A group of panels is unpacked whole, then each tile goes through it, in steps.
  void many() const {
    int64_t group = kUnpackedBytes / (args_.n_blocks * Blocks::kBytes);
    if (group > kMaxGroup) group = kMaxGroup;
    if (group < 1) group = 1;
    auto* sums = reinterpret_cast<float*>(args_.scratch + kPanelBytes);
    Wanted none{};
    for (int64_t from = 0; from < panels_; from += group) {
      const int64_t n = panels_ - from < group ? panels_ - from : group;
      for (int64_t p = 0; p < n; ++p) unpack<true>(from + p, 0, args_.n_blocks, unpacked(p, 0));
      Stages<Blocks> stages;
      for (int64_t tile = 0; tile < tiles_; ++tile)
        for (int64_t b = 0; b < args_.n_blocks; b += kStep)
          for (int64_t p = 0; p < n; ++p) {
            const int64_t below = p + 1 < n ? p + 1 : 0;
            const int64_t next_b = below ? b : b + kStep < args_.n_blocks ? b + kStep : 0;
            const int64_t next_tile = below || next_b ? tile : tile + 1;
            const Run next =
                next_tile < tiles_ ? run(next_tile, next_b, kStep, unpacked(below, next_b)) : Run{};
            multiply(from + p, tile, b, kStep, unpacked(p, b), next, sums + p * kSums, stages,
                     none);
          }
    }
  }

  // The tiles' activations of a step stay in the first-level cache while all panels go by, each
  // fetched from memory while the one before is multiplied.
  void few() const {
    static_assert(kStep * Blocks::kBytes + kFewGroup * kFewTiles * kSums * 4 <= kScratch);
    const int64_t most = tiles_ <= 2 ? kStep / 2 : kStep / 4;
    auto* sums = reinterpret_cast<float*>(args_.scratch + kStep * Blocks::kBytes);
    Stages<Blocks> stages;
    for (int64_t from = 0; from < panels_; from += kFewGroup) {
      const int64_t n = panels_ - from < kFewGroup ? panels_ - from : kFewGroup;
      for (int64_t b = 0; b < args_.n_blocks; b += most)
        for (int64_t p = 0; p < n; ++p) {
          uint8_t* w = unpacked(0, 0);
          unpack<false>(from + p, b, most, w);
          const int64_t panel = p + 1 < n ? from + p + 1 : from, block = p + 1 < n ? b : b + most;
          Wanted wanted{panel_at(panel) + block * kBytes,
                        (kBytes + 64 * tiles_ - 1) / (64 * tiles_)};
          for (int64_t tile = 0; tile < tiles_; ++tile) {
            const Run next = tile + 1 < tiles_ ? run(tile + 1, b, most, w) : Run{};
            multiply(from + p, tile, b, most, w, next, sums + (p * tiles_ + tile) * kSums, stages,
                     wanted);
          }
        }
    }
  }

  uint8_t* unpacked(int64_t panel, int64_t b) const {
    return reinterpret_cast<uint8_t*>(args_.scratch) +
           (panel * args_.n_blocks + b) * Blocks::kBytes;
  }
  const uint8_t* panel_at(int64_t i) const { return args_.panels + i * args_.panel_bytes; }
  int64_t length(int64_t first, int64_t most) const {
    return args_.n_blocks - first < most ? args_.n_blocks - first : most;
  }

  // Up to `most` blocks from `first`, a multiple of 8, on; kAhead: of panels read in their order.
  template <bool kAhead>
  void unpack(int64_t panel, int64_t first, int64_t most, uint8_t* to) const {
    const uint8_t* from = panel_at(panel);
    typename Blocks::Scale scale;
    const int64_t end = first + length(first, most);
    for (int64_t b = first; b < end; ++b, to += Blocks::kBytes) {
      if constexpr (kAhead) prefetch<kBytes>(from + b * kBytes + kPrefetchAhead);
      Blocks::make(from + quants_at(kFormat, b), from + scales_at(kFormat, b), b, scale, to);
    }
  }

  const ColumnBlock* columns(int64_t tile) const {
    return static_cast<const ColumnBlock*>(args_.act) + (args_.first_tile + tile) * args_.n_blocks;
  }
  // The next blocks to multiply; none if they are too few.
  Run run(int64_t tile, int64_t first, int64_t most, const uint8_t* w) const {
    if (length(first, most) < Stages<Blocks>::kAhead) return {};
    return {w, columns(tile) + first};
  }

  // Those blocks, unpacked at w, times a tile.
  void multiply(int64_t panel, int64_t tile, int64_t first, int64_t most, const uint8_t* w,
                Run next, float* sums, Stages<Blocks>& stages, Wanted& wanted) const {
    using RunStep =
        void (*)(const GemmArgs&, const uint8_t*, const ColumnBlock*, int64_t, const uint8_t*,
                 const ColumnBlock*, const Step&, Stages<Blocks>&, Wanted&);
    static constexpr RunStep kSteps[] = {run_step<Blocks, 4>, run_step<Blocks, 8>,
                                         run_step<Blocks, 12>, run_step<Blocks, 16>};
    const int64_t column = args_.cut.first(args_.first_tile + tile),
                  width = args_.cut.width(args_.first_tile + tile);
    const int64_t row = panel * kPanelRows, rows = args_.rows - row;
    const int64_t n = length(first, most);
    const Step step{width, first == 0, first + n == args_.n_blocks, sums};
    GemmArgs part;
    part.y_stride = args_.y_stride;
    part.add = args_.add;
    part.rows = rows < kPanelRows ? rows : kPanelRows;
    part.bias = args_.bias ? args_.bias + row : nullptr;
    part.y = args_.y + (column - args_.cut.first(args_.first_tile)) * args_.y_stride + row;
    kSteps[(width - 1) / 4](part, w, columns(tile) + first, n, next.w, next.x, step, stages,
                            wanted);
  }

  const ProductArgs& args_;
  const int64_t panels_, tiles_;
};

template <DType kType>
void product(const ProductArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  using Blocks = std::conditional_t<is_whole(kFormat), DigitBlocks<kFormat>, PlainBlocks<kFormat>>;
  Product<kFormat, Blocks>(args).run();
}

template <DType... kTypes>
void use(KernelTable& table) {
  ((table.product[static_cast<int>(kTypes)] = product<kTypes>), ...);
  // Below, unpacking costs more than tiles gain.
  ((table.batch_from[static_cast<int>(kTypes)] = is_whole(pack_format(kTypes)) ? 17 : 13), ...);
}

}  // namespace

void use_amx_int8(KernelTable& table) {
  table.name = "avx512_amx";
  table.scratch_bytes = kScratch;
  table.batch_blocks = kMaxBlocks;
  use<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
      DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4>(table);
}

}  // namespace xh::cpu

// AMX: AVX-512's products of 8-bit activations, with the integer sums of a block made by tiles. A
// tile instruction does what 128 of vpdpbusd do, and the sums are exact, so a result has the same
// bits whether it comes from here or from isa_avx512.cpp: few columns go there, many here.
//
// Tiles: activations are the left operand (up to 16 columns × 32 k), a block of the panel, unpacked
// to bytes, the right one (4 k of 16 rows in a line). The block's scales force its sums out to
// memory; they are scaled and added up in registers while the next block is multiplied.
#include <immintrin.h>

#include <type_traits>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/act_scale.h"
#include "compute/cpu/kernels/amx_tiles.h"
#include "compute/cpu/kernels/avx512_panel.h"
#include "compute/cpu/kernels/avx512_scales.h"
#include "compute/cpu/kernels/avx512_unpack.h"
// use those above
#include "compute/cpu/kernels/avx512_blocks.h"

constexpr int64_t kUnpackedBytes = 768 << 10;  // of a group of panels: the second-level cache's
constexpr int64_t kMaxGroup = 48;              // panels
constexpr int64_t kSums = 16 * 16;             // of a panel and a tile of columns
constexpr int64_t kScratch = kUnpackedBytes + kMaxGroup * kSums * int64_t{sizeof(float)};
constexpr int64_t kStep = 32;  // blocks: a tile's activations stay in the first-level cache
constexpr int64_t kFewTiles = 4;
constexpr int64_t kMaxBlocks = 1024;  // of a panel: fits unpacked, whatever the format

// A block of a panel: 8 lines of bytes and the vectors of BlockScales.
template <PackFormat kFormat>
struct Unpacked {
  using Scale = BlockScales<kFormat, CoarseActBlock>;
  static_assert(Scale::kParts == 1);
  // Where the sums start at a seed, tiles take weights less their offset instead.
  static constexpr bool kSigned = Scale::kSeed >= 0;
  static constexpr int64_t kBytes = 512 + 64 * Scale::kVectors;

  // b as in unpack_scales.
  static void make(const uint8_t* block, const uint8_t* scales, int64_t b, Scale& scale,
                   uint8_t* to) {
    __m512i u[8];
    unpack<kFormat.quants>(block, u);
    const __m512i offset = _mm512_set1_epi8(static_cast<char>(1 << kFormat.offset_shift));
    for (int g = 0; g < 8; ++g)
      _mm512_store_si512(to + 64 * g, kSigned ? _mm512_sub_epi8(u[g], offset) : u[g]);
    scale.load(scales, b);
    scale.store(reinterpret_cast<float*>(to + 512));
  }
};

// Of two blocks in turn, tiles 0, 1: sums; 2, 3: activations; 4, 5: weights.
void configure(int64_t columns) {
  TileConfig config;
  for (int i = 0; i < 6; ++i) {
    config.rows[i] = static_cast<uint8_t>(i >= 4 ? 8 : columns);
    config.row_bytes[i] = i == 2 || i == 3 ? kBlock : 64;
  }
  configure_tiles(config);
}

// acc[c] += a block's sums of column c, scaled.
template <PackFormat kFormat, int kColumns>
[[gnu::always_inline]] inline void scale_block(__m512* acc, const uint8_t* block,
                                               const ColumnBlock* x, const int32_t (&sums)[kSums]) {
  typename Unpacked<kFormat>::Scale s;
  s.fetch(reinterpret_cast<const float*>(block + 512));
  const __m512i seed = _mm512_set1_epi32(kSeedBits);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    s.add_part(acc[c], _mm512_add_epi32(seed, _mm512_load_si512(sums + 16 * c)), x->scales[c], 0);
    s.add_minimums(acc[c], x->scales[c]);
  }
}

// Memory that is wanted soon: some lines of it are fetched with each block multiplied.
struct Wanted {
  const uint8_t* from;
  int64_t lines;
  [[gnu::always_inline]] inline void fetch() {
    for (int64_t i = 0; i < lines; ++i, from += 64) prefetch<64>(from);
  }
};

// Blocks of one panel times a tile of kColumns columns, each in four stages: load, multiply, store
// the sums, scale them. A turn does one stage of each of four blocks. A store whose sums are not
// ready yet would wait where all later instructions have to pass.
template <PackFormat kFormat, int kColumns>
class Blocks {
 public:
  // acc += n blocks from w and x on.
  [[gnu::always_inline]] inline void add(__m512* acc, const uint8_t* w, const ColumnBlock* x,
                                         int64_t n, Wanted& wanted) {
    Wanted soon = wanted;
    load<0>(w, x);
    multiply<0>();
    const bool more = n > 1;
    load<1>(w + more * kBytes, x + more);
    load_multiply_store<0>(w, x, n);
    soon.fetch();
    for (--n; n >= 2; n -= 2) {
      soon.fetch();
      turn<1>(acc, w += kBytes, ++x, n);
      soon.fetch();
      turn<0>(acc, w += kBytes, ++x, n - 1);
    }
    wanted = soon;
    if (n == 0) return scale<0>(acc, w, x);
    turn<1>(acc, w += kBytes, ++x, n);
    scale<1>(acc, w, x);
  }

 private:
  static constexpr int64_t kBytes = Unpacked<kFormat>::kBytes;

  // w, x: the block to store, n ≥ 1 with those to come. After the last one, what is loaded and
  // multiplied is not used.
  template <int kTurn>
  [[gnu::always_inline]] inline void turn(__m512* acc, const uint8_t* w, const ColumnBlock* x,
                                          int64_t n) {
    load_multiply_store<kTurn>(w, x, n);
    scale<1 - kTurn>(acc, w - kBytes, x - 1);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void load_multiply_store(const uint8_t* w, const ColumnBlock* x,
                                                         int64_t n) {
    const int64_t ahead = n > 2 ? 2 : 0;
    load<kTurn>(w + ahead * kBytes, x + ahead);
    multiply<1 - kTurn>();
    store_whole_tile<kTurn>(sums_[kTurn]);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void load(const uint8_t* w, const ColumnBlock* x) {
    load_written_tile<2 + kTurn>(x->q, kBlock);
    load_written_tile<4 + kTurn>(w, 64);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void multiply() {
    zero_tile<kTurn>();
    if constexpr (Unpacked<kFormat>::kSigned)
      multiply_signed_bytes<kTurn, 2 + kTurn, 4 + kTurn>();
    else
      multiply_bytes<kTurn, 2 + kTurn, 4 + kTurn>();
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void scale(__m512* acc, const uint8_t* w, const ColumnBlock* x) {
    __asm__("" : "+r"(x));  // one pointer, not one for each column
    scale_block<kFormat, kColumns>(acc, w, x, sums_[kTurn]);
  }

  alignas(64) int32_t sums_[2][kSums];
};

// A step of blocks from `first` on of a panel (unpacked at w, as are its other blocks) and a tile;
// sums of steps before are in `sums`.
template <PackFormat kFormat, int kColumns>
void step(const GemmArgs& args, const uint8_t* w, const ColumnBlock* x, int64_t first,
          int64_t columns, float* sums, Wanted& wanted) {
  __asm__ volatile("" ::: "memory");  // what tiles are loaded from is written
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c)
    acc[c] = first == 0 ? _mm512_setzero_ps() : _mm512_load_ps(sums + 16 * c);
  const int64_t left = args.n_blocks - first, n = left < kStep ? left : kStep;
  Blocks<kFormat, kColumns> blocks;
  blocks.add(acc, w + first * Unpacked<kFormat>::kBytes, x + first, n, wanted);
  if (left <= kStep) return finish<kColumns>(args, acc, columns);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) _mm512_store_ps(sums + 16 * c, acc[c]);
}

template <PackFormat kFormat>
void unpack_panel(const ProductArgs& args, int64_t panel, uint8_t* to) {
  const uint8_t* scales = args.panels + panel * args.panel_bytes;
  const uint8_t* block = scales + args.scale_area;
  typename Unpacked<kFormat>::Scale scale;
  for (int64_t b = 0; b < args.n_blocks; ++b) {
    prefetch<quant_bytes(kFormat.quants)>(block + kPrefetchAhead);
    Unpacked<kFormat>::make(block, scales, b, scale, to);
    block += quant_bytes(kFormat.quants);
    to += Unpacked<kFormat>::kBytes;
  }
}

// One tile of columns and the n panels from `from` on, unpacked in scratch.
template <PackFormat kFormat>
void multiply_group(const ProductArgs& args, int64_t from, int64_t n, int64_t tile,
                    Wanted& wanted) {
  using Step = void (*)(const GemmArgs&, const uint8_t*, const ColumnBlock*, int64_t, int64_t,
                        float*, Wanted&);
  static constexpr Step kSteps[] = {step<kFormat, 4>, step<kFormat, 8>, step<kFormat, 12>,
                                    step<kFormat, 16>};
  const int64_t column = args.cut.first(tile), width = args.cut.width(tile);
  const Step run = kSteps[(width - 1) / 4];
  const auto* x = static_cast<const ColumnBlock*>(args.act) + tile * args.n_blocks;
  auto* sums = reinterpret_cast<float*>(args.scratch + kUnpackedBytes);
  GemmArgs part;
  part.n_blocks = args.n_blocks;
  part.y_stride = args.y_stride;
  part.add = args.add;
  for (int64_t b = 0; b < args.n_blocks; b += kStep)
    for (int64_t p = 0; p < n; ++p) {
      const int64_t row = (from + p) * kPanelRows, rows = args.rows - row;
      part.rows = rows < kPanelRows ? rows : kPanelRows;
      part.bias = args.bias ? args.bias + row : nullptr;
      part.y = args.y + (column - args.cut.first(args.first_tile)) * args.y_stride + row;
      const auto* w = reinterpret_cast<const uint8_t*>(args.scratch) +
                      p * args.n_blocks * Unpacked<kFormat>::kBytes;
      run(part, w, x, b, width, sums + p * kSums, wanted);
    }
}

template <DType kType>
void product(const ProductArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  using Block = Unpacked<kFormat>;
  static_assert(Block::kBytes * kMaxBlocks <= kUnpackedBytes);
  // Cut as evenly as can be, so widths differ by one at most.
  configure((args.cut.width(args.cut.tiles - 1) + 3) / 4 * 4);
  const int64_t panels = (args.rows + kPanelRows - 1) / kPanelRows;
  const int64_t tiles = args.end_tile - args.first_tile;
  // Few tiles: the next panel is fetched from memory while they go through one.
  int64_t group = 1, lines = 0;
  if (tiles > kFewTiles)
    group = kUnpackedBytes / (args.n_blocks * Block::kBytes);
  else
    lines = (args.panel_bytes + 64 * tiles * args.n_blocks - 1) / (64 * tiles * args.n_blocks);
  if (group > kMaxGroup) group = kMaxGroup;
  for (int64_t from = 0; from < panels; from += group) {
    const int64_t n = panels - from < group ? panels - from : group;
    for (int64_t p = 0; p < n; ++p)
      unpack_panel<kFormat>(
          args, from + p,
          reinterpret_cast<uint8_t*>(args.scratch) + p * args.n_blocks * Block::kBytes);
    Wanted next{args.panels + (from + n) * args.panel_bytes, lines};
    for (int64_t tile = args.first_tile; tile < args.end_tile; ++tile)
      multiply_group<kFormat>(args, from, n, tile, next);
  }
}

template <DType... kTypes>
void use(KernelTable& table) {
  ((table.product[static_cast<int>(kTypes)] = product<kTypes>), ...);
}

}  // namespace

void use_amx_int8(KernelTable& table) {
  table.name = "avx512_amx";
  table.scratch_bytes = kScratch;
  table.batch_from = 17;  // below, unpacking costs more than tiles gain
  table.batch_blocks = kMaxBlocks;
  use<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
      DType::kQ5_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4>(table);
}

}  // namespace xh::cpu

// AMX: AVX-512's products of 8-bit activations, with the integer sums of a block made by tiles. A
// tile instruction does what 128 of vpdpbusd do, and the sums are exact, so a result has the same
// bits whether it comes from here or from isa_avx512.cpp: few columns go there, many here.
//
// Tiles: activations are the left operand (up to 16 columns × 32 k), a block of the panel, unpacked
// to bytes, the right one (4 k of 16 rows in a line). The block's scales force its sums out to
// memory, to be scaled and added up in registers while next blocks are multiplied.
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
constexpr int64_t kFewGroup = 32;     // panels
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

// A step: n blocks, from `first` on, of a panel (unpacked at w) and a tile; sums of steps before
// are in `sums`.
template <PackFormat kFormat, int kColumns>
void step(const GemmArgs& args, const uint8_t* w, const ColumnBlock* x, int64_t first, int64_t n,
          int64_t columns, float* sums, Wanted& wanted) {
  __asm__ volatile("" ::: "memory");  // what tiles are loaded from is written
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c)
    acc[c] = first == 0 ? _mm512_setzero_ps() : _mm512_load_ps(sums + 16 * c);
  Blocks<kFormat, kColumns> blocks;
  blocks.add(acc, w, x + first, n, wanted);
  if (first + n == args.n_blocks) return finish<kColumns>(args, acc, columns);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) _mm512_store_ps(sums + 16 * c, acc[c]);
}

template <PackFormat kFormat>
class Product {
 public:
  explicit Product(const ProductArgs& args)
      : args_(args),
        panels_((args.rows + kPanelRows - 1) / kPanelRows),
        tiles_(args.end_tile - args.first_tile) {
    // Cut as evenly as can be, so widths differ by one at most.
    configure((args.cut.width(args.cut.tiles - 1) + 3) / 4 * 4);
  }
  void run() const { tiles_ > kFewTiles ? many() : few(); }

 private:
  using Block = Unpacked<kFormat>;
  static constexpr int64_t kBytes = quant_bytes(kFormat.quants);
  static_assert(Block::kBytes * kMaxBlocks <= kUnpackedBytes);

  // A group of panels is unpacked whole, then each tile goes through it, in steps.
  void many() const {
    int64_t group = kUnpackedBytes / (args_.n_blocks * Block::kBytes);
    if (group > kMaxGroup) group = kMaxGroup;
    auto* sums = reinterpret_cast<float*>(args_.scratch + kUnpackedBytes);
    Wanted none{};
    for (int64_t from = 0; from < panels_; from += group) {
      const int64_t n = panels_ - from < group ? panels_ - from : group;
      for (int64_t p = 0; p < n; ++p) unpack<true>(from + p, 0, args_.n_blocks, unpacked(p, 0));
      for (int64_t tile = 0; tile < tiles_; ++tile)
        for (int64_t b = 0; b < args_.n_blocks; b += kStep)
          for (int64_t p = 0; p < n; ++p)
            multiply(from + p, tile, b, kStep, unpacked(p, b), sums + p * kSums, none);
    }
  }

  // The tiles' activations of a step stay in the first-level cache while all panels go by, each
  // fetched from memory while the one before is multiplied.
  void few() const {
    static_assert(kStep * Block::kBytes + kFewGroup * kFewTiles * kSums * 4 <= kScratch);
    const int64_t step = tiles_ <= 2 ? kStep / 2 : kStep / 4;
    auto* sums = reinterpret_cast<float*>(args_.scratch + kStep * Block::kBytes);
    for (int64_t from = 0; from < panels_; from += kFewGroup) {
      const int64_t n = panels_ - from < kFewGroup ? panels_ - from : kFewGroup;
      for (int64_t b = 0; b < args_.n_blocks; b += step)
        for (int64_t p = 0; p < n; ++p) {
          unpack<false>(from + p, b, step, unpacked(0, 0));
          const int64_t panel = p + 1 < n ? from + p + 1 : from, block = p + 1 < n ? b : b + step;
          fetch_scales(panel, block, step);
          Wanted next{quants(panel, block), (kBytes + 64 * tiles_ - 1) / (64 * tiles_)};
          for (int64_t tile = 0; tile < tiles_; ++tile)
            multiply(from + p, tile, b, step, unpacked(0, 0), sums + (p * tiles_ + tile) * kSums,
                     next);
        }
    }
  }

  uint8_t* unpacked(int64_t panel, int64_t b) const {
    return reinterpret_cast<uint8_t*>(args_.scratch) + (panel * args_.n_blocks + b) * Block::kBytes;
  }
  const uint8_t* quants(int64_t panel, int64_t b) const {
    return args_.panels + panel * args_.panel_bytes + args_.scale_area + b * kBytes;
  }
  void fetch_scales(int64_t panel, int64_t b, int64_t n) const {
    constexpr int64_t kEvery = blocks_per_scale(kFormat.scales),
                      kSize = scale_bytes(kFormat.scales);
    const uint8_t* p = args_.panels + panel * args_.panel_bytes + b / kEvery * kSize;
    for (int64_t i = 0; i < n / kEvery * kSize; i += 64) prefetch<64>(p + i);
  }
  int64_t length(int64_t first, int64_t most) const {
    return args_.n_blocks - first < most ? args_.n_blocks - first : most;
  }

  // Up to `most` blocks from `first`, a multiple of 8, on; kAhead: of panels read in their order.
  template <bool kAhead>
  void unpack(int64_t panel, int64_t first, int64_t most, uint8_t* to) const {
    const uint8_t *scales = args_.panels + panel * args_.panel_bytes, *block = quants(panel, first);
    typename Block::Scale scale;
    const int64_t end = first + length(first, most);
    for (int64_t b = first; b < end; ++b, block += kBytes, to += Block::kBytes) {
      if constexpr (kAhead) prefetch<kBytes>(block + kPrefetchAhead);
      Block::make(block, scales, b, scale, to);
    }
  }

  // Those blocks, unpacked at w, times a tile.
  void multiply(int64_t panel, int64_t tile, int64_t first, int64_t most, const uint8_t* w,
                float* sums, Wanted& wanted) const {
    using Step = void (*)(const GemmArgs&, const uint8_t*, const ColumnBlock*, int64_t, int64_t,
                          int64_t, float*, Wanted&);
    static constexpr Step kSteps[] = {step<kFormat, 4>, step<kFormat, 8>, step<kFormat, 12>,
                                      step<kFormat, 16>};
    const int64_t column = args_.cut.first(args_.first_tile + tile),
                  width = args_.cut.width(args_.first_tile + tile);
    const int64_t row = panel * kPanelRows, rows = args_.rows - row;
    const auto* x =
        static_cast<const ColumnBlock*>(args_.act) + (args_.first_tile + tile) * args_.n_blocks;
    GemmArgs part;
    part.n_blocks = args_.n_blocks;
    part.y_stride = args_.y_stride;
    part.add = args_.add;
    part.rows = rows < kPanelRows ? rows : kPanelRows;
    part.bias = args_.bias ? args_.bias + row : nullptr;
    part.y = args_.y + (column - args_.cut.first(args_.first_tile)) * args_.y_stride + row;
    kSteps[(width - 1) / 4](part, w, x, first, length(first, most), width, sums, wanted);
  }

  const ProductArgs& args_;
  const int64_t panels_, tiles_;
};

template <DType kType>
void product(const ProductArgs& args) {
  Product<pack_format(kType)>(args).run();
}

template <DType... kTypes>
void use(KernelTable& table) {
  ((table.product[static_cast<int>(kTypes)] = product<kTypes>), ...);
}

}  // namespace

void use_amx_int8(KernelTable& table) {
  table.name = "avx512_amx";
  table.scratch_bytes = kScratch;
  table.batch_from = 13;  // below, unpacking costs more than tiles gain
  table.batch_blocks = kMaxBlocks;
  use<DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ4_K,
      DType::kQ5_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4>(table);
}

}  // namespace xh::cpu

// One panel, as two halves of 8 rows, times one tile of columns. Included by ISA files inside their
// anonymous namespace, after avx2_panel.h, block_scales.h and
//   template <PackFormat, int kTile> struct Products: a block's quants, and what products make of
//   them in a tile of kTile columns
//     kSums: a format whose scales and offset its sums have
//     kStep: columns that go side by side
//     load(quants): a block of a panel
//     multiply<n>(sum, x): sum[part][column][half], integers in the bits of floats (ActBlock::seed)

template <PackFormat kOf, int kTile>
struct HalvesBlock {
  static constexpr PackFormat kFormat = kOf;
  using Scale = BlockScales<Products<kFormat, kTile>::kSums>;
  static constexpr int kParts = Scale::kParts, kStep = Products<kFormat, kTile>::kStep;
  Products<kFormat, kTile> products;
  Scale scales[2];

  [[gnu::always_inline]] inline void load(const uint8_t* quants, const uint8_t* all_scales,
                                          int64_t b) {
    products.load(quants);
    scales[0].load(all_scales, b, 0);
    scales[1].load(all_scales, b, 8);
  }
  // acc[c] += the block times column c. The order of operations on a column is the batch-invariance
  // contract.
  template <int kColumns>
  [[gnu::always_inline]] inline void add(Floats (*acc)[2], const ActBlock* x) const {
    Ints sum[kParts][kColumns][2];
    products.template multiply<kColumns>(sum, x);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        Floats a = acc[c][h];  // a vector in memory may be anything's, for all the compiler knows
        if constexpr (Scale::kWhole) {
          scales[h].add_whole(a, sum[0][c][h], sum[1][c][h], x[c].d);
        } else {
#pragma GCC unroll 2
          for (int part = 0; part < kParts; ++part)
            scales[h].add_part(a, sum[part][c][h], x[c].d, part);
          scales[h].add_minimums(a, x[c]);
        }
        acc[c][h] = a;
      }
  }
};

template <class Block, int kColumns>
inline void blocks_tile(const GemmArgs& args) {
  constexpr PackFormat kFormat = Block::kFormat;
  constexpr int kStep = Block::kStep, kWhole = kColumns / kStep * kStep;
  const auto* act = static_cast<const ActBlock*>(args.act);
  const uint8_t* fetch = args.panel + kPrefetchAhead;
  Floats acc[kColumns][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    prefetch<block_bytes(kFormat)>(fetch);
    fetch += block_bytes(kFormat);
    const int64_t b = block_at(args, i);
    const auto* x = act + b * args.act_stride;
    Block block;
    block.load(args.panel + quants_at(kFormat, b), args.panel + scales_at(kFormat, b), b);
    // Keeps the block in memory: GCC would load all of it before the columns, and spill sums for
    // it.
    auto forget = [&] {
      if constexpr (kColumns > kStep) asm volatile("" ::"r"(&block) : "memory");
    };
#pragma GCC unroll 1
    for (int c = 0; c < kWhole; c += kStep) {
      forget();
      block.template add<kStep>(acc + c, x + c);
    }
    forget();
    if constexpr (kColumns > kWhole)
      block.template add<kColumns - kWhole>(acc + kWhole, x + kWhole);
  }
  for (int c = 0; c < kColumns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, c, h, acc[c][h]);
}

// Columns kFirst … kFirst + kColumns - 1 of a plain type.
template <DType kType, int kFirst, int kColumns>
inline void floats_tile(const GemmArgs& args) {
  const float* x = static_cast<const float*>(args.act) + kFirst;
  __m256 acc[kColumns][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
    const __m256 low = plain_line<kType>(args.panel, k * kPanelRows);
    const __m256 high = plain_line<kType>(args.panel, k * kPanelRows + 8);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256 v = _mm256_set1_ps(x[c]);
      acc[c][0] = _mm256_fmadd_ps(low, v, acc[c][0]);
      acc[c][1] = _mm256_fmadd_ps(high, v, acc[c][1]);
    }
  }
  for (int c = 0; c < kColumns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, kFirst + c, h, acc[c][h]);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    blocks_tile<HalvesBlock<kFormat, kColumns>, kColumns>(args);
  } else {
    // Up to six columns stay in registers; the next pass finds the weights in the cache.
    constexpr int kPasses = (kColumns + 5) / 6, kOne = kColumns / kPasses;
    if constexpr (kPasses == 1) floats_tile<kType, 0, kColumns>(args);
    if constexpr (kPasses == 2) {
      floats_tile<kType, 0, kOne>(args);
      floats_tile<kType, kOne, kColumns - kOne>(args);
    }
    if constexpr (kPasses == 3) {
      floats_tile<kType, 0, kOne>(args);
      floats_tile<kType, kOne, kOne>(args);
      floats_tile<kType, 2 * kOne, kColumns - 2 * kOne>(args);
    }
  }
}

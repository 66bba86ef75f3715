// One panel, as two halves of 8 rows, times one tile of columns. Included by ISA files inside their
// anonymous namespace, after avx2_panel.h, block_scales.h and
//   template <PackFormat, int kTile> struct Products: a block's quants, and what products make of
//   them in a tile of kTile columns
//     kSums: a format whose scales and offset its sums have
//     kStep: columns that go side by side
//     load(quants): a block of a panel
//     multiply<n>(sum, x): sum[column][half][part] of n columns
//     end(sum, x, part): the sum of a column's part as integers in the bits of floats
//       (ActBlock::seed)

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
    Ints sum[kColumns][2][kParts];
    products.template multiply<kColumns>(sum, x);
    // In registers: a vector in memory may be what was stored to acc, for all the compiler knows.
    // The barriers keep it from looking so far ahead that it spills sums.
    asm volatile("");
    const Scale low = scales[0], high = scales[1];
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      Floats a = acc[c][0], b = acc[c][1];
      add_sums(a, sum[c][0], x[c], low, scales[0]);
      add_sums(b, sum[c][1], x[c], high, scales[1]);
      acc[c][0] = a;
      acc[c][1] = b;
      asm volatile("");
    }
  }

 private:
  // acc += a column's sums. scale: in registers; in_memory: the same, for what has none left.
  [[gnu::always_inline]] inline void add_sums(Floats& acc, const Ints (&sum)[kParts],
                                              const ActBlock& x, const Scale& scale,
                                              const Scale& in_memory) const {
    if constexpr (Scale::kWhole) {
      in_memory.add_whole(acc, products.end(sum[0], x, 0), products.end(sum[1], x, 1), x.d);
    } else {
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part)
        scale.add_part(acc, products.end(sum[part], x, part), x.d, part);
      in_memory.add_minimums(acc, x);
    }
  }
};

// f(block, its activations) for one block of the panel after the other.
template <class Block, class F>
[[gnu::always_inline]] inline void each_block(const GemmArgs& args, F&& f) {
  constexpr PackFormat kFormat = Block::kFormat;
  const auto* act = static_cast<const ActBlock*>(args.act);
  const uint8_t* fetch = args.panel + kPrefetchAhead;
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    prefetch<block_bytes(kFormat)>(fetch);
    fetch += block_bytes(kFormat);
    const int64_t b = block_at(args, i);
    Block block;
    block.load(args.panel + quants_at(kFormat, b), args.panel + scales_at(kFormat, b), b);
    f(block, act + b * args.act_stride);
  }
}

// Columns whose sums stay in registers.
template <class Block, int kColumns>
void few_columns(const GemmArgs& args) {
  Floats acc[kColumns][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  each_block<Block>(
      args, [&](const Block& block, const ActBlock* x) { block.template add<kColumns>(acc, x); });
  for (int c = 0; c < kColumns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, c, h, acc[c][h]);
}

// `steps` times Block::kStep columns and kRest more.
template <class Block, int kRest>
void many_columns(const GemmArgs& args, int steps) {
  constexpr int kStep = Block::kStep;
  const int columns = steps * kStep + kRest;
  Floats acc[kMaxTile][2];
  for (int c = 0; c < columns; ++c) acc[c][0] = acc[c][1] = _mm256_setzero_ps();
  each_block<Block>(args, [&](const Block& block, const ActBlock* x) {
    // Keeps the block in memory: GCC would load all of it before the columns, and spill sums for
    // it.
    auto forget = [&] { asm volatile("" ::"r"(&block) : "memory"); };
    auto* to = acc;
#pragma GCC unroll 1
    for (int i = 0; i < steps; ++i, to += kStep, x += kStep) {
      forget();
      block.template add<kStep>(to, x);
    }
    forget();
    if constexpr (kRest > 0) block.template add<kRest>(to, x);
  });
  for (int c = 0; c < columns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, c, h, acc[c][h]);
}

// Columns first … first + kColumns - 1 of a plain type.
template <DType kType, int kColumns>
inline void floats_tile(const GemmArgs& args, int first) {
  const float* x = static_cast<const float*>(args.act) + first;
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
    for (int h = 0; h < 2; ++h) finish(args, first + c, h, acc[c][h]);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    constexpr int kStep = HalvesBlock<kFormat, kMaxTile>::kStep;
    if constexpr (kColumns <= kStep)
      few_columns<HalvesBlock<kFormat, kColumns>, kColumns>(args);
    else
      many_columns<HalvesBlock<kFormat, kMaxTile>, kColumns % kStep>(args, kColumns / kStep);
  } else {
    // Up to six columns stay in registers; the next pass finds the weights in the cache.
    constexpr int kMost = 6, kRest = kColumns % kMost;
    for (int first = 0; first < kColumns - kRest; first += kMost)
      floats_tile<kType, kMost>(args, first);
    if constexpr (kRest > 0) floats_tile<kType, kRest>(args, kColumns - kRest);
  }
}

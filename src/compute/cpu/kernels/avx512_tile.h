// One panel times one tile of columns. Included by ISA files inside their anonymous namespace,
// after avx512_panel.h.

constexpr int kInRegisters = 16;  // so many columns' sums

// Block: what a kernel makes of a block of weights.
//   kFormat; kStep: columns that go side by side
//   load(quants, scales, b): block b of a panel whose scales are at `scales`
//   add<n>(acc, x): acc[c] += the block times column c

// f(block, its activations) for one block of the panel after the other.
template <class Block, bool kNarrow, bool kNear, class F>
[[gnu::always_inline]] inline void each_block(const GemmArgs& args, F&& f) {
  constexpr PackFormat kFormat = Block::kFormat;
  const auto* act = static_cast<const ActBlock*>(args.act);
  const uint8_t* fetch = args.panel + args.ahead.bytes;
  int64_t step = block_bytes(kFormat);
  if (!kNarrow && args.fetch) fetch = args.fetch, step = args.fetch_step;
  const uint8_t* later = args.later;
  Block block;
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    if constexpr (kNarrow)
      prefetch<block_bytes(kFormat), kNear ? 1 : 2>(fetch);
    else  // a step is a block, or a tile's part of one
      for (int64_t at = 0; at < step; at += 64) prefetch<64>(fetch + at);
    fetch += step;
    if (!kNarrow && later) {
      prefetch<kLaterBytes, 3>(later);
      later += kLaterBytes;
    }
    const int64_t b = block_at(args, i);
    block.load(args.panel + quants_at(kFormat, b), args.panel + scales_at(kFormat, b), b);
    f(block, act + b * args.act_stride);
  }
}

// Columns whose sums stay in registers.
template <class Block, int kColumns, bool kNear>
[[gnu::always_inline]] inline void few_columns(const GemmArgs& args) {
  constexpr int kStep = Block::kStep, kWhole = kColumns / kStep * kStep;
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
  each_block<Block, kColumns <= kNarrowTile, kNear>(
      args, [&](const Block& block, const ActBlock* x) __attribute__((always_inline)) {
#pragma GCC unroll 16
        for (int c = 0; c < kWhole; c += kStep) block.template add<kStep>(acc + c, x + c);
        if constexpr (kColumns > kWhole)
          block.template add<kColumns - kWhole>(acc + kWhole, x + kWhole);
      });
  finish<kColumns>(args, acc);
}

// `steps` times Block::kStep columns and kRest more, whose sums lie in memory: more columns for a
// block that is unpacked once.
template <class Block, int kRest>
void many_columns(const GemmArgs& args, int steps) {
  constexpr int kStep = Block::kStep;
  const int columns = steps * kStep + kRest;
  __m512 acc[kMaxTile];
  for (int c = 0; c < columns; ++c) acc[c] = _mm512_setzero_ps();
  each_block<Block, false, false>(
      args, [&](const Block& block, const ActBlock* x) __attribute__((always_inline)) {
        auto* to = acc;
#pragma GCC unroll 1
        for (int i = 0; i < steps; ++i, to += kStep, x += kStep) block.template add<kStep>(to, x);
        if constexpr (kRest > 0) block.template add<kRest>(to, x);
      });
  for (int c = 0; c < columns; ++c) finish(args, c, acc[c]);
}

// Activations of many columns fill the first-level cache: weights come into the second.
template <class Block, int kColumns>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  if constexpr (kColumns > kInRegisters)
    many_columns<Block, kColumns % Block::kStep>(args, kColumns / Block::kStep);
  else if (kColumns <= kNarrowTile && args.ahead.near)
    few_columns<Block, kColumns, kColumns <= kNarrowTile>(args);
  else
    few_columns<Block, kColumns, false>(args);
}

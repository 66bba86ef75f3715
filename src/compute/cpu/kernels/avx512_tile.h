// One panel times one tile of columns. Included by ISA files inside their anonymous namespace,
// after avx512_panel.h.

// Block: what a kernel makes of a block of weights.
//   kFormat; kStep: columns that go side by side
//   load(quants, scales, b): block b of a panel whose scales are at `scales`
//   add<n>(acc, x): acc[c] += the block times column c
template <class Block, int kColumns, bool kNear>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  constexpr PackFormat kFormat = Block::kFormat;
  constexpr int kStep = Block::kStep, kWhole = kColumns / kStep * kStep;
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
  const auto* act = static_cast<const ActBlock*>(args.act);
  const uint8_t* fetch = args.panel + args.ahead.bytes;
  int64_t step = block_bytes(kFormat);
  if (kColumns > kNarrowTile && args.fetch) fetch = args.fetch, step = args.fetch_step;
  const uint8_t* later = args.later;
  Block block;
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    if constexpr (kColumns > kNarrowTile)  // a step is a block, or a tile's part of one
      for (int64_t at = 0; at < step; at += 64) prefetch<64>(fetch + at);
    else
      prefetch<block_bytes(kFormat), kNear ? 1 : 2>(fetch);
    fetch += step;
    if (kColumns > kNarrowTile && later) {
      prefetch<kLaterBytes, 3>(later);
      later += kLaterBytes;
    }
    const int64_t b = block_at(args, i);
    const auto* x = act + b * args.act_stride;
    block.load(args.panel + quants_at(kFormat, b), args.panel + scales_at(kFormat, b), b);
#pragma GCC unroll 16
    for (int c = 0; c < kWhole; c += kStep) block.template add<kStep>(acc + c, x + c);
    if constexpr (kColumns > kWhole)
      block.template add<kColumns - kWhole>(acc + kWhole, x + kWhole);
  }
  finish<kColumns>(args, acc);
}

// Activations of many columns fill the first-level cache: weights come into the second.
template <class Block, int kColumns>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  if (kColumns <= kNarrowTile && args.ahead.near)
    blocks_tile<Block, kColumns, kColumns <= kNarrowTile>(args);
  else
    blocks_tile<Block, kColumns, false>(args);
}

// Blocks of unpacked weights times a tile of columns, in 8-bit tiles. After avx512_blocks.h and
// amx_tiles.h, included by isa_amx_int8.cpp inside its anonymous namespace.

constexpr int64_t kSums = 16 * 16;  // of a panel and a tile of columns

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

// Blocks in a row: unpacked weights and activations. w may be null: none. By value or in registers
// only: read from memory as a vector, what has been written in halves waits for all stores before
// it, of tiles too.
struct Run {
  const uint8_t* w = nullptr;
  const ColumnBlock* x = nullptr;
};

// Blocks of one panel times a tile of columns, each in four stages: load, multiply, store the sums,
// scale them. A turn does one stage of each of four blocks. A store whose sums are not ready yet
// would wait where all later instructions have to pass. The first stages of the next run's blocks
// go along with the last ones of this.
template <PackFormat kFormat>
class Blocks {
 public:
  static constexpr int64_t kAhead = 3;  // blocks that the next run must have

  // acc += the n blocks of `run`, which is `next` of the call before, if that had one.
  template <int kColumns>
  [[gnu::always_inline]] inline void add(__m512* acc, Run run, int64_t n, Run next,
                                         Wanted& wanted) {
    if (!begun_) begin(run, n);
    begun_ = next.w && n % 2 == 0;
    const Run last = at(run, n - 1);
    if (!begun_)
      next = {last.w - (kAhead - 1) * kBytes, last.x - (kAhead - 1)};  // for something to load
    Wanted soon = wanted;
    soon.fetch();
    int64_t left = n - 1;  // to store
    for (; left > 3; left -= 2) {
      soon.fetch();
      turn<1, kColumns>(acc, run, at(run, 3));
      soon.fetch();
      turn<0, kColumns>(acc, at(run, 1), at(run, 4));
      run = at(run, 2);
    }
    if (left == 3) {
      soon.fetch();
      turn<1, kColumns>(acc, run, at(run, 3));
      soon.fetch();
      turn<0, kColumns>(acc, at(run, 1), next);
      run = at(run, 2);
      left = 1;
    } else if (left == 2) {
      turn<1, kColumns>(acc, run, last);
      turn<0, kColumns>(acc, at(run, 1), last);
      run = at(run, 2);
      left = 0;
    }
    if (left == 1) {
      soon.fetch();
      turn<1, kColumns>(acc, run, at(next, 1));
      if (begun_) load_multiply_store<0>(at(next, 2));
      scale<1, kColumns>(acc, last);
    } else {
      scale<0, kColumns>(acc, last);
    }
    soon.fetch();
    wanted = soon;
  }

 private:
  static constexpr int64_t kBytes = Unpacked<kFormat>::kBytes;
  static Run at(Run run, int64_t n) { return {run.w + n * kBytes, run.x + n}; }

  // To where a run's first block is stored, its second multiplied, its third loaded.
  [[gnu::always_inline]] inline void begin(Run run, int64_t n) {
    load<0>(run);
    multiply<0>();
    load<0>(at(run, n > 1 ? 1 : 0));
    load_multiply_store<0>(at(run, n > 2 ? 2 : 0));
  }
  // block: the one to scale. It is followed by those to store and to multiply, then to_load.
  template <int kTurn, int kColumns>
  [[gnu::always_inline]] inline void turn(__m512* acc, Run block, Run to_load) {
    load_multiply_store<kTurn>(to_load);
    scale<1 - kTurn, kColumns>(acc, block);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void load_multiply_store(Run to_load) {
    multiply<1 - kTurn>();
    load<0>(to_load);
    store_whole_tile<kTurn>(sums_[kTurn]);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void load(Run block) {
    load_written_tile<2 + kTurn>(block.x->q, kBlock);
    load_written_tile<4 + kTurn>(block.w, 64);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void multiply() {
    zero_tile<kTurn>();
    if constexpr (Unpacked<kFormat>::kSigned)
      multiply_signed_bytes<kTurn, 2, 4>();
    else
      multiply_bytes<kTurn, 2, 4>();
  }
  template <int kTurn, int kColumns>
  [[gnu::always_inline]] inline void scale(__m512* acc, Run block) {
    const ColumnBlock* x = block.x;
    __asm__("" : "+r"(x));  // one pointer, not one for each column
    scale_block<kFormat, kColumns>(acc, block.w, x, sums_[kTurn]);
  }

  alignas(64) int32_t sums_[2][kSums];
  bool begun_ = false;
};

// Blocks of unpacked weights times a tile of columns, in 8-bit tiles, to the bits of
// isa_avx512.cpp. After block_scales.h, avx512_unpack.h and amx_tiles.h, included by
// isa_amx_int8.cpp inside its anonymous namespace.

constexpr int64_t kSums = 16 * 16;  // of a panel and a tile of columns

// Blocks in a row: unpacked weights and activations. w may be null: none. By value or in registers
// only: read from memory as a vector, what has been written in halves waits for all stores before
// it, of tiles too.
struct Run {
  const uint8_t* w = nullptr;
  const ColumnBlock* x = nullptr;
};

// What Stages does with blocks: unpack; load into tiles; multiply what is loaded; store the sums;
// scale them. Of two blocks in turn.
template <PackFormat kFormat>
class PlainBlocks {
 public:
  using Scale = BlockScales<kFormat>;
  static_assert(Scale::kParts == 1);
  // 8 lines of bytes and the vectors of BlockScales.
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

  // Tiles 0, 1: sums; 2: activations; 3: weights. The processor renames tiles as it does registers.
  static void configure(int64_t columns) {
    TileConfig config;
    for (int i = 0; i < 4; ++i) {
      config.rows[i] = static_cast<uint8_t>(i == 3 ? 8 : columns);
      config.row_bytes[i] = i == 2 ? kBlock : 64;
    }
    configure_tiles(config);
  }
  [[gnu::always_inline]] inline void load(Run block) {
    load_written_tile<2>(block.x->q, kBlock);
    load_written_tile<3>(block.w, 64);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void multiply() {
    zero_tile<kTurn>();
    if constexpr (kSigned)
      multiply_signed_bytes<kTurn, 2, 3>();
    else
      multiply_bytes<kTurn, 2, 3>();
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void store() {
    store_whole_tile<kTurn>(sums_[kTurn]);
  }
  template <int kTurn, int kColumns>
  [[gnu::always_inline]] inline void scale(__m512* acc, const uint8_t* w, const ColumnBlock* x) {
    Scale s;
    s.fetch(reinterpret_cast<const float*>(w + 512));
    const __m512i seed = _mm512_set1_epi32(kSeedBits);
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      const __m512i sum = _mm512_load_si512(sums_[kTurn] + 16 * c);
      s.add_part(acc[c], _mm512_add_epi32(seed, sum), x->scales[c].d, 0);
      s.add_minimums(acc[c], x->scales[c]);
    }
  }

 private:
  // Where the sums start at a seed, tiles take weights less their offset instead.
  static constexpr bool kSigned = Scale::kSeed >= 0;
  alignas(64) int32_t sums_[2][kSums];
};

// The same of formats that is_whole(): W = 256 · high + low, two digits that tiles multiply apart.
template <PackFormat kFormat>
class DigitBlocks {
 public:
  using Scale = BlockScales<kFormat>;
  static_assert(Scale::kWhole);
  // 8 lines of low digits, 8 of high ones, d.
  static constexpr int64_t kBytes = 1024 + 64;

  static void make(const uint8_t* block, const uint8_t* scales, int64_t b, Scale& scale,
                   uint8_t* to) {
    __m512i u[8];
    unpack<kFormat.quants>(block, u);
    scale.load(scales, b);
    const Multiplier halves[] = {Multiplier(scale.s[0]), Multiplier(scale.s[1])};
    for (int g = 0; g < 8; ++g) halves[g / 4].split(u[g], to + 64 * g);
    _mm512_store_ps(to + 1024, scale.super.d);
  }

  // Tiles 0, 1: sums of low digits; 2, 3: of high ones; 4: activations; 5, 6: weights.
  static void configure(int64_t columns) {
    TileConfig config;
    for (int i = 0; i < 7; ++i) {
      config.rows[i] = static_cast<uint8_t>(i > 4 ? 8 : columns);
      config.row_bytes[i] = i == 4 ? kBlock : 64;
    }
    configure_tiles(config);
  }
  [[gnu::always_inline]] inline void load(Run block) {
    load_written_tile<4>(block.x->q, kBlock);
    load_written_tile<5>(block.w, 64);
    load_written_tile<6>(block.w + 512, 64);
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void multiply() {
    zero_tile<kTurn>();
    zero_tile<2 + kTurn>();
    multiply_bytes<kTurn, 4, 5>();
    multiply_signed_bytes<2 + kTurn, 4, 6>();
  }
  template <int kTurn>
  [[gnu::always_inline]] inline void store() {
    store_whole_tile<kTurn>(low_[kTurn]);
    store_whole_tile<2 + kTurn>(high_[kTurn]);
  }
  template <int kTurn, int kColumns>
  [[gnu::always_inline]] inline void scale(__m512* acc, const uint8_t* w, const ColumnBlock* x) {
    const __m512 d = _mm512_load_ps(w + 1024);
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      const __m512i high = _mm512_slli_epi32(_mm512_load_si512(high_[kTurn] + 16 * c), 8);
      const __m512i sum = _mm512_add_epi32(high, _mm512_load_si512(low_[kTurn] + 16 * c));
      acc[c] = add_whole_sum(acc[c], _mm512_cvtepi32_ps(sum), d, x->scales[c].d);
    }
  }

 private:
  // sc of 16 rows, for the even and the odd bytes of a line.
  struct Multiplier {
    __m512i even, odd, offset;
    explicit Multiplier(__m512 scale) {
      const __m512i sc = _mm512_cvtps_epi32(scale);
      const __m512i byte = _mm512_and_si512(sc, _mm512_set1_epi32(0xff));
      even = _mm512_or_si512(byte, _mm512_slli_epi32(byte, 16));
      odd = _mm512_slli_epi32(even, 8);
      const __m512i o = _mm512_slli_epi32(sc, kFormat.offset_shift);
      offset = _mm512_mask_blend_epi16(0xaaaaaaaa, o, _mm512_slli_epi32(o, 16));
    }
    // sc · (u - 2^offset) of 64 values, as digits in their places.
    void split(__m512i u, uint8_t* to) const {
      const __m512i evens = _mm512_sub_epi16(_mm512_maddubs_epi16(u, even), offset);
      const __m512i odds = _mm512_sub_epi16(_mm512_maddubs_epi16(u, odd), offset);
      const __m512i turned = _mm512_shldi_epi16(odds, odds, 8);
      _mm512_store_si512(to, _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, evens, turned));
      _mm512_store_si512(to + 512, _mm512_shldi_epi16(turned, evens, 8));
    }
  };

  alignas(64) int32_t low_[2][kSums], high_[2][kSums];
};

// Memory that is wanted soon: some lines of it are fetched with each block multiplied.
struct Wanted {
  const uint8_t* from;
  int64_t lines;
  [[gnu::always_inline]] inline void fetch() {
    for (int64_t i = 0; i < lines; ++i, from += 64) prefetch<64>(from);
  }
};

// Blocks of one panel times a tile of columns, each in four stages: load, multiply, store the sums,
// scale them. A turn does one stage of each of four blocks. A store whose sums are not ready yet
// would wait where all later instructions have to pass. The first stages of the next run's blocks
// go along with the last ones of this.
template <class Blocks>
class Stages {
 public:
  static constexpr int64_t kAhead = 3;  // blocks that the next run must have

  // acc += the n blocks of `run`, which is `next` of the call before, if that had one.
  template <int kColumns>
  [[gnu::always_inline]] inline void add(__m512* acc, Run run, int64_t n, Run next,
                                         Wanted& wanted) {
    if (!begun_) begin(run, n);
    begun_ = next.w && n % 2 == 0;
    const Run last = at(run, n - 1);
    // What is loaded after the last block: else anything.
    const Run after = begun_ ? next : last, after_that = begun_ ? at(next, 1) : last;
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
    if (left >= 2) {
      soon.fetch();
      turn<1, kColumns>(acc, run, left == 3 ? at(run, 3) : last);
      soon.fetch();
      turn<0, kColumns>(acc, at(run, 1), after);
      run = at(run, 2);
      left -= 2;
    }
    if (left == 1) {
      soon.fetch();
      turn<1, kColumns>(acc, run, after_that);
      if (begun_) load_multiply_store<0>(at(next, 2));
      scale<1, kColumns>(acc, last);
    } else {
      scale<0, kColumns>(acc, last);
    }
    soon.fetch();
    wanted = soon;
  }

 private:
  static Run at(Run run, int64_t n) { return {run.w + n * Blocks::kBytes, run.x + n}; }

  // To where a run's first block is stored, its second multiplied, its third loaded.
  [[gnu::always_inline]] inline void begin(Run run, int64_t n) {
    blocks_.load(run);
    blocks_.template multiply<0>();
    blocks_.load(at(run, n > 1 ? 1 : 0));
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
    blocks_.template multiply<1 - kTurn>();
    blocks_.load(to_load);
    blocks_.template store<kTurn>();
  }
  template <int kTurn, int kColumns>
  [[gnu::always_inline]] inline void scale(__m512* acc, Run block) {
    const ColumnBlock* x = block.x;
    __asm__("" : "+r"(x));  // one pointer, not one for each column
    blocks_.template scale<kTurn, kColumns>(acc, block.w, x);
  }

  Blocks blocks_;
  bool begun_ = false;
};

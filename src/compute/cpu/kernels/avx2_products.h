// Products by maddubs (avx2_tile.h says what they are for). In assembly: GCC 12 would load weights
// once for every column, and keep the wrong ones in registers. Included by ISA files inside their
// anonymous namespace.

constexpr int depth_of(Quants quants) {
  switch (quants) {
    case Quants::kU2:
    case Quants::kU3:
    case Quants::kU4: return 8;
    case Quants::kU5:
    case Quants::kLutFp4: return 4;
    default: return 2;
  }
}
constexpr bool is_signed(Quants quants) {
  return quants == Quants::kU8 || quants == Quants::kLutIq4;
}

// Keeps the compiler from regrouping a chain of sums, which would need more registers than there
// are.
[[gnu::always_inline]] inline void pin(Ints& v) {
  asm("" : "+x"(v));
}

// low, high: sums in 16 bits of both halves; they are begun, or added to.
template <bool kFew>
[[gnu::always_inline]] inline void multiply_four(Ints& low, Ints& high, Ints u_low, Ints u_high,
                                                 const int8_t* four, bool begun) {
  const auto* word = reinterpret_cast<const int8_t(*)[4]>(four);
  Ints x, product;
  if constexpr (kFew) {
    x = four_bytes(four);
    const Ints one = _mm256_maddubs_epi16(u_low, x), two = _mm256_maddubs_epi16(u_high, x);
    low = begun ? _mm256_add_epi16(low, one) : one;
    high = begun ? _mm256_add_epi16(high, two) : two;
    pin(low);
    pin(high);
  } else if (!begun)
    asm("vpbroadcastd %2, %1\n\tvpmaddubsw %1, %3, %0\n\tvpmaddubsw %1, %4, %1"
        : "=&x"(low), "=&x"(high)
        : "m"(*word), "x"(u_low), "x"(u_high));
  else
    asm("vpbroadcastd %4, %2\n\tvpmaddubsw %2, %5, %3\n\tvpmaddubsw %2, %6, %2\n\t"
        "vpaddw %3, %0, %0\n\tvpaddw %2, %1, %1"
        : "+x"(low), "+x"(high), "=&x"(x), "=&x"(product)
        : "m"(*word), "x"(u_low), "x"(u_high));
}

template <PackFormat kFormat, int kTile>
struct Products {
  static constexpr PackFormat kSums = sums_format(kFormat);
  static constexpr int kParts = 32 / group_of(kFormat.scales), kGroups = 8 / kParts;
  static constexpr int kDepth =
      depth_of(kFormat.quants) < kGroups ? depth_of(kFormat.quants) : kGroups;
  static constexpr bool kDeep = kDepth == kGroups;  // a part's sum stays in 16 bits to the end
  static constexpr int kStep = kParts == 2 ? 2 : kDepth == 8 ? 4 : 3;
  Ints u[8][2];

  [[gnu::always_inline]] inline void load(const uint8_t* quants) {
    unpack<kFormat.quants>(quants, u);
  }
  [[gnu::always_inline]] inline Ints end(Ints sum, const ActBlock& x, int part) const {
    if constexpr (!kDeep) return sum;
    return _mm256_add_epi32(begin<kFormat>(x, part), _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
  }
  template <int kColumns>
  [[gnu::always_inline]] inline void multiply(Ints (&sum)[kColumns][2][kParts],
                                              const ActBlock* x) const {
    const Ints ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int first = 0; first < 8; first += kDepth) {
      Ints deep[kColumns][2];
#pragma GCC unroll 8
      for (int g = first; g < first + kDepth; ++g) {
        const Ints low = u[g][0], high = u[g][1];
#pragma GCC unroll 4
        for (int c = 0; c < kColumns; ++c) {
          const int8_t* four = x[c].q + 4 * g;
          multiply_four<kTile <= 3>(deep[c][0], deep[c][1], low, high, four, g > first);
        }
      }
      const int part = first / kGroups;
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          Ints& to = sum[c][h][part];
          if constexpr (kDeep)
            to = deep[c][h];
          else
            to = _mm256_add_epi32(first % kGroups ? to : begin<kFormat>(x[c], part),
                                  _mm256_madd_epi16(deep[c][h], ones));
        }
    }
  }
};

// Signed weights: sizes times activations that change their sign with the weight.
template <PackFormat kFormat, int kTile>
requires(is_signed(kFormat.quants)) struct Products<kFormat, kTile> {
  static constexpr PackFormat kSums = {kFormat.quants, kFormat.scales, 0};
  static constexpr int kParts = 1, kStep = 4;
  Ints w[8][2], size[8][2], sign[8][2];  // sign: -1 or 0
  Ints first[2];

  [[gnu::always_inline]] inline void load(const uint8_t* quants) {
    const Ints bias = _mm256_set1_epi8(-128), ones = _mm256_set1_epi16(1);
    unpack<kFormat.quants>(quants, w);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      first[h] = _mm256_set1_epi32(kSeedBits);
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        w[g][h] = _mm256_xor_si256(w[g][h], bias);
        size[g][h] = _mm256_abs_epi8(w[g][h]);
        sign[g][h] = _mm256_cmpgt_epi8(_mm256_setzero_si256(), w[g][h]);
        const Ints negative = _mm256_and_si256(size[g][h], sign[g][h]),
                   pairs = _mm256_maddubs_epi16(negative, _mm256_set1_epi8(1));
        first[h] = _mm256_add_epi32(first[h], _mm256_madd_epi16(pairs, ones));
      }
    }
  }

  [[gnu::always_inline]] inline Ints end(Ints sum, const ActBlock&, int) const {
    return sum;
  }
  template <int kColumns>
  [[gnu::always_inline]] inline void multiply(Ints (&sum)[kColumns][2][1],
                                              const ActBlock* x) const {
    if constexpr (kTile <= kStep)
      multiply_few(sum, x);
    else
      multiply_many(sum, x);
  }

  // x ^ sign, which is x or -x - 1, spares the multiplier's time that vpsignb takes on Zen 4. The
  // sums begin with the sizes of negative weights, which -1 takes off.
  template <int kColumns>
  [[gnu::always_inline]] inline void multiply_many(Ints (&sum)[kColumns][2][1],
                                                   const ActBlock* x) const {
    const Ints ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) sum[c][0][0] = first[0], sum[c][1][0] = first[1];
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      const Ints size_low = size[g][0], size_high = size[g][1];
      const Ints low = sign[g][0], high = sign[g][1];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        Ints four, product;
        asm("vpbroadcastd %4, %2\n\t"
            "vpxor %2, %7, %3\n\tvpmaddubsw %3, %5, %3\n\tvpmaddwd %3, %9, %3\n\t"
            "vpaddd %3, %0, %0\n\t"
            "vpxor %2, %8, %2\n\tvpmaddubsw %2, %6, %2\n\tvpmaddwd %2, %9, %2\n\t"
            "vpaddd %2, %1, %1"
            : "+x"(sum[c][0][0]), "+x"(sum[c][1][0]), "=&x"(four), "=&x"(product)
            : "m"(*reinterpret_cast<const int8_t(*)[4]>(x[c].q + 4 * g)), "x"(size_low),
              "x"(size_high), "x"(low), "x"(high), "x"(ones));
      }
    }
  }

  // Where few columns use it, that costs more than it spares.
  template <int kColumns>
  [[gnu::always_inline]] inline void multiply_few(Ints (&sum)[kColumns][2][1],
                                                  const ActBlock* x) const {
    const Ints ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) sum[c][0][0] = sum[c][1][0] = _mm256_set1_epi32(kSeedBits);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g)
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          const Ints four = _mm256_sign_epi8(four_bytes(x[c].q + 4 * g), w[g][h]);
          const Ints product = _mm256_maddubs_epi16(_mm256_abs_epi8(w[g][h]), four);
          sum[c][h][0] = _mm256_add_epi32(sum[c][h][0], _mm256_madd_epi16(product, ones));
          pin(sum[c][h][0]);
        }
  }
};

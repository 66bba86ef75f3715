// Blocks of quantised weights as bf16: 16 rows of 32 values, 64 bytes each, rounded to nearest even
// from the exact value. Included by isa_amx.cpp inside its anonymous namespace.
//
// A row's 32 values share one scale (or two, for 16 each), so a row's weights of up to 5 bits take
// at most 32 different values: those are computed, rounded, and looked up with one vpermw, which
// reads the lowest five bits of each word. Tables of 16 entries come for two rows at a time, bit 4
// of the index chooses. 6 and 8 bits are widened instead.

// Word-wise shift by a constant, left where it is negative.
typedef uint16_t Words __attribute__((vector_size(64)));
inline __m512i shift_right(__m512i v, int by) {
  return by >= 0 ? (__m512i)((Words)v >> by) : (__m512i)((Words)v << -by);
}
inline __m512i word(int v) {
  return _mm512_set1_epi16(static_cast<int16_t>(v));
}
inline __m512i line(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}
inline __m512 all(const float& x) {
  return _mm512_set1_ps(x);
}
inline __m512i to_bf16(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}
// a & b | c, and (mask ? a : b).
inline __m512i and_or(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0xEA);
}
inline __m512i choose(__m512i mask, __m512i a, __m512i b) {
  return _mm512_ternarylogic_epi64(mask, a, b, 0xCA);
}

// A byte as bits 8 … 15 of a float is 2^15 + q + 128.
constexpr float kByteShift = (1 << 15) + 128;

// Scales of a block, one per row and group of 16 or 32; `pairs` has both of a row side by side.
struct alignas(64) RowScales {
  float s[2][16], t[2][16];
  float s_pairs[32], t_pairs[32];
};

inline void store_pairs(float* to, const __m512* v) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  _mm512_store_ps(to, _mm512_permutex2var_ps(v[0], low, v[1]));
  _mm512_store_ps(to + 16, _mm512_permutex2var_ps(v[0], high, v[1]));
}
template <PackFormat kFormat>
inline void load_scales(const uint8_t* scales, int64_t b, SuperScales& super, RowScales& out) {
  __m512 s[2], t[2];
  unpack_scales<kFormat.scales>(scales, b, super, s, t);
  constexpr bool kTwo = group_of(kFormat.scales) == 16;
  if constexpr (kFormat.quants == Quants::kU6) {
    for (int h = 0; h < 2; ++h) {
      _mm512_store_ps(out.s[h], s[h]);
      _mm512_store_ps(out.t[h], _mm512_mul_ps(s[h], _mm512_set1_ps(-32.0f)));  // exact
    }
  } else if constexpr (kFormat.quants == Quants::kU8) {
    _mm512_store_ps(out.s[0], s[0]);
    _mm512_store_ps(out.t[0], _mm512_mul_ps(s[0], _mm512_set1_ps(-kByteShift)));  // exact
  } else if constexpr (kTwo) {
    store_pairs(out.s_pairs, s);
    if constexpr (has_min(kFormat.scales)) store_pairs(out.t_pairs, t);
  } else {
    _mm512_store_ps(out.s[0], s[0]);
    if constexpr (has_min(kFormat.scales)) _mm512_store_ps(out.t[0], t[0]);
  }
}

// What an index stands for, before scale and minimum. With groups of 16 the lowest bit of the index
// is the group.
struct alignas(64) Entries {
  float at[32];
};
template <PackFormat kFormat>
constexpr Entries make_entries() {
  Entries e{};
  for (int i = 0; i < 32; ++i) {
    const int u = group_of(kFormat.scales) == 16 ? i / 2 : i;
    const int value = kFormat.quants == Quants::kLutIq4   ? kLutIq4[u % 16]
                      : kFormat.quants == Quants::kLutFp4 ? kLutFp4[u % 16]
                                                          : u;
    e.at[i] = static_cast<float>(value - (kFormat.offset_shift ? 1 << kFormat.offset_shift : 0));
  }
  return e;
}
template <PackFormat kFormat>
constexpr Entries kEntries = make_entries<kFormat>();

// 16 entries of row r's table.
template <PackFormat kFormat>
inline __m512 entries_of(const RowScales& scales, int r, __m512 entries) {
  __m512 s, t;
  if constexpr (group_of(kFormat.scales) == 16) {
    s = _mm512_castsi512_ps(_mm512_set1_epi64(
        reinterpret_cast<const int64_t __attribute__((may_alias))*>(scales.s_pairs)[r]));
    if constexpr (has_min(kFormat.scales))
      t = _mm512_castsi512_ps(_mm512_set1_epi64(
          reinterpret_cast<const int64_t __attribute__((may_alias))*>(scales.t_pairs)[r]));
  } else {
    s = all(scales.s[0][r]);
    if constexpr (has_min(kFormat.scales)) t = all(scales.t[0][r]);
  }
  if constexpr (has_min(kFormat.scales)) return _mm512_fmadd_ps(entries, s, t);
  return _mm512_mul_ps(entries, s);
}

// Up to four bits with what stands for the group: a table for two rows.
template <PackFormat kFormat>
inline void expand_small(const uint8_t* block, const RowScales& scales, uint8_t* out) {
  constexpr int kBits = kFormat.quants == Quants::kU2 || kFormat.quants == Quants::kU3 ? 2 : 4;
  constexpr int kRows = 16 / kBits;                               // in a word
  constexpr int kGroup = group_of(kFormat.scales) == 16 ? 1 : 0;  // lowest bit of the value
  const __m512 entries = _mm512_load_ps(kEntries<kFormat>.at);
  const __m512i mask = word(((1 << kBits) - 1) << kGroup);
  // k from 16 on
  const __m512i second = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(kGroup), 1);
  const __m512i base[2] = {second, _mm512_or_si512(second, word(16))};
  __m512i table = second, top = second;
  if constexpr (kFormat.quants == Quants::kU3) top = line(block + 128);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    const __m512i v = line(block + 64 * (r / kRows));
    if (r % 2 == 0)
      table = to_bf16(entries_of<kFormat>(scales, r, entries),
                      entries_of<kFormat>(scales, r + 1, entries));
    __m512i index = and_or(shift_right(v, kBits * (r % kRows) - kGroup), mask, base[r % 2]);
    if constexpr (kFormat.quants == Quants::kU3)
      index = and_or(shift_right(top, r - 3), word(8), index);
    _mm512_store_si512(out + 64 * r, _mm512_permutexvar_epi16(index, table));
  }
}

template <PackFormat kFormat>
inline void expand_5(const uint8_t* block, const RowScales& scales, uint8_t* out) {
  const __m512 low = _mm512_load_ps(kEntries<kFormat>.at);
  const __m512 high = _mm512_load_ps(kEntries<kFormat>.at + 16);
  const __m512i top = line(block + 256);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    const __m512i table =
        to_bf16(entries_of<kFormat>(scales, r, low), entries_of<kFormat>(scales, r, high));
    const __m512i index = choose(word(15), shift_right(line(block + 64 * (r / 4)), 4 * (r % 4)),
                                 shift_right(top, r - 4));
    _mm512_store_si512(out + 64 * r, _mm512_permutexvar_epi16(index, table));
  }
}

inline void expand_6(const uint8_t* block, const RowScales& scales, uint8_t* out) {
  const __m512i mask = _mm512_set1_epi32(63);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    const __m512i v = choose(word(15), shift_right(line(block + 64 * (r / 4)), 4 * (r % 4)),
                             shift_right(line(block + 256 + 64 * (r / 8)), 2 * (r % 8) - 4));
    const __m512 first = _mm512_cvtepi32_ps(_mm512_and_si512(v, mask));
    const __m512 second = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(v, 16), mask));
    _mm512_store_si512(out + 64 * r,
                       to_bf16(_mm512_fmadd_ps(first, all(scales.s[0][r]), all(scales.t[0][r])),
                               _mm512_fmadd_ps(second, all(scales.s[1][r]), all(scales.t[1][r]))));
  }
}

// Product and sum are exact.
inline void expand_8(const uint8_t* block, const RowScales& scales, uint8_t* out) {
  const __m512i magic = _mm512_set1_epi32(0x47000000), flip = _mm512_set1_epi32(0x80808080);
  const __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  constexpr __mmask64 kByte1 = 0x2222222222222222;
  __m512i from[4];
  for (int i = 0; i < 4; ++i)
    from[i] = _mm512_slli_epi32(_mm512_add_epi32(count, _mm512_set1_epi32(16 * i)), 8);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    const __m512i v = _mm512_xor_si512(line(block + 64 * (r / 2)), flip);
    auto weights = [&](int half) {
      const __m512i bits = _mm512_mask_permutexvar_epi8(magic, kByte1, from[r % 2 * 2 + half], v);
      return _mm512_fmadd_ps((__m512)bits, all(scales.s[0][r]), all(scales.t[0][r]));
    };
    _mm512_store_si512(out + 64 * r, to_bf16(weights(0), weights(1)));
  }
}

// Four bits around 8: a weight is ±s, ±3s, ±5s or ±7s times a power of two, which in bf16 is a sum
// of the exponent. So only the odd multiples are rounded, and the tables are put together from
// their bits. (A scale of 0 gives weights of up to 2^-123 instead.)
struct alignas(64) OddTables {
  uint8_t from[4][64];  // [pair of 8 rows]: the bytes of the odd multiples in a table for two rows
  uint16_t add[32];     // what makes them entries: power of two and sign
  static constexpr uint32_t kNotZero = 0xfeff'feff;  // entries other than 0 · s
};
constexpr OddTables make_odd_tables() {
  OddTables t{};
  for (int e = 0; e < 32; ++e) {
    const int value = e % 16 - 8;
    int odd = value < 0 ? -value : value, power = 0;
    for (; odd > 0 && odd % 2 == 0; odd /= 2) ++power;
    t.add[e] = static_cast<uint16_t>((value < 0 ? 0x8000 : 0) + (power << 7));
    for (int pair = 0; pair < 4; ++pair)
      for (int byte = 0; byte < 2; ++byte)
        t.from[pair][2 * e + byte] =
            static_cast<uint8_t>(odd / 2 * 16 + 2 * (2 * pair + e / 16) + byte);
  }
  return t;
}
constexpr OddTables kOddTables = make_odd_tables();

// s: scales of the rows.
inline void expand_around_8(const uint8_t* block, __m512 s, uint8_t* out) {
  auto times = [&](float x) { return _mm512_mul_ps(s, _mm512_set1_ps(x)); };
  const __m512i low = to_bf16(s, times(3)), high = to_bf16(times(5), times(7));
  // [odd][row of eight]
  const __m512i odds[2] = {_mm512_shuffle_i64x2(low, high, 0x88),
                           _mm512_shuffle_i64x2(low, high, 0xdd)};
  const __m512i add = _mm512_load_si512(kOddTables.add);
  const __m512i mask = word(15), second = word(16);
#pragma GCC unroll 8
  for (int pair = 0; pair < 8; ++pair) {
    const __m512i table = _mm512_maskz_add_epi16(
        OddTables::kNotZero,
        _mm512_permutexvar_epi8(_mm512_load_si512(kOddTables.from[pair % 4]), odds[pair / 4]), add);
    const __m512i v = line(block + 64 * (pair / 2));
    const int shift = pair % 2 * 8;
    const __m512i even = _mm512_and_si512(shift_right(v, shift), mask);
    const __m512i odd = and_or(shift_right(v, shift + 4), mask, second);
    _mm512_store_si512(out + 128 * pair, _mm512_permutexvar_epi16(even, table));
    _mm512_store_si512(out + 128 * pair + 64, _mm512_permutexvar_epi16(odd, table));
  }
}

// Block b of a panel, b and `super` as in unpack_scales: out is 16 rows of 64 bytes.
template <DType kType>
inline void expand(const uint8_t* panel, int64_t b, SuperScales& super, uint8_t* out) {
  constexpr PackFormat kFormat = pack_format(kType);
  const uint8_t *block = panel + quants_at(kFormat, b), *scales = panel + scales_at(kFormat, b);
  if constexpr (kFormat.quants == Quants::kU4 && kFormat.offset_shift == 3) {
    __m512 s[2], t[2];
    unpack_scales<kFormat.scales>(scales, b, super, s, t);
    return expand_around_8(block, s[0], out);
  }
  RowScales rows;
  load_scales<kFormat>(scales, b, super, rows);
  // Scales are to be broadcast by the loads of the multiplications. Without this GCC spreads them
  // with shuffles, on the port that has most to do: 88 cycles a block instead of 60.
  __asm__ volatile("" ::"r"(&rows) : "memory");
  if constexpr (kFormat.quants == Quants::kU8)
    expand_8(block, rows, out);
  else if constexpr (kFormat.quants == Quants::kU6)
    expand_6(block, rows, out);
  else if constexpr (kFormat.quants == Quants::kU5)
    expand_5<kFormat>(block, rows, out);
  else
    expand_small<kFormat>(block, rows, out);
}

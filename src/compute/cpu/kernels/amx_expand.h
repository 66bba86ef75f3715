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

inline void expand_8(const uint8_t* block, const RowScales& scales, uint8_t* out) {
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    const __m512 s = all(scales.s[0][r]);
    _mm512_store_si512(out + 64 * r, to_bf16(_mm512_mul_ps(signed_bytes(block + 32 * r), s),
                                             _mm512_mul_ps(signed_bytes(block + 32 * r + 16), s)));
  }
}

// Block b of a panel, b and `super` as in unpack_scales: out is 16 rows of 64 bytes.
template <DType kType>
inline void expand(const uint8_t* quants, const uint8_t* scales, int64_t b, SuperScales& super,
                   uint8_t* out) {
  constexpr PackFormat kFormat = pack_format(kType);
  const uint8_t* block = quants + b * quant_bytes(kFormat.quants);
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

// The quants of a block as unsigned bytes. Included by ISA files inside their anonymous namespace.

inline __m512i line(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}

// u[g]: 16 rows × 4 k of group g, unsigned bytes.
inline void nibbles(const uint8_t* p, __m512i* u) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int i = 0; i < 4; ++i) {
    __m512i v = line(p + 64 * i);
    u[i] = _mm512_and_si512(v, low);
    u[i + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
  }
}
// Moves bit `from` of each byte to bit `to`, with `width` bits.
template <int kFrom, int kTo, int kWidth>
inline __m512i move_bits(__m512i v) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(((1 << kWidth) - 1) << kTo));
  if constexpr (kFrom > kTo) v = _mm512_srli_epi16(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = _mm512_slli_epi16(v, kTo - kFrom);
  return _mm512_and_si512(v, mask);
}
template <int kTo>
inline void pairs(const uint8_t* p, __m512i* u) {
  for (int i = 0; i < 2; ++i) {
    __m512i v = line(p + 64 * i);
    u[4 * i] = move_bits<0, kTo, 2>(v);
    u[4 * i + 1] = move_bits<2, kTo, 2>(v);
    u[4 * i + 2] = move_bits<4, kTo, 2>(v);
    u[4 * i + 3] = move_bits<6, kTo, 2>(v);
  }
}
template <int kTo>
inline void add_bits(const uint8_t* p, __m512i* u) {
  __m512i v = line(p);
  u[0] = _mm512_or_si512(u[0], move_bits<0, kTo, 1>(v));
  u[1] = _mm512_or_si512(u[1], move_bits<1, kTo, 1>(v));
  u[2] = _mm512_or_si512(u[2], move_bits<2, kTo, 1>(v));
  u[3] = _mm512_or_si512(u[3], move_bits<3, kTo, 1>(v));
  u[4] = _mm512_or_si512(u[4], move_bits<4, kTo, 1>(v));
  u[5] = _mm512_or_si512(u[5], move_bits<5, kTo, 1>(v));
  u[6] = _mm512_or_si512(u[6], move_bits<6, kTo, 1>(v));
  u[7] = _mm512_or_si512(u[7], move_bits<7, kTo, 1>(v));
}

template <Quants kQuants>
inline void unpack(const uint8_t* block, __m512i* u) {
  if constexpr (kQuants == Quants::kU2) {
    pairs<0>(block, u);
  } else if constexpr (kQuants == Quants::kU3) {
    pairs<0>(block, u);
    add_bits<2>(block + 128, u);
  } else if constexpr (kQuants == Quants::kU8) {
    for (int g = 0; g < 8; ++g) u[g] = line(block + 64 * g);
  } else {
    nibbles(block, u);
    if constexpr (kQuants == Quants::kU5) add_bits<4>(block + 256, u);
    if constexpr (kQuants == Quants::kU6) {
      __m512i high[8];
      pairs<4>(block + 256, high);
      for (int g = 0; g < 8; ++g) u[g] = _mm512_or_si512(u[g], high[g]);
    }
    if constexpr (kQuants == Quants::kLutIq4 || kQuants == Quants::kLutFp4) {
      const uint8_t* values = kQuants == Quants::kLutIq4 ? kLutIq4 : kLutFp4;
      __m512i table =
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
      for (int g = 0; g < 8; ++g) u[g] = _mm512_shuffle_epi8(table, u[g]);
    }
  }
}

// The quants of half a panel's block as unsigned bytes: a register is 8 rows × 4 k. Included by ISA
// files inside their anonymous namespace, after avx2_lines.h.

// Bits kFrom … kFrom + kWidth - 1 of each byte moved to kTo.
template <int kFrom, int kTo, int kWidth>
inline __m256i move_bits(__m256i v) {
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(((1 << kWidth) - 1) << kTo));
  if constexpr (kFrom > kTo) v = _mm256_srli_epi16(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = _mm256_slli_epi16(v, kTo - kFrom);
  return _mm256_and_si256(v, mask);
}

// Line group g of a panel's half. `block` points at the half: 32 bytes further for the second.
template <Quants kQuants, int g>
[[gnu::always_inline]] inline __m256i unpack_line(const uint8_t* block) {
  constexpr int kShift = 2 * (g & 3);
  if constexpr (kQuants == Quants::kU2) {
    return move_bits<kShift, 0, 2>(line(block + (g >> 2) * 64));
  } else if constexpr (kQuants == Quants::kU3) {
    return _mm256_or_si256(move_bits<kShift, 0, 2>(line(block + (g >> 2) * 64)),
                           move_bits<g, 2, 1>(line(block + 128)));
  } else if constexpr (kQuants == Quants::kU8) {
    return line(block + 64 * g);
  } else {
    __m256i v = move_bits < g < 4 ? 0 : 4, 0, 4 > (line(block + (g & 3) * 64));
    if constexpr (kQuants == Quants::kU5)
      v = _mm256_or_si256(v, move_bits<g, 4, 1>(line(block + 256)));
    if constexpr (kQuants == Quants::kU6)
      v = _mm256_or_si256(v, move_bits<kShift, 4, 2>(line(block + 256 + (g >> 2) * 64)));
    if constexpr (kQuants == Quants::kLutIq4 || kQuants == Quants::kLutFp4) {
      const uint8_t* values = kQuants == Quants::kLutIq4 ? kLutIq4 : kLutFp4;
      __m256i table =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
      v = _mm256_shuffle_epi8(table, v);
    }
    return v;
  }
}
// u[g][half]: all of a block.
template <Quants kQuants>
[[gnu::always_inline]] inline void unpack(const uint8_t* block, __m256i (*u)[2]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const uint8_t* at = block + 32 * half;
    u[0][half] = unpack_line<kQuants, 0>(at);
    u[1][half] = unpack_line<kQuants, 1>(at);
    u[2][half] = unpack_line<kQuants, 2>(at);
    u[3][half] = unpack_line<kQuants, 3>(at);
    u[4][half] = unpack_line<kQuants, 4>(at);
    u[5][half] = unpack_line<kQuants, 5>(at);
    u[6][half] = unpack_line<kQuants, 6>(at);
    u[7][half] = unpack_line<kQuants, 7>(at);
  }
}

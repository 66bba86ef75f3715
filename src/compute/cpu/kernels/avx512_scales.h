// Scales of a block of 16 rows as vectors of floats. Included by ISA files inside their anonymous
// namespace.

inline __m512 halves(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline __m128i bytes16(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline __m512 signed_bytes(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes16(p)));
}
inline __m512 unsigned_bytes(__m128i v) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

// s[h], t[h] of the 16 rows in block b; h counts 16-groups where the format has them.
template <Scales kScales>
inline void unpack_scales(const uint8_t* scales, int64_t b, __m512* s, __m512* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  const uint8_t* p = scales + b / kEvery * scale_bytes(kScales);
  int64_t sub = b % kEvery;
  if constexpr (kScales == Scales::kE8M0) {
    __m512i e = _mm512_cvtepu8_epi32(bytes16(p));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), e);
    __mmask16 is_tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    s[0] = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_tiny, tiny));
    return;
  }
  __m512 d = halves(p);
  if constexpr (kScales == Scales::kD) s[0] = d;
  if constexpr (kScales == Scales::kDM) {
    s[0] = d;
    t[0] = halves(p + 32);
  }
  if constexpr (kScales == Scales::kSuper8)
    s[0] = _mm512_mul_ps(d, signed_bytes(p + 32 + sub * 16));
  if constexpr (kScales == Scales::kSuper16) {
    s[0] = _mm512_mul_ps(d, signed_bytes(p + 32 + sub * 32));
    s[1] = _mm512_mul_ps(d, signed_bytes(p + 32 + sub * 32 + 16));
  }
  if constexpr (kScales == Scales::kSuperM8 || kScales == Scales::kSuperM16) {
    __m512 neg_dmin = _mm512_sub_ps(_mm512_setzero_ps(), halves(p + 32));
    __m128i first = bytes16(p + 64 + sub * 32), second = bytes16(p + 64 + sub * 32 + 16);
    if constexpr (kScales == Scales::kSuperM8) {
      s[0] = _mm512_mul_ps(d, unsigned_bytes(first));
      t[0] = _mm512_mul_ps(neg_dmin, unsigned_bytes(second));
    } else {
      const __m128i low = _mm_set1_epi8(15);
      s[0] = _mm512_mul_ps(d, unsigned_bytes(_mm_and_si128(first, low)));
      s[1] = _mm512_mul_ps(d, unsigned_bytes(_mm_and_si128(second, low)));
      t[0] = _mm512_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(first, 4), low)));
      t[1] = _mm512_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(second, 4), low)));
    }
  }
}

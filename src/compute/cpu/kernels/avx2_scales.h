// Scales of a block of 8 rows as vectors of floats. Included by ISA files inside their anonymous
// namespace.

inline __m256 halves(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m128i bytes8(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
inline __m256 signed_bytes(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes8(p)));
}
inline __m256 unsigned_bytes(__m128i v) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
}

// What all blocks of 256 values share.
struct SuperScales {
  __m256 d;
};

// s[h], t[h] of 8 rows in block b, whose scales are at p; `first` is 0 or 8, the first of the rows.
// h counts 16-groups where the format has them.
template <Scales kScales>
inline void unpack_scales(const uint8_t* p, int64_t b, int first, SuperScales&, __m256* s,
                          __m256* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  const int64_t sub = b % kEvery;
  if constexpr (kScales == Scales::kE8M0) {
    const __m256i e = _mm256_cvtepu8_epi32(bytes8(p + first));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    const __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    s[0] = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
    return;
  }
  const __m256 d = halves(p + 2 * first);
  if constexpr (kScales == Scales::kD) s[0] = d;
  if constexpr (kScales == Scales::kDM) {
    s[0] = d;
    t[0] = halves(p + 32 + 2 * first);
  }
  if constexpr (kScales == Scales::kSuper8)
    s[0] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 16 + first));
  if constexpr (kScales == Scales::kSuper16) {
    s[0] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 32 + first));
    s[1] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 32 + 16 + first));
  }
  if constexpr (kScales == Scales::kSuperM8 || kScales == Scales::kSuperM16) {
    const __m256 neg_dmin = _mm256_sub_ps(_mm256_setzero_ps(), halves(p + 32 + 2 * first));
    const __m128i one = bytes8(p + 64 + sub * 32 + first),
                  two = bytes8(p + 64 + sub * 32 + 16 + first);
    if constexpr (kScales == Scales::kSuperM8) {
      s[0] = _mm256_mul_ps(d, unsigned_bytes(one));
      t[0] = _mm256_mul_ps(neg_dmin, unsigned_bytes(two));
    } else {
      const __m128i low = _mm_set1_epi8(15);
      s[0] = _mm256_mul_ps(d, unsigned_bytes(_mm_and_si128(one, low)));
      s[1] = _mm256_mul_ps(d, unsigned_bytes(_mm_and_si128(two, low)));
      t[0] = _mm256_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(one, 4), low)));
      t[1] = _mm256_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(two, 4), low)));
    }
  }
}

// The whole numbers sc of formats that is_whole(), as floats: d is in `super`.
template <Scales kScales>
inline void unpack_whole(const uint8_t* p, int64_t b, int first, SuperScales& super, __m256* sc) {
  static_assert(kScales == Scales::kSuper16);
  constexpr int kEvery = blocks_per_scale(kScales);
  super.d = halves(p + 2 * first);
  sc[0] = signed_bytes(p + 32 + b % kEvery * 32 + first);
  sc[1] = signed_bytes(p + 32 + b % kEvery * 32 + 16 + first);
}

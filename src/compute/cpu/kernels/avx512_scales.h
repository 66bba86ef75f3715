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

// What all blocks of 256 values share.
struct SuperScales {
  __m512 d, minus_dmin;
  int64_t record = -1;  // whose these are
};
template <Scales kScales>
inline void load_super(const uint8_t* p, SuperScales& super) {
  super.d = halves(p);
  if constexpr (has_min(kScales))
    super.minus_dmin = _mm512_sub_ps(_mm512_setzero_ps(), halves(p + 32));
}

// s[h], t[h] of the 16 rows in block `sub` of the record at p; h counts 16-groups where the format
// has them.
template <Scales kScales>
inline void unpack_super(const uint8_t* p, int64_t sub, const SuperScales& super, __m512* s,
                         __m512* t) {
  if constexpr (kScales == Scales::kSuper8) {
    s[0] = _mm512_mul_ps(super.d, signed_bytes(p + 32 + sub * 16));
  } else if constexpr (kScales == Scales::kSuper16) {
    s[0] = _mm512_mul_ps(super.d, signed_bytes(p + 32 + sub * 32));
    s[1] = _mm512_mul_ps(super.d, signed_bytes(p + 32 + sub * 32 + 16));
  } else {
    const __m128i first = bytes16(p + 64 + sub * 32), second = bytes16(p + 64 + sub * 32 + 16);
    if constexpr (kScales == Scales::kSuperM8) {
      s[0] = _mm512_mul_ps(super.d, unsigned_bytes(first));
      t[0] = _mm512_mul_ps(super.minus_dmin, unsigned_bytes(second));
    } else {
      const __m128i low = _mm_set1_epi8(15);
      auto high = [&](__m128i v) { return _mm_and_si128(_mm_srli_epi16(v, 4), low); };
      s[0] = _mm512_mul_ps(super.d, unsigned_bytes(_mm_and_si128(first, low)));
      s[1] = _mm512_mul_ps(super.d, unsigned_bytes(_mm_and_si128(second, low)));
      t[0] = _mm512_mul_ps(super.minus_dmin, unsigned_bytes(high(first)));
      t[1] = _mm512_mul_ps(super.minus_dmin, unsigned_bytes(high(second)));
    }
  }
}

// Whether block b, where blocks go up, needs the scales of another record than `super` holds.
inline bool next_record(int64_t b, SuperScales& super) {
  const int64_t before = super.record;
  super.record = b / 8;
  return super.record != before || b % 8 == 0;  // of another panel
}

// The same of block b of a panel, whose scales are at p. `super` is kept from block to block.
template <Scales kScales>
inline void unpack_scales(const uint8_t* p, int64_t b, SuperScales& super, __m512* s, __m512* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  if constexpr (kEvery > 1) {
    static_assert(kEvery == 8);
    if (next_record(b, super)) load_super<kScales>(p, super);
    return unpack_super<kScales>(p, b % kEvery, super, s, t);
  }
  if constexpr (kScales == Scales::kE8M0) {
    __m512i e = _mm512_cvtepu8_epi32(bytes16(p));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), e);
    __mmask16 is_tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    s[0] = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_tiny, tiny));
  } else if constexpr (kEvery == 1) {
    s[0] = halves(p);
    if constexpr (has_min(kScales)) t[0] = halves(p + 32);
  }
}

// The whole numbers sc of formats that is_whole(), as floats: d is in `super`.
template <Scales kScales>
inline void unpack_whole(const uint8_t* p, int64_t b, SuperScales& super, __m512* sc) {
  static_assert(kScales == Scales::kSuper16);
  constexpr int kEvery = blocks_per_scale(kScales);
  if (next_record(b, super)) load_super<kScales>(p, super);
  sc[0] = signed_bytes(p + 32 + b % kEvery * 32);
  sc[1] = signed_bytes(p + 32 + b % kEvery * 32 + 16);
}

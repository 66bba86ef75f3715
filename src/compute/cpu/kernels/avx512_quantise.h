// Rounding activations to ActBlocks. Included by ISA files inside their anonymous namespace,
// after act_blocks.h.

inline __m512i size_of(__m512 v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}

// Transposes four rows of four.
inline void transpose(__m128i* v) {
  const __m128i a = _mm_unpacklo_epi32(v[0], v[1]), b = _mm_unpackhi_epi32(v[0], v[1]),
                c = _mm_unpacklo_epi32(v[2], v[3]), d = _mm_unpackhi_epi32(v[2], v[3]);
  v[0] = _mm_unpacklo_epi64(a, c);
  v[1] = _mm_unpackhi_epi64(a, c);
  v[2] = _mm_unpacklo_epi64(b, d);
  v[3] = _mm_unpackhi_epi64(b, d);
}

// As largest() of size_bits() of four blocks, in the lanes of the result.
inline __m128 largest_of_four(const __m512i* v) {
  auto pair = [](__m512i a, __m512i b) {
    return _mm512_max_epu32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  };
  const __m512i a = pair(v[0], v[1]), b = pair(v[2], v[3]);
  const __m512i all = _mm512_max_epu32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  const __m256i half =
      _mm256_max_epu32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_castsi128_ps(
      _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}

// Σ over both halves of first · second half, in eight parts.
inline __m256i products_of_halves(__m256i q) {
  return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(q)),
                           _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1)));
}
// The sum of the lanes of each half of v[i] in lane i of the same half.
inline __m256i sum_four(const __m256i* v) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
}

// finish_block of n of four blocks. sums: those of the first halves, then of the second ones;
// first_seed: what becomes of seed[0].
template <int kLimit>
inline void finish_four(ActBlock* out, int64_t stride, int64_t n, __m128 amax, __m256i sums,
                        __m128i first_seed) {
  const __m128i first = _mm256_castsi256_si128(sums), second = _mm256_extracti128_si256(sums, 1),
                sum = _mm_add_epi32(first, second), seed = _mm_set1_epi32(kSeedBits);
  const __m128 d = _mm_mul_ps(amax, _mm_set1_ps(1.0f / float{kLimit}));
  __m128i head[4] = {_mm_castps_si128(d), _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(sum))),
                     _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(first))), first_seed};
  __m128i tail[4] = {_mm_sub_epi32(seed, _mm_slli_epi32(sum, 7)),
                     _mm_sub_epi32(seed, _mm_slli_epi32(first, 5)),
                     _mm_sub_epi32(seed, _mm_slli_epi32(second, 5)), seed};
  transpose(head);
  transpose(tail);
  for (int i = 0; i < n; ++i, out += stride) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(&out->d), head[i]);
    _mm_mask_storeu_epi32(&out->seed[1], 7, tail[i]);  // the next column's block follows
  }
}
static_assert(offsetof(ActBlock, seed) == offsetof(ActBlock, d) + 12);

// What seed[0] takes from kSeedBits, of four blocks: 8 · Σ q; or of products in pairs, what
// activations alone bring into a sum, Σ first · second + 128 · Σ second over halves of 16.
template <bool kPairs>
inline __m128i offset_of_four(const __m256i* products, __m256i sums) {
  const __m128i first = _mm256_castsi256_si128(sums), second = _mm256_extracti128_si256(sums, 1);
  if constexpr (!kPairs) return _mm_slli_epi32(_mm_add_epi32(first, second), 3);
  const __m256i both = sum_four(products);
  return _mm_add_epi32(
      _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)),
      _mm_slli_epi32(second, 7));
}

// q = round(x · kLimit / amax) of n <= 4 blocks. kPairs: seed[0] is that of products in pairs.
template <int kLimit, bool kPairs>
[[gnu::always_inline]] inline void quantise_four(const float* x, int64_t n, ActBlock* out,
                                                 int64_t stride) {
  const __m256i ones = _mm256_set1_epi8(1);
  __m512 v[4][2];
  __m512i size[4];
  for (int i = 0; i < 4; ++i) {
    for (int h = 0; h < 2; ++h)
      v[i][h] = i < n ? _mm512_loadu_ps(x + i * kBlock + h * 16) : _mm512_setzero_ps();
    size[i] = _mm512_max_epu32(size_of(v[i][0]), size_of(v[i][1]));
  }
  const __m128 amax = largest_of_four(size);
  const __mmask8 some = _mm_cmp_ps_mask(amax, _mm_setzero_ps(), _CMP_GT_OQ);
  alignas(16) float inverse[4];
  _mm_store_ps(inverse, _mm_maskz_div_ps(some, _mm_set1_ps(float{kLimit}), amax));
  __m256i sums[4], products[4];
  for (int i = 0; i < 4; ++i) {
    const __m512 scale = _mm512_set1_ps(inverse[i]);
    auto bytes = [&](__m512 of) {
      return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(of, scale)));
    };
    const __m256i q = _mm256_set_m128i(bytes(v[i][1]), bytes(v[i][0]));
    if (i < n) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[i * stride].q), q);
    sums[i] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, q);
    if constexpr (kPairs) products[i] = products_of_halves(q);
  }
  const __m256i sum = sum_four(sums);
  finish_four<kLimit>(
      out, stride, n, amax, sum,
      _mm_sub_epi32(_mm_set1_epi32(kSeedBits), offset_of_four<kPairs>(products, sum)));
}

// Four blocks at a time: the maximum of one is a long chain.
template <int kLimit, bool kPairs>
void quantise(const float* x, int64_t n_blocks, ActBlock* out, int64_t stride) {
  for (; n_blocks >= 4; n_blocks -= 4, x += 4 * kBlock, out += 4 * stride)
    quantise_four<kLimit, kPairs>(x, 4, out, stride);
  if (n_blocks > 0) quantise_four<kLimit, kPairs>(x, n_blocks, out, stride);
}

// Vectors of 8 lanes, and what attention_ops.h makes of them. Included by attention files inside
// their anonymous namespace.
#define XH_LANES 8
#define XH_VECTORS_ONLY
#include "compute/cpu/kernels/vector_ops.h"

inline VecF fma_of(VecF a, VecF b, VecF c) {
  return (VecF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
inline VecF larger_of(VecF a, VecF b) {  // b where either is NaN
  return (VecF)_mm256_max_ps((__m256)a, (__m256)b);
}
// The low bytes of all lanes.
inline void store_low_bytes(uint8_t* to, VecI v) {
  const __m256i low = _mm256_and_si256((__m256i)v, _mm256_set1_epi32(255));
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}
inline void store_page(uint8_t* to, const VecI* v) {
  const __m256i mask = _mm256_set1_epi32(255);
  __m256i low[4];
  for (int i = 0; i < 4; ++i) low[i] = _mm256_and_si256((__m256i)v[i], mask);
  const __m256i bytes =
      _mm256_packus_epi16(_mm256_packus_epi32(low[0], low[1]), _mm256_packus_epi32(low[2], low[3]));
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(to),
      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
#include "compute/cpu/kernels/attention_ops.h"

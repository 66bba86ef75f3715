// Lines of a panel, and what is multiplied by them. Included by ISA files inside their anonymous
// namespace.

inline __m256i line(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
// Four bytes, in every lane.
inline __m256i four_bytes(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

// How half a panel is read and its sums are written. Included by ISA files inside their anonymous
// namespace, after avx2_scales.h and vector_ops.h.

using Floats = __m256;
using Ints = __m256i;
inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Floats splat_floats(float x) {
  return _mm256_set1_ps(x);
}

// The processor's own prefetchers stop at page borders; a panel read once from memory needs more.
constexpr int kPrefetchAhead = 4096;

// Always inline: see avx512_panel.h.
template <int kBytes>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

template <DType kType>
inline __m256 plain_line(const uint8_t* quants, int64_t i) {
  if constexpr (kType == DType::kF32)
    return _mm256_loadu_ps(reinterpret_cast<const float*>(quants + i * 4));
  else if constexpr (kType == DType::kF16)
    return halves(quants + i * 2);
  else if constexpr (kType == DType::kBF16)
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(quants + i * 2))),
        16));
  else
    return signed_bytes(quants + i);
}

// Writes rows 8h … 8h + 7 of one column.
inline void finish(const GemmArgs& args, int64_t column, int h, __m256 v) {
  const int64_t rows = args.rows - 8 * h;
  if (rows <= 0) return;
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(rows)), index);
  float* y = args.y + column * args.y_stride + 8 * h;
  if (args.bias) v = _mm256_add_ps(v, _mm256_maskload_ps(args.bias + 8 * h, mask));
  if (args.add) v = _mm256_add_ps(_mm256_maskload_ps(y, mask), v);
  if (rows >= 8)
    _mm256_storeu_ps(y, v);
  else
    _mm256_maskstore_ps(y, mask, v);
}

void to_f16_op(const float* x, int64_t n, uint16_t* y) {
  const __m256 limit = _mm256_set1_ps(65504.0f), low = _mm256_set1_ps(-65504.0f);
  for (int64_t i = 0; i < n; i += 8) {
    VecF v = n - i >= 8 ? load(x + i) : load_tail(x + i, n - i, 0.0f);
    // the operand order keeps NaN
    __m256 clamped = _mm256_max_ps(low, _mm256_min_ps(limit, (__m256)v));
    __m128i h = _mm256_cvtps_ph(clamped, _MM_FROUND_TO_NEAREST_INT);
    uint16_t part[8];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(part), h);
    for (int64_t j = 0; j < 8 && i + j < n; ++j) y[i + j] = part[j];
  }
}

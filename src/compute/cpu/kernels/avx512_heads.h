// Heads of queries, keys and values: transform and rounding. Included by isa_avx512_attention.cpp
// inside its anonymous namespace.

// Lanes whose bit kBy is clear get sums with lane ^ kBy, the others differences.
template <int kBy>
inline __m512 butterfly(__m512 v) {
  const auto minus = static_cast<__mmask16>(kBy == 1   ? 0xaaaa
                                            : kBy == 2 ? 0xcccc
                                            : kBy == 4 ? 0xf0f0
                                                       : 0xff00);
  const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_mask_blend_ps(minus, one, -one);
  __m512 crossed;
  if constexpr (kBy == 1) crossed = _mm512_permute_ps(v, 0xb1);
  if constexpr (kBy == 2) crossed = _mm512_permute_ps(v, 0x4e);
  if constexpr (kBy == 4) crossed = _mm512_shuffle_f32x4(v, v, 0xb1);
  if constexpr (kBy == 8) crossed = _mm512_shuffle_f32x4(v, v, 0x4e);
  return _mm512_fmadd_ps(v, sign, crossed);
}

// kVectors · 16 values, all in registers.
template <int kVectors>
inline void hadamard_in_registers(float* x) {
  __m512 v[kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kVectors; ++i)
    v[i] = butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(_mm512_loadu_ps(x + i * 16)))));
#pragma GCC unroll 4
  for (int step = 1; step < kVectors; step *= 2)
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i)
      if (!(i & step)) {
        const __m512 a = v[i], b = v[i + step];
        v[i] = a + b;
        v[i + step] = a - b;
      }
#pragma GCC unroll 16
  for (int i = 0; i < kVectors; ++i) _mm512_storeu_ps(x + i * 16, v[i]);
}

// Steps that are left above 256 values go through memory.
void hadamard_op(float* x, int64_t n) {
  const int64_t block = n & -n;
  if (block < 16) return hadamard_of_few(x, n);
  for (int64_t i = 0; i < n; i += block < 256 ? block : 256) {
    if (block == 16) hadamard_in_registers<1>(x + i);
    if (block == 32) hadamard_in_registers<2>(x + i);
    if (block == 64) hadamard_in_registers<4>(x + i);
    if (block == 128) hadamard_in_registers<8>(x + i);
    if (block >= 256) hadamard_in_registers<16>(x + i);
  }
  hadamard_steps(x, n, 256, block);
}

inline __mmask16 lanes_of(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : (1u << n) - 1);
}
// Largest |x|; the operand order loses NaN.
inline float largest_size(const float* x, int64_t n) {
  const __m512 size = _mm512_castsi512_ps(_mm512_set1_epi32(0x7fffffff));
  __m512 best[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32)
    for (int j = 0; j < 2; ++j)
      best[j] = _mm512_max_ps(_mm512_and_ps(_mm512_loadu_ps(x + i + j * 16), size), best[j]);
  for (; i < n; i += 16)
    best[0] =
        _mm512_max_ps(_mm512_and_ps(_mm512_maskz_loadu_ps(lanes_of(n - i), x + i), size), best[0]);
  return _mm512_reduce_max_ps(_mm512_max_ps(best[1], best[0]));
}

float quantise_head_op(const float* x, int64_t n, int limit, int8_t* q, int32_t* sum) {
  const float found = largest_size(x, n), largest = found < 1e30f ? found : 1e30f;
  const auto most = static_cast<float>(limit);
  const __m512 inverse = _mm512_set1_ps(largest > 1e-30f ? most / largest : 0.0f);
  auto rounded = [&](__m512 v) {  // NaN becomes most
    v = _mm512_mul_ps(v, inverse);
    v = _mm512_max_ps(_mm512_min_ps(v, _mm512_set1_ps(most)), _mm512_set1_ps(-most));
    return _mm512_cvtps_epi32(v);
  };
  __m512i total = _mm512_setzero_si512();
  int64_t i = 0;
#pragma GCC unroll 4
  for (; i + 16 <= n; i += 16) {
    const __m512i whole = rounded(_mm512_loadu_ps(x + i));
    total = _mm512_add_epi32(total, whole);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtepi32_epi8(whole));
  }
  if (i < n) {
    const __mmask16 mask = lanes_of(n - i);
    const __m512i whole = rounded(_mm512_maskz_loadu_ps(mask, x + i));
    total = _mm512_add_epi32(total, whole);
    _mm_mask_storeu_epi8(q + i, mask, _mm512_cvtepi32_epi8(whole));
  }
  *sum = _mm512_reduce_add_epi32(total);
  return largest / most;
}

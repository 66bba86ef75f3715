// 8-bit attention with AVX2: a register is 8 tokens (or dims) × 4 dims (or tokens). maddubs takes
// one unsigned factor: |k| with the sign moved over to the query; the weights, which have none.
#include <immintrin.h>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/avx2_attention_ops.h"
#include "compute/cpu/kernels/avx2_lines.h"

// More than four columns at once would spill.
template <int kColumns>
void score(const ScoreArgs& args) {
  const __m256i ones = _mm256_set1_epi16(1), bias = _mm256_set1_epi8(-128);
  const int64_t panel = args.groups * 64;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const auto* scales = reinterpret_cast<const float*>(args.pages[page] + 2 * panel);
    for (int64_t half = 0; half < 2; ++half) {
      const uint8_t* k = args.pages[page] + half * panel;
      __m256i sums[2][kColumns];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) sums[0][c] = sums[1][c] = _mm256_setzero_si256();
      for (int64_t g = 0; g < args.groups; ++g) {
        const __m256i one = _mm256_xor_si256(line(k + g * 64), bias);
        const __m256i two = _mm256_xor_si256(line(k + g * 64 + 32), bias);
        const __m256i size_one = _mm256_abs_epi8(one), size_two = _mm256_abs_epi8(two);
        if (args.ahead) args.ahead->fetch(1);
#pragma GCC unroll 4
        for (int c = 0; c < kColumns; ++c) {
          const __m256i q = four_bytes(args.q + c * args.q_stride + 4 * g);
          const __m256i a = _mm256_maddubs_epi16(size_one, _mm256_sign_epi8(q, one));
          const __m256i b = _mm256_maddubs_epi16(size_two, _mm256_sign_epi8(q, two));
          sums[0][c] = _mm256_add_epi32(sums[0][c], _mm256_madd_epi16(a, ones));
          sums[1][c] = _mm256_add_epi32(sums[1][c], _mm256_madd_epi16(b, ones));
        }
      }
      if (args.ahead) args.ahead->fetch(1);  // for the scales
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i)
          _mm256_storeu_ps(args.scores + c * kChunk + page * kPage + half * 16 + i * 8,
                           _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][c]),
                                                       _mm256_loadu_ps(scales + half * 16 + i * 8)),
                                         _mm256_set1_ps(args.q_scale[c])));
    }
  }
}

template <int kColumns>
void weigh(const WeighArgs& args) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t d = 0; d < args.panels; ++d) {
    __m256 acc[2][kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) acc[0][c] = acc[1][c] = _mm256_setzero_ps();
    for (int64_t page = 0; page < args.n_pages; ++page) {
      const int8_t* v = args.pages[page] + d * 512;
      const uint8_t* p = args.p + page * kPage;
      if (args.ahead) args.ahead->fetch(8 + (d == 0 ? 2 : 0));  // with the scales
      __m256i sums[2][kColumns];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) sums[0][c] = sums[1][c] = _mm256_setzero_si256();
      for (int64_t g = 0; g < 8; ++g) {
        const __m256i one = line(v + g * 64), two = line(v + g * 64 + 32);
#pragma GCC unroll 4
        for (int c = 0; c < kColumns; ++c) {
          const __m256i weight = four_bytes(p + c * kChunk + 4 * g);
          const __m256i a = _mm256_maddubs_epi16(weight, one);
          const __m256i b = _mm256_maddubs_epi16(weight, two);
          sums[0][c] = _mm256_add_epi32(sums[0][c], _mm256_madd_epi16(a, ones));
          sums[1][c] = _mm256_add_epi32(sums[1][c], _mm256_madd_epi16(b, ones));
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i)
          acc[i][c] =
              _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i][c]),
                              _mm256_set1_ps(args.p_scale[page * kMaxColumns + c]), acc[i][c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i)
        _mm256_storeu_ps(args.acc + c * args.acc_stride + d * 16 + i * 8, acc[i][c]);
  }
}

}  // namespace

const AttentionKernels kAvx2Attention = {
    4,         4,           XH_COLUMNS(score), XH_COLUMNS(weigh),
    soften_op, hadamard_op, quantise_head_op,  unpack_values_op,
};

}  // namespace xh::cpu

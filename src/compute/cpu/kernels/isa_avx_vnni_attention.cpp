// 8-bit attention with VNNI over 256 bits: a register is 8 tokens (or dims) × 4 dims (or tokens).
// In the encodings of isa_avx_vnni.cpp.
#include <immintrin.h>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/avx2_attention_ops.h"
#include "compute/cpu/kernels/avx2_lines.h"
#include "compute/cpu/kernels/avx_vnni_products.h"

// Two lines a panel, kPanels panels of 16 tokens of a page from k on.
template <int kColumns, int kPanels>
[[gnu::always_inline]] inline void score_panels(const ScoreArgs& args, const uint8_t* k,
                                                const float* scales, float* out) {
  constexpr int kLines = 2 * kPanels;
  const int64_t panel = args.groups * 64;
  __m256i sums[kLines][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i) sums[i][c] = _mm256_set1_epi32(args.q_offset[c]);
  for (int64_t g = 0; g < args.groups; ++g) {
    if (args.ahead) args.ahead->fetch(kPanels);
    __m256i lines[kLines];
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i) lines[i] = line(k + i / 2 * panel + g * 64 + i % 2 * 32);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256i q = four_bytes(args.q + c * args.q_stride + 4 * g);
#pragma GCC unroll 4
      for (int i = 0; i < kLines; ++i) add_products(sums[i][c], lines[i], q);
    }
  }
  if (args.ahead) args.ahead->fetch(kLines);  // for the scales, of keys and values
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i) {
      const __m256 score =
          _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][c]), _mm256_loadu_ps(scales + i * 8));
      _mm256_storeu_ps(out + c * kChunk + i * 8,
                       _mm256_mul_ps(score, _mm256_set1_ps(args.q_scale[c])));
    }
}

// One or two columns take a page at once: a sum is a chain.
template <int kColumns>
void score(const ScoreArgs& args) {
  constexpr int kPanels = kColumns <= 2 ? 2 : 1;
  const int64_t panel = args.groups * 64;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const auto* scales = reinterpret_cast<const float*>(args.pages[page] + 2 * panel);
    for (int64_t i = 0; i < 2; i += kPanels)
      score_panels<kColumns, kPanels>(args, args.pages[page] + i * panel, scales + i * 16,
                                      args.scores + page * kPage + i * 16);
  }
}

// kPanels panels of dims at d, all pages.
template <int kColumns, int kPanels>
[[gnu::always_inline]] inline void weigh_panels(const WeighArgs& args, int64_t d) {
  constexpr int kLines = 2 * kPanels;
  __m256 acc[kLines][kColumns];
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i) acc[i][c] = _mm256_setzero_ps();
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const int8_t* v = args.pages[page] + d * 512;
    const uint8_t* p = args.p + page * kPage;
    __m256i sums[kLines][kColumns];
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
      for (int i = 0; i < kLines; ++i) sums[i][c] = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int64_t g = 0; g < 8; ++g) {
      if (args.ahead) args.ahead->fetch(kPanels);
      __m256i lines[kLines];
#pragma GCC unroll 4
      for (int i = 0; i < kLines; ++i) lines[i] = line(v + i / 2 * 512 + g * 64 + i % 2 * 32);
#pragma GCC unroll 6
      for (int c = 0; c < kColumns; ++c) {
        const __m256i weight = four_bytes(p + c * kChunk + 4 * g);
#pragma GCC unroll 4
        for (int i = 0; i < kLines; ++i) add_products(sums[i][c], weight, lines[i]);
      }
    }
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256 scale = _mm256_set1_ps(args.p_scale[page * kMaxColumns + c]);
#pragma GCC unroll 4
      for (int i = 0; i < kLines; ++i)
        acc[i][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i][c]), scale, acc[i][c]);
    }
  }
#pragma GCC unroll 6
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i)
      _mm256_storeu_ps(args.acc + c * args.acc_stride + d * 16 + i * 8, acc[i][c]);
}

template <int kColumns>
void weigh(const WeighArgs& args) {
  constexpr int kPanels = kColumns <= 2 ? 2 : 1;
  int64_t d = 0;
  for (; d + kPanels <= args.panels; d += kPanels) weigh_panels<kColumns, kPanels>(args, d);
  for (; d < args.panels; ++d) weigh_panels<kColumns, 1>(args, d);
}

}  // namespace

#ifdef XH_EVEX
#define XH_ATTENTION kAvxVnniEvexAttention
#else
#define XH_ATTENTION kAvxVnniAttention
#endif
const AttentionKernels XH_ATTENTION = {
    6,
    6,
    {score<1>, score<2>, score<3>, score<4>, score<5>, score<6>},
    {weigh<1>, weigh<2>, weigh<3>, weigh<4>, weigh<5>, weigh<6>},
    soften_op,
    hadamard_op,
    quantise_head_op,
    unpack_values_op,
};

}  // namespace xh::cpu

// 8-bit attention with AVX-512 VNNI: a register is 16 tokens (or dims) × 4 dims (or tokens).
#include <immintrin.h>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#define XH_LANES 16
#define XH_VECTORS_ONLY
#include "compute/cpu/kernels/vector_ops.h"

inline VecF fma_of(VecF a, VecF b, VecF c) {
  return (VecF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
inline VecF larger_of(VecF a, VecF b) {  // b where either is NaN
  return (VecF)_mm512_max_ps((__m512)a, (__m512)b);
}
// The low bytes of all lanes.
inline void store_low_bytes(uint8_t* to, VecI v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)v));
}
inline void store_page(uint8_t* to, const VecI* v) {
  store_low_bytes(to, v[0]);
  store_low_bytes(to + 16, v[1]);
}
// out[i] = the largest lane of v[i], all eight at once: each step leaves half as many vectors.
#define XH_OWN_LANES
inline void largest_lanes(const VecF* v, float* out) {
  auto pair = [](__m512 a, __m512 b) {
    return _mm512_max_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  auto four = [&](const VecF* from) {
    const __m512d a = _mm512_castps_pd(pair((__m512)from[0], (__m512)from[1])),
                  b = _mm512_castps_pd(pair((__m512)from[2], (__m512)from[3]));
    return _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  };
  // lanes of 128 bits: of the first four vectors, of the others
  const __m512 low = four(v), high = four(v + 4);
  __m512 all =
      _mm512_max_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
  all = _mm512_max_ps(all, _mm512_shuffle_f32x4(all, all, 0xb1));
  _mm_storeu_ps(out, _mm512_castps512_ps128(all));
  _mm_storeu_ps(out + 4, _mm512_extractf32x4_ps(all, 2));
}
#define XH_OWN_HEAD
#include "compute/cpu/kernels/attention_ops.h"
#include "compute/cpu/kernels/avx512_heads.h"

// acc += u · s, four unsigned by four signed bytes in each lane. In assembly because GCC 12 moves
// the accumulators of the intrinsic to and fro: score<8> 642 → see docs/performance.md.
inline void add_products(__m512i& acc, __m512i u, __m512i s) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));
}

inline __m512i line(const void* p) {
  return _mm512_loadu_si512(p);
}
inline __m512i four_bytes(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

// Both panels of a page share the broadcast of a query.
template <int kColumns>
void score(const ScoreArgs& args) {
  const int64_t panel = args.groups * 64;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const uint8_t* k = args.pages[page];
    __m512i first[kColumns], second[kColumns];
#pragma GCC unroll 12
    for (int c = 0; c < kColumns; ++c) first[c] = second[c] = _mm512_set1_epi32(args.q_offset[c]);
    for (int64_t g = 0; g < args.groups; ++g) {
      const __m512i one = line(k + g * 64), two = line(k + panel + g * 64);
      if (args.ahead) args.ahead->fetch(2);
#pragma GCC unroll 12
      for (int c = 0; c < kColumns; ++c) {
        const __m512i q = four_bytes(args.q + c * args.q_stride + 4 * g);
        add_products(first[c], one, q);
        add_products(second[c], two, q);
      }
    }
    if (args.ahead) args.ahead->fetch(4);  // for the scales, of keys and values
    const auto* scales = reinterpret_cast<const float*>(k + 2 * panel);
    const __m512 s0 = _mm512_loadu_ps(scales), s1 = _mm512_loadu_ps(scales + 16);
#pragma GCC unroll 12
    for (int c = 0; c < kColumns; ++c) {
      const __m512 scale = _mm512_set1_ps(args.q_scale[c]);
      float* out = args.scores + c * kChunk + page * kPage;
      _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(first[c]), s0), scale));
      _mm512_storeu_ps(out + 16,
                       _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(second[c]), s1), scale));
    }
  }
}

// kPanels panels of dims at d, all pages.
template <int kColumns, int kPanels>
inline void weigh_panels(const WeighArgs& args, int64_t d) {
  __m512 acc[kPanels][kColumns];
#pragma GCC unroll 4
  for (int i = 0; i < kPanels; ++i)
#pragma GCC unroll 12
    for (int c = 0; c < kColumns; ++c) acc[i][c] = _mm512_setzero_ps();
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const int8_t* v = args.pages[page] + d * 512;
    const uint8_t* p = args.p + page * kPage;
    __m512i sums[kPanels][kColumns];
#pragma GCC unroll 4
    for (int i = 0; i < kPanels; ++i)
#pragma GCC unroll 12
      for (int c = 0; c < kColumns; ++c) sums[i][c] = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int64_t g = 0; g < 8; ++g) {
      __m512i lines[kPanels];
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) lines[i] = line(v + i * 512 + g * 64);
      if (args.ahead) args.ahead->fetch(kPanels);
#pragma GCC unroll 12
      for (int c = 0; c < kColumns; ++c) {
        const __m512i weight = four_bytes(p + c * kChunk + 4 * g);
#pragma GCC unroll 4
        for (int i = 0; i < kPanels; ++i) add_products(sums[i][c], weight, lines[i]);
      }
    }
#pragma GCC unroll 12
    for (int c = 0; c < kColumns; ++c) {
      const __m512 scale = _mm512_set1_ps(args.p_scale[page * kMaxColumns + c]);
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i)
        acc[i][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i][c]), scale, acc[i][c]);
    }
  }
#pragma GCC unroll 12
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 4
    for (int i = 0; i < kPanels; ++i)
      _mm512_storeu_ps(args.acc + c * args.acc_stride + (d + i) * 16, acc[i][c]);
}

constexpr int64_t panels_together(int64_t columns, int64_t left) {
  return columns <= 3 && left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

template <int kColumns>
void weigh(const WeighArgs& args) {
  for (int64_t d = 0, n; d < args.panels; d += n) {
    n = panels_together(kColumns, args.panels - d);
    if (n == 1) weigh_panels<kColumns, 1>(args, d);
    if (n == 2) weigh_panels<kColumns, 2>(args, d);
    if constexpr (panels_together(kColumns, 4) == 4)
      if (n == 4) weigh_panels<kColumns, 4>(args, d);
  }
}

}  // namespace

const AttentionKernels kAvx512Attention = {
    12,
    6,
    XH_COLUMNS(score),
    XH_COLUMNS(weigh),
    soften_op,
    hadamard_op,
    quantise_head_op,
    unpack_values_op,
    nullptr,
    panels_together,
};

}  // namespace xh::cpu

// AVX-512 with VNNI: one register is 16 rows × 4 k; vpdpbusd multiplies four unsigned weights by
// four signed activations (broadcast from memory) and adds them to the row's 32-bit lane.
#include <immintrin.h>

#include <cstddef>
#include <type_traits>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 16
#define XH_OWN_QUANTISE
#define XH_OWN_SILU
#include "compute/cpu/kernels/avx512_panel.h"
#include "compute/cpu/kernels/avx512_scales.h"
#include "compute/cpu/kernels/vector_ops.h"
// use those above
#include "compute/cpu/kernels/avx512_blocks.h"
#include "compute/cpu/kernels/avx512_unpack.h"

// x / (1 + e^-x) without a division. e^-x = 2^n · 2^r with |r| <= 1/2: Taylor polynomial of degree
// 6, relative error 1.2e-7. Beyond ±87 the exponent stands still.
inline VecF silu_of(VecF x) {
  const __m512 v = (__m512)x, log2e = _mm512_set1_ps(-1.44269504f), magic = _mm512_set1_ps(kMagic);
  // the operand order keeps NaN
  const __m512 bound =
      _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(_mm512_set1_ps(87.0f), v));
  const __m512 shifted = _mm512_fmadd_ps(bound, log2e, magic);
  const __m512 r = _mm512_fmsub_ps(bound, log2e, _mm512_sub_ps(shifted, magic));
  __m512 p = _mm512_set1_ps(1.54035304e-4f);
  for (float c :
       {1.33335581e-3f, 9.61812911e-3f, 5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f, 1.0f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  const __m512 e = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
  // 1 / (1 + e): 14 bits, doubled by a step of Newton's.
  const __m512 one = _mm512_set1_ps(1.0f), sum = _mm512_add_ps(one, e);
  const __m512 guess = _mm512_rcp14_ps(sum);
  const __m512 inverse = _mm512_fmadd_ps(guess, _mm512_fnmadd_ps(sum, guess, one), guess);
  return (VecF)_mm512_mul_ps(v, inverse);
}

// sum += u · four signed bytes, broadcast. In assembly, because GCC 12 broadcasts by an instruction
// of its own, which takes a register and a place in the scheduler: 370 instead of 510 GOP/s.
inline void add_products(__m512i& sum, __m512i u, const int8_t* four) {
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(u), "m"(*reinterpret_cast<const int8_t(*)[4]>(four)));
}

// acc[c] += one block of column c. Columns go side by side, for each column's sums are a chain. The
// order of operations on a column is the batch-invariance contract.
template <PackFormat kFormat, int kColumns, class Act>
[[gnu::always_inline]] inline void add_block(__m512* acc, const Act* x, const __m512i* u,
                                             const BlockScales<kFormat, Act>& w) {
  using Scale = BlockScales<kFormat, Act>;
  constexpr int kParts = Scale::kParts;
  // One or two columns alone would wait for their chains: halves are summed apart, and then added.
  constexpr int kChains = kColumns <= 2 ? 2 : kParts;
  __m512i sum[kChains][kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
    for (int h = 0; h < kChains; ++h) {
      if (h >= kParts)
        sum[h][c] = _mm512_setzero_si512();
      else if constexpr (Scale::kWhole)
        sum[h][c] = _mm512_set1_epi32(x[c].half_seed[h]);
      else if constexpr (Scale::kSeed >= 0)
        sum[h][c] = _mm512_set1_epi32(x[c].seed[Scale::kSeed]);
      else
        sum[h][c] = _mm512_set1_epi32(kSeedBits);
    }
#pragma GCC unroll 8
  for (int g = 0; g < 8 / kChains; ++g)
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
      for (int h = 0; h < kChains; ++h)
        add_products(sum[h][c], u[4 * h + g], x[c].q + 16 * h + 4 * g);
  if constexpr (kChains > kParts)
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) sum[0][c] = _mm512_add_epi32(sum[0][c], sum[1][c]);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    if constexpr (Scale::kWhole) {
      w.add_whole(acc[c], sum[0][c], sum[1][c], x[c].d);
      continue;
    }
#pragma GCC unroll 2
    for (int h = 0; h < kParts; ++h) w.add_part(acc[c], sum[h][c], x[c], h);
    w.add_minimums(acc[c], x[c]);
  }
}

template <DType kType>
inline __m512 plain_line(const uint8_t* quants, int64_t k) {
  if constexpr (kType == DType::kF32)
    return _mm512_loadu_ps(quants + k * 64);
  else if constexpr (kType == DType::kF16)
    return halves(quants + k * 32);
  else if constexpr (kType == DType::kBF16)
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quants + k * 32))),
        16));
  else
    return signed_bytes(quants + k * 16);
}

template <PackFormat kFormat, int kColumns, class Act, bool kNear>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  // Many columns find most in the second-level cache already.
  constexpr int kFetch =
      kColumns > kNarrowTile ? quant_bytes(kFormat.quants) : block_bytes(kFormat);
  // Four sums at a time: more would not fit the registers.
  constexpr int kStep = 4 / BlockScales<kFormat, Act>::kParts, kWhole = kColumns / kStep * kStep;
  __m512 acc[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
  const auto* x = static_cast<const Act*>(args.act);
  const uint8_t *block = args.quants, *fetch = block + (kNear ? kPrefetchNear : kPrefetchAhead);
  int64_t step = block_bytes(kFormat);
  if (kColumns > kNarrowTile && args.fetch) fetch = args.fetch, step = args.fetch_step;
  const uint8_t* later = args.later;
  BlockScales<kFormat, Act> scales;
  for (int64_t b = 0; b < args.n_blocks; ++b) {
    __m512i u[8];
    prefetch<kFetch, kNear ? 1 : 2>(fetch);
    fetch += step;
    if (kColumns > kNarrowTile && later) {
      prefetch<kLaterBytes, 3>(later);
      later += kLaterBytes;
    }
    unpack<kFormat.quants>(block, u);
    scales.load(args.scales, b);
#pragma GCC unroll 16
    for (int c = 0; c < kWhole; c += kStep) add_block<kFormat, kStep>(acc + c, x + c, u, scales);
    if constexpr (kColumns > kWhole)
      add_block<kFormat, kColumns - kWhole>(acc + kWhole, x + kWhole, u, scales);
    block += quant_bytes(kFormat.quants);
    x += args.act_stride;
  }
  finish<kColumns>(args, acc);
}

// Many columns read weights from the second-level cache, and their activations fill the first.
template <PackFormat kFormat, int kColumns, class Act>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  if (kColumns <= kNarrowTile && args.near)
    blocks_tile<kFormat, kColumns, Act, kColumns <= kNarrowTile>(args);
  else
    blocks_tile<kFormat, kColumns, Act, false>(args);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    blocks_tile<kFormat, kColumns, ActBlock>(args);
  } else {
    __m512 acc[kColumns];
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
    const auto* x = static_cast<const float*>(args.act);
    for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
      __m512 w = plain_line<kType>(args.quants, k);
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[c]), acc[c]);
    }
    finish<kColumns>(args, acc);
  }
}

template <DType kType, int kColumns>
void gemm_coarse(const GemmArgs& args) {
  blocks_tile<pack_format(kType), kColumns, CoarseActBlock>(args);
}

// The largest of 16 numbers, by their bits: see size_bits().
inline float largest_of(__m512i bits) {
  const __m256i half =
      _mm256_max_epu32(_mm512_castsi512_si256(bits), _mm512_extracti64x4_epi64(bits, 1));
  __m128i v = _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  v = _mm_max_epu32(v, _mm_shuffle_epi32(v, 0x4e));
  v = _mm_max_epu32(v, _mm_shuffle_epi32(v, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(v));
}

inline __m512i size_of(__m512 v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
// 16 values as bytes, the largest of which becomes 127.
inline __m128i quantised(__m512 v, float amax) {
  const __m512 inverse = _mm512_set1_ps(amax > 0 ? 127.0f / amax : 0.0f);
  return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v, inverse)));
}
// Stores both halves of a block; their sums.
inline void store_halves(__m128i q0, __m128i q1, int8_t* to, int32_t* sum) {
  const __m256i q = _mm256_inserti128_si256(_mm256_castsi128_si256(q0), q1, 1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), q);
  __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
  sum[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums));
  sum[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1));
}

void quantise_op(const float* x, int64_t n_blocks, ActBlock* out, int64_t stride) {
  for (int64_t b = 0; b < n_blocks; ++b, x += kBlock, out += stride) {
    const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
    const float amax0 = largest_of(size_of(v0)), amax1 = largest_of(size_of(v1));
    int32_t sum[2];
    store_halves(quantised(v0, amax0), quantised(v1, amax1), out->q, sum);
    out->d[0] = amax0 * (1.0f / 127.0f);
    out->d[1] = amax1 * (1.0f / 127.0f);
    out->d_sum_first = out->d[0] * static_cast<float>(sum[0]);
    out->d_sum = out->d_sum_first + out->d[1] * static_cast<float>(sum[1]);
  }
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

// As size_bits() and largest() of four blocks, in the lanes of the result.
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

// finish_coarse of four blocks. sums: those of the first halves, then of the second ones.
inline void finish_four(CoarseActBlock* out, int64_t stride, __m128 amax, __m256i sums) {
  const __m128i first = _mm256_castsi256_si128(sums), second = _mm256_extracti128_si256(sums, 1),
                sum = _mm_add_epi32(first, second), seed = _mm_set1_epi32(kSeedBits);
  const __m128 d = _mm_mul_ps(amax, _mm_set1_ps(1.0f / 127.0f));
  __m128i head[4] = {_mm_castps_si128(d), _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(sum))),
                     _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(first))),
                     _mm_sub_epi32(seed, _mm_slli_epi32(sum, 3))};
  __m128i tail[4] = {_mm_sub_epi32(seed, _mm_slli_epi32(sum, 7)),
                     _mm_sub_epi32(seed, _mm_slli_epi32(first, 5)),
                     _mm_sub_epi32(seed, _mm_slli_epi32(second, 5)), seed};
  transpose(head);
  transpose(tail);
  for (int i = 0; i < 4; ++i, out += stride) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(&out->d), head[i]);
    _mm_mask_storeu_epi32(&out->seed[1], 7, tail[i]);  // the next column's block follows
  }
}
static_assert(offsetof(CoarseActBlock, seed) == offsetof(CoarseActBlock, d) + 12);

// Four blocks at a time: the maximum of one is a long chain.
void quantise_coarse_op(const float* x, int64_t n_blocks, CoarseActBlock* out, int64_t stride) {
  const __m256i ones = _mm256_set1_epi8(1);
  int64_t b = 0;
  for (; b + 4 <= n_blocks; b += 4, x += 4 * kBlock, out += 4 * stride) {
    __m512 v[4][2];
    __m512i size[4];
    for (int i = 0; i < 4; ++i) {
      for (int h = 0; h < 2; ++h) v[i][h] = _mm512_loadu_ps(x + i * kBlock + h * 16);
      size[i] = _mm512_max_epu32(size_of(v[i][0]), size_of(v[i][1]));
    }
    const __m128 amax = largest_of_four(size);
    const __mmask8 some = _mm_cmp_ps_mask(amax, _mm_setzero_ps(), _CMP_GT_OQ);
    alignas(16) float inverse[4];
    _mm_store_ps(inverse, _mm_maskz_div_ps(some, _mm_set1_ps(127.0f), amax));
    __m256i sums[4];
    for (int i = 0; i < 4; ++i) {
      const __m512 scale = _mm512_set1_ps(inverse[i]);
      auto bytes = [&](__m512 of) {
        return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(of, scale)));
      };
      const __m256i q = _mm256_set_m128i(bytes(v[i][1]), bytes(v[i][0]));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[i * stride].q), q);
      sums[i] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, q);
    }
    finish_four(out, stride, amax,
                _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                  _mm256_hadd_epi32(sums[2], sums[3])));
  }
  for (; b < n_blocks; ++b, x += kBlock, out += stride) {
    const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
    const float amax = largest_of(_mm512_max_epu32(size_of(v0), size_of(v1)));
    int32_t sum[2];
    store_halves(quantised(v0, amax), quantised(v1, amax), out->q, sum);
    finish_coarse(out, amax, sum[0], sum[0] + sum[1]);
  }
}

void to_f16_op(const float* x, int64_t n, uint16_t* y) {
  const __m512 limit = _mm512_set1_ps(65504.0f), low = _mm512_set1_ps(-65504.0f);
  for (int64_t i = 0; i < n; i += 16) {
    auto mask = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
    __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
    // the operand order keeps NaN
    v = _mm512_max_ps(low, _mm512_min_ps(limit, v));
    _mm256_mask_storeu_epi16(y + i, mask, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
}

}  // namespace

#define XH_TILE_COLUMNS 16
#define XH_TABLE_NAME "avx512"
#define XH_TABLE kAvx512Table
#define XH_ATTENTION kAvx512Attention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

// AVX-512 with VNNI: one register is 16 rows × 4 k; vpdpbusd multiplies four unsigned weights by
// four signed activations (broadcast from memory) and adds them to the row's 32-bit lane.
#include <immintrin.h>

#include <cstddef>

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
#include "compute/cpu/kernels/avx512_products.h"
#include "compute/cpu/kernels/avx512_quantise.h"
#include "compute/cpu/kernels/avx512_tile.h"
#include "compute/cpu/kernels/avx512_unpack.h"
#include "compute/cpu/kernels/block_scales.h"

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

// acc[c] += one block of column c. Columns go side by side, for each column's sums are a chain. The
// order of operations on a column is the batch-invariance contract.
template <PackFormat kFormat, int kColumns>
[[gnu::always_inline]] inline void add_block(__m512* acc, const ActBlock* x, const __m512i* u,
                                             const BlockScales<kFormat>& w) {
  using Scale = BlockScales<kFormat>;
  constexpr int kParts = Scale::kParts;
  // One or two columns alone would wait for their chains: halves are summed apart, and then added.
  constexpr int kChains = kColumns <= 2 ? 2 : kParts;
  __m512i sum[kChains][kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
    for (int h = 0; h < kChains; ++h)
      sum[h][c] =
          h < kParts ? _mm512_set1_epi32(seed_bits<kFormat>(x[c], h)) : _mm512_setzero_si512();
  add_products(sum, u, x);
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
    for (int h = 0; h < kParts; ++h) w.add_part(acc[c], sum[h][c], x[c].d, h);
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

// A block as bytes, multiplied one by one.
template <PackFormat kOf>
struct PlainBlock {
  static constexpr PackFormat kFormat = kOf;
  // Four sums at a time: more would not fit the registers.
  static constexpr int kStep = 4 / BlockScales<kFormat>::kParts;
  __m512i u[8];
  BlockScales<kFormat> scales;

  inline void load(const uint8_t* quants, const uint8_t* all_scales, int64_t b) {
    unpack<kFormat.quants>(quants, u);
    scales.load(all_scales, b);
  }
  template <int kColumns>
  [[gnu::always_inline]] inline void add(__m512* acc, const ActBlock* x) const {
    add_block<kFormat, kColumns>(acc, x, u, scales);
  }
};

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    blocks_tile<PlainBlock<kFormat>, kColumns>(args);
  } else {
    __m512 acc[kColumns];
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
    const auto* x = static_cast<const float*>(args.act);
    for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
      __m512 w = plain_line<kType>(args.panel, k);
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[c]), acc[c]);
    }
    finish<kColumns>(args, acc);
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

void quantise_op(const float* x, int64_t n_blocks, ActBlock* out, int64_t stride) {
  quantise<127, false>(x, n_blocks, out, stride);
}

}  // namespace

#define XH_TILE_COLUMNS 16
#define XH_TABLE_NAME "avx512"
#define XH_TABLE kAvx512Table
#define XH_ATTENTION kAvx512Attention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

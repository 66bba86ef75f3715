// AVX-512 with VNNI: one register is 16 rows × 4 k; vpdpbusd multiplies four unsigned weights by
// four signed activations (broadcast from memory) and adds them to the row's 32-bit lane.
#include <immintrin.h>

#include <type_traits>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 16
#define XH_OWN_QUANTISE_COARSE
#include "compute/cpu/kernels/vector_ops.h"

// The processor's own prefetchers stop at page borders; a panel read once from memory needs more.
// Measured on Zen 5, one thread, Q4_0 from memory: 21 GB/s without, 26 at 2 KiB, 32 at 4 and 8 KiB.
constexpr int kPrefetchAhead = 8192;

inline __m512i line(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}

// u[g]: 16 rows × 4 k of group g, unsigned bytes.
inline void nibbles(const uint8_t* p, __m512i* u) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int i = 0; i < 4; ++i) {
    __m512i v = line(p + 64 * i);
    u[i] = _mm512_and_si512(v, low);
    u[i + 4] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
  }
}
// Moves bit `from` of each byte to bit `to`, with `width` bits.
template <int kFrom, int kTo, int kWidth>
inline __m512i move_bits(__m512i v) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(((1 << kWidth) - 1) << kTo));
  if constexpr (kFrom > kTo) v = _mm512_srli_epi16(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = _mm512_slli_epi16(v, kTo - kFrom);
  return _mm512_and_si512(v, mask);
}
template <int kTo>
inline void pairs(const uint8_t* p, __m512i* u) {
  for (int i = 0; i < 2; ++i) {
    __m512i v = line(p + 64 * i);
    u[4 * i] = move_bits<0, kTo, 2>(v);
    u[4 * i + 1] = move_bits<2, kTo, 2>(v);
    u[4 * i + 2] = move_bits<4, kTo, 2>(v);
    u[4 * i + 3] = move_bits<6, kTo, 2>(v);
  }
}
template <int kTo>
inline void add_bits(const uint8_t* p, __m512i* u) {
  __m512i v = line(p);
  u[0] = _mm512_or_si512(u[0], move_bits<0, kTo, 1>(v));
  u[1] = _mm512_or_si512(u[1], move_bits<1, kTo, 1>(v));
  u[2] = _mm512_or_si512(u[2], move_bits<2, kTo, 1>(v));
  u[3] = _mm512_or_si512(u[3], move_bits<3, kTo, 1>(v));
  u[4] = _mm512_or_si512(u[4], move_bits<4, kTo, 1>(v));
  u[5] = _mm512_or_si512(u[5], move_bits<5, kTo, 1>(v));
  u[6] = _mm512_or_si512(u[6], move_bits<6, kTo, 1>(v));
  u[7] = _mm512_or_si512(u[7], move_bits<7, kTo, 1>(v));
}

template <Quants kQuants>
inline void unpack(const uint8_t* block, __m512i* u) {
  if constexpr (kQuants == Quants::kU2) {
    pairs<0>(block, u);
  } else if constexpr (kQuants == Quants::kU3) {
    pairs<0>(block, u);
    add_bits<2>(block + 128, u);
  } else if constexpr (kQuants == Quants::kU8) {
    for (int g = 0; g < 8; ++g) u[g] = line(block + 64 * g);
  } else {
    nibbles(block, u);
    if constexpr (kQuants == Quants::kU5) add_bits<4>(block + 256, u);
    if constexpr (kQuants == Quants::kU6) {
      __m512i high[8];
      pairs<4>(block + 256, high);
      for (int g = 0; g < 8; ++g) u[g] = _mm512_or_si512(u[g], high[g]);
    }
    if constexpr (kQuants == Quants::kLutIq4 || kQuants == Quants::kLutFp4) {
      const uint8_t* values = kQuants == Quants::kLutIq4 ? kLutIq4 : kLutFp4;
      __m512i table =
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
      for (int g = 0; g < 8; ++g) u[g] = _mm512_shuffle_epi8(table, u[g]);
    }
  }
}

#include "compute/cpu/kernels/avx512_scales.h"

// sum += u · four signed bytes, broadcast. In assembly, because GCC 12 broadcasts by an instruction
// of its own, which takes a register and a place in the scheduler: 370 instead of 510 GOP/s.
inline void add_products(__m512i& sum, __m512i u, const int8_t* four) {
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(u), "m"(*reinterpret_cast<const int8_t(*)[4]>(four)));
}

// Sums of products start at 1.5 · 2^23 as a float's bits: adding an integer below 2^22 to those
// bits adds it to the float, which spares the conversion. s · (kMagic + dot) - s · kMagic is exact
// but for one rounding: s has at most 19 significant bits, kMagic two.
constexpr float kMagic = 12582912.0f;

// What a block's scales mean for all columns. An offset is a minimum too: s · (u - o) = s · u + t
// with t = -s · o, exactly; unless the activations have a seed for it. Of 16-groups' minimums: the
// second, and the first beyond it.
template <PackFormat kFormat, class Act>
struct BlockScales {
  static constexpr int kGroups = 32 / group_of(kFormat.scales);
  static constexpr bool kTwo = kGroups == 2;
  static constexpr int kSeed =
      std::is_same_v<Act, CoarseActBlock> && !kTwo ? seed_of(kFormat.offset_shift) : -1;
  static constexpr bool kMin = has_min(kFormat.scales) || (kFormat.offset_shift != 0 && kSeed < 0);
  // Sums over halves of a block, where those differ in some scale.
  static constexpr int kParts = kTwo || std::is_same_v<Act, ActBlock> ? 2 : 1;
  __m512 s[2], minus_magic[2], t[2], t_first;
  inline void load(const uint8_t* scales, int64_t b) {
    unpack_scales<kFormat.scales>(scales, b, s, t);
    for (int h = 0; h < kGroups; ++h) {
      minus_magic[h] = _mm512_mul_ps(s[h], _mm512_set1_ps(-kMagic));
      if constexpr (kMin && kFormat.offset_shift != 0)
        t[h] =
            _mm512_mul_ps(s[h], _mm512_set1_ps(static_cast<float>(-(1 << kFormat.offset_shift))));
    }
    if constexpr (kMin && kTwo) t_first = _mm512_sub_ps(t[0], t[1]);
  }
};

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
#pragma GCC unroll 2
    for (int h = 0; h < kParts; ++h) {
      const int of = Scale::kTwo ? h : 0;
      const __m512 part =
          _mm512_fmadd_ps(_mm512_castsi512_ps(sum[h][c]), w.s[of], w.minus_magic[of]);
      acc[c] = _mm512_fmadd_ps(part, _mm512_set1_ps(scale_of(x[c], h)), acc[c]);
    }
    if constexpr (Scale::kMin) {
      acc[c] = _mm512_fmadd_ps(w.t[Scale::kTwo], _mm512_set1_ps(x[c].d_sum), acc[c]);
      if constexpr (Scale::kTwo)
        acc[c] = _mm512_fmadd_ps(w.t_first, _mm512_set1_ps(x[c].d_sum_first), acc[c]);
    }
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

template <int kColumns>
[[gnu::always_inline]] inline void finish(const GemmArgs& args, const __m512* acc) {
  auto mask = static_cast<__mmask16>((1u << args.rows) - 1);
  __m512 bias = args.bias ? _mm512_maskz_loadu_ps(mask, args.bias) : _mm512_setzero_ps();
  for (int c = 0; c < kColumns; ++c) {
    float* y = args.y + c * args.y_stride;
    __m512 v = args.bias ? _mm512_add_ps(acc[c], bias) : acc[c];
    if (args.add) v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), v);
    _mm512_mask_storeu_ps(y, mask, v);
  }
}

// Always inline: GCC takes a call that only prefetches for one without an effect, and drops it.
template <int kBytes>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

template <PackFormat kFormat, int kColumns, class Act>
[[gnu::always_inline]] inline void blocks_tile(const GemmArgs& args) {
  constexpr int kScaleStep = (scale_bytes(kFormat.scales) + blocks_per_scale(kFormat.scales) - 1) /
                             blocks_per_scale(kFormat.scales);
  constexpr int kScaleLine = kScaleStep >= 64 ? 1 : 64 / kScaleStep;
  // Four sums at a time: more would not fit the registers.
  constexpr int kStep = 4 / BlockScales<kFormat, Act>::kParts, kWhole = kColumns / kStep * kStep;
  __m512 acc[kColumns];
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
  const auto* x = static_cast<const Act*>(args.act);
  const uint8_t* block = args.quants;
  for (int64_t b = 0; b < args.n_blocks; ++b) {
    __m512i u[8];
    BlockScales<kFormat, Act> scales;
    prefetch<quant_bytes(kFormat.quants)>(block + kPrefetchAhead);
    if (b % kScaleLine == 0) prefetch<64>(args.scales + b * kScaleStep + kPrefetchAhead / 4);
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

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    blocks_tile<kFormat, kColumns, ActBlock>(args);
  } else {
    __m512 acc[kColumns];
    for (int c = 0; c < kColumns; ++c) acc[c] = _mm512_setzero_ps();
    const auto* x = static_cast<const float*>(args.act);
    for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
      __m512 w = plain_line<kType>(args.quants, k);
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

void quantise_coarse_op(const float* x, int64_t n_blocks, CoarseActBlock* out, int64_t stride) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  for (int64_t b = 0; b < n_blocks; ++b, x += kBlock, out += stride) {
    const __m512 v0 = _mm512_loadu_ps(x), v1 = _mm512_loadu_ps(x + 16);
    const float amax =
        largest_of(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(v0), size),
                                    _mm512_and_si512(_mm512_castps_si512(v1), size)));
    const __m512 inverse = _mm512_set1_ps(amax > 0 ? 127.0f / amax : 0.0f);
    const __m128i q0 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v0, inverse)));
    const __m128i q1 = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(v1, inverse)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out->q), q0);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out->q + 16), q1);
    // Sums of both halves, side by side.
    const __m256i q = _mm256_inserti128_si256(_mm256_castsi128_si256(q0), q1, 1);
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
    const int32_t first = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums));
    finish_coarse(out, amax, first, first + _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1)));
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

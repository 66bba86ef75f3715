// AVX2: one register is 8 rows × 4 k, so a panel is two halves. maddubs multiplies unsigned weights
// by signed activations into 16-bit pairs. Depth rule: such a pair sum is at most 2 · w_max · 127,
// so 2- to 4-bit weights may add 8 of them in 16 bits before widening, 5-bit 4, 6-bit 2, 8-bit 1
// (the last with |w| unsigned and the activation's sign flipped).
#include <immintrin.h>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 8
#include "compute/cpu/kernels/vector_ops.h"

constexpr int depth_of(Quants quants) {
  switch (quants) {
    case Quants::kU2:
    case Quants::kU3:
    case Quants::kU4: return 8;
    case Quants::kU5:
    case Quants::kLutFp4: return 4;
    case Quants::kU6: return 2;
    default: return 1;
  }
}
constexpr bool is_signed(Quants quants) {
  return quants == Quants::kU8 || quants == Quants::kLutIq4;
}

// The processor's own prefetchers stop at page borders; a panel read once from memory needs more.
constexpr int kPrefetchAhead = 8192;

inline __m256i line(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Bits kFrom … kFrom + kWidth - 1 of each byte moved to kTo.
template <int kFrom, int kTo, int kWidth>
inline __m256i move_bits(__m256i v) {
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(((1 << kWidth) - 1) << kTo));
  if constexpr (kFrom > kTo) v = _mm256_srli_epi16(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = _mm256_slli_epi16(v, kTo - kFrom);
  return _mm256_and_si256(v, mask);
}

// Line group g of a panel's half. `block` points at the half: 32 bytes further for the second.
template <Quants kQuants, int g>
inline __m256i unpack_line(const uint8_t* block) {
  constexpr int kShift = 2 * (g & 3);
  if constexpr (kQuants == Quants::kU2) {
    return move_bits<kShift, 0, 2>(line(block + (g >> 2) * 64));
  } else if constexpr (kQuants == Quants::kU3) {
    return _mm256_or_si256(move_bits<kShift, 0, 2>(line(block + (g >> 2) * 64)),
                           move_bits<g, 2, 1>(line(block + 128)));
  } else if constexpr (kQuants == Quants::kU8) {
    return _mm256_xor_si256(line(block + 64 * g), _mm256_set1_epi8(-128));
  } else {
    __m256i v = move_bits < g < 4 ? 0 : 4, 0, 4 > (line(block + (g & 3) * 64));
    if constexpr (kQuants == Quants::kU5)
      v = _mm256_or_si256(v, move_bits<g, 4, 1>(line(block + 256)));
    if constexpr (kQuants == Quants::kU6)
      v = _mm256_or_si256(v, move_bits<kShift, 4, 2>(line(block + 256 + (g >> 2) * 64)));
    if constexpr (kQuants == Quants::kLutIq4 || kQuants == Quants::kLutFp4) {
      const uint8_t* values = kQuants == Quants::kLutIq4 ? kLutIq4 : kLutFp4;
      __m256i table =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
      v = _mm256_shuffle_epi8(table, v);
      if constexpr (is_signed(kQuants)) v = _mm256_xor_si256(v, _mm256_set1_epi8(-128));
    }
    return v;
  }
}
template <Quants kQuants>
inline void unpack(const uint8_t* block, __m256i* u) {
  u[0] = unpack_line<kQuants, 0>(block);
  u[1] = unpack_line<kQuants, 1>(block);
  u[2] = unpack_line<kQuants, 2>(block);
  u[3] = unpack_line<kQuants, 3>(block);
  u[4] = unpack_line<kQuants, 4>(block);
  u[5] = unpack_line<kQuants, 5>(block);
  u[6] = unpack_line<kQuants, 6>(block);
  u[7] = unpack_line<kQuants, 7>(block);
}

inline __m256 halves(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline __m128i bytes8(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
inline __m256 signed_bytes(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes8(p)));
}
inline __m256 unsigned_bytes(__m128i v) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
}

// s[h], t[h] of 8 rows in block b; `first` is 0 or 8, the half's first row.
template <Scales kScales>
inline void unpack_scales(const uint8_t* scales, int64_t b, int first, __m256* s, __m256* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  const uint8_t* p = scales + b / kEvery * scale_bytes(kScales);
  int64_t sub = b % kEvery;
  if constexpr (kScales == Scales::kE8M0) {
    __m256i e = _mm256_cvtepu8_epi32(bytes8(p + first));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    s[0] = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
    return;
  }
  __m256 d = halves(p + 2 * first);
  if constexpr (kScales == Scales::kD) s[0] = d;
  if constexpr (kScales == Scales::kDM) {
    s[0] = d;
    t[0] = halves(p + 32 + 2 * first);
  }
  if constexpr (kScales == Scales::kSuper8)
    s[0] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 16 + first));
  if constexpr (kScales == Scales::kSuper16) {
    s[0] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 32 + first));
    s[1] = _mm256_mul_ps(d, signed_bytes(p + 32 + sub * 32 + 16 + first));
  }
  if constexpr (kScales == Scales::kSuperM8 || kScales == Scales::kSuperM16) {
    __m256 neg_dmin = _mm256_sub_ps(_mm256_setzero_ps(), halves(p + 32 + 2 * first));
    __m128i one = bytes8(p + 64 + sub * 32 + first), two = bytes8(p + 64 + sub * 32 + 16 + first);
    if constexpr (kScales == Scales::kSuperM8) {
      s[0] = _mm256_mul_ps(d, unsigned_bytes(one));
      t[0] = _mm256_mul_ps(neg_dmin, unsigned_bytes(two));
    } else {
      const __m128i low = _mm_set1_epi8(15);
      s[0] = _mm256_mul_ps(d, unsigned_bytes(_mm_and_si128(one, low)));
      s[1] = _mm256_mul_ps(d, unsigned_bytes(_mm_and_si128(two, low)));
      t[0] = _mm256_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(one, 4), low)));
      t[1] = _mm256_mul_ps(neg_dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(two, 4), low)));
    }
  }
}

inline __m256i four_bytes(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

// Σ over kGroups line groups, as 8 int32, without the offset.
template <Quants kQuants, int kGroups>
inline __m256i dot_groups(const __m256i* u, const int8_t* q) {
  constexpr int kDepth = depth_of(kQuants) < kGroups ? depth_of(kQuants) : kGroups;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i total = _mm256_setzero_si256();
  for (int first = 0; first < kGroups; first += kDepth) {
    __m256i deep = _mm256_setzero_si256();
    for (int g = first; g < first + kDepth; ++g) {
      __m256i x = four_bytes(q + 4 * g), product;
      if constexpr (is_signed(kQuants))
        product = _mm256_maddubs_epi16(_mm256_abs_epi8(u[g]), _mm256_sign_epi8(x, u[g]));
      else
        product = _mm256_maddubs_epi16(u[g], x);
      deep = g == first ? product : _mm256_add_epi16(deep, product);
    }
    __m256i wide = _mm256_madd_epi16(deep, ones);
    total = first == 0 ? wide : _mm256_add_epi32(total, wide);
  }
  return total;
}

// What a block's scales mean for all columns. An offset is a minimum too: s · (u - o) = s · u + t
// with t = -s · o, exactly. Of 16-groups' minimums: the second, and the first beyond it.
template <PackFormat kFormat>
struct BlockScales {
  static constexpr int kGroups = 32 / group_of(kFormat.scales);
  static constexpr bool kOffset = kFormat.offset_shift != 0 && !is_signed(kFormat.quants);
  static constexpr bool kMin = has_min(kFormat.scales) || kOffset;
  __m256 s[2], t[2], t_first;
  inline void load(const uint8_t* scales, int64_t b, int first) {
    unpack_scales<kFormat.scales>(scales, b, first, s, t);
    if constexpr (kOffset)
      for (int h = 0; h < kGroups; ++h)
        t[h] =
            _mm256_mul_ps(s[h], _mm256_set1_ps(static_cast<float>(-(1 << kFormat.offset_shift))));
    if constexpr (kMin && kGroups == 2) t_first = _mm256_sub_ps(t[0], t[1]);
  }
};

// acc += one block of one column. The order of operations is the batch-invariance contract.
template <PackFormat kFormat>
inline __m256 add_block(__m256 acc, const ActBlock& x, const __m256i* u,
                        const BlockScales<kFormat>& w) {
  const __m256 first = _mm256_cvtepi32_ps(dot_groups<kFormat.quants, 4>(u, x.q));
  const __m256 second = _mm256_cvtepi32_ps(dot_groups<kFormat.quants, 4>(u + 4, x.q + 16));
  const __m256 d0 = _mm256_set1_ps(x.d[0]), d1 = _mm256_set1_ps(x.d[1]);
  constexpr bool kTwo = BlockScales<kFormat>::kGroups == 2;
  if constexpr (kTwo) {
    acc = _mm256_fmadd_ps(_mm256_mul_ps(first, w.s[0]), d0, acc);
    acc = _mm256_fmadd_ps(_mm256_mul_ps(second, w.s[1]), d1, acc);
  } else {
    acc = _mm256_fmadd_ps(_mm256_fmadd_ps(second, d1, _mm256_mul_ps(first, d0)), w.s[0], acc);
  }
  if constexpr (BlockScales<kFormat>::kMin) {
    acc = _mm256_fmadd_ps(w.t[kTwo], _mm256_set1_ps(x.d_sum), acc);
    if constexpr (kTwo) acc = _mm256_fmadd_ps(w.t_first, _mm256_set1_ps(x.d_sum_first), acc);
  }
  return acc;
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

// Writes 8 rows from `first` of each column.
template <int kColumns>
inline void finish(const GemmArgs& args, int first, const __m256* acc) {
  int64_t rows = args.rows - first;
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(rows)), index);
  for (int c = 0; c < kColumns; ++c) {
    float* y = args.y + c * args.y_stride + first;
    __m256 v = acc[c];
    if (args.bias) v = _mm256_add_ps(v, _mm256_maskload_ps(args.bias + first, mask));
    if (args.add) v = _mm256_add_ps(_mm256_maskload_ps(y, mask), v);
    if (rows >= 8)
      _mm256_storeu_ps(y, v);
    else
      _mm256_maskstore_ps(y, mask, v);
  }
}

template <int kBytes>
inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

// One half of the panel, rows first … first + 7.
template <DType kType, int kColumns>
inline void half_tile(const GemmArgs& args, int first) {
  constexpr PackFormat kFormat = pack_format(kType);
  __m256 acc[kColumns];
  for (int c = 0; c < kColumns; ++c) acc[c] = _mm256_setzero_ps();
  if constexpr (kFormat.quants != Quants::kNone) {
    const auto* x = static_cast<const ActBlock*>(args.act);
    const uint8_t* block = args.quants + 4 * first;
    constexpr int kScaleStep =
        (scale_bytes(kFormat.scales) + blocks_per_scale(kFormat.scales) - 1) /
        blocks_per_scale(kFormat.scales);
    constexpr int kScaleLine = kScaleStep >= 64 ? 1 : 64 / kScaleStep;
    for (int64_t b = 0; b < args.n_blocks; ++b) {
      __m256i u[8];
      BlockScales<kFormat> scales;
      if (first == 0) {  // the second half finds the panel in the cache
        prefetch<quant_bytes(kFormat.quants)>(block + kPrefetchAhead);
        if (b % kScaleLine == 0) prefetch<64>(args.scales + b * kScaleStep + kPrefetchAhead / 4);
      }
      unpack<kFormat.quants>(block, u);
      scales.load(args.scales, b, first);
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) acc[c] = add_block<kFormat>(acc[c], x[c], u, scales);
      block += quant_bytes(kFormat.quants);
      x += args.act_stride;
    }
  } else {
    const auto* x = static_cast<const float*>(args.act);
    for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
      __m256 w = plain_line<kType>(args.quants, k * kPanelRows + first);
      for (int c = 0; c < kColumns; ++c) acc[c] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[c]), acc[c]);
    }
  }
  finish<kColumns>(args, first, acc);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  // More than four columns at once would spill; the second pass finds the weights in L1.
  constexpr int kFirst = kColumns > 4 ? (kColumns + 1) / 2 : kColumns;
  for (int first = 0; first < kPanelRows && first < args.rows; first += 8) {
    half_tile<kType, kFirst>(args, first);
    if constexpr (kFirst < kColumns) {
      GemmArgs rest = args;
      constexpr bool kPlain = pack_format(kType).quants == Quants::kNone;
      rest.act = static_cast<const uint8_t*>(args.act) +
                 kFirst * (kPlain ? sizeof(float) : sizeof(ActBlock));
      rest.y = args.y + kFirst * args.y_stride;
      half_tile<kType, kColumns - kFirst>(rest, first);
    }
  }
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

}  // namespace

#define XH_TILE_COLUMNS 8
#define XH_TABLE_NAME "avx2"
#define XH_TABLE kAvx2Table
#define XH_ATTENTION kAvx2Attention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

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
constexpr int kPrefetchAhead = 4096;

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

// What a block's scales mean for all columns. Where one scale covers the block, an offset joins the
// activations' sum: s · (Σ(u·x) - o · Σx). Else it is a minimum, t = -s · o, exactly; of 16-groups'
// minimums: the second, and the first beyond it.
template <PackFormat kFormat>
struct BlockScales {
  static constexpr bool kTwo = group_of(kFormat.scales) == 16;
  static constexpr bool kOffset = kFormat.offset_shift != 0 && !is_signed(kFormat.quants);
  static constexpr bool kMin = has_min(kFormat.scales) || (kOffset && kTwo);
  static constexpr float kMinusOffset =
      kOffset && !kTwo ? -static_cast<float>(1 << kFormat.offset_shift) : 0.0f;
  __m256 s[2], t[2], t_first;
  inline void load(const uint8_t* scales, int64_t b, int first) {
    unpack_scales<kFormat.scales>(scales, b, first, s, t);
    if constexpr (kOffset && kTwo)
      for (int h = 0; h < 2; ++h)
        t[h] =
            _mm256_mul_ps(s[h], _mm256_set1_ps(static_cast<float>(-(1 << kFormat.offset_shift))));
    if constexpr (kMin && kTwo) t_first = _mm256_sub_ps(t[0], t[1]);
  }
};

// A block of a panel, by line group and half: rows 8h … 8h + 7. Signed types keep |u| as well.
template <PackFormat kFormat>
struct Block {
  static constexpr bool kSigned = is_signed(kFormat.quants);
  __m256i u[8][2], size[kSigned ? 8 : 1][2];
  BlockScales<kFormat> scales[2];
  inline void load(const uint8_t* quants, const uint8_t* all_scales, int64_t b) {
    for (int h = 0; h < 2; ++h) {
      __m256i lines[8];
      unpack<kFormat.quants>(quants + 32 * h, lines);
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        u[g][h] = lines[g];
        if constexpr (kSigned) size[g][h] = _mm256_abs_epi8(lines[g]);
      }
      scales[h].load(all_scales, b, 8 * h);
    }
  }
};

// Keeps the compiler from regrouping a chain of sums, which would need more registers than there
// are.
inline void pin(__m256i& v) {
  asm("" : "+x"(v));
}

// Σ over groups kFirst … kFirst + kGroups - 1 of one half-panel row set, for kColumns columns and
// halves kFrom … kFrom + kHalves - 1, as floats.
template <PackFormat kFormat, int kFirst, int kGroups, int kColumns, int kFrom, int kHalves>
[[gnu::always_inline]] inline void dot_part(const Block<kFormat>& w, const ActBlock* x,
                                            __m256 (*out)[2]) {
  constexpr int kDepth = depth_of(kFormat.quants) < kGroups ? depth_of(kFormat.quants) : kGroups;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i deep[kColumns][2], total[kColumns][2];
#pragma GCC unroll 8
  for (int i = 0; i < kGroups; ++i) {
    const int g = kFirst + i;
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const __m256i four = four_bytes(x[c].q + 4 * g);
#pragma GCC unroll 2
      for (int h = kFrom; h < kFrom + kHalves; ++h) {
        __m256i product;
        if constexpr (Block<kFormat>::kSigned)
          product = _mm256_maddubs_epi16(w.size[g][h], _mm256_sign_epi8(four, w.u[g][h]));
        else
          product = _mm256_maddubs_epi16(w.u[g][h], four);
        deep[c][h] = i % kDepth == 0 ? product : _mm256_add_epi16(deep[c][h], product);
        if (i % kDepth == kDepth - 1) {
          const __m256i wide = _mm256_madd_epi16(deep[c][h], ones);
          total[c][h] = i < kDepth ? wide : _mm256_add_epi32(total[c][h], wide);
          pin(total[c][h]);
        } else {
          pin(deep[c][h]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 2
    for (int h = kFrom; h < kFrom + kHalves; ++h) out[c][h] = _mm256_cvtepi32_ps(total[c][h]);
}

// Σ d · dot - offset · Σ d · q of a block whose weights have one scale.
template <PackFormat kFormat, int kColumns, int kFrom, int kHalves>
[[gnu::always_inline]] inline void scaled_dots(const Block<kFormat>& w, const ActBlock* x,
                                               __m256 (*out)[2]) {
  using Scale = BlockScales<kFormat>;
  dot_part<kFormat, 0, 8, kColumns, kFrom, kHalves>(w, x, out);
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
    const __m256 d = _mm256_set1_ps(x[c].d);
    const __m256 offset = _mm256_set1_ps(Scale::kMinusOffset * x[c].d_sum);
#pragma GCC unroll 2
    for (int h = kFrom; h < kFrom + kHalves; ++h)
      out[c][h] = Scale::kMinusOffset != 0 ? _mm256_fmadd_ps(out[c][h], d, offset)
                                           : _mm256_mul_ps(out[c][h], d);
  }
}

// acc += one block of kColumns columns. The order of operations is the batch-invariance contract.
template <PackFormat kFormat, int kColumns, int kFrom = 0, int kHalves = 2>
[[gnu::always_inline]] inline void add_block(const Block<kFormat>& w, const ActBlock* x,
                                             __m256 (*acc)[2]) {
  using Scale = BlockScales<kFormat>;
  __m256 first[kColumns][2], second[kColumns][2];
  if constexpr (Scale::kTwo) {
    dot_part<kFormat, 0, 4, kColumns, kFrom, kHalves>(w, x, first);
    dot_part<kFormat, 4, 4, kColumns, kFrom, kHalves>(w, x, second);
  } else {
    scaled_dots<kFormat, kColumns, kFrom, kHalves>(w, x, first);
  }
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 2
    for (int h = kFrom; h < kFrom + kHalves; ++h) {
      const Scale& s = w.scales[h];
      __m256 a = acc[c][h];
      if constexpr (Scale::kTwo) {
        const __m256 d = _mm256_set1_ps(x[c].d);
        a = _mm256_fmadd_ps(_mm256_mul_ps(first[c][h], s.s[0]), d, a);
        a = _mm256_fmadd_ps(_mm256_mul_ps(second[c][h], s.s[1]), d, a);
      } else {
        a = _mm256_fmadd_ps(first[c][h], s.s[0], a);
      }
      if constexpr (Scale::kMin) {
        a = _mm256_fmadd_ps(s.t[Scale::kTwo], _mm256_set1_ps(x[c].d_sum), a);
        if constexpr (Scale::kTwo)
          a = _mm256_fmadd_ps(s.t_first, _mm256_set1_ps(x[c].d_sum_first), a);
      }
      acc[c][h] = a;
    }
  }
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

// Always inline: see isa_avx512.cpp.
template <int kBytes>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

// Sixteen registers hold three columns of both halves: each group of weights is loaded once for
// three columns, each activation once for both halves. One column: unpacked half after half.
template <PackFormat kFormat, int kColumns>
inline void blocks_tile(const GemmArgs& args) {
  constexpr int kTriples = kColumns / 3 * 3;
  const auto* act = static_cast<const ActBlock*>(args.act);
  const uint8_t* fetch = args.quants + kPrefetchAhead;
  __m256 acc[kColumns][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    prefetch<block_bytes(kFormat)>(fetch);
    fetch += block_bytes(kFormat);
    const int64_t b = block_at(args, i);
    const auto* x = act + b * args.act_stride;
    Block<kFormat> w;
    w.load(args.quants + b * quant_bytes(kFormat.quants), args.scales, b);
    if constexpr (kColumns == 1) {
      add_block<kFormat, 1, 0, 1>(w, x, acc);
      add_block<kFormat, 1, 1, 1>(w, x, acc);
    } else {
#pragma GCC unroll 1
      for (int c = 0; c < kTriples; c += 3) add_block<kFormat, 3>(w, x + c, acc + c);
      if constexpr (kColumns > kTriples)
        add_block<kFormat, kColumns - kTriples>(w, x + kTriples, acc + kTriples);
    }
  }
  for (int c = 0; c < kColumns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, c, h, acc[c][h]);
}

// Columns kFirst … kFirst + kColumns - 1 of a plain type.
template <DType kType, int kFirst, int kColumns>
inline void floats_tile(const GemmArgs& args) {
  const float* x = static_cast<const float*>(args.act) + kFirst;
  __m256 acc[kColumns][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride) {
    const __m256 low = plain_line<kType>(args.quants, k * kPanelRows);
    const __m256 high = plain_line<kType>(args.quants, k * kPanelRows + 8);
#pragma GCC unroll 6
    for (int c = 0; c < kColumns; ++c) {
      const __m256 v = _mm256_set1_ps(x[c]);
      acc[c][0] = _mm256_fmadd_ps(low, v, acc[c][0]);
      acc[c][1] = _mm256_fmadd_ps(high, v, acc[c][1]);
    }
  }
  for (int c = 0; c < kColumns; ++c)
    for (int h = 0; h < 2; ++h) finish(args, kFirst + c, h, acc[c][h]);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  constexpr PackFormat kFormat = pack_format(kType);
  if constexpr (kFormat.quants != Quants::kNone) {
    blocks_tile<kFormat, kColumns>(args);
  } else {
    // Up to six columns stay in registers; the next pass finds the weights in the cache.
    constexpr int kPasses = (kColumns + 5) / 6, kOne = kColumns / kPasses;
    if constexpr (kPasses == 1) floats_tile<kType, 0, kColumns>(args);
    if constexpr (kPasses == 2) {
      floats_tile<kType, 0, kOne>(args);
      floats_tile<kType, kOne, kColumns - kOne>(args);
    }
    if constexpr (kPasses == 3) {
      floats_tile<kType, 0, kOne>(args);
      floats_tile<kType, kOne, kOne>(args);
      floats_tile<kType, 2 * kOne, kColumns - 2 * kOne>(args);
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

#define XH_TILE_COLUMNS 12
#define XH_TABLE_NAME "avx2"
#define XH_TABLE kAvx2Table
#define XH_ATTENTION kAvx2Attention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

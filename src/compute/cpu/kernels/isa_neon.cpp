// NEON with the dot product instructions (Armv8.2 and later servers): one register is 4 rows × 4 k,
// so a line of the panel is four slices. sdot multiplies 16 signed weights by four activations that
// it broadcasts from a lane, so 32 activations are two loads. Weights of up to 6 bits are signed
// bytes as they are; 8-bit ones become signed by turning their top bit, which spares the offset.
#include <arm_neon.h>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 4
#include "compute/cpu/kernels/vector_ops.h"

constexpr int kSliceRows = 4;

constexpr bool is_signed(Quants quants) {
  return quants == Quants::kU8 || quants == Quants::kLutIq4;
}

// As on the other processors; not measured on this one.
constexpr int kPrefetchAhead = 8192;

// Bits kFrom … kFrom + kWidth - 1 of each byte moved to kTo.
template <int kFrom, int kTo, int kWidth>
inline uint8x16_t move_bits(uint8x16_t v) {
  if constexpr (kFrom > kTo) v = vshrq_n_u8(v, kFrom - kTo);
  if constexpr (kFrom < kTo) v = vshlq_n_u8(v, kTo - kFrom);
  // Shifted out at one end, nothing is left to clear.
  constexpr bool kClean = (kFrom > kTo && kTo == 0 && kFrom + kWidth == 8) ||
                          (kFrom < kTo && kFrom == 0 && kTo + kWidth == 8);
  if constexpr (!kClean) v = vandq_u8(v, vdupq_n_u8(((1 << kWidth) - 1) << kTo));
  return v;
}

// Line group g of one slice. `block` points at the slice: 16 bytes further for each.
template <Quants kQuants, int g>
inline int8x16_t unpack_line(const uint8_t* block) {
  constexpr int kShift = 2 * (g & 3);
  uint8x16_t v;
  if constexpr (kQuants == Quants::kU2) {
    v = move_bits<kShift, 0, 2>(vld1q_u8(block + (g >> 2) * 64));
  } else if constexpr (kQuants == Quants::kU3) {
    v = vorrq_u8(move_bits<kShift, 0, 2>(vld1q_u8(block + (g >> 2) * 64)),
                 move_bits<g, 2, 1>(vld1q_u8(block + 128)));
  } else if constexpr (kQuants == Quants::kU8) {
    v = vld1q_u8(block + 64 * g);
  } else {
    constexpr int kNibble = g < 4 ? 0 : 4;
    v = move_bits<kNibble, 0, 4>(vld1q_u8(block + (g & 3) * 64));
    if constexpr (kQuants == Quants::kU5)
      v = vorrq_u8(v, move_bits<g, 4, 1>(vld1q_u8(block + 256)));
    if constexpr (kQuants == Quants::kU6)
      v = vorrq_u8(v, move_bits<kShift, 4, 2>(vld1q_u8(block + 256 + (g >> 2) * 64)));
    if constexpr (kQuants == Quants::kLutIq4) v = vqtbl1q_u8(vld1q_u8(kLutIq4), v);
    if constexpr (kQuants == Quants::kLutFp4) v = vqtbl1q_u8(vld1q_u8(kLutFp4), v);
  }
  if constexpr (is_signed(kQuants)) v = veorq_u8(v, vdupq_n_u8(128));
  return vreinterpretq_s8_u8(v);
}
template <Quants kQuants>
[[gnu::always_inline]] inline void unpack(const uint8_t* block, int8x16_t* u) {
  u[0] = unpack_line<kQuants, 0>(block);
  u[1] = unpack_line<kQuants, 1>(block);
  u[2] = unpack_line<kQuants, 2>(block);
  u[3] = unpack_line<kQuants, 3>(block);
  u[4] = unpack_line<kQuants, 4>(block);
  u[5] = unpack_line<kQuants, 5>(block);
  u[6] = unpack_line<kQuants, 6>(block);
  u[7] = unpack_line<kQuants, 7>(block);
}

inline float32x4_t halves(const uint8_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
inline uint8x8_t bytes4(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, 4);
  return vreinterpret_u8_u32(vdup_n_u32(word));
}
inline float32x4_t signed_bytes(const uint8_t* p) {
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(bytes4(p))))));
}
inline uint32x4_t widened(uint8x8_t v) {
  return vmovl_u16(vget_low_u16(vmovl_u8(v)));
}
inline float32x4_t unsigned_bytes(uint8x8_t v) {
  return vcvtq_f32_u32(widened(v));
}

// s[h], t[h] of the four rows from `first` in block b, whose scales are at p; h counts 16-groups
// where the format has them.
template <Scales kScales>
[[gnu::always_inline]] inline void unpack_scales(const uint8_t* p, int64_t b, int first,
                                                 float32x4_t* s, float32x4_t* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  const int64_t sub = b % kEvery;
  if constexpr (kScales == Scales::kE8M0) {
    const uint32x4_t e = widened(bytes4(p + first));
    const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    const uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x200000), vreinterpretq_s32_u32(e));
    s[0] = vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal));
    return;
  }
  const float32x4_t d = halves(p + 2 * first);
  if constexpr (kScales == Scales::kD) s[0] = d;
  if constexpr (kScales == Scales::kDM) {
    s[0] = d;
    t[0] = halves(p + 32 + 2 * first);
  }
  if constexpr (kScales == Scales::kSuper8)
    s[0] = vmulq_f32(d, signed_bytes(p + 32 + sub * 16 + first));
  if constexpr (kScales == Scales::kSuper16) {
    s[0] = vmulq_f32(d, signed_bytes(p + 32 + sub * 32 + first));
    s[1] = vmulq_f32(d, signed_bytes(p + 32 + sub * 32 + 16 + first));
  }
  if constexpr (kScales == Scales::kSuperM8 || kScales == Scales::kSuperM16) {
    const float32x4_t neg_dmin = vnegq_f32(halves(p + 32 + 2 * first));
    const uint8x8_t one = bytes4(p + 64 + sub * 32 + first);
    const uint8x8_t two = bytes4(p + 64 + sub * 32 + 16 + first);
    if constexpr (kScales == Scales::kSuperM8) {
      s[0] = vmulq_f32(d, unsigned_bytes(one));
      t[0] = vmulq_f32(neg_dmin, unsigned_bytes(two));
    } else {
      const uint8x8_t low = vdup_n_u8(15);
      s[0] = vmulq_f32(d, unsigned_bytes(vand_u8(one, low)));
      s[1] = vmulq_f32(d, unsigned_bytes(vand_u8(two, low)));
      t[0] = vmulq_f32(neg_dmin, unsigned_bytes(vshr_n_u8(one, 4)));
      t[1] = vmulq_f32(neg_dmin, unsigned_bytes(vshr_n_u8(two, 4)));
    }
  }
}

// What a block's scales mean for all columns. An offset is a minimum too: s · (u - o) = s · u + t
// with t = -s · o, exactly. Of 16-groups' minimums: the second, and the first beyond it.
template <PackFormat kFormat>
struct BlockScales {
  static constexpr int kGroups = 32 / group_of(kFormat.scales);
  static constexpr bool kOffset = kFormat.offset_shift != 0 && !is_signed(kFormat.quants);
  static constexpr bool kMin = has_min(kFormat.scales) || kOffset;
  float32x4_t s[2], t[2], t_first;
  [[gnu::always_inline]] inline void load(const uint8_t* scales, int64_t b, int first) {
    unpack_scales<kFormat.scales>(scales, b, first, s, t);
    if constexpr (kOffset)
      for (int h = 0; h < kGroups; ++h)
        t[h] = vmulq_n_f32(s[h], static_cast<float>(-(1 << kFormat.offset_shift)));
    if constexpr (kMin && kGroups == 2) t_first = vsubq_f32(t[0], t[1]);
  }
};

// sum + Σ over four line groups.
inline int32x4_t add_groups(int32x4_t sum, const int8x16_t* u, const int8_t* q) {
  const int8x16_t x = vld1q_s8(q);
  sum = vdotq_laneq_s32(sum, u[0], x, 0);
  sum = vdotq_laneq_s32(sum, u[1], x, 1);
  sum = vdotq_laneq_s32(sum, u[2], x, 2);
  return vdotq_laneq_s32(sum, u[3], x, 3);
}

// Where a block's scale and sums are among the four floats after its bytes.
constexpr int kScale = 0, kSum = 1, kSumFirst = 2;
static_assert(sizeof(ActBlock) >= kBlock + 4 * sizeof(float));

// acc += one block of one column. The order of operations is the batch-invariance contract.
template <PackFormat kFormat>
[[gnu::always_inline]] inline float32x4_t add_block(float32x4_t acc, const ActBlock& x,
                                                    const int8x16_t* u,
                                                    const BlockScales<kFormat>& w) {
  constexpr bool kTwo = BlockScales<kFormat>::kGroups == 2;
  const auto* end = reinterpret_cast<const uint8_t*>(&x) + kBlock;
  const float32x4_t d = vreinterpretq_f32_u8(vld1q_u8(end));
  const int32x4_t first = add_groups(vdupq_n_s32(0), u, x.q);
  if constexpr (kTwo) {
    const float32x4_t one = vcvtq_f32_s32(first);
    const float32x4_t two = vcvtq_f32_s32(add_groups(vdupq_n_s32(0), u + 4, x.q + 16));
    acc = vfmaq_laneq_f32(acc, vmulq_f32(one, w.s[0]), d, kScale);
    acc = vfmaq_laneq_f32(acc, vmulq_f32(two, w.s[1]), d, kScale);
  } else {
    const float32x4_t dot = vcvtq_f32_s32(add_groups(first, u + 4, x.q + 16));
    acc = vfmaq_f32(acc, vmulq_laneq_f32(dot, d, kScale), w.s[0]);
  }
  if constexpr (BlockScales<kFormat>::kMin) {
    acc = vfmaq_laneq_f32(acc, w.t[kTwo], d, kSum);
    if constexpr (kTwo) acc = vfmaq_laneq_f32(acc, w.t_first, d, kSumFirst);
  }
  return acc;
}

template <DType kType>
inline float32x4_t plain_line(const uint8_t* quants, int64_t i) {
  if constexpr (kType == DType::kF32)
    return vld1q_f32(reinterpret_cast<const float*>(quants + i * 4));
  else if constexpr (kType == DType::kF16)
    return halves(quants + i * 2);
  else if constexpr (kType == DType::kBF16)
    return vreinterpretq_f32_u32(
        vshll_n_u16(vld1_u16(reinterpret_cast<const uint16_t*>(quants + i * 2)), 16));
  else
    return signed_bytes(quants + i);
}

// Writes four rows from `first` of each column.
template <int kColumns>
inline void finish(const GemmArgs& args, int first, const float32x4_t* acc) {
  const int64_t rows = args.rows - first;
  const bool whole = rows >= kSliceRows;
  for (int c = 0; c < kColumns; ++c) {
    float* y = args.y + c * args.y_stride + first;
    VecF v = (VecF)acc[c];
    if (args.bias) v += whole ? load(args.bias + first) : load_tail(args.bias + first, rows, 0.0f);
    if (args.add) v = (whole ? load(y) : load_tail(y, rows, 0.0f)) + v;
    if (whole)
      store(y, v);
    else
      store_tail(y, v, rows);
  }
}

// Always inline: see avx512_panel.h.
template <int kBytes>
[[gnu::always_inline]] inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(p + i);
}

// Rows first … first + 4 · kSlices - 1 of the panel.
template <DType kType, int kColumns, int kSlices>
inline void pass(const GemmArgs& args, int first) {
  constexpr PackFormat kFormat = pack_format(kType);
  float32x4_t acc[kSlices][kColumns];
  for (auto& slice : acc)
    for (auto& a : slice) a = vdupq_n_f32(0);
  if constexpr (kFormat.quants != Quants::kNone) {
    const auto* act = static_cast<const ActBlock*>(args.act);
    const uint8_t* fetch = args.panel + kPrefetchAhead;
    for (int64_t at = 0; at < args.n_blocks; ++at) {
      const int64_t b = block_at(args, at);
      const auto* x = act + b * args.act_stride;
      const uint8_t* block = args.panel + quants_at(kFormat, b) + 4 * first;
      if (first == 0) {  // later passes find the panel in the cache
        prefetch<block_bytes(kFormat)>(fetch);
        fetch += block_bytes(kFormat);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kSlices; ++i) {
        int8x16_t u[8];
        BlockScales<kFormat> scales;
        unpack<kFormat.quants>(block + 4 * kSliceRows * i, u);
        scales.load(args.panel + scales_at(kFormat, b), b, first + kSliceRows * i);
#pragma GCC unroll 16
        for (int c = 0; c < kColumns; ++c)
          acc[i][c] = add_block<kFormat>(acc[i][c], x[c], u, scales);
      }
    }
  } else {
    const auto* x = static_cast<const float*>(args.act);
    for (int64_t k = 0; k < args.n_blocks; ++k, x += args.act_stride)
#pragma GCC unroll 4
      for (int i = 0; i < kSlices; ++i) {
        const float32x4_t w =
            plain_line<kType>(args.panel, k * kPanelRows + first + kSliceRows * i);
#pragma GCC unroll 16
        for (int c = 0; c < kColumns; ++c) acc[i][c] = vfmaq_n_f32(acc[i][c], w, x[c]);
      }
  }
  for (int i = 0; i < kSlices && first + kSliceRows * i < args.rows; ++i)
    finish<kColumns>(args, first + kSliceRows * i, acc[i]);
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  // As many sums as fit beside the unpacked weights; what one pass leaves, the next finds in L1.
  constexpr bool kPlain = pack_format(kType).quants == Quants::kNone;
  constexpr int kSums = kPlain ? 16 : 8;
  constexpr int kSlices = kColumns * 4 <= kSums ? 4 : kColumns * 2 <= kSums ? 2 : 1;
  for (int first = 0; first < args.rows; first += kSliceRows * kSlices)
    pass<kType, kColumns, kSlices>(args, first);
}

void to_f16_op(const float* x, int64_t n, uint16_t* y) {
  const VecF limit = splat(65504.0f), low = splat(-65504.0f);
  for (int64_t i = 0; i < n; i += 4) {
    VecF v = n - i >= 4 ? load(x + i) : load_tail(x + i, n - i, 0.0f);
    v = select(v > limit, limit, select(v < low, low, v));  // NaN stays
    const uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v));
    if (n - i >= 4)
      vst1_u16(y + i, h);
    else
      for (int64_t j = 0; j < n - i; ++j) y[i + j] = h[j];
  }
}

}  // namespace

#define XH_TILE_COLUMNS 8
#define XH_TABLE_NAME "neon"
#define XH_TABLE kNeonTable
#define XH_ATTENTION kNeonAttention
#include "compute/cpu/kernels/table_body.h"

// The same products, see docs/performance.md; another attention.
#undef XH_TABLE_NAME
#undef XH_TABLE
#undef XH_ATTENTION
#define XH_TABLE_NAME "neon_i8mm"
#define XH_TABLE kNeonI8mmTable
#define XH_ATTENTION kNeonI8mmAttention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

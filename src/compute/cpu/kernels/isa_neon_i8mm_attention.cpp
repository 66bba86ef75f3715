// 8-bit attention with NEON's matrix instructions (i8mm: Armv8.6, Neoverse V1 and N2 and later).
// usmmla multiplies two unsigned rows of 8 by two signed rows of 8 into 2 × 2 sums: twice a dot
// product's work. Two lines side by side give such rows (zip of 32-bit lanes); columns are taken in
// pairs, and an odd last column is its own partner, whose results are dropped.
#include <arm_neon.h>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/neon_attention_ops.h"

constexpr int pairs_of(int columns) {
  return (columns + 1) / 2;
}
template <int kColumns>
constexpr int partner(int pair) {
  return 2 * pair + 1 < kColumns ? 2 * pair + 1 : 2 * pair;
}

// Rows of 8 from two lines of 4 rows: [0] of rows 0 and 1, [1] of rows 2 and 3.
struct RowPairs {
  uint8x16_t at[2];
};
inline RowPairs row_pairs(const void* line, const void* next) {
  const uint32x4_t a = vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t*>(line)));
  const uint32x4_t b = vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t*>(next)));
  return {{vreinterpretq_u8_u32(vzip1q_u32(a, b)), vreinterpretq_u8_u32(vzip2q_u32(a, b))}};
}

constexpr uint8_t kZeros[16] = {};
// Four bytes, then zeros.
inline int8x8_t four_bytes(const int8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, 4);
  return vcreate_s8(word);
}

constexpr int kSlices = 2;  // of 4 tokens at a time: 8 columns' sums take 16 registers

// sums[slice][token pair][column pair] of the tokens at k, over all dims.
template <int kColumns>
[[gnu::always_inline]] inline void score_tokens(const ScoreArgs& args, const uint8_t* k,
                                                int32x4_t sums[kSlices][2][pairs_of(kColumns)]) {
  int64_t g = 0;
  for (; g + 4 <= args.groups; g += 4) {
    int8x16_t q[pairs_of(kColumns)][2];
    for (int p = 0; p < pairs_of(kColumns); ++p) {
      const int8_t* first = args.q + 2 * p * args.q_stride + 4 * g;
      const int8_t* second = args.q + partner<kColumns>(p) * args.q_stride + 4 * g;
      q[p][0] = vcombine_s8(vld1_s8(first), vld1_s8(second));
      q[p][1] = vcombine_s8(vld1_s8(first + 8), vld1_s8(second + 8));
    }
#pragma GCC unroll 2
    for (int i = 0; i < kSlices; ++i) {
      const uint8_t* line = k + g * 64 + i * 16;
      const RowPairs near = row_pairs(line, line + 64), far = row_pairs(line + 128, line + 192);
      for (int p = 0; p < pairs_of(kColumns); ++p) {
        int32x4_t* low = &sums[i][0][p];
        int32x4_t* high = &sums[i][1][p];
        *low = vusmmlaq_s32(*low, near.at[0], q[p][0]);
        *high = vusmmlaq_s32(*high, near.at[1], q[p][0]);
        *low = vusmmlaq_s32(*low, far.at[0], q[p][1]);
        *high = vusmmlaq_s32(*high, far.at[1], q[p][1]);
      }
    }
  }
  for (; g < args.groups; ++g)  // half of each row is zeros
    for (int p = 0; p < pairs_of(kColumns); ++p) {
      const int8x16_t q =
          vcombine_s8(four_bytes(args.q + 2 * p * args.q_stride + 4 * g),
                      four_bytes(args.q + partner<kColumns>(p) * args.q_stride + 4 * g));
      for (int i = 0; i < kSlices; ++i) {
        const RowPairs rows = row_pairs(k + g * 64 + i * 16, kZeros);
        sums[i][0][p] = vusmmlaq_s32(sums[i][0][p], rows.at[0], q);
        sums[i][1][p] = vusmmlaq_s32(sums[i][1][p], rows.at[1], q);
      }
    }
}

// out: 4 tokens of one column.
inline void write_scores(float* out, int32x4_t sums, float32x4_t token_scale, float q_scale) {
  vst1q_f32(out, vmulq_n_f32(vmulq_f32(vcvtq_f32_s32(sums), token_scale), q_scale));
}

template <int kColumns>
void score(const ScoreArgs& args) {
  constexpr int kPairs = pairs_of(kColumns);
  const int64_t panel = args.groups * 64;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const auto* scales = reinterpret_cast<const float*>(args.pages[page] + 2 * panel);
    if (args.ahead) args.ahead->fetch(2 * args.groups + 2);  // with the scales
    for (int64_t token = 0; token < kPage; token += 4 * kSlices) {
      int32x4_t sums[kSlices][2][kPairs];
      for (int p = 0; p < kPairs; ++p) {
        const int32_t offsets[4] = {args.q_offset[2 * p], args.q_offset[partner<kColumns>(p)],
                                    args.q_offset[2 * p], args.q_offset[partner<kColumns>(p)]};
        for (auto& slice : sums)
          for (auto& tokens : slice) tokens[p] = vld1q_s32(offsets);
      }
      score_tokens<kColumns>(args, args.pages[page] + token / 16 * panel + token % 16 * 4, sums);
      for (int i = 0; i < kSlices; ++i) {
        const float32x4_t scale = vld1q_f32(scales + token + 4 * i);
        for (int p = 0; p < kPairs; ++p) {
          const int c = 2 * p;
          float* out = args.scores + c * kChunk + page * kPage + token + 4 * i;
          write_scores(out, vuzp1q_s32(sums[i][0][p], sums[i][1][p]), scale, args.q_scale[c]);
          if (c + 1 < kColumns)
            write_scores(out + kChunk, vuzp2q_s32(sums[i][0][p], sums[i][1][p]), scale,
                         args.q_scale[c + 1]);
        }
      }
    }
  }
}

// The weights of a page, two columns side by side: rows of 8 tokens, and their scales.
struct PairWeights {
  uint8x16_t tokens[4];
  float32x4_t scale;  // first, first, second, second
};

// All pages, 4 dims at v, which lie `dim` floats into acc.
template <int kColumns>
[[gnu::always_inline]] inline void weigh_dims(
    const WeighArgs& args, const PairWeights weights[kChunkPages][pairs_of(kColumns)],
    int64_t dim) {
  constexpr int kPairs = pairs_of(kColumns);
  const int64_t at = dim / 16 * 512 + dim % 16 * 4;
  float32x4_t acc[2][kPairs];  // of dims 0 and 1, of dims 2 and 3: 2 columns × 2 dims
  for (auto& half : acc)
    for (auto& a : half) a = vdupq_n_f32(0);
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const int8_t* v = args.pages[page] + at;
    RowPairs rows[4];
    for (int g = 0; g < 4; ++g) rows[g] = row_pairs(v + 128 * g, v + 128 * g + 64);
#pragma GCC unroll 12
    for (int p = 0; p < kPairs; ++p) {
      const PairWeights& w = weights[page][p];
      for (int half = 0; half < 2; ++half) {
        int32x4_t sum = vdupq_n_s32(0);
        for (int g = 0; g < 4; ++g)
          sum = vusmmlaq_s32(sum, w.tokens[g], vreinterpretq_s8_u8(rows[g].at[half]));
        acc[half][p] = vfmaq_f32(acc[half][p], vcvtq_f32_s32(sum), w.scale);
      }
    }
  }
  for (int p = 0; p < kPairs; ++p) {
    float* out = args.acc + 2 * p * args.acc_stride + dim;
    vst1q_f32(out, vcombine_f32(vget_low_f32(acc[0][p]), vget_low_f32(acc[1][p])));
    if (2 * p + 1 < kColumns)
      vst1q_f32(out + args.acc_stride,
                vcombine_f32(vget_high_f32(acc[0][p]), vget_high_f32(acc[1][p])));
  }
}

template <int kColumns>
void weigh(const WeighArgs& args) {
  PairWeights weights[kChunkPages][pairs_of(kColumns)];
  for (int64_t page = 0; page < args.n_pages; ++page)
    for (int p = 0; p < pairs_of(kColumns); ++p) {
      const int one = 2 * p, two = partner<kColumns>(p);
      const uint8_t* first = args.p + one * kChunk + page * kPage;
      const uint8_t* second = args.p + two * kChunk + page * kPage;
      for (int g = 0; g < 4; ++g)
        weights[page][p].tokens[g] = vcombine_u8(vld1_u8(first + 8 * g), vld1_u8(second + 8 * g));
      const float* scale = args.p_scale + page * kMaxColumns;
      weights[page][p].scale = vcombine_f32(vdup_n_f32(scale[one]), vdup_n_f32(scale[two]));
    }
  for (int64_t dim = 0; dim < args.panels * 16; dim += 4) {
    if (args.ahead) args.ahead->fetch((2 + (dim == 0 ? 2 : 0)) * args.n_pages);
    weigh_dims<kColumns>(args, weights, dim);
  }
}

}  // namespace

const AttentionKernels kNeonI8mmAttention = {
    8,         12,          XH_COLUMNS(score), XH_COLUMNS(weigh),
    soften_op, hadamard_op, quantise_head_op,  unpack_values_op,
};

}  // namespace xh::cpu

// 8-bit attention with NEON's dot products: a register is 4 tokens (or dims) × 4 dims (or tokens),
// and the other factor is taken from a lane: 16 bytes of it serve four lines.
#include <arm_neon.h>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/neon_attention_ops.h"

constexpr int kSlices = 4;  // of a line

inline int8x16_t signed_line(const uint8_t* p) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
}
inline int8x16_t four_bytes(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

// sums[i][c] += tokens of slice i · q of column c, over four line groups.
template <int kColumns>
[[gnu::always_inline]] inline void score_groups(const uint8_t* k, const int8x16_t* q,
                                                int32x4_t sums[kSlices][kColumns]) {
#pragma GCC unroll 4
  for (int i = 0; i < kSlices; ++i) {
    int8x16_t lines[4];
    for (int g = 0; g < 4; ++g) lines[g] = signed_line(k + g * 64 + i * 16);
#pragma GCC unroll 12
    for (int c = 0; c < kColumns; ++c) {
      int32x4_t sum = vdotq_laneq_s32(sums[i][c], lines[0], q[c], 0);
      sum = vdotq_laneq_s32(sum, lines[1], q[c], 1);
      sum = vdotq_laneq_s32(sum, lines[2], q[c], 2);
      sums[i][c] = vdotq_laneq_s32(sum, lines[3], q[c], 3);
    }
  }
}

template <int kColumns>
void score(const ScoreArgs& args) {
  const int64_t panel = args.groups * 64;
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const auto* scales = reinterpret_cast<const float*>(args.pages[page] + 2 * panel);
    for (int64_t half = 0; half < 2; ++half) {
      const uint8_t* k = args.pages[page] + half * panel;
      int32x4_t sums[kSlices][kColumns];
      for (auto& slice : sums)
        for (auto& sum : slice) sum = vdupq_n_s32(0);
      int64_t g = 0;
      for (; g + 4 <= args.groups; g += 4) {
        if (args.ahead) args.ahead->fetch(4);
        int8x16_t q[kColumns];
        for (int c = 0; c < kColumns; ++c) q[c] = vld1q_s8(args.q + c * args.q_stride + 4 * g);
        score_groups<kColumns>(k + g * 64, q, sums);
      }
      for (; g < args.groups; ++g)
        for (int i = 0; i < kSlices; ++i) {
          const int8x16_t line = signed_line(k + g * 64 + i * 16);
          for (int c = 0; c < kColumns; ++c)
            sums[i][c] =
                vdotq_s32(sums[i][c], line, four_bytes(args.q + c * args.q_stride + 4 * g));
        }
      if (args.ahead) args.ahead->fetch(1);  // for the scales
      for (int i = 0; i < kSlices; ++i) {
        const int64_t token = half * 16 + i * 4;
        const float32x4_t scale = vld1q_f32(scales + token);
        for (int c = 0; c < kColumns; ++c)
          vst1q_f32(args.scores + c * kChunk + page * kPage + token,
                    vmulq_n_f32(vmulq_f32(vcvtq_f32_s32(sums[i][c]), scale), args.q_scale[c]));
      }
    }
  }
}

// Both factors must be unsigned or both signed: values move up to 0 … 128, and what that adds,
// kValueLimit · Σ weights, is where the sums start from below.
template <int kColumns>
void weigh(const WeighArgs& args) {
  uint32x4_t start[kChunkPages][kColumns];
  for (int64_t page = 0; page < args.n_pages; ++page)
    for (int c = 0; c < kColumns; ++c) {
      const uint8_t* p = args.p + c * kChunk + page * kPage;
      const uint32_t total = vaddlvq_u8(vld1q_u8(p)) + vaddlvq_u8(vld1q_u8(p + 16));
      start[page][c] = vdupq_n_u32(0u - total * kValueLimit);
    }
  const int8x16_t up = vdupq_n_s8(kValueLimit);
  for (int64_t d = 0; d < args.panels; ++d)
    for (int i = 0; i < kSlices; ++i) {
      float32x4_t acc[kColumns];
      for (auto& a : acc) a = vdupq_n_f32(0);
      for (int64_t page = 0; page < args.n_pages; ++page) {
        const int8_t* v = args.pages[page] + d * 512 + i * 16;
        if (args.ahead) args.ahead->fetch(2 + (d == 0 && i == 0 ? 2 : 0));  // with the scales
        uint8x16_t lines[8];
        for (int g = 0; g < 8; ++g)
          lines[g] = vreinterpretq_u8_s8(vaddq_s8(vld1q_s8(v + g * 64), up));
#pragma GCC unroll 12
        for (int c = 0; c < kColumns; ++c) {
          const uint8_t* p = args.p + c * kChunk + page * kPage;
          const uint8x16_t first = vld1q_u8(p), second = vld1q_u8(p + 16);
          uint32x4_t sum = vdotq_laneq_u32(start[page][c], lines[0], first, 0);
          sum = vdotq_laneq_u32(sum, lines[1], first, 1);
          sum = vdotq_laneq_u32(sum, lines[2], first, 2);
          sum = vdotq_laneq_u32(sum, lines[3], first, 3);
          sum = vdotq_laneq_u32(sum, lines[4], second, 0);
          sum = vdotq_laneq_u32(sum, lines[5], second, 1);
          sum = vdotq_laneq_u32(sum, lines[6], second, 2);
          sum = vdotq_laneq_u32(sum, lines[7], second, 3);
          acc[c] = vfmaq_n_f32(acc[c], vcvtq_f32_s32(vreinterpretq_s32_u32(sum)),
                               args.p_scale[page * kMaxColumns + c]);
        }
      }
      for (int c = 0; c < kColumns; ++c)
        vst1q_f32(args.acc + c * args.acc_stride + d * 16 + i * 4, acc[c]);
    }
}

}  // namespace

// More than four columns of scores would spill; sums of values are few.
const AttentionKernels kNeonAttention = {
    4,         12,          XH_COLUMNS(score), XH_COLUMNS(weigh),
    soften_op, hadamard_op, quantise_head_op,  unpack_values_op,
};

}  // namespace xh::cpu

// 8-bit attention in plain C++: runs everywhere, and says what the fast files must compute.
#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#define XH_LANES 4
#define XH_VECTORS_ONLY
#include "compute/cpu/kernels/vector_ops.h"

inline VecF fma_of(VecF a, VecF b, VecF c) {
  return a * b + c;
}
inline VecF larger_of(VecF a, VecF b) {
  return max_of(a, b);
}
inline void store_low_bytes(uint8_t* to, VecI v) {
  for (int i = 0; i < XH_LANES; ++i) to[i] = static_cast<uint8_t>(v[i]);
}
inline void store_page(uint8_t* to, const VecI* v) {
  for (int i = 0; i < kPage / XH_LANES; ++i) store_low_bytes(to + i * XH_LANES, v[i]);
}
#include "compute/cpu/kernels/attention_ops.h"

template <int kColumns>
void score(const ScoreArgs& args) {
  for (int64_t page = 0; page < args.n_pages; ++page) {
    const uint8_t* k = args.pages[page];
    const auto* scales = reinterpret_cast<const float*>(k + args.groups * 128);
    for (int c = 0; c < kColumns; ++c) {
      const int8_t* q = args.q + c * args.q_stride;
      int32_t sums[kPage];
      for (int64_t t = 0; t < kPage; ++t) sums[t] = args.q_offset[c];
      for (int64_t panel = 0; panel < 2; ++panel)
        for (int64_t g = 0; g < args.groups; ++g) {
          const uint8_t* line = k + (panel * args.groups + g) * 64;
          for (int64_t i = 0; i < 64; ++i) sums[panel * 16 + i / 4] += line[i] * q[4 * g + i % 4];
        }
      float* out = args.scores + c * kChunk + page * kPage;
      for (int64_t t = 0; t < kPage; ++t)
        out[t] = static_cast<float>(sums[t]) * scales[t] * args.q_scale[c];
    }
  }
}

template <int kColumns>
void weigh(const WeighArgs& args) {
  for (int c = 0; c < kColumns; ++c) {
    for (int64_t panel = 0; panel < args.panels; ++panel) {
      float acc[16] = {};
      for (int64_t page = 0; page < args.n_pages; ++page) {
        const int8_t* v = args.pages[page] + panel * 512;
        const uint8_t* p = args.p + c * kChunk + page * kPage;
        int32_t sums[16] = {};
        for (int64_t g = 0; g < 8; ++g)
          for (int64_t i = 0; i < 64; ++i) sums[i / 4] += v[g * 64 + i] * p[4 * g + i % 4];
        for (int64_t d = 0; d < 16; ++d)
          acc[d] += static_cast<float>(sums[d]) * args.p_scale[page * kMaxColumns + c];
      }
      float* out = args.acc + c * args.acc_stride + panel * 16;
      for (int64_t d = 0; d < 16; ++d) out[d] = acc[d];
    }
  }
}

}  // namespace

const AttentionKernels kGenericAttention = {
    4,         4,           XH_COLUMNS(score), XH_COLUMNS(weigh),
    soften_op, hadamard_op, quantise_head_op,  unpack_values_op,
};

}  // namespace xh::cpu

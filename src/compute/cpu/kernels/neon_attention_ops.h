// Vectors, and what attention_ops.h makes of them, for both NEON levels. Included by their
// attention files inside the anonymous namespace.
#define XH_LANES 4
#define XH_VECTORS_ONLY
#include "compute/cpu/kernels/vector_ops.h"

inline VecF fma_of(VecF a, VecF b, VecF c) {
  return (VecF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
inline VecF larger_of(VecF a, VecF b) {  // b where either is NaN
  return max_of(a, b);
}
inline void store_low_bytes(uint8_t* to, VecI v) {
  const uint16x4_t halves = vmovn_u32((uint32x4_t)v);
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(halves, halves));
  const uint32_t word = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  __builtin_memcpy(to, &word, sizeof word);
}
inline void store_page(uint8_t* to, const VecI* v) {
  static_assert(kPage == 32 && XH_LANES == 4);
  for (int i = 0; i < 8; i += 4) {
    const uint16x8_t low = vuzp1q_u16((uint16x8_t)v[i], (uint16x8_t)v[i + 1]);
    const uint16x8_t high = vuzp1q_u16((uint16x8_t)v[i + 2], (uint16x8_t)v[i + 3]);
    vst1q_u8(to + 4 * i, vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)));
  }
}
#include "compute/cpu/kernels/attention_ops.h"

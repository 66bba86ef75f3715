// Exact scalar conversions between float32 and the small float formats of model files.
// Internal linkage on purpose: files compiled for one instruction set may include this header
// without the linker sharing their copy with everyone.
#pragma once

#include <cstdint>

namespace xh {

// IEEE 754 binary16 → float32. Exact for every input; NaN payloads are kept.
static inline float fp16_to_float(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  uint32_t exponent = (h >> 10) & 0x1fu;
  uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0x1f) return __builtin_bit_cast(float, sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0)
    return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (mantissa << 13));
  // Zero and subnormals: mantissa · 2^-24, which float32 holds exactly.
  float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, magnitude));
}

// float32 → binary16, round to nearest, ties to even. Overflow gives infinity, NaN stays a NaN.
static inline uint16_t float_to_fp16(float value) {
  uint32_t bits = __builtin_bit_cast(uint32_t, value);
  uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {  // NaN: made quiet, top payload bits kept
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // ≥ 65520
  if (magnitude >= 0x38800000u) {  // normal: drop 13 bits, rounding may carry into the exponent
    uint32_t rebased = magnitude - (112u << 23);
    uint32_t rounded = rebased + 0xfffu + ((rebased >> 13) & 1u);
    return static_cast<uint16_t>(sign | (rounded >> 13));
  }
  if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);  // below half of 2^-24
  // Subnormal: the integer nearest to value · 2^24.
  uint32_t exponent = magnitude >> 23;
  uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  uint32_t shift = 126 - exponent;  // 14…24
  uint32_t kept = mantissa >> shift;
  uint32_t rest = mantissa & ((1u << shift) - 1);
  uint32_t half = 1u << (shift - 1);
  if (rest > half || (rest == half && (kept & 1u))) ++kept;
  return static_cast<uint16_t>(sign | kept);
}

// bfloat16 is the upper half of a float32.
static inline float bf16_to_float(uint16_t b) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(b) << 16);
}

// float32 → bfloat16, round to nearest, ties to even; NaN stays a (quiet) NaN.
static inline uint16_t float_to_bf16(float value) {
  uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Half of an E8M0 scale: 2^(e - 128). MXFP4 stores its values doubled, so that they are integers.
// e = 255 is NaN in the OCP specification; files in the wild treat it as one more power of two,
// and so do we.
static inline float e8m0_half_to_float(uint8_t e) {
  uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

}  // namespace xh

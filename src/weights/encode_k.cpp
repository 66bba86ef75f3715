// Formats with blocks of 256 values. Sub-blocks are fitted on their own; their scales are then
// stored as small integers under one fp16 scale, and the values rounded against what was stored.
#include <algorithm>
#include <cmath>

#include "tensor/float16.h"
#include "weights/encode_block.h"
#include "weights/fit_scale.h"

namespace xh {
namespace {

constexpr float kHalfMax = 65504.0f;

uint16_t to_half(float x) {
  return float_to_fp16(std::clamp(x, -kHalfMax, kHalfMax));
}

float inverse_of(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Signed sub-block scales as integers lo…hi under d: the scale of largest magnitude gets the
// longer, negative end.
template <int kSubBlocks>
struct SignedScales {
  uint16_t d = 0;
  int scale[kSubBlocks] = {};
  float effective[kSubBlocks] = {};  // what a decoder will use

  SignedScales(const float* fitted, int lo, int hi) {
    float extreme = 0;
    for (int j = 0; j < kSubBlocks; ++j)
      if (std::fabs(fitted[j]) > std::fabs(extreme)) extreme = fitted[j];
    d = to_half(extreme / static_cast<float>(lo));
    const float stored = fp16_to_float(d);
    const float inverse = inverse_of(stored);
    for (int j = 0; j < kSubBlocks; ++j) {
      scale[j] = inverse == 0 ? 0 : round_clamped(fitted[j] * inverse, lo, hi);
      effective[j] = stored * static_cast<float>(scale[j]);
    }
  }
};

// Unsigned scales and minimums as integers 0…hi under d and dmin.
template <int kSubBlocks>
struct UnsignedScales {
  uint16_t d = 0;
  uint16_t dmin = 0;
  int scale[kSubBlocks] = {};
  int min[kSubBlocks] = {};
  float effective_scale[kSubBlocks] = {};
  float effective_min[kSubBlocks] = {};

  UnsignedScales(const ScaleMin* fitted, int hi) {
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < kSubBlocks; ++j) {
      max_scale = std::max(max_scale, fitted[j].scale);
      max_min = std::max(max_min, fitted[j].min);
    }
    d = to_half(max_scale / static_cast<float>(hi));
    dmin = to_half(max_min / static_cast<float>(hi));
    const float stored = fp16_to_float(d), stored_min = fp16_to_float(dmin);
    const float inverse = inverse_of(stored), inverse_min = inverse_of(stored_min);
    for (int j = 0; j < kSubBlocks; ++j) {
      scale[j] = round_clamped(fitted[j].scale * inverse, 0, hi);
      min[j] = round_clamped(fitted[j].min * inverse_min, 0, hi);
      effective_scale[j] = stored * static_cast<float>(scale[j]);
      effective_min[j] = stored_min * static_cast<float>(min[j]);
    }
  }
};

// Q4_K and Q5_K: 8 sub-blocks of 32; q[i] in 0…hi.
UnsignedScales<8> fit_8x32(const float* x, int hi, uint8_t packed[12], int* q) {
  ScaleMin fitted[8];
  for (int j = 0; j < 8; ++j) fitted[j] = fit_scale_min({x + 32 * j, 32}, hi, true);
  UnsignedScales<8> s(fitted, 63);
  ScalesAndMins stored;
  for (int j = 0; j < 8; ++j) {
    stored.scale[j] = static_cast<uint8_t>(s.scale[j]);
    stored.min[j] = static_cast<uint8_t>(s.min[j]);
    const float inverse = inverse_of(s.effective_scale[j]);
    for (int i = 32 * j; i < 32 * j + 32; ++i)
      q[i] = round_clamped((x[i] + s.effective_min[j]) * inverse, 0, hi);
  }
  pack_scales(stored, packed);
  return s;
}

// Two bits of value i, as Q2_K and Q3_K lay them out.
void put_two_bits(uint8_t* qs, int i, int q) {
  uint8_t& byte = qs[i / 128 * 32 + i % 32];
  byte = static_cast<uint8_t>(byte | (q & 3) << (i / 32 % 4 * 2));
}

}  // namespace

void encode_block(const float* x, BlockQ2_K& block) {
  block = {};
  ScaleMin fitted[16];
  for (int j = 0; j < 16; ++j) fitted[j] = fit_scale_min({x + 16 * j, 16}, 3, true);
  const UnsignedScales<16> s(fitted, 15);
  block.d = s.d;
  block.dmin = s.dmin;
  for (int j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<uint8_t>(s.scale[j] | s.min[j] << 4);
    const float inverse = inverse_of(s.effective_scale[j]);
    for (int i = 16 * j; i < 16 * j + 16; ++i)
      put_two_bits(block.qs, i, round_clamped((x[i] + s.effective_min[j]) * inverse, 0, 3));
  }
}

void encode_block(const float* x, BlockQ3_K& block) {
  block = {};
  float fitted[16];
  for (int j = 0; j < 16; ++j) fitted[j] = fit_symmetric({x + 16 * j, 16}, -4, 3);
  const SignedScales<16> s(fitted, -32, 31);
  block.d = s.d;
  for (int j = 0; j < 16; ++j) {
    const int stored = s.scale[j] + 32;
    block.scales[j % 8] =
        static_cast<uint8_t>(block.scales[j % 8] | (stored & 15) << (j < 8 ? 0 : 4));
    uint8_t& high = block.scales[8 + j % 4];
    high = static_cast<uint8_t>(high | (stored >> 4) << (j / 4 * 2));
    const float inverse = inverse_of(s.effective[j]);
    for (int i = 16 * j; i < 16 * j + 16; ++i) {
      const int q = round_clamped(x[i] * inverse, -4, 3) + 4;
      put_two_bits(block.qs, i, q);
      block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | (q >> 2) << (i / 32));
    }
  }
}

void encode_block(const float* x, BlockQ4_K& block) {
  block = {};
  int q[256];
  const auto s = fit_8x32(x, 15, block.scales, q);
  block.d = s.d;
  block.dmin = s.dmin;
  for (int i = 0; i < 256; ++i) {
    uint8_t& byte = block.qs[i / 64 * 32 + i % 32];
    byte = static_cast<uint8_t>(byte | q[i] << (i / 32 % 2 * 4));
  }
}

void encode_block(const float* x, BlockQ5_K& block) {
  block = {};
  int q[256];
  const auto s = fit_8x32(x, 31, block.scales, q);
  block.d = s.d;
  block.dmin = s.dmin;
  for (int i = 0; i < 256; ++i) {
    uint8_t& byte = block.qs[i / 64 * 32 + i % 32];
    byte = static_cast<uint8_t>(byte | (q[i] & 15) << (i / 32 % 2 * 4));
    block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | (q[i] >> 4) << (i / 32));
  }
}

void encode_block(const float* x, BlockQ6_K& block) {
  block = {};
  float fitted[16];
  for (int j = 0; j < 16; ++j) fitted[j] = fit_symmetric({x + 16 * j, 16}, -32, 31);
  const SignedScales<16> s(fitted, -128, 127);
  block.d = s.d;
  for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(s.scale[j]);
  for (int i = 0; i < 256; ++i) {
    const float inverse = inverse_of(s.effective[i / 16]);
    const int q = round_clamped(x[i] * inverse, -32, 31) + 32;
    const int half = i / 128, group = i / 32 % 4, l = i % 32;
    uint8_t& low = block.ql[64 * half + 32 * (group % 2) + l];
    low = static_cast<uint8_t>(low | (q & 15) << (group / 2 * 4));
    uint8_t& high = block.qh[32 * half + l];
    high = static_cast<uint8_t>(high | (q >> 4) << (2 * group));
  }
}

void encode_block(const float* x, BlockIQ4_XS& block) {
  block = {};
  float fitted[8];
  for (int j = 0; j < 8; ++j) fitted[j] = fit_table({x + 32 * j, 32}, kIq4Table);
  const SignedScales<8> s(fitted, -32, 31);
  block.d = s.d;
  for (int j = 0; j < 8; ++j) {
    const int stored = s.scale[j] + 32;
    block.scales_l[j / 2] =
        static_cast<uint8_t>(block.scales_l[j / 2] | (stored & 15) << (j % 2 * 4));
    block.scales_h = static_cast<uint16_t>(block.scales_h | (stored >> 4) << (2 * j));
    const float inverse = inverse_of(s.effective[j]);
    for (int i = 0; i < 32; ++i) {
      const int q = nearest_in_table(x[32 * j + i] * inverse, kIq4Table);
      uint8_t& byte = block.qs[16 * j + i % 16];
      byte = static_cast<uint8_t>(byte | q << (i < 16 ? 0 : 4));
    }
  }
}

}  // namespace xh

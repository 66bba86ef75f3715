// Formats with blocks of 32 values: fit the scale, round it to how it is stored, then round the
// values against the stored scale.
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

// 1 / d, or 0 for a block whose scale vanished.
float inverse_of(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Value i goes to the low half of byte i % 16 for i < 16, else to its high half.
void put_nibble(uint8_t* qs, int i, int q) {
  qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | (q & 15) << (i < 16 ? 0 : 4));
}

void put_fifth_bit(uint8_t* qh, int i, int q) {
  qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | (q >> 4 & 1) << (i % 8));
}

}  // namespace

void encode_block(const float* x, BlockQ4_0& block) {
  block = {};
  block.d = to_half(fit_symmetric({x, 32}, -8, 7));
  const float inverse = inverse_of(fp16_to_float(block.d));
  for (int i = 0; i < 32; ++i) put_nibble(block.qs, i, round_clamped(x[i] * inverse, -8, 7) + 8);
}

void encode_block(const float* x, BlockQ4_1& block) {
  block = {};
  const ScaleMin fit = fit_scale_min({x, 32}, 15, false);
  block.d = to_half(fit.scale);
  block.m = to_half(-fit.min);
  const float inverse = inverse_of(fp16_to_float(block.d));
  const float m = fp16_to_float(block.m);
  for (int i = 0; i < 32; ++i) put_nibble(block.qs, i, round_clamped((x[i] - m) * inverse, 0, 15));
}

void encode_block(const float* x, BlockQ5_0& block) {
  block = {};
  block.d = to_half(fit_symmetric({x, 32}, -16, 15));
  const float inverse = inverse_of(fp16_to_float(block.d));
  for (int i = 0; i < 32; ++i) {
    const int q = round_clamped(x[i] * inverse, -16, 15) + 16;
    put_nibble(block.qs, i, q);
    put_fifth_bit(block.qh, i, q);
  }
}

void encode_block(const float* x, BlockQ5_1& block) {
  block = {};
  const ScaleMin fit = fit_scale_min({x, 32}, 31, false);
  block.d = to_half(fit.scale);
  block.m = to_half(-fit.min);
  const float inverse = inverse_of(fp16_to_float(block.d));
  const float m = fp16_to_float(block.m);
  for (int i = 0; i < 32; ++i) {
    const int q = round_clamped((x[i] - m) * inverse, 0, 31);
    put_nibble(block.qs, i, q);
    put_fifth_bit(block.qh, i, q);
  }
}

void encode_block(const float* x, BlockQ8_0& block) {
  float amax = 0;
  for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[i]));
  block.d = to_half(amax / 127.0f);
  const float inverse = inverse_of(fp16_to_float(block.d));
  for (int i = 0; i < 32; ++i)
    block.qs[i] = static_cast<int8_t>(round_clamped(x[i] * inverse, -127, 127));
}

void encode_block(const float* x, BlockIQ4_NL& block) {
  block = {};
  block.d = to_half(fit_table({x, 32}, kIq4Table));
  const float inverse = inverse_of(fp16_to_float(block.d));
  for (int i = 0; i < 32; ++i) put_nibble(block.qs, i, nearest_in_table(x[i] * inverse, kIq4Table));
}

// The scale is a power of two, so the few candidates around the right one are simply tried.
void encode_block(const float* x, BlockMXFP4& block) {
  float amax = 0;
  for (int i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(x[i]));
  // The largest entry, 12 · 2^(e - 128), should be near amax.
  const int guess = amax > 0 ? std::ilogb(amax) - 3 + 128 : 0;
  double best_error = INFINITY;
  for (int e = std::clamp(guess - 1, 0, 254); e <= std::clamp(guess + 1, 0, 254); ++e) {
    BlockMXFP4 trial{.e = static_cast<uint8_t>(e), .qs = {}};
    const float d = e8m0_half_to_float(trial.e);
    double error = 0;
    for (int i = 0; i < 32; ++i) {
      int best = 0;
      for (int q = 1; q < 16; ++q)
        if (std::fabs(x[i] - d * kMxfp4Table[q]) < std::fabs(x[i] - d * kMxfp4Table[best]))
          best = q;
      put_nibble(trial.qs, i, best);
      const double miss = x[i] - static_cast<double>(d) * kMxfp4Table[best];
      error += miss * miss;
    }
    if (error < best_error) best_error = error, block = trial;
  }
}

}  // namespace xh

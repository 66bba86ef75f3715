// Plain C++ over the packed layout: runs everywhere, and says what the fast files must compute.
#include <cstring>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 4
#include "compute/cpu/kernels/vector_ops.h"

float half_to_float(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent != 0) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    float subnormal = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
    memcpy(&bits, &subnormal, 4);
    bits |= sign;
  }
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

float bits_to_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

float read_half(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return half_to_float(h);
}

// The unsigned value of row r at k = 4g + j of a block.
template <Quants kQuants>
int unpack(const uint8_t* block, int r, int g, int j) {
  int at = 4 * r + j;
  auto nibble = [&] { return (block[(g & 3) * 64 + at] >> (g < 4 ? 0 : 4)) & 15; };
  auto pair = [&](int base) { return (block[base + (g >> 2) * 64 + at] >> (2 * (g & 3))) & 3; };
  auto bit = [&](int base) { return (block[base + at] >> g) & 1; };
  if constexpr (kQuants == Quants::kU2) return pair(0);
  if constexpr (kQuants == Quants::kU3) return pair(0) | bit(128) << 2;
  if constexpr (kQuants == Quants::kU4) return nibble();
  if constexpr (kQuants == Quants::kU5) return nibble() | bit(256) << 4;
  if constexpr (kQuants == Quants::kU6) return nibble() | pair(256) << 4;
  if constexpr (kQuants == Quants::kLutIq4) return kLutIq4[nibble()];
  if constexpr (kQuants == Quants::kLutFp4) return kLutFp4[nibble()];
  return block[g * 64 + at];
}

// s and t of row r, half h (16-groups) of block b, whose scales are at p.
template <Scales kScales>
void unpack_scale(const uint8_t* p, int64_t b, int h, int r, float* s, float* t) {
  constexpr int kEvery = blocks_per_scale(kScales);
  int sub = static_cast<int>(b % kEvery);
  *t = 0;
  if constexpr (kScales == Scales::kE8M0) {
    uint32_t e = p[r];
    *s = bits_to_float(e >= 2 ? (e - 1) << 23 : 0x200000u << e);
    return;
  }
  float d = read_half(p + 2 * r);
  if constexpr (kScales == Scales::kD) *s = d;
  if constexpr (kScales == Scales::kDM) *s = d, *t = read_half(p + 32 + 2 * r);
  if constexpr (kScales == Scales::kSuper8)
    *s = d * static_cast<float>(static_cast<int8_t>(p[32 + sub * 16 + r]));
  if constexpr (kScales == Scales::kSuper16)
    *s = d * static_cast<float>(static_cast<int8_t>(p[32 + (sub * 2 + h) * 16 + r]));
  if constexpr (kScales == Scales::kSuperM8) {
    *s = d * static_cast<float>(p[64 + sub * 32 + r]);
    *t = -read_half(p + 32 + 2 * r) * static_cast<float>(p[64 + sub * 32 + 16 + r]);
  }
  if constexpr (kScales == Scales::kSuperM16) {
    int both = p[64 + (sub * 2 + h) * 16 + r];
    *s = d * static_cast<float>(both & 15);
    *t = -read_half(p + 32 + 2 * r) * static_cast<float>(both >> 4);
  }
}

void finish(const GemmArgs& args, int column, int row, float sum) {
  float* y = args.y + column * args.y_stride + row;
  if (args.bias) sum = sum + args.bias[row];
  *y = args.add ? *y + sum : sum;
}

template <DType kType>
float dot_quantised(const GemmArgs& args, int c, int r) {
  constexpr PackFormat kFormat = pack_format(kType);
  constexpr int kGroups = 32 / group_of(kFormat.scales);
  float sum = 0;
  for (int64_t i = 0; i < args.n_blocks; ++i) {
    const int64_t b = block_at(args, i);
    const uint8_t* block = args.panel + quants_at(kFormat, b);
    const uint8_t* scales = args.panel + scales_at(kFormat, b);
    const ActBlock& x = static_cast<const ActBlock*>(args.act)[b * args.act_stride + c];
    for (int h = 0; h < 2; ++h) {
      int32_t dot = 0;
      for (int g = 4 * h; g < 4 * h + 4; ++g)
        for (int j = 0; j < 4; ++j) dot += unpack<kFormat.quants>(block, r, g, j) * x.q[4 * g + j];
      float s, t;
      unpack_scale<kFormat.scales>(scales, b, kGroups == 1 ? 0 : h, r, &s, &t);
      if (kFormat.offset_shift != 0) t = -s * static_cast<float>(1 << kFormat.offset_shift);
      sum += static_cast<float>(dot) * s * x.d;
      sum += t * (h == 0 ? x.d_sum_first : x.d_sum - x.d_sum_first);
    }
  }
  return sum;
}

template <DType kType>
float plain_value(const uint8_t* quants, int64_t i) {
  float f;
  if constexpr (kType == DType::kF32) {
    memcpy(&f, quants + 4 * i, 4);
  } else if constexpr (kType == DType::kF16) {
    f = read_half(quants + 2 * i);
  } else if constexpr (kType == DType::kBF16) {
    uint16_t h;
    memcpy(&h, quants + 2 * i, 2);
    f = bits_to_float(static_cast<uint32_t>(h) << 16);
  } else {
    f = static_cast<float>(static_cast<int8_t>(quants[i]));
  }
  return f;
}

template <DType kType>
float dot_plain(const GemmArgs& args, int c, int r) {
  float sum = 0;
  const float* x = static_cast<const float*>(args.act) + c;
  for (int64_t k = 0; k < args.n_blocks; ++k)
    sum += plain_value<kType>(args.panel, k * kPanelRows + r) * x[k * args.act_stride];
  return sum;
}

template <DType kType, int kColumns>
void gemm(const GemmArgs& args) {
  for (int c = 0; c < kColumns; ++c) {
    for (int r = 0; r < args.rows; ++r) {
      if constexpr (pack_format(kType).quants != Quants::kNone)
        finish(args, c, r, dot_quantised<kType>(args, c, r));
      else
        finish(args, c, r, dot_plain<kType>(args, c, r));
    }
  }
}

void to_f16_op(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
    uint32_t half;
    if (magnitude > 0x7f800000) {
      half = 0x7e00;
    } else if (magnitude >= 0x477fe000) {  // 65504 and beyond
      half = 0x7bff;
    } else if (magnitude < 0x38800000) {  // subnormal half: adding 0.5 leaves units of 2^-24
      float value = bits_to_float(magnitude) + 0.5f;
      memcpy(&half, &value, 4);
      half -= 0x3f000000;
    } else {
      half = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    }
    y[i] = static_cast<uint16_t>(sign | half);
  }
}

}  // namespace

#define XH_TILE_COLUMNS 8
#define XH_TABLE_NAME "generic"
#define XH_TABLE kGenericTable
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

#include "compute/cpu/unpack_source.h"

#include <cstring>

#include "base/check.h"
#include "tensor/formats/blocks.h"

namespace xh::cpu {
namespace {

template <class Block>
Block read(const std::byte* data) {
  Block block;
  std::memcpy(&block, data, sizeof block);
  return block;
}

// Value i in the low half of byte i, value i + n in its high half.
void nibbles(const uint8_t* qs, int n, uint8_t* u) {
  for (int i = 0; i < n; ++i) {
    u[i] = qs[i] & 15;
    u[i + n] = qs[i] >> 4;
  }
}

void fifth_bits(const uint8_t qh[4], uint8_t* u) {
  for (int i = 0; i < 32; ++i)
    u[i] = static_cast<uint8_t>(u[i] | ((qh[i / 8] >> (i % 8)) & 1) << 4);
}

void low_pairs(const uint8_t qs[64], uint8_t* u) {
  for (int i = 0; i < 256; ++i) {
    int half = i / 128, shift = i / 32 % 4 * 2;
    u[i] = (qs[half * 32 + i % 32] >> shift) & 3;
  }
}

void unpack(const BlockQ3_K& b, SourceBlock& out) {
  out.d = b.d;
  low_pairs(b.qs, out.u);
  for (int i = 0; i < 256; ++i)
    out.u[i] = static_cast<uint8_t>(out.u[i] | ((b.hmask[i % 32] >> (i / 32)) & 1) << 2);
  for (int j = 0; j < 16; ++j) {
    int low = (b.scales[j % 8] >> (j < 8 ? 0 : 4)) & 15;
    int high = (b.scales[8 + j % 4] >> (j / 4 * 2)) & 3;
    out.scale[j] = static_cast<uint8_t>((low | high << 4) - 32);
  }
}

// Q4_K and Q5_K share all but the fifth bits.
template <class Block>
void unpack_k(const Block& b, SourceBlock& out) {
  out.d = b.d;
  out.m = b.dmin;
  for (int c = 0; c < 4; ++c) nibbles(b.qs + 32 * c, 32, out.u + 64 * c);
  ScalesAndMins sub = unpack_scales(b.scales);
  for (int j = 0; j < 8; ++j) {
    out.scale[j] = sub.scale[j];
    out.min[j] = sub.min[j];
  }
}

void unpack(const BlockQ6_K& b, SourceBlock& out) {
  out.d = b.d;
  std::memcpy(out.scale, b.scales, 16);
  for (int i = 0; i < 256; ++i) {
    int half = i / 128, g = i / 32 % 4, l = i % 32;
    int low = (b.ql[64 * half + 32 * (g % 2) + l] >> (g < 2 ? 0 : 4)) & 15;
    int high = (b.qh[32 * half + l] >> (2 * g)) & 3;
    out.u[i] = static_cast<uint8_t>(low | high << 4);
  }
}

void unpack(const BlockIQ4_XS& b, SourceBlock& out) {
  out.d = b.d;
  for (int j = 0; j < 8; ++j) {
    nibbles(b.qs + 16 * j, 16, out.u + 32 * j);
    int low = (b.scales_l[j / 2] >> (j % 2 * 4)) & 15;
    int high = (b.scales_h >> (2 * j)) & 3;
    out.scale[j] = static_cast<uint8_t>((low | high << 4) - 32);
  }
}

}  // namespace

void unpack_source(DType type, const std::byte* data, SourceBlock& out) {
  switch (type) {
    case DType::kQ4_0: {
      auto b = read<BlockQ4_0>(data);
      out.d = b.d;
      return nibbles(b.qs, 16, out.u);
    }
    case DType::kQ4_1: {
      auto b = read<BlockQ4_1>(data);
      out.d = b.d;
      out.m = b.m;
      return nibbles(b.qs, 16, out.u);
    }
    case DType::kQ5_0: {
      auto b = read<BlockQ5_0>(data);
      out.d = b.d;
      nibbles(b.qs, 16, out.u);
      return fifth_bits(b.qh, out.u);
    }
    case DType::kQ5_1: {
      auto b = read<BlockQ5_1>(data);
      out.d = b.d;
      out.m = b.m;
      nibbles(b.qs, 16, out.u);
      return fifth_bits(b.qh, out.u);
    }
    case DType::kQ8_0: {
      auto b = read<BlockQ8_0>(data);
      out.d = b.d;
      for (int i = 0; i < 32; ++i) out.u[i] = static_cast<uint8_t>(b.qs[i] + 128);
      return;
    }
    case DType::kQ2_K: {
      auto b = read<BlockQ2_K>(data);
      out.d = b.d;
      out.m = b.dmin;
      std::memcpy(out.scale, b.scales, 16);  // scale and minimum stay in one byte
      return low_pairs(b.qs, out.u);
    }
    case DType::kQ3_K: return unpack(read<BlockQ3_K>(data), out);
    case DType::kQ4_K: return unpack_k(read<BlockQ4_K>(data), out);
    case DType::kQ5_K: {
      auto b = read<BlockQ5_K>(data);
      unpack_k(b, out);
      for (int i = 0; i < 256; ++i)
        out.u[i] = static_cast<uint8_t>(out.u[i] | ((b.qh[i % 32] >> (i / 32)) & 1) << 4);
      return;
    }
    case DType::kQ6_K: return unpack(read<BlockQ6_K>(data), out);
    case DType::kIQ4_NL: {
      auto b = read<BlockIQ4_NL>(data);
      out.d = b.d;
      return nibbles(b.qs, 16, out.u);
    }
    case DType::kIQ4_XS: return unpack(read<BlockIQ4_XS>(data), out);
    case DType::kMXFP4: {
      auto b = read<BlockMXFP4>(data);
      out.exponent = b.e;
      return nibbles(b.qs, 16, out.u);
    }
    default: XH_CHECK(false);
  }
}

}  // namespace xh::cpu

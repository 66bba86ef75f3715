#include "compute/cpu/quant_layout.h"

#include <cstring>

namespace xh::cpu {
namespace {

// Where the lines of `kWidth` bits hold row r and k.
struct Place {
  int byte, shift;
};
template <int kWidth>
struct Interleaved {
  static constexpr int kBits = kWidth;
  static Place at(int r, int k) {
    const int g = k / 4, lane = 4 * r + k % 4;
    if constexpr (kWidth == 8) return {64 * g + lane, 0};
    if constexpr (kWidth == 4) return {64 * (g % 4) + lane, g / 4 * 4};
    if constexpr (kWidth == 2) return {64 * (g / 4) + lane, g % 4 * 2};
    return {lane, g};
  }
};
template <int kWidth>
struct RowWise {
  static constexpr int kBits = kWidth;
  static Place at(int r, int k) {
    if constexpr (kWidth == 8) return {32 * r + k, 0};
    constexpr int kRows = 16 / kWidth;  // in a word
    const int bit = r % kRows * kWidth;
    return {64 * (r / kRows) + 2 * k + bit / 8, bit % 8};
  }
};
// The order of k in U6.
template <int kWidth>
struct RowWiseHalves {
  static constexpr int kBits = kWidth;
  static Place at(int r, int k) { return RowWise<kWidth>::at(r, k % 16 * 2 + k / 16); }
};

// Bits from `from` on of all values, to zeroed memory.
template <class Lines>
void put(const BlockValues& values, int from, uint8_t* out) {
  for (int r = 0; r < kPanelRows; ++r)
    for (int k = 0; k < kBlock; ++k) {
      const Place p = Lines::at(r, k);
      const int bits = (values[r][k] >> from) & ((1 << Lines::kBits) - 1);
      out[p.byte] = static_cast<uint8_t>(out[p.byte] | bits << p.shift);
    }
}
template <class Lines>
void get(const uint8_t* block, int from, int r, uint8_t* out) {
  for (int k = 0; k < kBlock; ++k) {
    const Place p = Lines::at(r, k);
    out[k] = static_cast<uint8_t>(out[k] | ((block[p.byte] >> p.shift) & ((1 << Lines::kBits) - 1))
                                               << from);
  }
}

// Calls f.operator()<Lines>(lowest bit of the value, first byte) for each set of lines.
template <template <int> class Lines, template <int> class Six, class F>
void for_lines(Quants quants, F f) {
  switch (quants) {
    case Quants::kU2: return f.template operator()<Lines<2>>(0, 0);
    case Quants::kU3:
      f.template operator()<Lines<2>>(0, 0);
      return f.template operator()<Lines<1>>(2, 128);
    case Quants::kU4:
    case Quants::kLutIq4:
    case Quants::kLutFp4: return f.template operator()<Lines<4>>(0, 0);
    case Quants::kU5:
      f.template operator()<Lines<4>>(0, 0);
      return f.template operator()<Lines<1>>(4, 256);
    case Quants::kU6:
      f.template operator()<Six<4>>(0, 0);
      return f.template operator()<Six<2>>(4, 256);
    case Quants::kU8: return f.template operator()<Lines<8>>(0, 0);
    case Quants::kNone: return;
  }
}
template <class F>
void for_lines_of(Layout layout, Quants quants, F f) {
  if (layout == Layout::kRowWise)
    for_lines<RowWise, RowWiseHalves>(quants, f);
  else
    for_lines<Interleaved, Interleaved>(quants, f);
}

bool signed_bytes(Layout layout, Quants quants) {
  return layout == Layout::kRowWise && quants == Quants::kU8;
}

}  // namespace

void pack_quants(Layout layout, Quants quants, const BlockValues& values, uint8_t* out) {
  const auto bytes = static_cast<size_t>(quant_bytes(quants));
  std::memset(out, 0, bytes);
  for_lines_of(layout, quants,
               [&]<class Lines>(int from, int at) { put<Lines>(values, from, out + at); });
  if (signed_bytes(layout, quants))
    for (size_t i = 0; i < bytes; ++i) out[i] ^= 0x80;
}

void unpack_row(Layout layout, Quants quants, const uint8_t* block, int r, uint8_t out[kBlock]) {
  std::memset(out, 0, kBlock);
  for_lines_of(layout, quants,
               [&]<class Lines>(int from, int at) { get<Lines>(block + at, from, r, out); });
  const uint8_t flip = signed_bytes(layout, quants) ? 0x80 : 0;
  for (int k = 0; k < kBlock; ++k) {
    if (quants == Quants::kLutIq4) out[k] = kLutIq4[out[k]];
    if (quants == Quants::kLutFp4) out[k] = kLutFp4[out[k]];
    out[k] ^= flip;
  }
}

}  // namespace xh::cpu

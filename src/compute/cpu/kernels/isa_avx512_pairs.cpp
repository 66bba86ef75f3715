// AVX-512 for processors whose vector units add bytes faster than they multiply them, as AMD's Zen
// 4: two pipes multiply, four add. Winograd's inner product (IEEE Transactions on Computers C-17,
// 1968) makes of two products one and two additions:
//
//   x·w + x'·w' = (x + w')·(x' + w) - x·x' - w·w'
//
// A block's first 16 values are x, its second 16 are x'. Σ w·w' of a row serves all columns, Σ x·x'
// of a column all rows: it is part of its seed. Sums are exact, so few columns, which go another
// way, get the same bits. x + w' must fit a byte, with 128 added an unsigned one: 4-bit weights,
// and activations of up to kLimit.
#include <immintrin.h>

#include <cstddef>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/act_blocks.h"
#include "compute/cpu/kernels/avx512_panel.h"
#include "compute/cpu/kernels/avx512_scales.h"
// use those above
#include "compute/cpu/kernels/avx512_products.h"
#include "compute/cpu/kernels/avx512_quantise.h"
#include "compute/cpu/kernels/avx512_tile.h"
#include "compute/cpu/kernels/avx512_unpack.h"
#include "compute/cpu/kernels/block_scales.h"

constexpr int kLimit = 120;  // -120 - 8 + 128 is 0, 120 + 7 is 127

// Nibbles n as bytes n - 8, or those plus 128: the lowest three bits stay, all others are the
// fourth, turned over. Matrices of bits for gf2p8affineqb, which GCC would keep in registers that
// sums need.
const uint64_t kLowNibble = 0x0102040808080808, kHighNibble = 0x1020408080808080;
template <bool kPlus128>
inline __m512i weights_of(__m512i quants, const uint64_t& nibble) {
  __m512i v;
  asm("vgf2p8affineqb %3, %2%{1to8%}, %1, %0"
      : "=v"(v)
      : "v"(quants), "m"(nibble), "i"(kPlus128 ? 0x78 : 0xf8));
  return v;
}
// Four activations, to every row.
inline __m512i four_of(const int8_t* q) {
  __m512i v;
  asm("vpbroadcastd %1, %0" : "=v"(v) : "m"(*reinterpret_cast<const int8_t(*)[4]>(q)));
  return v;
}
// In assembly for the reasons of isa_avx512.cpp.
inline void add_products(__m512i& sum, __m512i u, __m512i s) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
}

// w = s·(w of 4 bits, signed) + t. Sums are kTimes as large, a power of two.
template <PackFormat kFormat, int kTimes = 1>
struct SignedScales {
  static constexpr bool kMin = has_min(kFormat.scales);
  __m512 s[2], minus_magic, t[2];
  SuperScales super;
  inline void load(const uint8_t* scales, int64_t b) {
    unpack_scales<kFormat.scales>(scales, b, super, s, t);
    if constexpr (kMin) t[0] = _mm512_fmadd_ps(s[0], _mm512_set1_ps(8.0f), t[0]);
    if constexpr (kTimes > 1) s[0] = _mm512_mul_ps(s[0], _mm512_set1_ps(1.0f / kTimes));
    minus_magic = _mm512_mul_ps(s[0], _mm512_set1_ps(-kMagic));
  }
  // The order of operations on a column is the batch-invariance contract.
  [[gnu::always_inline]] inline void add(__m512& acc, __m512i sum, const ActBlock& x) const {
    const __m512 part = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), s[0], minus_magic);
    acc = _mm512_fmadd_ps(part, _mm512_set1_ps(x.d), acc);
    if constexpr (kMin) acc = _mm512_fmadd_ps(t[0], _mm512_set1_ps(x.d_sum), acc);
  }
};

// Many columns: in pairs.
template <PackFormat kOf, int kColumnsAtOnce>
struct PairBlock {
  static constexpr PackFormat kFormat = kOf;
  static constexpr int kStep = kColumnsAtOnce;
  __m512i first[4], second[4];  // w, w' + 128
  __m512i own;                  // Σ w·(w' + 128)
  SignedScales<kFormat> scales;

  inline void load(const uint8_t* quants, const uint8_t* all_scales, int64_t b) {
    own = _mm512_setzero_si512();
    for (int i = 0; i < 4; ++i) {
      const __m512i both = line(quants + 64 * i);
      first[i] = weights_of<false>(both, kLowNibble);
      second[i] = weights_of<true>(both, kHighNibble);
    }
    for (int i = 0; i < 4; ++i) add_products(own, second[i], first[i]);
    scales.load(all_scales, b);
  }
  template <int kColumns>
  [[gnu::always_inline]] inline void add(__m512* acc, const ActBlock* x) const {
    __m512i sum[kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) sum[c] = _mm512_set1_epi32(x[c].seed[0]);
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g)
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        const int8_t* q = x[c].q + 4 * g;
        add_products(sum[c], _mm512_add_epi8(second[g], four_of(q)),
                     _mm512_add_epi8(first[g], four_of(q + kBlock / 2)));
      }
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      __m512 a = acc[c];  // in memory it may be x, for all the compiler knows
      scales.add(a, _mm512_sub_epi32(sum[c], own), x[c]);
      acc[c] = a;
    }
  }
};

// Few columns, to which Σ w·w' costs more than pairs spare: 16·(w + 8) is unsigned, and all pipes
// mask and shift.
template <PackFormat kOf>
struct SingleBlock {
  static constexpr PackFormat kFormat = kOf;
  static constexpr int kStep = 4;
  __m512i u[8];
  SignedScales<kFormat, 16> scales;

  inline void load(const uint8_t* quants, const uint8_t* all_scales, int64_t b) {
    for (int i = 0; i < 4; ++i) {
      const __m512i both = line(quants + 64 * i);
      u[i] = move_bits<0, 4, 4>(both);
      u[i + 4] = move_bits<4, 4, 4>(both);
    }
    scales.load(all_scales, b);
  }
  template <int kColumns>
  [[gnu::always_inline]] inline void add(__m512* acc, const ActBlock* x) const {
    constexpr int kChains =
        kColumns <= 2 ? 2 : 1;  // one or two columns would wait for their chains
    __m512i sum[kChains][kColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      sum[0][c] = _mm512_set1_epi32(x[c].seed[1]);
      if constexpr (kChains == 2) sum[1][c] = _mm512_setzero_si512();
    }
    add_products(sum, u, x);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      if constexpr (kChains == 2) sum[0][c] = _mm512_add_epi32(sum[0][c], sum[1][c]);
      scales.add(acc[c], sum[0][c], x[c]);
    }
  }
};

constexpr int kFewColumns = 2, kTileColumns = 32;

template <PackFormat kFormat, int kColumns>
void gemm(const GemmArgs& args) {
  if constexpr (kColumns <= kFewColumns)
    blocks_tile<SingleBlock<kFormat>, kColumns>(args);
  else
    blocks_tile<PairBlock<kFormat, kColumns <= kInRegisters ? 2 : 4>, kColumns>(args);
}

template <DType kType, int kColumns = kTileColumns>
void use(KernelTable& table) {
  static_assert(pack_format(kType).quants == Quants::kU4);
  table.gemm[static_cast<int>(kType)][kColumns - 1] = gemm<pack_format(kType), kColumns>;
  if constexpr (kColumns > 1) use<kType, kColumns - 1>(table);
}

// Wide tiles of other types, to which sums in memory cost more than they spare: half of the columns
// after the other. The second finds the weights in the cache; each fetches a half of the next ones.
template <DType kType, int kColumns>
void in_halves(const GemmArgs& args) {
  constexpr bool kBlocks = pack_format(kType).quants != Quants::kNone;
  constexpr int kFirst = (kColumns + 1) / 2;
  const GemmTile* gemm = kAvx512Table.gemm[static_cast<int>(kType)];
  GemmArgs half = args;
  half.fetch_step /= 2;
  gemm[kFirst - 1](half);
  half.act = static_cast<const std::byte*>(args.act) +
             kFirst * act_bytes(kBlocks ? ActForm::kInt8 : ActForm::kFloats);
  half.y += kFirst * args.y_stride;
  if (args.fetch) half.fetch += half.fetch_step * args.n_blocks;
  half.later = nullptr;
  gemm[kColumns - kFirst - 1](half);
}

template <DType kType, int kColumns = kTileColumns>
void use_halves_of(KernelTable& table) {
  table.gemm[static_cast<int>(kType)][kColumns - 1] = in_halves<kType, kColumns>;
  if constexpr (kColumns > kInRegisters + 1) use_halves_of<kType, kColumns - 1>(table);
}
template <DType... kTypes>
void use_halves(KernelTable& table) {
  (use_halves_of<kTypes>(table), ...);
}

}  // namespace

void use_pairs(KernelTable& table) {
  table.name = "avx512_pairs";
  table.pairs = true;
  table.act_limit = kLimit;
  table.tile_columns = kTileColumns;
  table.small_tiles_to = 1024;
  table.quantise = quantise<kLimit, true>;
  use<DType::kQ4_0>(table);
  use<DType::kQ4_1>(table);
  use<DType::kQ4_K>(table);
  use_halves<DType::kF32, DType::kF16, DType::kBF16, DType::kI8, DType::kQ5_0, DType::kQ5_1,
             DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL,
             DType::kIQ4_XS, DType::kMXFP4>(table);
}

}  // namespace xh::cpu

// AMX: quantised weights times activations in tiles of bf16, with float sums in the tile for the
// whole of K. Weights are the left operand (16 rows × 32 k), activations the right one (16 pairs of
// k × up to 16 columns): a product of 512 weights costs the same for one column as for sixteen. The
// order of a sum depends on k alone, so every width gives the same bits.
//
// Up to two tiles of columns: blocks are expanded to bf16 into a ring in the first-level cache,
// some ahead of their product, so that vector and tile units work at once. More: a group of panels
// is expanded once into scratch memory that stays in the second-level cache, then every pair of
// panels meets every pair of tiles.
#include <immintrin.h>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/amx_tiles.h"
#include "compute/cpu/kernels/avx512_scales.h"
// uses the scales
#include "compute/cpu/kernels/amx_expand.h"

constexpr int64_t kTileBytes = 1024;                                       // 16 rows × 32 bf16
constexpr int64_t kExpandedBytes = 768 << 10;                              // of a group of panels
constexpr int64_t kMaxGroup = 48;                                          // panels
constexpr int64_t kScratch = kExpandedBytes + kMaxGroup * 2 * kTileBytes;  // and their sums
constexpr int64_t kStep = 8;                                               // blocks
constexpr int64_t kPrefetchAhead = 8192;                                   // as in isa_avx512.cpp
constexpr int kRing = 16, kAhead = 8;                                      // blocks

// Tiles 0 … 3: sums of panel i % 2 and column tile i / 2; 4, 5: weights; 6, 7: activations.
void configure(int64_t columns) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.rows[i] = 16;
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 64 : 4 * columns);
  }
  configure_tiles(config);
}

// m[i] lane j becomes m[j] lane i.
inline void transpose(__m512* m) {
  __m512 a[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(m[i], m[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(m[i], m[i + 1]);
  }
  auto pairs = [](__m512 x, __m512 y, bool high) {
    const __m512d p = _mm512_castps_pd(x), q = _mm512_castps_pd(y);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(p, q) : _mm512_unpacklo_pd(p, q));
  };
  for (int i = 0; i < 16; i += 4) {
    m[i] = pairs(a[i], a[i + 2], false);
    m[i + 1] = pairs(a[i], a[i + 2], true);
    m[i + 2] = pairs(a[i + 1], a[i + 3], false);
    m[i + 3] = pairs(a[i + 1], a[i + 3], true);
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_f32x4(m[i], m[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_f32x4(m[i], m[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_f32x4(m[i + 8], m[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_f32x4(m[i + 8], m[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    m[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
    m[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
  }
}

// Brings a tile of sums, [16 rows][16 columns], to where it belongs.
void finish(const ProductArgs& args, int64_t panel, int64_t tile, const float* sums) {
  const int64_t row = panel * kPanelRows, column = tile * args.stride;
  const int64_t rows = args.rows - row < 16 ? args.rows - row : 16;
  const int64_t columns = args.columns - column < 16 ? args.columns - column : 16;
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  const __m512 bias =
      args.bias ? _mm512_maskz_loadu_ps(mask, args.bias + row) : _mm512_setzero_ps();
  __m512 m[16];
  if (columns <= 3) {
    const __m512i rows_at = _mm512_slli_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 4);
    for (int64_t c = 0; c < columns; ++c) m[c] = _mm512_i32gather_ps(rows_at, sums + c, 4);
  } else {
    for (int i = 0; i < 16; ++i) m[i] = _mm512_load_ps(sums + 16 * i);
    transpose(m);
  }
  const int64_t end = columns < args.stride ? columns : args.stride;
  for (int64_t c = 0; c < end; ++c) {
    float* y = args.y + (column + c) * args.y_stride + row;
    __m512 v = args.bias ? _mm512_add_ps(m[c], bias) : m[c];
    if (args.add) v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), v);
    _mm512_mask_storeu_ps(y, mask, v);
  }
}

template <int kBytes>
inline void prefetch(const uint8_t* p) {
  for (int i = 0; i < kBytes; i += 64)
    _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T0);
}

// Expands block b and asks for those to come.
template <DType kType>
inline void expand_ahead(const uint8_t* quants, const uint8_t* scales, int64_t b, uint8_t* out) {
  constexpr PackFormat kFormat = pack_format(kType);
  constexpr int kBytes = quant_bytes(kFormat.quants), kEvery = blocks_per_scale(kFormat.scales);
  constexpr int kScaleBytes = scale_bytes(kFormat.scales);
  prefetch<kBytes>(quants + b * kBytes + kPrefetchAhead);
  if (b % kEvery == 0)
    prefetch<kScaleBytes>(scales + b / kEvery * kScaleBytes + kPrefetchAhead / 4);
  expand<kType>(quants, scales, b, out);
}

// One panel, one or two tiles of columns.
template <DType kType, int kTiles>
void narrow(const ProductArgs& args, int64_t panel, const uint8_t* x, int64_t tile_bytes) {
  const uint8_t *scales = args.panels + panel * args.panel_bytes,
                *quants = scales + args.scale_area;
  auto* ring = reinterpret_cast<uint8_t*>(args.scratch);
  const int64_t row_bytes = 4 * args.stride;
  zero_tile<0>();
  if constexpr (kTiles == 2) zero_tile<2>();
  for (int64_t b = 0; b < args.n_blocks + kAhead; ++b) {
    if (b < args.n_blocks) expand_ahead<kType>(quants, scales, b, ring + b % kRing * kTileBytes);
    const int64_t done = b - kAhead;
    if (done < 0) continue;
    load_tile<4>(ring + done % kRing * kTileBytes, 64);
    load_tile<6>(x + done * 16 * row_bytes, row_bytes);
    multiply_bf16<0, 4, 6>();
    if constexpr (kTiles == 2) {
      load_tile<7>(x + tile_bytes + done * 16 * row_bytes, row_bytes);
      multiply_bf16<2, 4, 7>();
    }
  }
  alignas(64) float sums[256];
  store_tile<0>(sums, 64);
  finish(args, panel, 0, sums);
  if constexpr (kTiles == 2) {
    store_tile<2>(sums, 64);
    finish(args, panel, 1, sums);
  }
}

// n blocks of kPanels expanded panels times kTiles tiles of columns, added to four tiles of sums.
// `stride`: bytes of a panel, and of a tile of columns.
template <int kPanels, int kTiles>
void wide(const uint8_t* w, const uint8_t* x, int64_t stride, int64_t n, bool begin, float* sums) {
  if (begin) {
    zero_tile<0>();
    zero_tile<1>();
    zero_tile<2>();
    zero_tile<3>();
  } else {
    load_tile<0>(sums, 64);
    load_tile<1>(sums + 256, 64);
    load_tile<2>(sums + 512, 64);
    load_tile<3>(sums + 768, 64);
  }
  for (int64_t b = 0; b < n; ++b, w += kTileBytes, x += kTileBytes) {
    load_tile<4>(w, 64);
    load_tile<6>(x, 64);
    multiply_bf16<0, 4, 6>();
    if constexpr (kPanels == 2) {
      load_tile<5>(w + stride, 64);
      multiply_bf16<1, 5, 6>();
    }
    if constexpr (kTiles == 2) {
      load_tile<7>(x + stride, 64);
      multiply_bf16<2, 4, 7>();
      if constexpr (kPanels == 2) multiply_bf16<3, 5, 7>();
    }
  }
  store_tile<0>(sums, 64);
  store_tile<1>(sums + 256, 64);
  store_tile<2>(sums + 512, 64);
  store_tile<3>(sums + 768, 64);
}

// All columns times the n panels, from `first` on, that lie expanded in scratch.
void multiply_group(const ProductArgs& args, int64_t first, int64_t n) {
  const auto* w = reinterpret_cast<const uint8_t*>(args.scratch);
  auto* sums = reinterpret_cast<float*>(args.scratch + kExpandedBytes);
  const int64_t stride = args.n_blocks * kTileBytes, tiles = (args.columns + 15) / 16;
  for (int64_t t = 0; t < tiles; t += 2) {
    const auto* x = static_cast<const uint8_t*>(args.act) + t * stride;
    const bool two = t + 1 < tiles;
    for (int64_t b = 0; b < args.n_blocks; b += kStep) {
      const int64_t at = b * kTileBytes,
                    blocks = args.n_blocks - b < kStep ? args.n_blocks - b : kStep;
      for (int64_t p = 0; p < n; p += 2) {
        const auto part = p + 1 < n ? two ? wide<2, 2> : wide<2, 1> : two ? wide<1, 2> : wide<1, 1>;
        part(w + p * stride + at, x + at, stride, blocks, b == 0, sums + p * 512);
      }
    }
    for (int64_t p = 0; p < n; ++p) {
      const float* from = sums + p / 2 * 1024 + p % 2 * 256;
      finish(args, first + p, t, from);
      if (two) finish(args, first + p, t + 1, from + 512);
    }
  }
}

template <DType kType>
void product(const ProductArgs& args) {
  configure(args.stride);
  const auto* x = static_cast<const uint8_t*>(args.act);
  const int64_t panels = (args.rows + kPanelRows - 1) / kPanelRows;
  const int64_t tiles = (args.columns + args.stride - 1) / args.stride;
  const int64_t tile_bytes = args.n_blocks * args.stride * 64;
  const int64_t panel_bytes = args.n_blocks * kTileBytes;
  // Panels too wide for the scratch memory go the narrow way, two tiles of columns at a time.
  int64_t group = kExpandedBytes / panel_bytes / 2 * 2;
  if (group > kMaxGroup) group = kMaxGroup;
  if (tiles <= 2 || args.stride < 16 || group == 0) {
    for (int64_t t = 0; t < tiles; t += 2) {
      ProductArgs part = args;
      part.y += t * args.stride * args.y_stride;
      part.columns -= t * args.stride;
      for (int64_t p = 0; p < panels; ++p)
        (t + 1 < tiles ? narrow<kType, 2> : narrow<kType, 1>)(part, p, x + t * tile_bytes,
                                                              tile_bytes);
    }
    return;
  }
  for (int64_t from = 0; from < panels; from += group) {
    const int64_t n = panels - from < group ? panels - from : group;
    auto* out = reinterpret_cast<uint8_t*>(args.scratch);
    for (int64_t p = from; p < from + n; ++p) {
      const uint8_t *scales = args.panels + p * args.panel_bytes,
                    *quants = scales + args.scale_area;
      for (int64_t b = 0; b < args.n_blocks; ++b, out += kTileBytes)
        expand_ahead<kType>(quants, scales, b, out);
    }
    multiply_group(args, from, n);
  }
}

void put_bf16_op(const float* x, int64_t n_blocks, int64_t column, int64_t stride, void* tile) {
  const __m512i pairs = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i at = _mm512_mullo_epi32(pairs, _mm512_set1_epi32(static_cast<int32_t>(stride)));
  auto* to = static_cast<uint8_t*>(tile) + 4 * column;
  for (int64_t b = 0; b < n_blocks; ++b, x += 32, to += 64 * stride) {
    const __m512i v = to_bf16(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16));
    if (stride == 1)
      _mm512_storeu_si512(to, v);
    else
      _mm512_i32scatter_epi32(to, at, v, 4);
  }
}

template <DType kType>
void use(KernelTable& table) {
  table.product[static_cast<int>(kType)] = product<kType>;
}

}  // namespace

void use_amx(KernelTable& table) {
  table.name = "amx";
  table.tile_columns = 16;
  table.layout = Layout::kRowWise;
  table.act_form = ActForm::kBf16;
  table.put_bf16 = put_bf16_op;
  table.scratch_bytes = kScratch;
  table.fine_below = 0;
  use<DType::kQ4_0>(table);
  use<DType::kQ4_1>(table);
  use<DType::kQ5_0>(table);
  use<DType::kQ5_1>(table);
  use<DType::kQ8_0>(table);
  use<DType::kQ2_K>(table);
  use<DType::kQ3_K>(table);
  use<DType::kQ4_K>(table);
  use<DType::kQ5_K>(table);
  use<DType::kQ6_K>(table);
  use<DType::kIQ4_NL>(table);
  use<DType::kIQ4_XS>(table);
  use<DType::kMXFP4>(table);
}

}  // namespace xh::cpu

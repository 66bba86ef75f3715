// Everything that differs between instruction sets, as function pointers. One table per ISA;
// the backend takes one at start and never looks at the instruction set again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/cpu/kernels/attention_kernels.h"
#include "compute/cpu/kernels/packed_layout.h"

namespace xh::cpu {

// How far ahead weights are fetched, in bytes, and whether into the first-level cache or the
// second.
struct WeightFetch {
  int32_t bytes = 4096;
  bool near = false;
};

// One panel times one tile of columns:  y[c][r] (+)= Σ_k w[r][k] · x[c][k] + bias[r].
struct GemmArgs {
  const uint8_t* panel;
  int64_t n_blocks;    // K / 32; for float types K
  const void* act;     // blocks or floats: [block][act_stride], the first N of each are used
  int64_t act_stride;  // columns from block to block
  float* y;            // y + c · y_stride + r
  int64_t y_stride;
  int64_t rows;       // 1 … 16 valid rows of the panel: only these are written
  const float* bias;  // (rows), or null
  bool add;           // add to y instead of overwriting
  // KernelTable::fetch_one or fetch_more: for kernels whose table sets those.
  WeightFetch ahead;
  // Quantised types: which n_blocks blocks of the panel, by ascending index. Null: the first ones.
  const uint8_t* blocks;
  // Where to fetch a block's bytes with the first block, and how much further on with each other.
  // Null: what follows in this panel.
  const uint8_t* fetch;
  int64_t fetch_step;
  // Kernels of more than kNarrowTile columns, which leave memory idle, may fetch kLaterBytes from
  // here on into the third-level cache with each block. Null: nothing.
  const uint8_t* later;
};
constexpr int64_t kLaterBytes = 256;
constexpr int kNarrowTile = 8;  // up to so many columns products wait for memory themselves
using GemmTile = void (*)(const GemmArgs& args);
inline int64_t block_at(const GemmArgs& args, int64_t i) {
  return args.blocks ? args.blocks[i] : i;
}

// How the rows of a batch are cut into tiles.
struct Cut {
  int64_t rows = 0, tiles = 0;
  int64_t columns = 0;  // of every tile but the last; 0: as even as possible
  constexpr int64_t first(int64_t tile) const {
    return columns > 0 ? tile * columns : rows * tile / tiles;
  }
  constexpr int64_t width(int64_t tile) const {
    const int64_t end = first(tile + 1);
    return (end < rows ? end : rows) - first(tile);
  }
};

// Several panels times several tiles: for tables that want to see many columns at once.
struct ProductArgs {
  const uint8_t* panels;
  int64_t panel_bytes;
  int64_t rows;      // of the panels that are written, at most 16 times their number
  int64_t n_blocks;  // K / 32
  const void* act;   // the tiles of the whole batch; kMaxTile blocks more may be read
  Cut cut;
  int64_t first_tile, end_tile;  // those to multiply
  float* y;                      // y + c · y_stride + r; column 0 is the first of first_tile
  int64_t y_stride;
  const float* bias;   // (rows), or null
  bool add;            // add to y instead of overwriting
  std::byte* scratch;  // `scratch_bytes` of the table, aligned to 64
};
using Product = void (*)(const ProductArgs& args);

struct KernelTable {
  const char* name;  // "generic", "avx2", "avx_vnni", "avx512", "avx512_pairs", "avx512_amx",
                     // "amx", "neon", "neon_i8mm"
  // Columns per tile that suit this ISA, at most kMaxTile.
  int tile_columns;
  // By DType and N - 1. Null for types that are no weights. kI8: panels like the other plain types.
  // A row's result is bit-identical for every N.
  GemmTile gemm[kNumTypes][kMaxTile];

  // x: (32 · n_blocks)  out: a block at [block · stride]
  void (*quantise)(const float* x, int64_t n_blocks, ActBlock* out, int64_t stride);
  // y = x / sqrt(mean(x²) + eps) · w; w may be null. y may be x.
  void (*rms_norm)(const float* x, const float* w, float eps, int64_t n, float* y);
  // y = act(gate) · up; activation numbered as xh::Activation.
  void (*gated)(int activation, const float* gate, const float* up, int64_t n, float* y);
  // y = x · a.
  void (*scale)(const float* x, float a, int64_t n, float* y);
  // y = y · a + x · b.
  void (*scale_add)(float* y, float a, const float* x, float b, int64_t n);
  float (*max)(const float* x, int64_t n);
  // p[i · stride] = exp(x[i] - shift); returns the sum, added in an order fixed by i alone.
  float (*exp_sum)(const float* x, int64_t n, float shift, float* p, int64_t stride);
  // Rotates pairs (x[i], x[i + half]) by cos[i], sin[i], i < half.
  void (*rotate_half)(float* x, const float* cos, const float* sin, int64_t half);
  // The same of pairs (x[2i], x[2i + 1]).
  void (*rotate_pairs)(float* x, const float* cos, const float* sin, int64_t half);
  // Rounds to nearest even; values beyond the largest half are clamped to it.
  void (*to_f16)(const float* x, int64_t n, uint16_t* y);
  const AttentionKernels* attention;  // over 8-bit keys and values

  // How weights lie, and activations for quantised weights.
  Layout layout = Layout::kInterleaved;
  ActForm act_form = ActForm::kInt8;
  // Rounding errors average out over a model's width: in narrower ones than this, what a norm puts
  // out carries rests (ActTiles::rests).
  int64_t rests_below = 1024;
  // Many rows of up to so many values are cut into tiles of 16, which the first-level cache holds.
  int64_t small_tiles_to = 0;
  int act_limit = 127;  // the largest |q| of an ActBlock
  // Products in pairs: seed[0] of an ActBlock is that of pairs (avx512_quantise.h).
  bool pairs = false;
  // kBf16 only: x (32 · n_blocks) as column `column` of a tile of `stride` columns.
  void (*put_bf16)(const float* x, int64_t n_blocks, int64_t column, int64_t stride,
                   void* tile) = nullptr;
  // By DType; where it is set and activations have no rests, it is used instead of gemm from
  // `batch_from` columns on, up to a K of 32 · `batch_blocks`; they are of batch_form then. A row's
  // result is the same bits for every number of columns.
  Product product[kNumTypes] = {};
  ActForm batch_form = ActForm::kInt8Columns;
  int64_t batch_from[kNumTypes] = {};
  int64_t batch_blocks = INT64_MAX;
  int64_t scratch_bytes = 0;  // that `product` needs for each thread

  // What the processor at hand likes, which instruction sets do not tell: where products of one
  // column and of more fetch weights to,
  WeightFetch fetch_one, fetch_more;
  // whether attention over few rows fetches into the first-level cache,
  bool attention_near = false;
  // and whether products of many columns fetch what attention will read (GemmArgs::later).
  bool fetch_later = false;
};

extern const KernelTable kGenericTable;
#if defined(__x86_64__)
extern const KernelTable kAvx2Table;
// VNNI over 256 bits, in the encoding of AVX-VNNI and in that of AVX-512.
extern const KernelTable kAvxVnniTable, kAvxVnniEvexTable;
extern const KernelTable kAvx512Table;
// Turns a copy of kAvx512Table into the table of processors that add faster than they multiply.
void use_pairs(KernelTable& table);
// Turn a copy of kAvx512Table into the tables of AMX: many columns in tiles of 8 bits, or all
// quantised weights in tiles of bf16.
void use_amx_int8(KernelTable& table);
void use_amx(KernelTable& table);
#elif defined(__aarch64__)
extern const KernelTable kNeonTable;      // with dot products
extern const KernelTable kNeonI8mmTable;  // and matrix products, in attention
#endif

}  // namespace xh::cpu

// VNNI over 256 bits: one register is 8 rows × 4 k; vpdpbusd multiplies four unsigned weights by
// four signed activations and adds them to the row's 32-bit lane. In the encoding of AVX-VNNI
// (Alder Lake, Sapphire Rapids, Zen 5 and later), or with XH_EVEX in that of AVX-512.
#include <immintrin.h>

#include "compute/cpu/kernels/kernel_table.h"

namespace xh::cpu {
namespace {

#define XH_LANES 8
#include "compute/cpu/kernels/avx2_lines.h"
#include "compute/cpu/kernels/avx2_scales.h"
#include "compute/cpu/kernels/avx2_unpack.h"
#include "compute/cpu/kernels/vector_ops.h"
// use those above
#include "compute/cpu/kernels/avx2_panel.h"
#include "compute/cpu/kernels/avx_vnni_products.h"
#include "compute/cpu/kernels/block_scales.h"
// use those above
#include "compute/cpu/kernels/avx2_sums.h"

template <PackFormat kFormat, int>
struct Products {
  static constexpr PackFormat kSums = sums_format(kFormat);
  static constexpr int kParts = BlockScales<kSums>::kParts;
  static constexpr int kStep = 4 / kParts;
  Ints u[8][2];

  [[gnu::always_inline]] inline void load(const uint8_t* quants) {
    unpack<kFormat.quants>(quants, u);
  }
  [[gnu::always_inline]] inline Ints end(Ints sum, const ActBlock&, int) const { return sum; }
  template <int kColumns>
  [[gnu::always_inline]] inline void multiply(Ints (&sum)[kColumns][2][kParts],
                                              const ActBlock* x) const {
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part)
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c)
        sum[c][0][part] = sum[c][1][part] = begin<kFormat>(x[c], part);
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      const Ints low = u[g][0], high = u[g][1];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        const int part = g / 4 * (kParts - 1);
        const Ints four = four_bytes(x[c].q + 4 * g);
        add_products(sum[c][0][part], low, four);
        add_products(sum[c][1][part], high, four);
      }
    }
  }
};

#include "compute/cpu/kernels/avx2_tile.h"

}  // namespace

#define XH_TILE_COLUMNS 32
#define XH_TABLE_NAME "avx_vnni"
#ifdef XH_EVEX
#define XH_TABLE kAvxVnniEvexTable
#define XH_ATTENTION kAvxVnniEvexAttention
#else
#define XH_TABLE kAvxVnniTable
#define XH_ATTENTION kAvxVnniAttention
#endif
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

// AVX2: one register is 8 rows × 4 k, so a panel is two halves. maddubs multiplies unsigned weights
// by signed activations into 16-bit pairs. Depth rule: such a pair sum is at most 2 · w_max · 127,
// so 2- to 4-bit weights may add 8 of them in 16 bits before widening, 5-bit 4, 6-bit 2, 8-bit 1.
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
#include "compute/cpu/kernels/block_scales.h"
// use those above
#include "compute/cpu/kernels/avx2_sums.h"
// use those above
#include "compute/cpu/kernels/avx2_products.h"
// use those above
#include "compute/cpu/kernels/avx2_tile.h"

}  // namespace

#define XH_TILE_COLUMNS 32
#define XH_TABLE_NAME "avx2"
#define XH_TABLE kAvx2Table
#define XH_ATTENTION kAvx2Attention
#include "compute/cpu/kernels/table_body.h"

}  // namespace xh::cpu

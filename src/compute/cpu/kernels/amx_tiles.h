// The tile instructions that xiaohu uses. The compilers' own intrinsics do not tell the optimiser
// that tiles are loaded from and stored to memory, so these are assembly. Included by ISA files
// inside their anonymous namespace.

// Rows and bytes per row of each tile, as LDTILECFG reads them.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

#ifdef XH_EMULATED_TILES
#include "compute/cpu/kernels/amx_tiles_emulated.h"
#else
// Tiles keep their shape until the next call in this thread: whoever uses tiles calls it first.
inline void configure_tiles(const TileConfig& config) {
  __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}
template <int kTile>
inline void zero_tile() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
// Row i from p + i · stride.
template <int kTile>
inline void load_tile(const void* p, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(p), "r"(stride) : "memory");
}
// As load_tile, of memory that the compiler knows to be written: values in registers stay there.
template <int kTile>
inline void load_written_tile(const void* p, int64_t stride) {
  __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(p), "r"(stride));
}
template <int kTile>
inline void store_tile(void* p, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(p), "r"(stride) : "memory");
}
// A whole tile of 16 × 16 integers; values in registers stay there.
template <int kTile>
inline void store_whole_tile(int32_t (&to)[256]) {
  __asm__ volatile("tilestored %%tmm%c1, (%2,%3,1)"
                   : "=m"(to)
                   : "i"(kTile), "r"(to), "r"(int64_t{64}));
}
// C[m][n] += Σ A[m][2k] · B[k][2n] + A[m][2k + 1] · B[k][2n + 1], k in one order whatever m and n
// are.
template <int kC, int kA, int kB>
inline void multiply_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}
// The same of four bytes each: A signed, B unsigned. Exact.
template <int kC, int kA, int kB>
inline void multiply_bytes() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}
// Both signed.
template <int kC, int kA, int kB>
inline void multiply_signed_bytes() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}
#endif

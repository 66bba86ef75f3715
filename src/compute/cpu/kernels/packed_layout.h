// How weights and activations lie in memory for the kernels.
//
// Weights. A panel is 16 output rows; a matrix is panels one after the other, the last filled up
// with zero rows. Inside a panel, K is cut into blocks of 32 (one for plain float types). One to
// eight blocks are a record: their scales, filled up to whole lines of 64 bytes, then their quants.
// So a matrix is read as one stream, from its first byte to its last (docs/performance.md).
//
// Quants of a block come in one of two layouts, a property of the kernel table.
//
//   kInterleaved: 64-byte lines; in a line, row r (0…15) owns bytes 4r … 4r+3, which are four
//   consecutive k. Line group g (0…7) covers k = 4g … 4g+3. A line of a full 512-bit register is
//   16 rows × 4 k, a 32-bit lane is an output row: no horizontal sums.
//     4-bit (256 B): line i holds group i in the low and group i+4 in the high nibbles
//     2-bit (128 B): line i holds groups 4i … 4i+3, lowest bits first
//     1-bit  (64 B): bit g of a byte belongs to group g
//     8-bit (512 B): line g is group g, stored as value + 128
//   kRowWise: a register holds the 32 values of one row, so that one scale serves it all. Lines are
//   32 words of 16 bits; word w belongs to k = w, and rows lie side by side in it, row r lowest
//   first.
//     4-bit (256 B): line i holds rows 4i … 4i+3
//     2-bit (128 B): line i holds rows 8i … 8i+7
//     1-bit  (64 B): bit r belongs to row r
//     8-bit (512 B): row r owns bytes 32r … 32r+31, signed values in the order of k
//   Only in U6 word w belongs to k = w / 2 + 16 · (w % 2): its values are widened to 32 bits, all
//   even words in one register, all odd ones in another.
//
//   U3 = 2-bit lines, then the 1-bit line on top; U5 = 4-bit + 1-bit; U6 = 4-bit + 2-bit.
//   Plain floats, in both: for each k, 16 values (one per row).
//
// Every quantised type then reads  w = s·(u - 2^offset_shift)  or  w = s·u + t,  with u unsigned
// and s, t constant over a group of 32 or 16 values. Scales keep the source's bits exactly.
//
// Activations. Rows of a batch are cut into tiles of up to kMaxTile columns. A tile holds, for each
// block of 32, one ActBlock per column (kInt8) or, for each of its 16 pairs of k, two bf16 per
// column (kBf16); for plain float types, for each k, one float per column (kFloats). In
// kInt8Columns a tile is one ColumnBlock for each block, however many columns.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace xh::cpu {

constexpr int kPanelRows = 16;
constexpr int kBlock = 32;
constexpr int kMaxTile = 32;
constexpr int kBlockColumns = 16;  // of a ColumnBlock
constexpr int kNumTypes = 20;      // of DType

enum class Layout : uint8_t { kInterleaved, kRowWise };
enum class ActForm : uint8_t { kFloats, kInt8, kInt8Columns, kBf16 };

enum class Quants : uint8_t { kNone, kU2, kU3, kU4, kU5, kU6, kU8, kLutIq4, kLutFp4 };

enum class Scales : uint8_t {
  kNone,
  kD,        // per block: 16 × fp16 d
  kDM,       // per block: 16 × fp16 d, 16 × fp16 m;   s = d, t = m
  kE8M0,     // per block: 16 × exponent byte;          s = 2^(e-128)
  kSuper8,   // per 256: 16 × fp16 d, 8 × 16 × int8;    s = d·sc (per 32)
  kSuper16,  // per 256: 16 × fp16 d, 16 × 16 × int8;   s = d·sc (per 16)
  kSuperM8,  // per 256: 16 × fp16 d, 16 × fp16 dmin, 8 × (16 × u8 sc, 16 × u8 m);  t = -dmin·m
  kSuperM16  // per 256: 16 × fp16 d, 16 × fp16 dmin, 16 × 16 × (sc | m << 4);      per 16
};

struct PackFormat {
  Quants quants;
  Scales scales;
  int offset_shift;  // w = s·(u - 2^offset_shift); 0: no offset
};

constexpr PackFormat pack_format(DType type) {
  switch (type) {
    case DType::kQ4_0: return {Quants::kU4, Scales::kD, 3};
    case DType::kQ4_1: return {Quants::kU4, Scales::kDM, 0};
    case DType::kQ5_0: return {Quants::kU5, Scales::kD, 4};
    case DType::kQ5_1: return {Quants::kU5, Scales::kDM, 0};
    case DType::kQ8_0: return {Quants::kU8, Scales::kD, 7};
    case DType::kQ2_K: return {Quants::kU2, Scales::kSuperM16, 0};
    case DType::kQ3_K: return {Quants::kU3, Scales::kSuper16, 2};
    case DType::kQ4_K: return {Quants::kU4, Scales::kSuperM8, 0};
    case DType::kQ5_K: return {Quants::kU5, Scales::kSuperM8, 0};
    case DType::kQ6_K: return {Quants::kU6, Scales::kSuper16, 5};
    case DType::kIQ4_NL: return {Quants::kLutIq4, Scales::kD, 7};
    case DType::kIQ4_XS: return {Quants::kLutIq4, Scales::kSuper8, 7};
    case DType::kMXFP4: return {Quants::kLutFp4, Scales::kE8M0, 4};
    default: return {Quants::kNone, Scales::kNone, 0};
  }
}

// Values per scale: 16 or 32.
constexpr int group_of(Scales scales) {
  return scales == Scales::kSuper16 || scales == Scales::kSuperM16 ? 16 : 32;
}
constexpr bool has_min(Scales scales) {
  return scales == Scales::kDM || scales == Scales::kSuperM8 || scales == Scales::kSuperM16;
}
// Whether w = d · W with a whole number W = sc · (u - 2^5) of up to 13 bits: Q6_K.
constexpr bool is_whole(PackFormat format) {
  return format.quants == Quants::kU6 && format.scales == Scales::kSuper16 &&
         format.offset_shift == 5;
}
// Blocks of 32 that share one scale record, and its bytes for a panel.
constexpr int blocks_per_scale(Scales scales) {
  return scales == Scales::kD || scales == Scales::kDM || scales == Scales::kE8M0 ? 1 : 8;
}
constexpr int scale_bytes(Scales scales) {
  switch (scales) {
    case Scales::kD: return 32;
    case Scales::kDM: return 64;
    case Scales::kE8M0: return 16;
    case Scales::kSuper8: return 32 + 8 * 16;
    case Scales::kSuper16: return 32 + 16 * 16;
    case Scales::kSuperM8: return 64 + 16 * 16;
    case Scales::kSuperM16: return 64 + 16 * 16;
    default: return 0;
  }
}
// Bytes of a panel's block of 32.
constexpr int quant_bytes(Quants quants) {
  switch (quants) {
    case Quants::kU2: return 128;
    case Quants::kU3: return 192;
    case Quants::kU4: return 256;
    case Quants::kU5: return 320;
    case Quants::kU6: return 384;
    case Quants::kU8: return 512;
    case Quants::kLutIq4: return 256;
    case Quants::kLutFp4: return 256;
    default: return 0;
  }
}

// Blocks of a record, and the bytes of its scales.
constexpr int blocks_per_record(Scales scales) {
  switch (scales) {
    case Scales::kD: return 2;
    case Scales::kE8M0: return 4;
    default: return blocks_per_scale(scales);
  }
}
constexpr int record_scales(Scales scales) {
  const int bytes = scale_bytes(scales) * blocks_per_record(scales) / blocks_per_scale(scales);
  return (bytes + 63) / 64 * 64;
}
constexpr int record_bytes(PackFormat format) {
  return record_scales(format.scales) +
         blocks_per_record(format.scales) * quant_bytes(format.quants);
}
// A block's part of that. Who fetches so many bytes with each block, some way ahead, leaves none
// out.
constexpr int block_bytes(PackFormat format) {
  return record_bytes(format) / blocks_per_record(format.scales);
}
// Where in a panel the quants of block b lie, and the scales that it has or shares.
[[gnu::always_inline]] constexpr int64_t quants_at(PackFormat format, int64_t b) {
  const auto every = static_cast<uint64_t>(blocks_per_record(format.scales));
  const auto block = static_cast<uint64_t>(b);
  return static_cast<int64_t>(block / every) * record_bytes(format) + record_scales(format.scales) +
         static_cast<int64_t>(block % every) * quant_bytes(format.quants);
}
[[gnu::always_inline]] constexpr int64_t scales_at(PackFormat format, int64_t b) {
  const auto every = static_cast<uint64_t>(blocks_per_record(format.scales));
  const auto block = static_cast<uint64_t>(b);
  const auto in_record = static_cast<int64_t>(block % every) / blocks_per_scale(format.scales);
  return static_cast<int64_t>(block / every) * record_bytes(format) +
         in_record * scale_bytes(format.scales);
}
// Bytes of a panel of n blocks.
constexpr int64_t panel_bytes(PackFormat format, int64_t n) {
  return n == 0 ? 0 : quants_at(format, n - 1) + quant_bytes(format.quants);
}

// 4-bit tables: IQ4_NL's values (ggml's kvalues_iq4nl) plus 128, and MXFP4's E2M1 values doubled
// (OCP Microscaling specification 1.0) plus 16.
constexpr uint8_t kLutIq4[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                 129, 141, 153, 166, 181, 197, 217, 241};
constexpr uint8_t kLutFp4[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};

// 32 activations of one row: x ≈ d · q. A sum of products may start at a seed, an integer in the
// bits of a float: the bits of 1.5 · 2^23, less the weights' offset times Σ q, so that what it ends
// as is a float without the offset.
struct ActBlock {
  int8_t q[kBlock];
  float d;               // amax / KernelTable::act_limit
  float d_sum;           // Σ d · q over all 32
  float d_sum_first;     // Σ d · q over the first 16
  int32_t seed[2];       // for offsets of 2^3, or products in pairs, and 2^7
  int32_t half_seed[2];  // of each half, for an offset of 2^5
};
static_assert(sizeof(ActBlock) == 60);
constexpr int32_t kSeedBits = 0x4b400000;  // 1.5 · 2^23
// Which seed serves an offset of 2^shift; -1: none, the offset is a minimum.
constexpr int seed_of(int shift) {
  return shift == 3 ? 0 : shift == 7 ? 1 : -1;
}

// ActBlocks of a whole tile of columns, for kernels that load them as rows of a matrix: no
// row crosses a cache line, and fewer lines are touched than with scales in between.
struct ColumnBlock {
  struct Scales {
    float d, d_sum;
  };
  int8_t q[kBlockColumns][kBlock];
  Scales scales[kBlockColumns];
};
static_assert(sizeof(ColumnBlock) % 64 == 0);

// Bytes of one column: of a block of 32, or of one float.
constexpr int act_bytes(ActForm form) {
  switch (form) {
    case ActForm::kFloats: return 4;
    case ActForm::kInt8: return int{sizeof(ActBlock)};
    case ActForm::kInt8Columns: return int{sizeof(ColumnBlock)} / kBlockColumns;
    case ActForm::kBf16: return 64;
  }
  return 0;
}

}  // namespace xh::cpu

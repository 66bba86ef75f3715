// Working memory of attention, per thread, and what a chunk's pages are.
#pragma once

#include "compute/cpu/attention.h"

namespace xh::cpu {

constexpr int64_t kMaxDim = 1024;
constexpr int32_t kWideTile = 48;   // columns of a tile over 8-bit keys
constexpr int32_t kWholeUnit = 16;  // columns that kernels for whole chunks take at once
static_assert(kWideTile <= kAttendColumns && kWideTile % kWholeUnit == 0);
constexpr int32_t kSameHead = 4;  // tiles of one head that go together
// Most of an item: a tile of one column for each of many heads, whole tiles of one head.
constexpr int32_t kItemTiles = kWideTile, kItemColumns = kSameHead * kWideTile;
constexpr int64_t kPartialFloats = 16 << 20;  // address space only, until touched

struct AttentionRunner::Scratch {
  alignas(64) float head[kMaxDim];                // one query, scaled
  alignas(64) float queries[kMaxDim * kMaxTile];  // an item's, (tile, dim, column)
  // q8: an item's, (column, dim); kernels read whole units.
  alignas(64) int8_t bytes[(kItemColumns + kWholeUnit) * kMaxDim];
  float q_scale[kItemColumns];
  int32_t q_offset[kItemColumns];
  alignas(64) float scores[kMaxTile * kChunkTokens];   // (column, token)
  alignas(64) float weights[kChunkTokens * kMaxTile];  // (token, column)
  alignas(64) uint8_t p[kMaxColumns * kChunkTokens];   // q8: (column, token)
  float p_scale[kChunkPages * kMaxColumns];
  alignas(64) int8_t values[kChunkTokens * kMaxDim];  // q4: a chunk's, unpacked; (page, dim, token)
  uint32_t unpacked = 0;                              // bit i: page i of the chunk is there
  alignas(64) std::byte attend[kAttendScratch];       // of kernels that take whole chunks
  Ahead ahead;
  std::vector<Ahead::Run> runs;  // of ahead
  LaterReads next_layer;
  alignas(64) float totals[kItemColumns * (kMaxDim + 2)];  // states of an item's tiles
  alignas(64) float state[kWideTile * (kMaxDim + 2)];      // of a tile and one chunk
};

// The part of a chunk that some column of a step needs.
struct AttentionRunner::ChunkPages {
  int32_t start;                      // the chunk's first position
  int32_t begin, end;                 // tokens of the chunk; begin is at a page's border
  const std::byte* at[kChunkPages];   // this kv head's part of each page, from begin on
  const int8_t* values[kChunkPages];  // q8: V of each page
  int32_t n_pages() const { return (end - begin + kPageTokens - 1) / kPageTokens; }
};

}  // namespace xh::cpu

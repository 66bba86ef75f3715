// 8-bit attention with AMX: a tile is 16 queries × 64 dims, 16 × 32 tokens or a block of results.
//
// Scores are the integer sums of the other instruction sets: a panel of K is a tile as it lies.
// Weights of the softmax are bf16 and need no scale per page; values become bf16 on their way, as
// 192 + v, whose bits are 0x4300 + (v + 64). The tile then sums a whole chunk in float, and 192
// times the sum of the weights is taken off. Every number of columns runs the same tiles in the
// same order of tokens, so a column's bits do not depend on its neighbours.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compute/cpu/kernels/attention_kernels.h"

namespace xh::cpu {
namespace {

#include "compute/cpu/kernels/amx_tiles.h"

constexpr int kTile = 16;  // rows of a tile, and 32-bit columns
constexpr int kMaxGroups = kAttendColumns / kTile;
constexpr int kPanelBytes = 512;  // 32 tokens × 16 dims of V
constexpr float kNever = -3.0e38f;
constexpr float kValueShift = 192.0f;

struct Work {
  int32_t products[2][kTile][kPage];         // of a group of columns and a page, in turn
  uint16_t weights[kAttendColumns][kChunk];  // bf16
  float lanes[2][kAttendColumns][kTile];     // sums over pages: 2^(score - top), rounded weights
  float totals[kAttendColumns], weight_sums[kAttendColumns];  // of those over lanes
  float units[kAttendColumns], tops[kAttendColumns];
  float offsets[kAttendColumns];                    // in units
  uint8_t key_tail[2][kTile * 64];                  // a panel's last lines, then zeros
  uint16_t values[2][2][kTile][2 * kTile];          // [page & 1][panel][pair of tokens][dim, token]
  float keep[kAttendColumns], add[kAttendColumns];  // factors of the state and of this chunk
  float sums[kMaxGroups][2][kTile][kTile];          // results [group][panel][column][dim]
  bool whole[kMaxGroups];                           // every column of the group sees every token
  bool tops_known;
};
static_assert(sizeof(Work) <= kAttendScratch);

#include "compute/cpu/kernels/amx_columns.h"
#include "compute/cpu/kernels/amx_softmax.h"

// These go on from the softmax.
#include "compute/cpu/kernels/amx_scores.h"
#include "compute/cpu/kernels/amx_values.h"

// The first six tiles have a row for each column: queries, sums, and weights of up to one group.
TileConfig config_of(uint8_t columns) {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = i < 6 ? columns : 16;
  }
  return config;
}

// kColumns: of a group.
template <int kColumns>
void score(const AttendArgs& args, Work& work) {
  configure_tiles(config_of(kColumns));
  begin_columns(args, work);
  work.tops_known = false;
  do {
    std::memset(work.lanes, 0, sizeof(work.lanes));
    for (int64_t first = 0; first < args.n_columns; first += kTile) {
      if (args.groups == kTile)
        score_group<1, kColumns>(args, first, work);
      else if (args.groups == 2 * kTile)
        score_group<2, kColumns>(args, first, work);
      else
        score_group<0, kColumns>(args, first, work);
    }
    add_up(args, work);
  } while (!work.tops_known && outgrown(args, work));
  for (int64_t first = 0; first < args.n_columns; first += kTile) merge_sums(args, first, work);
}

}  // namespace

void attend_amx(const AttendArgs& args) {
  Work& work = *static_cast<Work*>(args.scratch);
  if (args.n_columns <= 2)
    score<2>(args, work);
  else if (args.n_columns <= 4)
    score<4>(args, work);
  else if (args.n_columns <= 8)
    score<8>(args, work);
  else
    score<16>(args, work);
  if (args.n_columns <= kTile)
    weigh<1>(args, work);
  else if (args.n_columns <= 2 * kTile)
    weigh<2>(args, work);
  else
    weigh<3>(args, work);
}

}  // namespace xh::cpu

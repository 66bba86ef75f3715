// Grouped-query attention over paged keys and values.
//
// A sequence's positions are cut into chunks of kChunkTokens at fixed borders. For each chunk:
// scores, their maximum, exponentials, and the weighted sum of values; chunks are then merged from
// the first to the last. Nothing in this order depends on the batch, on how a prompt was cut, or on
// the number of threads, so a token's result is always the same bits.
//
// A tile is some (row, query head) pairs, "columns", that share one kv head: they read K and V
// once. Tiles go through the chunks in bunches: tiles of a few columns of several heads that lie
// side by side in a page, so that memory is read in its order, or tiles of many columns of one
// head, so that it is read once. An item of work is a bunch, or a run of its chunks where whole
// ones would share out badly; those are merged in a second step.
//
// Sequences of a batch that begin with the same pages share tiles over the chunks in those pages;
// each sequence then goes on from the shared tile's state, which is the one it would have reached
// alone.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "base/work_ranges.h"
#include "compute/compute.h"
#include "compute/cpu/kv_pages.h"
#include "compute/cpu/later_reads.h"

namespace xh::cpu {

constexpr int32_t kChunkTokens = kChunk;

class AttentionRunner {
 public:
  // later_bytes: a thread's next_layer() ends with the item that reaches them; 0: names nothing.
  AttentionRunner(const KernelTable& table, ThreadPool& pool, int64_t later_bytes = 0);
  ~AttentionRunner();
  // Sizes working memory; before the first run().
  Result<void> reserve();
  void run(const AttentionCall& call, KvPages& kv);
  // The keys and values of the next layer that a thread would read if it were the same items: for
  // products to fetch before the next run().
  LaterReads& next_layer(int32_t thread) const;

 private:
  struct Column {
    int64_t row;
    int32_t head, pos;
  };
  struct Tile {
    std::span<const PageId> pages;
    int32_t kv_head;
    int32_t first_column, n_columns;  // in columns_
    int32_t first_chunk, n_chunks;
    int32_t run = 0;        // chunks of an item; 0: the whole tile is one
    int64_t partials = -1;  // states of its chunks, or of a shared tile that is whole, in partials_
    int32_t shared = -1;    // the tile with the chunks before first_chunk …
    int32_t shared_column = 0;  // … and this tile's first column in it
    bool for_others = false;    // is such a tile
  };
  // A bunch of tiles of one sequence: of a kv head each, which grows by one, or of the same.
  struct Item {
    int32_t tile, n_tiles;
    int32_t first_chunk, n_chunks;  // relative to the tiles'; all of them: see Tile::run
  };
  // Sequences that begin with the same pages, in one tile per kv head.
  struct Party {
    std::vector<const SequenceRows*> members;
    int32_t n_chunks = 0, columns = 0;
  };
  // Softmax state of a tile's columns: top[c], sum[c], acc[c · v_pad + i]. For 8-bit keys the
  // maximum is in units of log 2.
  struct State {
    float* top;
    float* sum;
    float* acc;
  };
  struct Scratch;
  struct ChunkPages;

  void prepare_rows(int32_t thread) const;
  void prepare_unit(const SequenceRows& seq, int32_t i, int32_t kv_head) const;
  // attention_tiles.cpp
  void cut_tiles();
  void find_parties();
  void cut_sequence(const SequenceRows& seq, int32_t kv_head, int32_t first_chunk, int32_t shared,
                    int32_t shared_column);
  void add_columns(const SequenceRows& seq, int32_t kv_head, int32_t first, int32_t n);
  int32_t bunch_at(size_t first, int64_t most_columns) const;
  void make_items();
  // attention_chunk.cpp
  void load_queries(const Tile& tile, int32_t at, Scratch& s) const;
  void look_ahead(const Tile& tile, int32_t chunk, bool near, int64_t from, int64_t to,
                  Scratch& s) const;
  void attend(const Tile& tile, int32_t at, int32_t chunk, int32_t first, int32_t n, Scratch& s,
              const State& out) const;
  void attend_float(const Tile& tile, int32_t at, const ChunkPages& chunk, int32_t n, Scratch& s,
                    const State& out) const;
  // What columns [first, first + n) see of a chunk, from its begin on.
  void find_seen(const Tile& tile, const ChunkPages& chunk, int32_t first, int32_t n, int32_t* from,
                 int32_t* to) const;
  void attend_q8(const Tile& tile, int32_t at, const ChunkPages& chunk, int32_t first, int32_t n,
                 Scratch& s, const State& out) const;
  void find_values(ChunkPages& chunk, Scratch& s) const;
  void attend_whole(const Tile& tile, int32_t at, const ChunkPages& chunk, int32_t first, int32_t n,
                    Scratch& s, const State& out) const;
  void softmax_column(int32_t c, int32_t n, int32_t begin, int32_t end, Scratch& s,
                      const State& out) const;

  void merge(int32_t n_columns, const State& total, const State& chunk) const;
  void run_item(const Item& item, const Item* next, Scratch& s) const;
  void fetch_next(const Item& item, size_t i, int32_t chunk, const Item* next, Scratch& s) const;
  void plan_next_layer(int32_t thread) const;
  void run_chunk(const Tile& tile, int32_t at, int32_t chunk, const State& total, Scratch& s) const;
  void run_merge(const Tile& tile, Scratch& s) const;
  void write_out(const Tile& tile, const State& total) const;
  State state_at(float* memory, int32_t n_columns) const;
  State slice(const State& state, int32_t column) const;
  int64_t state_floats(int32_t n_columns) const;
  bool is_q4() const { return kv_->type() == KvType::kQ4; }
  bool is_q8() const { return kv_->type() == KvType::kQ8 || is_q4(); }  // as the kernels see it
  // Whether kernels fetch into the first-level cache, in the order in which they read.
  bool reads_near() const {
    return table_->attention_near && kv_->type() == KvType::kQ8 && !takes_whole() &&
           table_->attention->panels_together;
  }
  // A kernel takes all steps of a chunk at once.
  bool takes_whole() const { return is_q8() && table_->attention->attend && call_->softcap == 0; }
  // Bytes from one query to the next, q8: a kernel's steps of 64 dims are whole.
  int64_t q_stride() const { return (kv_->head(call_->layer).k_pad + 63) / 64 * 64; }
  int32_t group() const { return call_->n_heads / call_->n_kv_heads; }
  int32_t tile_columns() const;  // most of a tile
  int32_t step_columns() const;  // that go through a chunk together
  const Column& column(const Tile& tile, int32_t c) const {
    return columns_[static_cast<size_t>(tile.first_column + c)];
  }
  int32_t window_begin(int32_t pos) const;

  const KernelTable* table_;
  ThreadPool* pool_;
  const AttentionCall* call_ = nullptr;
  KvPages* kv_ = nullptr;
  std::vector<Column> columns_;
  std::vector<Tile> tiles_;
  std::vector<Item> items_;
  std::vector<Party> parties_;
  int64_t party_floats_ = 0;                       // most that parties use of partials_
  std::vector<int32_t> party_of_;                  // by sequence; -1: none
  std::vector<std::unique_ptr<Scratch>> scratch_;  // one per thread
  Memory partials_;
  const int64_t later_bytes_;
  WorkRanges work_;
  alignas(64) std::atomic<int64_t> next_merge_{0};
};

}  // namespace xh::cpu

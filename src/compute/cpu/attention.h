// Grouped-query attention over paged keys and values.
//
// A sequence's positions are cut into chunks of kChunkTokens at fixed borders. For each chunk:
// scores, their maximum, exponentials, and the weighted sum of values; chunks are then merged from
// the first to the last. Nothing in this order depends on the batch, on how a prompt was cut, or on
// the number of threads, so a token's result is always the same bits.
//
// A tile is up to tile_columns (row, query head) pairs that share one kv head: they read K and V
// once. Threads take work from one list: whole tiles, or single chunks of a tile where whole ones
// would share out badly; those are merged in a second step.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "compute/compute.h"
#include "compute/cpu/kv_pages.h"

namespace xh::cpu {

constexpr int32_t kChunkTokens = 256;

class AttentionRunner {
 public:
  AttentionRunner(const KernelTable& table, ThreadPool& pool);
  ~AttentionRunner();
  // Sizes working memory; before the first run().
  Result<void> reserve();
  void run(const AttentionCall& call, KvPages& kv);

 private:
  // Columns first_column … + n_columns - 1 of one kv head; a column is
  // (row in sequence) · group + (head in group).
  struct Tile {
    const SequenceRows* sequence;
    int32_t kv_head;
    int32_t first_column, n_columns;
    int32_t first_chunk, n_chunks;
    int64_t partials = -1;  // of its first chunk in partials_, in floats; -1: not split
  };
  // Chunk -1: the whole tile.
  struct Item {
    int32_t tile, chunk;
  };
  // Softmax state of a tile's columns: top[c], sum[c], acc[c · v_pad + i].
  struct State {
    float* top;
    float* sum;
    float* acc;
  };
  struct Scratch;

  void prepare_rows(int32_t thread) const;
  void cut_tiles();
  void load_queries(const Tile& tile, Scratch& s) const;
  void attend_chunk(const Tile& tile, int32_t chunk, Scratch& s, const State& out) const;
  void softmax_column(const Tile& tile, int32_t c, int32_t begin, int32_t end, Scratch& s,
                      const State& out) const;
  void merge(const Tile& tile, const State& total, const State& chunk) const;
  void run_whole(const Tile& tile, Scratch& s) const;
  void run_merge(const Tile& tile, Scratch& s) const;
  void write_out(const Tile& tile, const State& total) const;
  State state_at(float* memory, int32_t n_columns) const;
  int32_t group() const { return call_->n_heads / call_->n_kv_heads; }
  int32_t position(const Tile& tile, int32_t c) const;
  int32_t window_begin(int32_t pos) const;

  const KernelTable* table_;
  ThreadPool* pool_;
  const AttentionCall* call_ = nullptr;
  KvPages* kv_ = nullptr;
  std::vector<Tile> tiles_;
  std::vector<Item> items_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // one per thread
  Memory partials_;
  alignas(64) std::atomic<int64_t> next_item_{0};
  alignas(64) std::atomic<int64_t> next_merge_{0};
};

}  // namespace xh::cpu

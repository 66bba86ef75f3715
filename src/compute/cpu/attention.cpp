#include "compute/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "compute/cpu/attention_scratch.h"

namespace xh::cpu {
AttentionRunner::AttentionRunner(const KernelTable& table, ThreadPool& pool, int64_t later_bytes)
    : table_(&table), pool_(&pool), later_bytes_(later_bytes), work_(pool.size()) {}
AttentionRunner::~AttentionRunner() = default;

Result<void> AttentionRunner::reserve() {
  while (scratch_.size() < static_cast<size_t>(pool_->size()))
    scratch_.push_back(std::make_unique<Scratch>());
  if (partials_.bytes() == 0) {
    XH_TRY(partials_, Memory::map(kPartialFloats * sizeof(float)));
  }
  return {};
}

int32_t AttentionRunner::window_begin(int32_t pos) const {
  return call_->window > 0 ? std::max(0, pos + 1 - call_->window) : 0;
}

int64_t AttentionRunner::state_floats(int32_t n_columns) const {
  return n_columns * (2 + kv_->head(call_->layer).v_pad);
}
AttentionRunner::State AttentionRunner::state_at(float* memory, int32_t n_columns) const {
  return {memory, memory + n_columns, memory + 2 * n_columns};
}
AttentionRunner::State AttentionRunner::slice(const State& state, int32_t column) const {
  return {state.top + column, state.sum + column,
          state.acc + column * kv_->head(call_->layer).v_pad};
}

void AttentionRunner::run(const AttentionCall& call, KvPages& kv) {
  XH_CHECK(!scratch_.empty() && call.head_dim <= kMaxDim);
  call_ = &call;
  kv_ = &kv;
  cut_tiles();
  work_.reset(static_cast<int64_t>(items_.size()));
  next_merge_.store(0, std::memory_order_relaxed);
  bool any_kept = false;
  for (const Tile& tile : tiles_) any_kept |= tile.partials >= 0;

  pool_->run([&](int32_t thread) {
    prepare_rows(thread);
    pool_->barrier();
    Scratch& s = *scratch_[static_cast<size_t>(thread)];
    for (int64_t i; (i = work_.take(thread)) >= 0;) {
      const int64_t next = work_.next(thread);
      run_item(items_[static_cast<size_t>(i)],
               next >= 0 ? &items_[static_cast<size_t>(next)] : nullptr, s);
    }
    plan_next_layer(thread);
    if (!any_kept) return;
    pool_->barrier();
    const auto n_tiles = static_cast<int64_t>(tiles_.size());
    for (int64_t i; (i = next_merge_.fetch_add(1, std::memory_order_relaxed)) < n_tiles;) {
      const Tile& tile = tiles_[static_cast<size_t>(i)];
      if (tile.partials >= 0 && !tile.for_others) run_merge(tile, s);
    }
  });
}

LaterReads& AttentionRunner::next_layer(int32_t thread) const {
  return scratch_[static_cast<size_t>(thread)]->next_layer;
}

// Tiles of few columns alone: others compute longer than they read.
constexpr int32_t kReadColumns = 16;
void AttentionRunner::plan_next_layer(int32_t thread) const {
  LaterReads& reads = next_layer(thread);
  reads.reset(call_->q.rows > kNarrowTile ? later_bytes_ : 0);
  constexpr int32_t kPages = kChunkPages;
  const int32_t layer = (call_->layer + 1) % kv_->parts_of_page();
  const int64_t bytes = kv_->head(layer).bytes;
  const Share mine = share_of(static_cast<int64_t>(items_.size()), thread, pool_->size());
  for (int64_t i = mine.begin; i < mine.end && !reads.full(); ++i) {
    const Item& item = items_[static_cast<size_t>(i)];
    const std::span<const Tile> tiles{&tiles_[static_cast<size_t>(item.tile)],
                                      static_cast<size_t>(item.n_tiles)};
    if (tiles[0].n_columns > kReadColumns) continue;
    const int32_t first = (tiles[0].first_chunk + item.first_chunk) * kPages;
    const int32_t last = std::min(column(tiles[0], tiles[0].n_columns - 1).pos / kPageTokens,
                                  first + item.n_chunks * kPages - 1);
    for (int32_t p = first; p <= last; ++p) {
      const PageId page = tiles[0].pages[static_cast<size_t>(p)];
      if (page == kNoPage) continue;  // behind the window
      for (const Tile& tile : tiles) {
        const bool seen = &tile != &tiles[0] && tile.kv_head == tiles[0].kv_head;
        if (!seen && tile.kv_head < kv_->n_kv_heads(layer))
          reads.add(kv_->at(layer, page, tile.kv_head), bytes);
      }
    }
  }
}

// Norm and rotation of queries and keys, keys and values into their pages. The unit of work is a
// row of one kv head with its query heads.
void AttentionRunner::prepare_rows(int32_t thread) const {
  const AttentionCall& call = *call_;
  int64_t rows = 0;
  for (const auto& seq : call.sequences) rows += seq.n_rows;
  const Share share = share_of(rows * call.n_kv_heads, thread, pool_->size());
  int64_t first = 0;
  for (const auto& seq : call.sequences) {
    const int64_t n = int64_t{seq.n_rows} * call.n_kv_heads;
    const int64_t from = std::max(share.begin, first), to = std::min(share.end, first + n);
    for (int64_t unit = from; unit < to; ++unit)
      prepare_unit(seq, static_cast<int32_t>((unit - first) / call.n_kv_heads),
                   static_cast<int32_t>((unit - first) % call.n_kv_heads));
    first += n;
  }
}

void AttentionRunner::prepare_unit(const SequenceRows& seq, int32_t i, int32_t kv_head) const {
  const AttentionCall& call = *call_;
  const int64_t row = seq.first_row + i;
  const int32_t pos = seq.first_pos + i, slot = pos % kPageTokens;
  const PageId page = seq.pages[static_cast<size_t>(pos / kPageTokens)];
  if (seq.n_rows < 4)
    kv_->fetch(call.layer, page, kv_head, slot);  // the rows of a prompt follow each other
  auto prepare_head = [&](float* x, const float* norm) {
    if (norm) table_->rms_norm(x, norm, call.qk_norm_eps, call.head_dim, x);
    if (call.rope) {
      const int32_t half = call.rope->dims / 2;
      const float* cos = call.rope_table.row(row);
      const auto rotate = call.rope->interleaved ? table_->rotate_pairs : table_->rotate_half;
      rotate(x, cos, cos + half, half);
    }
    if (is_q8()) table_->attention->hadamard(x, call.head_dim);
  };
  for (int32_t h = kv_head * group(); h < (kv_head + 1) * group(); ++h)
    prepare_head(call.q.row(row) + h * call.head_dim, call.q_norm);
  float* k = call.k.row(row) + kv_head * call.head_dim;
  prepare_head(k, call.k_norm);
  kv_->put(*table_, call.layer, page, kv_head, slot, k, call.v.row(row) + kv_head * call.head_dim);
}

// total ← total and chunk together, each relative to the larger maximum.
void AttentionRunner::merge(int32_t n_columns, const State& total, const State& chunk) const {
  const int64_t v_pad = kv_->head(call_->layer).v_pad;
  const bool base_two = is_q8();
  for (int32_t c = 0; c < n_columns; ++c) {
    if (chunk.sum[c] == 0) continue;  // no position of this chunk belongs to the column
    const float top = total.sum[c] == 0 ? chunk.top[c] : std::max(total.top[c], chunk.top[c]);
    auto factor = [&](float x) { return base_two ? std::exp2(x - top) : std::exp(x - top); };
    const float a = total.sum[c] == 0 ? 0.0f : factor(total.top[c]), b = factor(chunk.top[c]);
    table_->scale_add(total.acc + c * v_pad, a, chunk.acc + c * v_pad, b, v_pad);
    total.sum[c] = total.sum[c] * a + chunk.sum[c] * b;
    total.top[c] = top;
  }
}

void AttentionRunner::run_item(const Item& item, const Item* next, Scratch& s) const {
  const std::span<const Tile> tiles{&tiles_[static_cast<size_t>(item.tile)],
                                    static_cast<size_t>(item.n_tiles)};
  const bool each = tiles[0].run > 0;  // every chunk's state is kept
  State totals[kItemTiles];
  int32_t at[kItemTiles], columns = 0;
  for (size_t i = 0; i < tiles.size(); ++i) {
    const Tile& tile = tiles[i];
    float* memory = tile.partials >= 0 ? partials_.as<float>() + tile.partials
                                       : s.totals + state_floats(columns);
    totals[i] = state_at(memory, tile.n_columns);
    if (!each) std::fill_n(memory, state_floats(tile.n_columns), 0.0f);
    at[i] = columns;
    columns += tile.n_columns;
    load_queries(tile, at[i], s);
  }
  for (int32_t chunk = item.first_chunk; chunk < item.first_chunk + item.n_chunks; ++chunk)
    for (size_t i = 0; i < tiles.size(); ++i) {
      if (chunk >= tiles[i].n_chunks) continue;
      fetch_next(item, i, chunk, next, s);
      State state = totals[i];
      if (each)
        state = state_at(state.top + chunk * state_floats(tiles[i].n_columns), tiles[i].n_columns);
      run_chunk(tiles[i], at[i], chunk, state, s);
    }
  for (size_t i = 0; i < tiles.size(); ++i)
    if (tiles[i].partials < 0) write_out(tiles[i], totals[i]);
}

// Names what to fetch during a chunk of the item's tile i: what comes after it, unless that is the
// same keys again. Near, it is what comes kAhead bytes later.
void AttentionRunner::fetch_next(const Item& item, size_t i, int32_t chunk, const Item* next,
                                 Scratch& s) const {
  constexpr int64_t kAhead = 6144, kAll = INT64_MAX;
  const Tile* tiles = &tiles_[static_cast<size_t>(item.tile)];
  const auto n_tiles = static_cast<size_t>(item.n_tiles);
  const bool one_head = tiles[0].kv_head == tiles[n_tiles - 1].kv_head;
  if (one_head && i > 0) return;
  const bool near = reads_near() && (n_tiles == 1 || !one_head);
  s.runs.clear();
  if (near) look_ahead(tiles[i], chunk, near, kAhead, kAll, s);
  const int64_t most = near ? kAhead : kAll;
  if (!one_head && i + 1 < n_tiles)
    look_ahead(tiles[i + 1], chunk, near, 0, most, s);
  else if (chunk + 1 < item.first_chunk + item.n_chunks)
    look_ahead(tiles[one_head ? n_tiles - 1 : 0], chunk + 1, near, 0, most, s);
  else if (next)
    look_ahead(tiles_[static_cast<size_t>(next->tile)], next->first_chunk, near, 0, most, s);
  s.ahead = {.runs = s.runs.data(),
             .n_runs = static_cast<int64_t>(s.runs.size()),
             .calls = one_head ? item.n_tiles : 1,
             .near = near};
}

// A chunk of a tile whose queries are at column `at` of s. Its state is added to the total, or is
// it where every chunk's is kept.
void AttentionRunner::run_chunk(const Tile& tile, int32_t at, int32_t chunk, const State& total,
                                Scratch& s) const {
  // A kernel for whole chunks adds to the state itself.
  const bool direct = takes_whole() || tile.run > 0;
  const State state = direct ? total : state_at(s.state, tile.n_columns);
  if (tile.run > 0 || !direct) std::fill_n(state.sum, tile.n_columns, 0.0f);
  for (int32_t first = 0; first < tile.n_columns; first += step_columns()) {
    const int32_t n = std::min(step_columns(), tile.n_columns - first);
    attend(tile, at, tile.first_chunk + chunk, first, n, s, slice(state, first));
    if (!direct) merge(n, slice(total, first), slice(state, first));
  }
}

void AttentionRunner::run_merge(const Tile& tile, Scratch& s) const {
  const State total = state_at(s.totals, tile.n_columns);
  std::fill_n(s.totals, state_floats(tile.n_columns), 0.0f);
  auto add_states = [&](const Tile& from, int32_t column) {
    const int32_t n = from.run > 0 ? from.n_chunks : 1;
    const int64_t floats = state_floats(from.n_columns);
    for (int32_t i = 0; i < n; ++i)
      merge(tile.n_columns, total,
            slice(state_at(partials_.as<float>() + from.partials + i * floats, from.n_columns),
                  column));
  };
  if (tile.shared >= 0) add_states(tiles_[static_cast<size_t>(tile.shared)], tile.shared_column);
  add_states(tile, 0);
  write_out(tile, total);
}

void AttentionRunner::write_out(const Tile& tile, const State& total) const {
  const auto& head = kv_->head(call_->layer);
  for (int32_t c = 0; c < tile.n_columns; ++c) {
    const Column& at = column(tile, c);
    float* out = call_->out.row(at.row) + at.head * head.v_dim;
    float inverse = 1.0f / total.sum[c];
    if (is_q8()) inverse /= static_cast<float>(head.v_dim & -head.v_dim);
    table_->scale(total.acc + c * head.v_pad, inverse, head.v_dim, out);
    if (is_q8()) table_->attention->hadamard(out, head.v_dim);  // its own inverse, but for a factor
  }
}

}  // namespace xh::cpu

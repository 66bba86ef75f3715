#include "compute/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace xh::cpu {
namespace {

constexpr int64_t kMaxDim = 1024;
constexpr int64_t kPartialFloats = 16 << 20;  // address space only, until touched

void rotate_pairs(float* x, const float* cos, const float* sin, int32_t half) {
  for (int32_t i = 0; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

}  // namespace

struct AttentionRunner::Scratch {
  alignas(64) float head[kMaxDim];                     // one query, scaled
  alignas(64) float queries[kMaxDim * kMaxTile];       // a tile's, as floats or ActBlocks
  alignas(64) float scores[kMaxTile * kChunkTokens];   // (column, token)
  alignas(64) float weights[kChunkTokens * kMaxTile];  // (token, column)
  alignas(64) float state[2][kMaxTile * (kMaxDim + 2)];
};

AttentionRunner::AttentionRunner(const KernelTable& table, ThreadPool& pool)
    : table_(&table), pool_(&pool) {}
AttentionRunner::~AttentionRunner() = default;

Result<void> AttentionRunner::reserve() {
  while (scratch_.size() < static_cast<size_t>(pool_->size()))
    scratch_.push_back(std::make_unique<Scratch>());
  if (partials_.bytes() == 0) {
    XH_TRY(partials_, Memory::map(kPartialFloats * sizeof(float)));
  }
  return {};
}

int32_t AttentionRunner::position(const Tile& tile, int32_t c) const {
  return tile.sequence->first_pos + (tile.first_column + c) / group();
}
int32_t AttentionRunner::window_begin(int32_t pos) const {
  return call_->window > 0 ? std::max(0, pos + 1 - call_->window) : 0;
}

AttentionRunner::State AttentionRunner::state_at(float* memory, int32_t n_columns) const {
  return {memory, memory + n_columns, memory + 2 * n_columns};
}

void AttentionRunner::run(const AttentionCall& call, KvPages& kv) {
  XH_CHECK(!scratch_.empty() && call.head_dim <= kMaxDim);
  call_ = &call;
  kv_ = &kv;
  cut_tiles();
  next_item_.store(0, std::memory_order_relaxed);
  next_merge_.store(0, std::memory_order_relaxed);
  bool any_split = false;
  for (const Tile& tile : tiles_) any_split |= tile.partials >= 0;

  pool_->run([&](int32_t thread) {
    prepare_rows(thread);
    pool_->barrier();
    Scratch& s = *scratch_[static_cast<size_t>(thread)];
    const auto n_items = static_cast<int64_t>(items_.size());
    for (int64_t i; (i = next_item_.fetch_add(1, std::memory_order_relaxed)) < n_items;) {
      const Item item = items_[static_cast<size_t>(i)];
      const Tile& tile = tiles_[static_cast<size_t>(item.tile)];
      if (item.chunk < 0) {
        run_whole(tile, s);
      } else {
        const int64_t size = tile.n_columns * (2 + kv.head(call.layer).v_pad);
        float* at = partials_.as<float>() + tile.partials + item.chunk * size;
        load_queries(tile, s);
        attend_chunk(tile, tile.first_chunk + item.chunk, s, state_at(at, tile.n_columns));
      }
    }
    if (!any_split) return;
    pool_->barrier();
    const auto n_tiles = static_cast<int64_t>(tiles_.size());
    for (int64_t i; (i = next_merge_.fetch_add(1, std::memory_order_relaxed)) < n_tiles;)
      if (tiles_[static_cast<size_t>(i)].partials >= 0)
        run_merge(tiles_[static_cast<size_t>(i)], s);
  });
}

// Norm and rotation of queries and keys, keys and values into their pages. The unit of work is a
// row of one kv head with its query heads.
void AttentionRunner::prepare_rows(int32_t thread) const {
  const AttentionCall& call = *call_;
  int64_t rows = 0;
  for (const auto& seq : call.sequences) rows += seq.n_rows;
  const Share share = share_of(rows * call.n_kv_heads, thread, pool_->size());

  auto prepare_head = [&](float* x, const float* norm, int64_t row) {
    if (norm) table_->rms_norm(x, norm, call.qk_norm_eps, call.head_dim, x);
    if (!call.rope) return;
    const int32_t half = call.rope->dims / 2;
    const float* cos = call.rope_table.row(row);
    if (call.rope->interleaved)
      rotate_pairs(x, cos, cos + half, half);
    else
      table_->rotate_half(x, cos, cos + half, half);
  };

  int64_t first = 0;
  for (const auto& seq : call.sequences) {
    const int64_t n = int64_t{seq.n_rows} * call.n_kv_heads;
    const int64_t from = std::max(share.begin, first), to = std::min(share.end, first + n);
    for (int64_t unit = from; unit < to; ++unit) {
      const auto i = static_cast<int32_t>((unit - first) / call.n_kv_heads);
      const auto kv_head = static_cast<int32_t>((unit - first) % call.n_kv_heads);
      const int64_t row = seq.first_row + i;
      const int32_t pos = seq.first_pos + i;
      for (int32_t h = kv_head * group(); h < (kv_head + 1) * group(); ++h)
        prepare_head(call.q.row(row) + h * call.head_dim, call.q_norm, row);
      float* k = call.k.row(row) + kv_head * call.head_dim;
      prepare_head(k, call.k_norm, row);
      kv_->put(*table_, call.layer, seq.pages[static_cast<size_t>(pos / kPageTokens)], kv_head,
               pos % kPageTokens, k, call.v.row(row) + kv_head * call.head_dim);
    }
    first += n;
  }
}

void AttentionRunner::cut_tiles() {
  const AttentionCall& call = *call_;
  tiles_.clear();
  items_.clear();
  int64_t chunks = 0;
  for (const auto& seq : call.sequences) {
    const int32_t columns = seq.n_rows * group();
    const int32_t n = (columns + table_->tile_columns - 1) / table_->tile_columns;
    for (int32_t kv_head = 0; kv_head < call.n_kv_heads; ++kv_head) {
      for (int32_t t = 0; t < n; ++t) {
        Tile tile{&seq, kv_head, columns * t / n, 0, 0, 0};
        tile.n_columns = columns * (t + 1) / n - tile.first_column;
        tile.first_chunk = window_begin(position(tile, 0)) / kChunkTokens;
        tile.n_chunks = position(tile, tile.n_columns - 1) / kChunkTokens + 1 - tile.first_chunk;
        chunks += tile.n_chunks;
        tiles_.push_back(tile);
      }
    }
  }
  // Split the tiles that hold more than a small part of a thread's fair share.
  const int64_t share = std::max<int64_t>(1, chunks / (8 * pool_->size()));
  int64_t used = 0;
  for (size_t i = 0; i < tiles_.size(); ++i) {
    Tile& tile = tiles_[i];
    const int64_t floats = tile.n_chunks * tile.n_columns * (2 + kv_->head(call.layer).v_pad);
    const auto index = static_cast<int32_t>(i);
    if (pool_->size() > 1 && tile.n_chunks > share && used + floats <= kPartialFloats) {
      tile.partials = used;
      used += floats;
      for (int32_t c = 0; c < tile.n_chunks; ++c) items_.push_back({index, c});
    } else {
      items_.push_back({index, -1});
    }
  }
}

void AttentionRunner::load_queries(const Tile& tile, Scratch& s) const {
  const AttentionCall& call = *call_;
  const auto& head = kv_->head(call.layer);
  const int32_t n = tile.n_columns;
  const bool blocks = kv_->type() == KvType::kQ8;
  for (int32_t c = 0; c < n; ++c) {
    const int32_t column = tile.first_column + c;
    const int64_t row = tile.sequence->first_row + column / group();
    const float* q = call.q.row(row) + (tile.kv_head * group() + column % group()) * call.head_dim;
    for (int32_t i = 0; i < call.head_dim; ++i) s.head[i] = q[i] * call.scale;
    std::fill(s.head + call.head_dim, s.head + head.k_pad, 0.0f);
    if (blocks)
      table_->quantise(s.head, head.k_pad / kBlock, reinterpret_cast<ActBlock*>(s.queries) + c, n);
    else
      for (int64_t i = 0; i < head.k_pad; ++i) s.queries[i * n + c] = s.head[i];
  }
}

// Positions begin … end - 1 of the chunk belong to column c: scores → weights, maximum, sum.
void AttentionRunner::softmax_column(const Tile& tile, int32_t c, int32_t begin, int32_t end,
                                     Scratch& s, const State& out) const {
  float* scores = s.scores + c * kChunkTokens;
  if (call_->softcap > 0)
    for (int32_t i = begin; i < end; ++i)
      scores[i] = call_->softcap * std::tanh(scores[i] / call_->softcap);
  out.top[c] = table_->max(scores + begin, end - begin);
  out.sum[c] = table_->exp_sum(scores + begin, end - begin, out.top[c],
                               s.weights + begin * tile.n_columns + c, tile.n_columns);
}

void AttentionRunner::attend_chunk(const Tile& tile, int32_t chunk, Scratch& s,
                                   const State& out) const {
  const AttentionCall& call = *call_;
  const auto& head = kv_->head(call.layer);
  const int32_t n = tile.n_columns, start = chunk * kChunkTokens;
  const int32_t end = std::min(kChunkTokens, position(tile, n - 1) + 1 - start);
  // Pages before the window may be gone: begin at the first page that some column needs.
  const int32_t begin =
      std::max(0, window_begin(position(tile, 0)) - start) / kPageTokens * kPageTokens;
  auto page = [&](int32_t i) {
    return kv_->at(call.layer, tile.sequence->pages[static_cast<size_t>((start + i) / kPageTokens)],
                   tile.kv_head);
  };

  GemmArgs args{};
  args.act = s.queries;
  args.act_stride = n;
  args.n_blocks = kv_->type() == KvType::kQ8 ? head.k_pad / kBlock : head.k_pad;
  args.y_stride = kChunkTokens;
  args.rows = kPanelRows;
  const GemmTile score = table_->gemm[static_cast<size_t>(kv_->k_type())][n - 1];
  for (int32_t i = begin; i < end; i += kPanelRows) {
    args.scales = reinterpret_cast<const uint8_t*>(page(i)) +
                  i % kPageTokens / kPanelRows * head.k_panel_bytes;
    args.quants = args.scales + head.k_scale_bytes;
    args.y = s.scores + i;
    score(args);
  }

  std::fill(s.weights + begin * n, s.weights + end * n, 0.0f);
  for (int32_t c = 0; c < n; ++c) {
    const int32_t pos = position(tile, c);
    const int32_t from = std::max(0, window_begin(pos) - start);
    const int32_t to = std::min(kChunkTokens, pos + 1 - start);
    out.top[c] = -INFINITY;
    out.sum[c] = 0;
    if (from < to) softmax_column(tile, c, from, to, s, out);
  }

  const GemmTile weigh = table_->gemm[static_cast<size_t>(kv_->v_type())][n - 1];
  args.y_stride = head.v_pad;
  for (int32_t i = begin; i < end; i += kPageTokens) {
    const std::byte* base = page(i);
    const int32_t tokens = std::min(kPageTokens, end - i);
    float* weights = s.weights + i * n;
    if (kv_->type() == KvType::kQ8) {
      const auto* scales = reinterpret_cast<const float*>(base + head.v_scales_offset);
      for (int32_t t = 0; t < tokens; ++t)
        for (int32_t c = 0; c < n; ++c) weights[t * n + c] *= scales[t];
    }
    args.act = weights;
    args.n_blocks = tokens;
    args.add = i > begin;
    for (int64_t d = 0; d < head.v_pad; d += kPanelRows) {
      args.quants = reinterpret_cast<const uint8_t*>(base + head.v_offset) +
                    d / kPanelRows * head.v_panel_bytes;
      args.y = out.acc + d;
      weigh(args);
    }
  }
}

// total ← total and chunk together, each relative to the larger maximum.
void AttentionRunner::merge(const Tile& tile, const State& total, const State& chunk) const {
  const int64_t v_pad = kv_->head(call_->layer).v_pad;
  for (int32_t c = 0; c < tile.n_columns; ++c) {
    if (chunk.sum[c] == 0) continue;  // no position of this chunk belongs to the column
    const float top = total.sum[c] == 0 ? chunk.top[c] : std::max(total.top[c], chunk.top[c]);
    const float a = total.sum[c] == 0 ? 0.0f : std::exp(total.top[c] - top);
    const float b = std::exp(chunk.top[c] - top);
    table_->scale_add(total.acc + c * v_pad, a, chunk.acc + c * v_pad, b, v_pad);
    total.sum[c] = total.sum[c] * a + chunk.sum[c] * b;
    total.top[c] = top;
  }
}

void AttentionRunner::run_whole(const Tile& tile, Scratch& s) const {
  const State total = state_at(s.state[0], tile.n_columns);
  const State chunk = state_at(s.state[1], tile.n_columns);
  load_queries(tile, s);
  std::fill_n(s.state[0], tile.n_columns * (2 + kv_->head(call_->layer).v_pad), 0.0f);
  for (int32_t i = 0; i < tile.n_chunks; ++i) {
    attend_chunk(tile, tile.first_chunk + i, s, chunk);
    merge(tile, total, chunk);
  }
  write_out(tile, total);
}

void AttentionRunner::run_merge(const Tile& tile, Scratch& s) const {
  const State total = state_at(s.state[0], tile.n_columns);
  const int64_t size = tile.n_columns * (2 + kv_->head(call_->layer).v_pad);
  std::fill_n(s.state[0], size, 0.0f);
  for (int32_t i = 0; i < tile.n_chunks; ++i)
    merge(tile, total, state_at(partials_.as<float>() + tile.partials + i * size, tile.n_columns));
  write_out(tile, total);
}

void AttentionRunner::write_out(const Tile& tile, const State& total) const {
  const auto& head = kv_->head(call_->layer);
  for (int32_t c = 0; c < tile.n_columns; ++c) {
    const int32_t column = tile.first_column + c;
    float* out = call_->out.row(tile.sequence->first_row + column / group()) +
                 (tile.kv_head * group() + column % group()) * head.v_dim;
    const float inverse = 1.0f / total.sum[c];
    for (int64_t i = 0; i < head.v_dim; ++i) out[i] = total.acc[c * head.v_pad + i] * inverse;
  }
}

}  // namespace xh::cpu

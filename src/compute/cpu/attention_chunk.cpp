// A chunk of keys and values seen by a few columns: their softmax state over this chunk alone.
#include <algorithm>
#include <cmath>

#include "compute/cpu/attention_reads.h"
#include "compute/cpu/attention_scratch.h"

namespace xh::cpu {
namespace {

constexpr float kLog2E = 1.44269504f;

}  // namespace

// To column `at` of s.
void AttentionRunner::load_queries(const Tile& tile, int32_t at, Scratch& s) const {
  const AttentionCall& call = *call_;
  const int32_t dim = call.head_dim, n = tile.n_columns;
  // Both sides of a product went through the transform.
  const float unit = 1.0f / static_cast<float>(dim & -dim) * (call.softcap > 0 ? 1.0f : kLog2E);
  auto query = [&](const Column& of) { return call.q.row(of.row) + of.head * dim; };
  for (int32_t c = 0; c < n; ++c) {
    const float* q = query(column(tile, c));
    // Rows lie too far apart for the processor to see what comes next.
    if (c + 4 < n)
      for (const float *ahead = query(column(tile, c + 4)), *end = ahead + dim; ahead < end;
           ahead += 16)
        __builtin_prefetch(ahead);
    if (is_q8()) {
      int8_t* bytes = s.bytes + (at + c) * q_stride();
      int32_t sum;
      const float scale = table_->attention->quantise(q, dim, kKeyLimit, bytes, &sum);
      std::fill(bytes + dim, bytes + q_stride(), int8_t{0});
      s.q_scale[at + c] = scale * call.scale * unit;
      s.q_offset[at + c] = -128 * sum;
    } else {
      for (int32_t i = 0; i < dim; ++i) s.queries[at * dim + i * n + c] = q[i] * call.scale;
    }
  }
}

// Adds a chunk's keys and values to what is fetched: page by page, or the bytes from `from` to `to`
// of what is read.
void AttentionRunner::look_ahead(const Tile& tile, int32_t chunk, bool near, int64_t from,
                                 int64_t to, Scratch& s) const {
  constexpr int32_t kPages = kChunkPages;
  const int32_t first = (tile.first_chunk + chunk) * kPages;
  const int32_t last =
      std::min(column(tile, tile.n_columns - 1).pos / kPageTokens, first + kPages - 1);
  const auto& head = kv_->head(call_->layer);
  const uint8_t* pages[kChunkPages];
  size_t n = 0;
  for (int32_t i = first; i <= last; ++i) {
    const PageId page = tile.pages[static_cast<size_t>(i)];
    if (page == kNoPage) continue;  // behind the window
    pages[n++] = reinterpret_cast<const uint8_t*>(kv_->at(call_->layer, page, tile.kv_head));
  }
  if (near)
    add_reads({pages, n}, head, *table_->attention, tile.n_columns, from, to, s.runs);
  else
    for (size_t i = 0; i < n; ++i) s.runs.push_back({pages[i], pages[i] + head.bytes});
}

// Columns [first, first + n) of a tile whose queries are at column `at` of s.
void AttentionRunner::attend(const Tile& tile, int32_t at, int32_t chunk, int32_t first, int32_t n,
                             Scratch& s, const State& out) const {
  ChunkPages pages;
  pages.start = chunk * kChunkTokens;
  int32_t lowest = column(tile, first).pos, highest = lowest;
  for (int32_t c = first; c < first + n; ++c) {
    lowest = std::min(lowest, column(tile, c).pos);
    highest = std::max(highest, column(tile, c).pos);
  }
  // Pages before the window may be gone: begin at the first page that some column needs.
  pages.begin = std::max(0, window_begin(lowest) - pages.start) / kPageTokens * kPageTokens;
  pages.end = std::min(kChunkTokens, highest + 1 - pages.start);
  for (int32_t i = 0; i < pages.n_pages(); ++i) {
    const auto page = static_cast<size_t>((pages.start + pages.begin) / kPageTokens + i);
    pages.at[i] = kv_->at(call_->layer, tile.pages[page], tile.kv_head);
  }
  if (first == 0) s.unpacked = 0;  // another chunk: also where the first step sees none of it
  if (pages.n_pages() <= 0) return;
  if (is_q8()) find_values(pages, s);
  if (takes_whole()) {
    attend_whole(tile, at, pages, first, n, s, out);
  } else if (is_q8()) {
    attend_q8(tile, at, pages, first, n, s, out);
  } else {
    attend_float(tile, at, pages, n, s, out);
  }
}

// 4-bit values are unpacked once for all steps of a tile.
void AttentionRunner::find_values(ChunkPages& chunk, Scratch& s) const {
  const auto& head = kv_->head(call_->layer);
  for (int32_t i = 0; i < chunk.n_pages(); ++i) {
    const std::byte* packed = chunk.at[i] + head.v_offset;
    chunk.values[i] = reinterpret_cast<const int8_t*>(packed);
    if (!is_q4()) continue;
    const int32_t page = chunk.begin / kPageTokens + i;
    int8_t* to = s.values + page * kPageTokens * head.v_pad;
    chunk.values[i] = to;
    if (s.unpacked >> page & 1) continue;
    s.unpacked |= 1u << page;
    table_->attention->unpack_values(
        reinterpret_cast<const uint8_t*>(packed),
        reinterpret_cast<const uint8_t*>(chunk.at[i] + head.v_factors_offset),
        head.v_pad / kPanelRows, to);
  }
}

void AttentionRunner::find_seen(const Tile& tile, const ChunkPages& chunk, int32_t first, int32_t n,
                                int32_t* from, int32_t* to) const {
  for (int32_t c = 0; c < n; ++c) {
    const int32_t pos = column(tile, first + c).pos, start = chunk.start + chunk.begin;
    from[c] = std::max(0, window_begin(pos) - start);
    to[c] = std::min(kChunkTokens - chunk.begin, pos + 1 - start);
  }
}

void AttentionRunner::attend_q8(const Tile& tile, int32_t at, const ChunkPages& chunk,
                                int32_t first, int32_t n, Scratch& s, const State& out) const {
  const AttentionKernels& kernels = *table_->attention;
  const auto& head = kv_->head(call_->layer);
  const int32_t n_pages = chunk.n_pages();
  Ahead* ahead = first == 0 ? &s.ahead : nullptr;
  const uint8_t* keys[kChunkPages];
  const float* v_scales[kChunkPages];
  for (int32_t i = 0; i < n_pages; ++i) {
    keys[i] = reinterpret_cast<const uint8_t*>(chunk.at[i]);
    v_scales[i] = reinterpret_cast<const float*>(chunk.at[i] + head.v_scales_offset);
  }
  ScoreArgs score{keys,
                  ahead,
                  n_pages,
                  head.k_pad / 4,
                  s.bytes + (at + first) * q_stride(),
                  q_stride(),
                  s.q_scale + at + first,
                  s.q_offset + at + first,
                  s.scores};
  kernels.score[n - 1](score);

  int32_t from[kMaxColumns], to[kMaxColumns];
  find_seen(tile, chunk, first, n, from, to);
  if (call_->softcap > 0)
    for (int32_t c = 0; c < n; ++c)
      for (int32_t i = from[c]; i < to[c]; ++i) {
        float& score = s.scores[c * kChunkTokens + i];
        score = call_->softcap * kLog2E * std::tanh(score / call_->softcap);
      }
  kernels.soften({s.scores, n, n_pages, from, to, v_scales, s.p, s.p_scale, out.top, out.sum});

  WeighArgs weigh{chunk.values, ahead,     n_pages, head.v_pad / kPanelRows,
                  s.p,          s.p_scale, out.acc, head.v_pad};
  for (int32_t c = 0; c < n; c += kernels.weigh_columns) {
    weigh.p = s.p + c * kChunkTokens;
    weigh.p_scale = s.p_scale + c;
    weigh.acc = out.acc + c * head.v_pad;
    kernels.weigh[std::min(kernels.weigh_columns, n - c) - 1](weigh);
    weigh.ahead = nullptr;
  }
}

void AttentionRunner::attend_whole(const Tile& tile, int32_t at, const ChunkPages& chunk,
                                   int32_t first, int32_t n, Scratch& s, const State& out) const {
  const auto& head = kv_->head(call_->layer);
  const uint8_t* keys[kChunkPages];
  const float* v_scales[kChunkPages];
  for (int32_t i = 0; i < chunk.n_pages(); ++i) {
    keys[i] = reinterpret_cast<const uint8_t*>(chunk.at[i]);
    v_scales[i] = reinterpret_cast<const float*>(chunk.at[i] + head.v_scales_offset);
  }
  int32_t from[kWideTile], to[kWideTile];
  find_seen(tile, chunk, first, n, from, to);
  table_->attention->attend({.keys = keys,
                             .values = chunk.values,
                             .v_scales = v_scales,
                             .ahead = first == 0 ? &s.ahead : nullptr,
                             .n_pages = chunk.n_pages(),
                             .groups = head.k_pad / 4,
                             .panels = head.v_pad / kPanelRows,
                             .n_columns = n,
                             .q = s.bytes + (at + first) * q_stride(),
                             .q_stride = q_stride(),
                             .q_scale = s.q_scale + at + first,
                             .q_offset = s.q_offset + at + first,
                             .from = from,
                             .to = to,
                             .top = out.top,
                             .sum = out.sum,
                             .acc = out.acc,
                             .acc_stride = head.v_pad,
                             .scratch = s.attend});
}

// Positions begin … end - 1 of the step's tokens belong to column c: scores → weights, maximum,
// sum.
void AttentionRunner::softmax_column(int32_t c, int32_t n, int32_t begin, int32_t end, Scratch& s,
                                     const State& out) const {
  float* scores = s.scores + c * kChunkTokens;
  if (call_->softcap > 0)
    for (int32_t i = begin; i < end; ++i)
      scores[i] = call_->softcap * std::tanh(scores[i] / call_->softcap);
  out.top[c] = table_->max(scores + begin, end - begin);
  out.sum[c] =
      table_->exp_sum(scores + begin, end - begin, out.top[c], s.weights + begin * n + c, n);
}

void AttentionRunner::attend_float(const Tile& tile, int32_t at, const ChunkPages& chunk, int32_t n,
                                   Scratch& s, const State& out) const {
  const auto& head = kv_->head(call_->layer);
  const GemmTile kernel = table_->gemm[static_cast<size_t>(kv_->float_type())][n - 1];
  const int32_t begin = chunk.begin, end = chunk.end;
  auto page = [&](int32_t i) { return chunk.at[(i - begin) / kPageTokens]; };
  GemmArgs args{};
  args.act = s.queries + at * call_->head_dim;
  args.act_stride = n;
  args.n_blocks = head.k_pad;
  args.y_stride = kChunkTokens;
  args.rows = kPanelRows;
  for (int32_t i = begin; i < end; i += kPanelRows) {
    args.panel = reinterpret_cast<const uint8_t*>(page(i)) +
                 i % kPageTokens / kPanelRows * head.k_panel_bytes;
    args.y = s.scores + i;
    kernel(args);
  }

  std::fill(s.weights + begin * n, s.weights + end * n, 0.0f);
  for (int32_t c = 0; c < n; ++c) {
    const int32_t pos = column(tile, c).pos;
    const int32_t from = std::max(0, window_begin(pos) - chunk.start);
    const int32_t to = std::min(kChunkTokens, pos + 1 - chunk.start);
    if (from < to) softmax_column(c, n, from, to, s, out);
  }

  args.y_stride = head.v_pad;
  for (int32_t i = begin; i < end; i += kPageTokens) {
    args.act = s.weights + i * n;
    args.n_blocks = std::min(kPageTokens, end - i);
    args.add = i > begin;
    for (int64_t d = 0; d < head.v_pad; d += kPanelRows) {
      args.panel = reinterpret_cast<const uint8_t*>(page(i)) + head.v_offset +
                   d / kPanelRows * head.v_panel_bytes;
      args.y = out.acc + d;
      kernel(args);
    }
  }
}

}  // namespace xh::cpu

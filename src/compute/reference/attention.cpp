#include <algorithm>
#include <cmath>
#include <vector>

#include "compute/reference/reference_compute.h"
#include "compute/reference/reference_kv.h"
#include "compute/reference/reference_matrix.h"

namespace xh::reference {
namespace {

// Rotates the first `dims` values of each head in place. cs: (dims) cos then sin.
void rotate(float* head, const Rope& rope, const float* cs) {
  const int32_t half = rope.dims / 2;
  for (int32_t i = 0; i < half; ++i) {
    float& a = head[rope.interleaved ? 2 * i : i];
    float& b = head[rope.interleaved ? 2 * i + 1 : i + half];
    const float c = cs[i], s = cs[half + i];
    const float x = a, y = b;
    a = x * c - y * s;
    b = x * s + y * c;
  }
}

// Norm per head, then rotation, for every row.
void prepare_heads(const AttentionCall& call, MatView m, int32_t heads, const float* norm) {
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int32_t h = 0; h < heads; ++h) {
      float* head = m.row(r) + h * call.head_dim;
      if (norm != nullptr) rms_norm(head, call.head_dim, norm, call.qk_norm_eps, head);
      if (call.rope != nullptr) rotate(head, *call.rope, call.rope_table.row(r));
    }
  }
}

// One query head against positions begin … end-1 of its sequence.
void attend(const AttentionCall& call, ReferenceKv& kv, const SequenceRows& seq, int32_t kv_head,
            int32_t begin, int32_t end, const float* q, std::vector<float>& scores, float* out) {
  auto page = [&](int32_t pos) { return seq.pages[static_cast<size_t>(pos / kPageTokens)]; };
  scores.resize(static_cast<size_t>(end - begin));
  float top = -INFINITY;
  for (int32_t pos = begin; pos < end; ++pos) {
    const float* k = kv.k(call.layer, page(pos), pos % kPageTokens) + kv_head * call.head_dim;
    float score = dot(q, k, call.head_dim) * call.scale;
    if (call.softcap > 0) score = call.softcap * std::tanh(score / call.softcap);
    scores[static_cast<size_t>(pos - begin)] = score;
    top = std::max(top, score);
  }
  float sum = 0;
  std::fill_n(out, call.head_dim, 0.0f);
  for (int32_t pos = begin; pos < end; ++pos) {
    const float p = std::exp(scores[static_cast<size_t>(pos - begin)] - top);
    const float* v = kv.v(call.layer, page(pos), pos % kPageTokens) + kv_head * call.head_dim;
    for (int32_t i = 0; i < call.head_dim; ++i) out[i] += p * v[i];
    sum += p;
  }
  for (int32_t i = 0; i < call.head_dim; ++i) out[i] /= sum;
}

}  // namespace

void ReferenceCompute::attention(const AttentionCall& call, KvStore& store) {
  auto& kv = static_cast<ReferenceKv&>(store);
  prepare_heads(call, call.q, call.n_heads, call.q_norm);
  prepare_heads(call, call.k, call.n_kv_heads, call.k_norm);

  const int32_t kv_width = call.n_kv_heads * call.head_dim;
  const int32_t group = call.n_heads / call.n_kv_heads;
  std::vector<float> scores;
  for (const auto& seq : call.sequences) {
    for (int32_t i = 0; i < seq.n_rows; ++i) {
      const int32_t pos = seq.first_pos + i;
      const PageId page = seq.pages[static_cast<size_t>(pos / kPageTokens)];
      std::copy_n(call.k.row(seq.first_row + i), kv_width,
                  kv.k(call.layer, page, pos % kPageTokens));
      std::copy_n(call.v.row(seq.first_row + i), kv_width,
                  kv.v(call.layer, page, pos % kPageTokens));
    }
    for (int32_t i = 0; i < seq.n_rows; ++i) {
      const int32_t end = seq.first_pos + i + 1;
      const int32_t begin = call.window > 0 ? std::max(0, end - call.window) : 0;
      for (int32_t h = 0; h < call.n_heads; ++h)
        attend(call, kv, seq, h / group, begin, end,
               call.q.row(seq.first_row + i) + h * call.head_dim, scores,
               call.out.row(seq.first_row + i) + h * call.head_dim);
    }
  }
}

}  // namespace xh::reference

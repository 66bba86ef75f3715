#include "model/spec.h"

#include <cmath>

namespace xh {
namespace {

Shape vector_shape(int64_t n) {
  return {{n, 1, 1, 1}, 1};
}
Shape matrix_shape(int64_t out, int64_t in) {
  return {{out, in, 1, 1}, 2};
}

Result<void> bounded(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return fail(ErrorCode::kCorrupt,
              "value " + std::to_string(value) + " is outside " + std::to_string(low) + " … " +
                  std::to_string(high),
              field, "the model file is damaged or of a kind xiaohu does not know");
}

void add_layer(const ModelSpec& spec, size_t index, std::vector<TensorNeed>& out) {
  const auto& a = spec.layers[index].attention;
  const auto& f = spec.layers[index].ffn;
  const std::string p = "blk." + std::to_string(index) + ".";
  const int64_t d = spec.hidden;
  const int64_t q = int64_t{a.n_heads} * a.head_dim, kv = int64_t{a.n_kv_heads} * a.head_dim;
  out.push_back({p + "attn_norm.weight", vector_shape(d)});
  out.push_back({p + "attn_q.weight", matrix_shape(q, d)});
  out.push_back({p + "attn_k.weight", matrix_shape(kv, d)});
  out.push_back({p + "attn_v.weight", matrix_shape(kv, d)});
  out.push_back({p + "attn_output.weight", matrix_shape(d, q)});
  if (a.bias_qkv) {
    out.push_back({p + "attn_q.bias", vector_shape(q)});
    out.push_back({p + "attn_k.bias", vector_shape(kv)});
    out.push_back({p + "attn_v.bias", vector_shape(kv)});
  }
  if (a.bias_out) out.push_back({p + "attn_output.bias", vector_shape(d)});
  if (a.qk_norm == QkNorm::kPerHead) {
    out.push_back({p + "attn_q_norm.weight", vector_shape(a.head_dim)});
    out.push_back({p + "attn_k_norm.weight", vector_shape(a.head_dim)});
  }
  out.push_back({p + "ffn_norm.weight", vector_shape(d)});
  out.push_back({p + "ffn_gate.weight", matrix_shape(f.width, d)});
  out.push_back({p + "ffn_up.weight", matrix_shape(f.width, d)});
  out.push_back({p + "ffn_down.weight", matrix_shape(d, f.width)});
}

}  // namespace

std::vector<TensorNeed> needed_tensors(const ModelSpec& spec) {
  std::vector<TensorNeed> out;
  out.push_back({"token_embd.weight", matrix_shape(spec.vocab_size, spec.hidden)});
  out.push_back({"output_norm.weight", vector_shape(spec.hidden)});
  if (!spec.tied_head) out.push_back({"output.weight", matrix_shape(spec.vocab_size, spec.hidden)});
  for (size_t i = 0; i < spec.layers.size(); ++i) add_layer(spec, i, out);
  return out;
}

Result<void> validate(const ModelSpec& spec) {
  XH_TRY_VOID(bounded("vocabulary size", spec.vocab_size, 1, 1 << 22));
  XH_TRY_VOID(bounded("embedding_length", spec.hidden, 1, 1 << 17));
  XH_TRY_VOID(bounded("context_length", spec.context_length, 1, 1 << 26));
  XH_TRY_VOID(bounded("block_count", static_cast<int64_t>(spec.layers.size()), 1, 1024));
  if (!std::isfinite(spec.norm_eps) || spec.norm_eps < 0 || spec.norm_eps > 1)
    return fail(ErrorCode::kCorrupt, "not a number in 0 … 1", "layer_norm_rms_epsilon");
  for (const auto& rope : spec.ropes) {
    XH_TRY_VOID(bounded("rope.dimension_count", rope.dims, 2, 4096));
    if (rope.dims % 2 != 0 || rope.inv_freq.size() != static_cast<size_t>(rope.dims / 2))
      return fail(ErrorCode::kCorrupt, "must be even", "rope.dimension_count");
    for (float f : rope.inv_freq)
      if (!std::isfinite(f))
        return fail(ErrorCode::kCorrupt, "rotation frequencies are not finite", "rope");
  }
  for (const auto& layer : spec.layers) {
    const auto& a = layer.attention;
    XH_TRY_VOID(bounded("attention.head_count", a.n_heads, 1, 4096));
    XH_TRY_VOID(bounded("attention.head_count_kv", a.n_kv_heads, 1, a.n_heads));
    XH_TRY_VOID(bounded("attention.key_length", a.head_dim, 2, 4096));
    XH_TRY_VOID(bounded("attention.sliding_window", a.window, 0, 1 << 26));
    XH_TRY_VOID(bounded("feed_forward_length", layer.ffn.width, 1, 1 << 20));
    if (a.n_heads % a.n_kv_heads != 0)
      return fail(ErrorCode::kCorrupt, "is not a multiple of head_count_kv",
                  "attention.head_count");
    if (a.rope >= static_cast<int32_t>(spec.ropes.size()) ||
        (a.rope >= 0 && spec.ropes[static_cast<size_t>(a.rope)].dims > a.head_dim))
      return fail(ErrorCode::kCorrupt, "is larger than the head", "rope.dimension_count");
  }
  return {};
}

}  // namespace xh

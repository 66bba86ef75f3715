#include "model/decoder.h"

#include <algorithm>

#include "base/check.h"
#include "model/families/families.h"
#include "tensor/formats/decode.h"

namespace xh {
namespace {

Result<std::vector<float>> load_vector(const ModelFile& file, const std::string& name) {
  XH_TRY(TensorView view, file.tensor(name));
  std::vector<float> out(static_cast<size_t>(view.shape.count()));
  decode_values(view.type, view.data, out);
  return out;
}

Result<std::unique_ptr<Matrix>> load_matrix(const ModelFile& file, Compute& compute,
                                            const std::string& name) {
  XH_TRY(TensorView view, file.tensor(name));
  XH_TRY(auto matrix, compute.prepare(view, name));
  file.release(view);  // a backend that packed it will not read it again
  return matrix;
}

Result<void> check_tensors(const ModelFile& file, const ModelSpec& spec) {
  for (const auto& need : needed_tensors(spec)) {
    XH_TRY(TensorView view, file.tensor(need.name));
    if (view.shape == need.shape) continue;
    auto text = [](const Shape& s) {
      std::string out;
      for (int i = 0; i < s.rank; ++i) out += (i > 0 ? " × " : "") + std::to_string(s[i]);
      return out;
    };
    return fail(
        ErrorCode::kCorrupt,
        "has shape " + text(view.shape) + ", but the metadata calls for " + text(need.shape),
        file.path() + ": " + need.name, "the file is damaged or mislabelled");
  }
  return {};
}

const float* or_null(const std::vector<float>& v) {
  return v.empty() ? nullptr : v.data();
}

}  // namespace

Result<std::unique_ptr<Decoder>> Decoder::load(ModelFile file, Compute& compute,
                                               const DecoderOptions& options) {
  XH_TRY(ModelSpec spec, read_spec(file));
  XH_TRY_VOID(check_tensors(file, spec));
  std::unique_ptr<Decoder> d(new Decoder(std::move(file), compute, std::move(spec)));
  XH_TRY_VOID(d->load_layers());
  compute.weights_ready();
  XH_TRY_VOID(d->allocate(options));
  return d;
}

void Decoder::count_matrix(const Matrix& m, const std::string& name) {
  info_.weight_bytes += m.bytes();
  info_.linear_parameters += static_cast<uint64_t>(m.out()) * static_cast<uint64_t>(m.in());
  info_.float_weights &= block_shape(file_.find(name)->type).values == 1;
}

Result<void> Decoder::load_layers() {
  XH_TRY(embedding_, load_matrix(file_, *compute_, "token_embd.weight"));
  if (!spec_.tied_head) {
    XH_TRY(head_, load_matrix(file_, *compute_, "output.weight"));
  }
  XH_TRY(output_norm_, load_vector(file_, "output_norm.weight"));
  info_.float_weights = true;
  count_matrix(*(spec_.tied_head ? embedding_ : head_),
               spec_.tied_head ? "token_embd.weight" : "output.weight");
  info_.head_parameters = info_.linear_parameters;
  layers_.resize(spec_.layers.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& l = layers_[i];
    const auto& a = spec_.layers[i].attention;
    const std::string p = "blk." + std::to_string(i) + ".";
    XH_TRY(l.attn_norm, load_vector(file_, p + "attn_norm.weight"));
    XH_TRY(l.ffn_norm, load_vector(file_, p + "ffn_norm.weight"));
    if (a.bias_qkv) {
      XH_TRY(l.q_bias, load_vector(file_, p + "attn_q.bias"));
      XH_TRY(l.k_bias, load_vector(file_, p + "attn_k.bias"));
      XH_TRY(l.v_bias, load_vector(file_, p + "attn_v.bias"));
    }
    if (a.bias_out) {
      XH_TRY(l.out_bias, load_vector(file_, p + "attn_output.bias"));
    }
    if (a.qk_norm == QkNorm::kPerHead) {
      XH_TRY(l.q_norm, load_vector(file_, p + "attn_q_norm.weight"));
      XH_TRY(l.k_norm, load_vector(file_, p + "attn_k_norm.weight"));
    }
    struct Slot {
      std::unique_ptr<Matrix>* matrix;
      const char* name;
    };
    const Slot slots[] = {{&l.q, "attn_q"},        {&l.k, "attn_k"},      {&l.v, "attn_v"},
                          {&l.out, "attn_output"}, {&l.gate, "ffn_gate"}, {&l.up, "ffn_up"},
                          {&l.down, "ffn_down"}};
    for (const Slot& slot : slots) {
      XH_TRY(*slot.matrix, load_matrix(file_, *compute_, p + slot.name + ".weight"));
      count_matrix(**slot.matrix, p + slot.name + ".weight");
    }
  }
  return {};
}

Result<void> Decoder::allocate(const DecoderOptions& options) {
  const int64_t rows = options.max_batch_rows;
  int64_t q_width = 0, kv_width = 0, widest = std::max(spec_.hidden, spec_.vocab_size);
  for (const auto& layer : spec_.layers) {
    const auto& a = layer.attention;
    q_width = std::max<int64_t>(q_width, int64_t{a.n_heads} * a.head_dim);
    kv_width = std::max<int64_t>(kv_width, int64_t{a.n_kv_heads} * a.head_dim);
    widest = std::max<int64_t>(widest, layer.ffn.width);
    info_.kv.layers.push_back({a.n_kv_heads, a.head_dim, a.head_dim, a.n_heads});
  }
  XH_TRY(x_, compute_->allocate(rows * spec_.hidden));
  XH_TRY(q_, compute_->allocate(rows * q_width));
  XH_TRY(attended_, compute_->allocate(rows * q_width));
  XH_TRY(k_, compute_->allocate(rows * kv_width));
  XH_TRY(v_, compute_->allocate(rows * kv_width));
  XH_TRY(logits_, compute_->allocate(int64_t{options.max_logit_rows} * spec_.vocab_size));
  for (const auto& rope : spec_.ropes) {
    XH_TRY(auto table, compute_->allocate(rows * rope.dims));
    rope_tables_.push_back(std::move(table));
  }
  positions_.resize(static_cast<size_t>(rows));
  XH_TRY_VOID(compute_->reserve(rows, std::max<int64_t>(q_width, widest), widest));

  info_.architecture = spec_.architecture;
  info_.name = spec_.name;
  info_.vocab_size = spec_.vocab_size;
  info_.context_length = spec_.context_length;
  info_.n_layers = static_cast<int32_t>(spec_.layers.size());
  info_.hidden = spec_.hidden;
  for (const auto& layer : spec_.layers)
    info_.window = std::max(info_.window, layer.attention.window);
  for (const auto& layer : spec_.layers)
    if (layer.attention.window == 0) info_.window = 0;
  info_.max_batch_rows = options.max_batch_rows;
  info_.max_logit_rows = options.max_logit_rows;
  for (const auto& t : file_.tensors())
    info_.parameters += static_cast<uint64_t>(t.view.shape.count());
  return {};
}

Result<std::unique_ptr<KvStore>> Decoder::make_kv_store(KvType type, int32_t n_pages) {
  KvLayout layout = info_.kv;
  layout.type = type;
  return compute_->make_kv_store(layout, n_pages);
}

void Decoder::attention_block(size_t index, const Batch& batch, MatView x, KvStore& kv) {
  const Layer& l = layers_[index];
  const auto& a = spec_.layers[index].attention;
  const int64_t rows = x.rows;
  const int64_t q_width = int64_t{a.n_heads} * a.head_dim;
  const int64_t kv_width = int64_t{a.n_kv_heads} * a.head_dim;
  MatView q{q_->data(), rows, q_width, q_width};
  MatView k{k_->data(), rows, kv_width, kv_width};
  MatView v{v_->data(), rows, kv_width, kv_width};
  MatView attended{attended_->data(), rows, q_width, q_width};

  const Projection qkv[] = {{l.q.get(), or_null(l.q_bias), q},
                            {l.k.get(), or_null(l.k_bias), k},
                            {l.v.get(), or_null(l.v_bias), v}};
  compute_->norm_project(x, {l.attn_norm.data(), spec_.norm_eps}, qkv);

  AttentionCall call;
  call.layer = static_cast<int32_t>(index);
  call.n_heads = a.n_heads;
  call.n_kv_heads = a.n_kv_heads;
  call.head_dim = a.head_dim;
  call.scale = a.scale;
  call.window = a.window;
  call.softcap = a.softcap;
  call.q_norm = or_null(l.q_norm);
  call.k_norm = or_null(l.k_norm);
  call.qk_norm_eps = spec_.norm_eps;
  if (a.rope >= 0) {
    const auto r = static_cast<size_t>(a.rope);
    call.rope = &spec_.ropes[r];
    call.rope_table = {rope_tables_[r]->data(), rows, call.rope->dims, call.rope->dims};
  }
  call.q = q;
  call.k = k;
  call.v = v;
  call.out = attended;
  call.sequences = batch.sequences;
  compute_->attention(call, kv);
  compute_->project_add(attended, *l.out, or_null(l.out_bias), x);
}

void Decoder::warm_up(KvStore& kv) {
  const std::vector<int32_t> tokens(static_cast<size_t>(std::min(16, info_.max_batch_rows)), 0);
  const auto rows = static_cast<int32_t>(tokens.size());
  const PageId page = 0;
  const SequenceRows sequence{0, rows, 0, {&page, 1}};
  const int32_t last = rows - 1;
  forward({tokens, {&sequence, 1}, {&last, 1}}, kv);
}

MatView Decoder::forward(const Batch& batch, KvStore& kv) {
  const auto rows = static_cast<int64_t>(batch.tokens.size());
  XH_CHECK(rows > 0 && rows <= info_.max_batch_rows);
  MatView x{x_->data(), rows, spec_.hidden, spec_.hidden};
  for (const auto& seq : batch.sequences)
    for (int32_t i = 0; i < seq.n_rows; ++i)
      positions_[static_cast<size_t>(seq.first_row + i)] = seq.first_pos + i;

  compute_->embed(*embedding_, batch.tokens, spec_.embedding_scale, x);
  for (size_t r = 0; r < spec_.ropes.size(); ++r) {
    const int64_t dims = spec_.ropes[r].dims;
    compute_->rope_table(spec_.ropes[r], {positions_.data(), static_cast<size_t>(rows)},
                         {rope_tables_[r]->data(), rows, dims, dims});
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& l = layers_[i];
    attention_block(i, batch, x, kv);
    compute_->gated_ffn({{l.ffn_norm.data(), spec_.norm_eps},
                         l.gate.get(),
                         l.up.get(),
                         l.down.get(),
                         spec_.layers[i].ffn.activation},
                        x);
  }
  const auto wanted = static_cast<int64_t>(batch.logit_rows.size());
  XH_CHECK(wanted <= info_.max_logit_rows);
  MatView logits{logits_->data(), wanted, spec_.vocab_size, spec_.vocab_size};
  if (wanted > 0)
    compute_->head(x, batch.logit_rows, {output_norm_.data(), spec_.norm_eps},
                   *(head_ ? head_ : embedding_), logits);
  return logits;
}

}  // namespace xh

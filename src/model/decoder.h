// One forward pass of a decoder-only transformer, driven by its spec.
#pragma once

#include <memory>

#include "model/model.h"
#include "model/spec.h"
#include "weights/model_file.h"

namespace xh {

struct DecoderOptions {
  int32_t max_batch_rows = 512;
  int32_t max_logit_rows = 64;  // rows whose logits one forward may return
};

// Owns the file, its prepared weights and the working memory; borrows the compute backend, which
// must outlive it. Nothing is allocated in forward().
class Decoder : public Model {
 public:
  static Result<std::unique_ptr<Decoder>> load(ModelFile file, Compute& compute,
                                               const DecoderOptions& options);

  const ModelInfo& info() const override { return info_; }
  const ModelSpec& spec() const { return spec_; }
  const ModelFile& file() const { return file_; }
  Result<std::unique_ptr<KvStore>> make_kv_store(KvType type, int32_t n_pages) override;
  MatView forward(const Batch& batch, KvStore& kv) override;
  void warm_up(KvStore& kv) override;
  void for_each(int64_t n_items, const Compute::HostWork& work) override {
    compute_->for_each(n_items, work);
  }
  int32_t host_threads() const override { return compute_->host_threads(); }

 private:
  struct Layer {
    std::vector<float> attn_norm, ffn_norm;
    std::vector<float> q_bias, k_bias, v_bias, out_bias, q_norm, k_norm;
    std::unique_ptr<Matrix> q, k, v, out, gate, up, down;
  };

  Decoder(ModelFile file, Compute& compute, ModelSpec spec)
      : file_(std::move(file)), compute_(&compute), spec_(std::move(spec)) {}
  Result<void> load_layers();
  void count_matrix(const Matrix& m, const std::string& name);
  Result<void> allocate(const DecoderOptions& options);
  void attention_block(size_t index, const Batch& batch, MatView x, KvStore& kv);

  ModelFile file_;
  Compute* compute_;
  ModelSpec spec_;
  ModelInfo info_;
  std::unique_ptr<Matrix> embedding_, head_;  // head_ is null when tied
  std::vector<float> output_norm_;
  std::vector<Layer> layers_;

  // Working memory: x (rows, hidden); q, attended (rows, heads · head_dim); k, v; logits; one
  // rotation table per rope.
  std::unique_ptr<Buffer> x_, q_, k_, v_, attended_, logits_;
  std::vector<std::unique_ptr<Buffer>> rope_tables_;
  std::vector<int32_t> positions_;
};

}  // namespace xh

// The oracle backend: each operation as the plain loop that defines it, one thread, float32.
#pragma once

#include "compute/compute.h"

namespace xh::reference {

class ReferenceCompute : public Compute {
 public:
  std::string_view name() const override { return "reference"; }
  std::string description() const override { return "reference: plain loops, 1 thread"; }

  Result<std::unique_ptr<Matrix>> prepare(const TensorView& w, std::string_view name) override;
  Result<std::unique_ptr<KvStore>> make_kv_store(const KvLayout& layout, int32_t n_pages) override;
  Result<std::unique_ptr<Buffer>> allocate(int64_t n_floats) override;
  Result<void> reserve(int64_t max_rows, int64_t max_in, int64_t max_out) override;

  void embed(const Matrix& table, std::span<const int32_t> ids, float scale, MatView out) override;
  void rope_table(const Rope& rope, std::span<const int32_t> positions, MatView table) override;
  void norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) override;
  void attention(const AttentionCall& call, KvStore& kv) override;
  void project_add(MatView x, const Matrix& w, const float* bias, MatView residual) override;
  void gated_ffn(const GatedFfn& ffn, MatView residual) override;
  void head(MatView x, std::span<const int32_t> rows, const Norm& norm, const Matrix& w,
            MatView logits) override;
};

}  // namespace xh::reference

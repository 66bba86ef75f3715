// The CPU backend. cpu_compute.cpp has its memory and what does not multiply, cpu_products.cpp and
// cpu_gated_ffn.cpp what does.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compute/compute.h"
#include "compute/cpu/act_tiles.h"
#include "compute/cpu/attention.h"
#include "compute/cpu/kv_pages.h"
#include "compute/cpu/pack_cache.h"
#include "compute/cpu/packed_matrix.h"
#include "compute/cpu/product_parts.h"

namespace xh::cpu {

inline const PackedMatrix& packed(const Matrix& m) {
  return static_cast<const PackedMatrix&>(m);
}

// Up to this many rows every thread prepares all activations for itself: cheaper than a barrier.
constexpr int64_t kRowsPreparedByAll = 2;
// gate_part takes this many blocks of 32 rows and tiles of columns at a time where the table has
// products of whole batches, which gain by it; otherwise one.
constexpr int64_t kGateUnits = 4, kGateTiles = 32;

// The rows of one input in each form that the matrices ask for.
struct Inputs {
  enum Kind { kBlocks, kBatch, kFloats };
  const KernelTable& table;
  int64_t rows;
  bool rests = false;  // ActTiles::rests
  ActTiles tiles[3];
  bool needed[3] = {};

  Kind kind_of(const PackedMatrix& m) const {
    const ActForm taken = form_taken(table, m, rows, rests);
    return taken == table.act_form ? kBlocks : taken == ActForm::kFloats ? kFloats : kBatch;
  }
  const ActTiles& of(const PackedMatrix& m) const { return tiles[kind_of(m)]; }
  void need(const PackedMatrix& m) { needed[kind_of(m)] = true; }
  void put(int64_t row, int64_t k, const float* x, int64_t n) const {
    for (int i = 0; i < 3; ++i)
      if (needed[i]) tiles[i].put(table, row, k, x, n);
  }
};

class CpuCompute : public Compute {
 public:
  CpuCompute(const KernelTable& table, int32_t threads, std::span<const MemoryNode> nodes,
             std::unique_ptr<PackCache> cache);

  std::string_view name() const override { return "cpu"; }
  std::string description() const override;

  Result<std::unique_ptr<Matrix>> prepare(const TensorView& w, std::string_view name) override;
  void weights_ready() override {
    if (cache_) cache_->keep();
  }
  Result<std::unique_ptr<KvStore>> make_kv_store(const KvLayout& layout, int32_t n_pages) override;
  Result<std::unique_ptr<Buffer>> allocate(int64_t n_floats) override;
  Result<void> reserve(int64_t max_rows, int64_t max_in, int64_t max_out) override;

  void embed(const Matrix& table, std::span<const int32_t> ids, float scale, MatView out) override;
  void rope_table(const Rope& rope, std::span<const int32_t> positions, MatView table) override;
  void norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) override;
  void attention(const AttentionCall& call, KvStore& kv) override {
    attention_.run(call, static_cast<KvPages&>(kv));
  }
  void project_add(MatView x, const Matrix& w, const float* bias, MatView residual) override;
  void gated_ffn(const GatedFfn& ffn, MatView residual) override;
  void head(MatView x, std::span<const int32_t> rows, const Norm& norm, const Matrix& w,
            MatView logits) override;
  void for_each(int64_t n_items, const HostWork& work) override;
  int32_t host_threads() const override { return pool_.size(); }

 private:
  // Working memory for one input: `slot` 0 is a call's input, 1 the inner one of a gated FFN;
  // `thread` -1 is shared by all.
  Inputs inputs(int32_t slot, int32_t thread, int64_t rows, int64_t in, bool rests) const;
  // Of what a norm over this width puts out.
  Inputs normed(int64_t rows, int64_t width) const {
    return inputs(0, -1, rows, width, width < table_.rests_below);
  }
  // Inside run(): prepares all rows of x, or those named, and returns when they are ready. norm may
  // be null.
  Inputs prepare_rows(int32_t thread, const Inputs& wanted, MatView x, const Norm* norm,
                      std::span<const int32_t> named = {});

  // Products of one input, in parts. Of many rows, threads take over parts of each other
  // (`in_common`); of few rows that costs more than it gains (decision 054).
  struct Target {
    const PackedMatrix& w;
    Output out;
  };
  using Targets = std::span<const Target>;
  bool in_common(const Inputs& in) const { return in.rows > kFewRows; }
  template <class F>
  void each_part_of(int32_t thread, Targets targets, const Inputs& in, F&& f) const;
  void plan(ProductParts& parts, Targets targets, const Inputs& in) const;
  void multiply_all(int32_t thread, ProductParts& parts, Targets targets, const Inputs& in) const;

  OwnSpace own(int32_t thread) const {
    return {threads_[static_cast<size_t>(thread)].scratch.data(), &attention_.next_layer(thread)};
  }
  bool gates_whole(const GatedFfn& ffn, const Inputs& in) const {
    const PackedMatrix &gate = packed(*ffn.gate), &up = packed(*ffn.up);
    return batch_product(table_, gate, in.of(gate)) && batch_product(table_, up, in.of(up));
  }
  template <class F>
  void each_gate_part(int32_t thread, const GatedFfn& ffn, const Inputs& in, F&& f) const;
  void gate_part(int32_t thread, const GatedFfn& ffn, const Part& part, const Inputs& in,
                 const Inputs& inner) const;

  const KernelTable& table_;
  ThreadPool pool_;
  AttentionRunner attention_;
  std::unique_ptr<PackCache> cache_;  // may be null
  int64_t max_rows_ = 0, max_in_ = 0;
  struct Workspace {
    Memory of_kind[3];  // Inputs::Kind
  };
  Workspace shared_[2];
  ProductParts parts_[2];  // by slot
  std::vector<Target> targets_;
  struct ThreadSpace {
    Workspace inputs;
    Memory row;        // one normalised row
    Memory scratch;    // of the kernels
    Memory gated, up;  // parts of the two projections of a gated FFN
  };
  std::vector<ThreadSpace> threads_;
};

}  // namespace xh::cpu

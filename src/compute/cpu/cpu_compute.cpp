#include "compute/cpu/cpu_compute.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/numa.h"
#include "compute/cpu/act_tiles.h"
#include "compute/cpu/attention.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/kv_pages.h"
#include "compute/cpu/pack_cache.h"
#include "compute/cpu/packed_matrix.h"

namespace xh::cpu {
namespace {

// Up to this many rows every thread prepares all activations for itself: cheaper than a barrier.
constexpr int64_t kRowsPreparedByAll = 2;

const PackedMatrix& packed(const Matrix& m) {
  return static_cast<const PackedMatrix&>(m);
}

// Of keys and values for a thread: half its part of the third-level cache.
int64_t later_bytes(const KernelTable& table) {
  return table.fetch_later ? static_cast<int64_t>(third_level_cache_per_cpu() / 2) : 0;
}

class FloatBuffer : public Buffer {
 public:
  explicit FloatBuffer(Memory memory) : memory_(std::move(memory)) {}
  float* data() override { return memory_.as<float>(); }

 private:
  Memory memory_;
};

// gate_panels takes this many blocks of 32 rows and tiles of columns at a time where the table has
// products of whole batches, which gain by it; otherwise one.
constexpr int64_t kGateUnits = 4, kGateTiles = 32;
constexpr int64_t kUnitPanels = 4;  // of a unit: two of each projection

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
             std::unique_ptr<PackCache> cache)
      : table_(table),
        pool_(threads, nodes),
        attention_(table, pool_, later_bytes(table)),
        cache_(std::move(cache)),
        parts_{ProductParts(pool_.size()), ProductParts(pool_.size())} {}

  std::string_view name() const override { return "cpu"; }
  std::string description() const override {
    return std::string("cpu: ") + table_.name + ", " + std::to_string(pool_.size()) +
           (pool_.size() == 1 ? " thread" : " threads") +
           (pool_.teams().size() == 1
                ? ""
                : " on " + std::to_string(pool_.teams().size()) + " memory nodes");
  }

  Result<std::unique_ptr<Matrix>> prepare(const TensorView& w, std::string_view name) override {
    if (cache_) return cache_->prepare(w, name, pool_);
    return PackedMatrix::pack(w, name, pool_, table_.layout);
  }
  void weights_ready() override {
    if (cache_) cache_->keep();
  }
  Result<std::unique_ptr<KvStore>> make_kv_store(const KvLayout& layout, int32_t n_pages) override {
    std::vector<int32_t> nodes;
    if (pool_.teams().size() > 1)
      for (const auto& team : pool_.teams()) nodes.push_back(team.node.id);
    return KvPages::make(layout, n_pages, nodes);
  }
  Result<std::unique_ptr<Buffer>> allocate(int64_t n_floats) override {
    XH_TRY(Memory memory, Memory::map(static_cast<uint64_t>(n_floats) * sizeof(float)));
    return std::make_unique<FloatBuffer>(std::move(memory));
  }
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
  // Inside run(): prepares all rows (norm may be null) and returns when they are ready. row_of maps
  // a row of the input to one of x.
  template <class RowOf>
  Inputs prepare_rows(int32_t thread, const Inputs& wanted, int64_t rows, int64_t in,
                      const Norm* norm, RowOf row_of);

  // Products of one input, in parts. Where there are many, threads take over each other's; products
  // of few rows are done before a thread that lost its core has it back.
  struct Target {
    const PackedMatrix& w;
    Output out;
  };
  using Targets = std::span<const Target>;
  bool in_common(const Inputs& in) const { return in.rows > kFewTiles * table_.tile_columns; }
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

// Each thread takes the next item: they may differ much in cost.
void CpuCompute::for_each(int64_t n_items, const HostWork& work) {
  if (n_items < 2) return Compute::for_each(n_items, work);
  std::atomic<int64_t> next = 0;
  pool_.run([&](int32_t thread) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n_items;) work(i, thread);
  });
}

Result<void> CpuCompute::reserve(int64_t max_rows, int64_t max_in, int64_t) {
  max_rows_ = max_rows;
  max_in_ = max_in;
  auto map = [&](Workspace& w, int64_t rows, int64_t in) -> Result<void> {
    const int64_t narrow = std::min(in, table_.rests_below);
    XH_TRY(w.of_kind[Inputs::kBlocks],
           Memory::map(std::max(ActTiles::bytes(rows, in + kBlock, table_.act_form),
                                ActTiles::bytes(rows, narrow + kBlock, table_.act_form, true))));
    XH_TRY(w.of_kind[Inputs::kBatch],
           Memory::map(ActTiles::bytes(rows, in + kBlock, table_.batch_form)));
    XH_TRY(w.of_kind[Inputs::kFloats], Memory::map(ActTiles::bytes(rows, in, ActForm::kFloats)));
    return {};
  };
  for (auto& w : shared_) XH_TRY_VOID(map(w, max_rows, max_in));
  threads_.resize(static_cast<size_t>(pool_.size()));
  constexpr uint64_t kGateBytes = kGateTiles * kMaxTile * kGateUnits * kBlock * sizeof(float);
  for (auto& t : threads_) {
    XH_TRY_VOID(map(t.inputs, std::min(max_rows, kRowsPreparedByAll), max_in));
    XH_TRY(t.row, Memory::map(static_cast<uint64_t>(max_in) * sizeof(float)));
    XH_TRY(t.gated, Memory::map(kGateBytes));
    XH_TRY(t.up, Memory::map(kGateBytes));
    if (table_.scratch_bytes > 0) {
      XH_TRY(t.scratch, Memory::map(static_cast<uint64_t>(table_.scratch_bytes)));
    }
  }
  return attention_.reserve();
}

Inputs CpuCompute::inputs(int32_t slot, int32_t thread, int64_t rows, int64_t in,
                          bool rests) const {
  XH_CHECK(rows <= max_rows_ && in <= max_in_);
  const Workspace& w = thread < 0 ? shared_[slot] : threads_[static_cast<size_t>(thread)].inputs;
  const int tile = table_.tile_columns;
  const bool even = even_tiles(table_);
  Inputs result{table_, rows, rests};
  const ActForm forms[] = {table_.act_form, table_.batch_form, ActForm::kFloats};
  for (int i = 0; i < 3; ++i)
    result.tiles[i] = ActTiles::make(w.of_kind[i].data(), rows, in, forms[i], tile, even);
  result.tiles[Inputs::kBlocks].rests = rests;
  return result;
}

template <class RowOf>
Inputs CpuCompute::prepare_rows(int32_t thread, const Inputs& wanted, int64_t rows, int64_t in,
                                const Norm* norm, RowOf row_of) {
  const bool by_all = rows <= kRowsPreparedByAll;
  Inputs result = by_all ? inputs(0, thread, rows, in, wanted.rests) : wanted;
  std::copy_n(wanted.needed, 3, result.needed);
  auto* normed = threads_[static_cast<size_t>(thread)].row.as<float>();
  const Share share = by_all ? Share{0, rows} : share_of(rows, thread, pool_.size());
  for (int64_t r = share.begin; r < share.end; ++r) {
    const float* x = row_of(r);
    if (norm) table_.rms_norm(x, norm->weight, norm->eps, in, normed);
    result.put(r, 0, norm ? normed : x, in);
  }
  if (!by_all) pool_.barrier();
  return result;
}

void CpuCompute::embed(const Matrix& table, std::span<const int32_t> ids, float scale,
                       MatView out) {
  if (cache_) cache_->adopt();  // every forward begins here, with no matrix in use
  const PackedMatrix& m = packed(table);
  pool_.run([&](int32_t thread) {
    const Share share = share_of(static_cast<int64_t>(ids.size()), thread, pool_.size());
    for (int64_t i = share.begin; i < share.end; ++i) {
      float* row = out.row(i);
      m.decode_row(ids[static_cast<size_t>(i)], row);
      if (scale != 1.0f)
        for (int64_t c = 0; c < out.cols; ++c) row[c] *= scale;
    }
  });
}

void CpuCompute::rope_table(const Rope& rope, std::span<const int32_t> positions, MatView table) {
  const int32_t half = rope.dims / 2;
  pool_.run([&](int32_t thread) {
    const Share share = share_of(static_cast<int64_t>(positions.size()), thread, pool_.size());
    for (int64_t i = share.begin; i < share.end; ++i) {
      float* row = table.row(i);
      const auto pos = static_cast<float>(positions[static_cast<size_t>(i)]);
      for (int32_t j = 0; j < half; ++j) {
        // The angle is rounded to float first: that is what the makers' own code trains with.
        const float angle = pos * rope.inv_freq[static_cast<size_t>(j)];
        row[j] = std::cos(angle) * rope.magnitude;
        row[half + j] = std::sin(angle) * rope.magnitude;
      }
    }
  });
}

template <class F>
void CpuCompute::each_part_of(int32_t thread, Targets targets, const Inputs& in, F&& f) const {
  // The panels that lie on this thread's node are shared out among its team.
  const ThreadPool::Team& team = pool_.team_of(thread);
  int64_t panels = 0;
  for (const Target& t : targets) panels += team.share(t.w.n_panels(), pool_.size()).size();
  Share left = share_of(panels, thread - team.first, team.count);
  for (const Target& t : targets) {
    const ActTiles& x = in.of(t.w);
    const Share near = team.share(t.w.n_panels(), pool_.size());
    const Share mine = {near.begin + std::clamp<int64_t>(left.begin, 0, near.size()),
                        near.begin + std::clamp<int64_t>(left.end, 0, near.size())};
    const bool whole = batch_product(table_, t.w, x);
    each_part(mine, panels_per_pass(table_, t.w, x), x.n_tiles, whole, [&](Part part) {
      part.matrix = static_cast<int32_t>(&t - targets.data());
      f(part);
    });
    left = {left.begin - near.size(), left.end - near.size()};
  }
}

void CpuCompute::plan(ProductParts& parts, Targets targets, const Inputs& in) const {
  if (in_common(in))
    parts.plan([&](int32_t thread, auto&& f) { each_part_of(thread, targets, in, f); });
}

void CpuCompute::multiply_all(int32_t thread, ProductParts& parts, Targets targets,
                              const Inputs& in) const {
  auto run = [&](const Part& part) {
    const Target& t = targets[static_cast<size_t>(part.matrix)];
    multiply_part(table_, t.w, part, in.of(t.w), t.out, own(thread));
  };
  if (in_common(in))
    parts.run(thread, run);
  else
    each_part_of(thread, targets, in, run);
}

void CpuCompute::norm_project(MatView x, const Norm& norm, std::span<const Projection> outs) {
  Inputs wanted = normed(x.rows, x.cols);
  targets_.clear();
  for (const auto& out : outs) {
    targets_.push_back({packed(*out.weight), {out.out, out.bias, false}});
    wanted.need(targets_.back().w);
  }
  plan(parts_[0], targets_, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in =
        prepare_rows(thread, wanted, x.rows, x.cols, &norm, [&](int64_t r) { return x.row(r); });
    multiply_all(thread, parts_[0], targets_, in);
  });
}

void CpuCompute::project_add(MatView x, const Matrix& w, const float* bias, MatView residual) {
  const Target target[] = {{packed(w), {residual, bias, true}}};
  Inputs wanted = inputs(0, -1, x.rows, x.cols, false);
  wanted.need(target->w);
  plan(parts_[0], target, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in =
        prepare_rows(thread, wanted, x.rows, x.cols, nullptr, [&](int64_t r) { return x.row(r); });
    multiply_all(thread, parts_[0], target, in);
  });
}

// Parts of gate and up: panels are units here, 32 rows of both, which are a block of the inner
// activations.
template <class F>
void CpuCompute::each_gate_part(int32_t thread, const GatedFfn& ffn, const Inputs& in,
                                F&& f) const {
  const PackedMatrix& gate = packed(*ffn.gate);
  const ActTiles& x = in.of(gate);
  const int64_t units = (gate.out() + kBlock - 1) / kBlock;
  // Whole steps: rows are rounded four blocks at a time.
  const int64_t steps = panels_per_pass(table_, gate, x) / kUnitPanels / kGateUnits + 1;
  each_part(share_of(units, thread, pool_.size()), steps * kGateUnits, x.n_tiles,
            gates_whole(ffn, in), f);
}

// gate, up and activation for some units and tiles at a time.
void CpuCompute::gate_part(int32_t thread, const GatedFfn& ffn, const Part& part, const Inputs& in,
                           const Inputs& inner) const {
  const PackedMatrix &gate = packed(*ffn.gate), &up = packed(*ffn.up);
  const ThreadSpace& space = threads_[static_cast<size_t>(thread)];
  const int64_t ff = gate.out();
  const ActTiles& x = in.of(gate);
  const int64_t step = kGateUnits, group = gates_whole(ffn, in) ? kGateTiles : 1;

  auto run = [&](int64_t unit, int64_t n_units, Share tiles) {
    const int64_t row = unit * kBlock, n = std::min(n_units * kBlock, ff - row);
    const int64_t stride = n_units * kBlock, first = x.first(tiles.begin);
    const int64_t columns = x.first(tiles.end - 1) + x.width(tiles.end - 1) - first;
    const Share panels = {2 * unit, 2 * unit + (n + kPanelRows - 1) / kPanelRows};
    const int64_t follower = std::min(part.next.begin + unit - part.panels.begin, part.next.end);
    const Share next = {2 * follower, 2 * std::min(follower + n_units, part.next.end)};
    auto project = [&](const PackedMatrix& w, float* y) {
      multiply_tiles(table_, w, panels, next, in.of(w), tiles, {{y, columns, n, stride}},
                     own(thread));
    };
    auto *gated = space.gated.as<float>(), *raised = space.up.as<float>();
    project(gate, gated);
    project(up, raised);
    for (int64_t c = 0; c < columns; ++c) {
      float* h = gated + c * stride;
      table_.gated(static_cast<int>(ffn.activation), h, raised + c * stride, n, h);
      inner.put(first + c, row, h, n);
    }
  };
  const auto [from, to] = part.panels;
  for (int64_t tile = part.tiles.begin; tile < part.tiles.end; tile += group)
    for (int64_t unit = from; unit < to; unit += step)
      run(unit, std::min(step, to - unit), {tile, std::min(tile + group, part.tiles.end)});
}

void CpuCompute::gated_ffn(const GatedFfn& ffn, MatView residual) {
  const Target down[] = {{packed(*ffn.down), {residual, nullptr, true}}};
  Inputs wanted = normed(residual.rows, residual.cols);
  wanted.need(packed(*ffn.gate));
  wanted.need(packed(*ffn.up));
  Inputs inner = inputs(1, -1, residual.rows, ffn.gate->out(), false);
  inner.need(down->w);
  const bool common = in_common(wanted);
  if (common)
    parts_[0].plan([&](int32_t thread, auto&& f) { each_gate_part(thread, ffn, wanted, f); });
  plan(parts_[1], down, inner);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, residual.rows, residual.cols, &ffn.norm,
                                   [&](int64_t r) { return residual.row(r); });
    auto run = [&](const Part& part) { gate_part(thread, ffn, part, in, inner); };
    if (common)
      parts_[0].run(thread, run);
    else
      each_gate_part(thread, ffn, in, run);
    pool_.barrier();
    multiply_all(thread, parts_[1], down, inner);
  });
}

void CpuCompute::head(MatView x, std::span<const int32_t> rows, const Norm& norm, const Matrix& w,
                      MatView logits) {
  if (rows.empty()) return;
  const auto n = static_cast<int64_t>(rows.size());
  const Target target[] = {{packed(w), {logits, nullptr, false}}};
  Inputs wanted = normed(n, x.cols);
  wanted.need(target->w);
  plan(parts_[0], target, wanted);
  pool_.run([&](int32_t thread) {
    const Inputs in = prepare_rows(thread, wanted, n, x.cols, &norm,
                                   [&](int64_t r) { return x.row(rows[static_cast<size_t>(r)]); });
    multiply_all(thread, parts_[0], target, in);
  });
}

}  // namespace
}  // namespace xh::cpu

namespace xh {

Result<std::unique_ptr<Compute>> make_cpu_compute(const CpuOptions& options) {
  if (options.threads < 0 || options.threads > 1024)
    return fail(ErrorCode::kInvalidArgument,
                std::to_string(options.threads) + " threads are outside 0 … 1024", "threads",
                "use 0 for the number of physical cores");
  const char* forced = std::getenv("XIAOHU_ISA");
  XH_TRY(const cpu::KernelTable* table, cpu::choose_table(forced ? forced : ""));
  auto nodes = options.nodes;
  if (nodes.empty()) {
    XH_TRY(nodes, memory_nodes());
  }
  const int32_t threads = options.threads > 0 ? options.threads : physical_cores(nodes);
  auto cache_options = cpu::pack_cache_options(options.weight_files);
  cache_options.layout = table->layout;
  auto cache = cpu::PackCache::open(std::move(cache_options));
  return std::make_unique<cpu::CpuCompute>(*table, threads, nodes, std::move(cache));
}

}  // namespace xh

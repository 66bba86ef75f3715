#include "compute/cpu/cpu_compute.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/numa.h"
#include "compute/cpu/cpu_backend.h"
#include "compute/cpu/kernels/dispatch.h"

namespace xh::cpu {
namespace {

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

}  // namespace

CpuCompute::CpuCompute(const KernelTable& table, int32_t threads, std::span<const MemoryNode> nodes,
                       std::unique_ptr<PackCache> cache)
    : table_(table),
      pool_(threads, nodes),
      attention_(table, pool_, later_bytes(table)),
      cache_(std::move(cache)),
      parts_{ProductParts(pool_.size()), ProductParts(pool_.size())} {}

std::string CpuCompute::description() const {
  return std::string("cpu: ") + table_.name + ", " + std::to_string(pool_.size()) +
         (pool_.size() == 1 ? " thread" : " threads") +
         (pool_.teams().size() == 1
              ? ""
              : " on " + std::to_string(pool_.teams().size()) + " memory nodes");
}

Result<std::unique_ptr<Matrix>> CpuCompute::prepare(const TensorView& w, std::string_view name) {
  if (cache_) return cache_->prepare(w, name, pool_);
  return PackedMatrix::pack(w, name, pool_, table_.layout);
}

Result<std::unique_ptr<KvStore>> CpuCompute::make_kv_store(const KvLayout& layout,
                                                           int32_t n_pages) {
  std::vector<int32_t> nodes;
  if (pool_.teams().size() > 1)
    for (const auto& team : pool_.teams()) nodes.push_back(team.node.id);
  return KvPages::make(layout, n_pages, nodes);
}

Result<std::unique_ptr<Buffer>> CpuCompute::allocate(int64_t n_floats) {
  XH_TRY(Memory memory, Memory::map(static_cast<uint64_t>(n_floats) * sizeof(float)));
  return std::make_unique<FloatBuffer>(std::move(memory));
}

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
  const int tile = tile_columns(table_, rows, in);
  const bool even = even_tiles(table_);
  Inputs result{table_, rows, rests};
  const ActForm forms[] = {table_.act_form, table_.batch_form, ActForm::kFloats};
  for (int i = 0; i < 3; ++i)
    result.tiles[i] = ActTiles::make(w.of_kind[i].data(), rows, in, forms[i], tile, even);
  result.tiles[Inputs::kBlocks].rests = rests;
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

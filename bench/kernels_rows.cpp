// What stands between the products: a row at a time, in values per second. Rows of 1,024, heads of
// 128.   kernels_bench --benchmark_filter=avx512/rows
#include "kernels_rows.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>

#include "compute/cpu/act_tiles.h"
#include "compute/cpu/kernels/attention_kernels.h"
#include "compute/cpu/kv_pages.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

constexpr int64_t kRow = 1024, kHead = 128;

template <int64_t kSize>
struct Values {
  alignas(64) float at[kSize];
  explicit Values(uint32_t seed) { std::ranges::copy(random_floats(kSize, seed), at); }
};

// run(i): work on the i-th row of n values.
template <class Run>
void add(const KernelTable* table, const std::string& what, int64_t n, Run run) {
  const std::string name = std::string(table->name) + "/rows/" + what;
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    int64_t i = 0;
    for (auto _ : state) {
      run(i++);
      benchmark::ClobberMemory();
    }
    state.counters["G/s"] =
        benchmark::Counter(1e-9 * static_cast<double>(state.iterations()) * static_cast<double>(n),
                           benchmark::Counter::kIsRate);
  });
}

// Into tiles of a batch that stays in the first-level cache, and of one that does not.
void add_quantise(const KernelTable* table, int64_t rows) {
  struct Data {
    Values<kRow> x{1};
    Memory memory;
    ActTiles tiles;
  };
  auto data = std::make_shared<Data>();
  auto memory = Memory::map(ActTiles::bytes(rows, kRow, table->act_form));
  if (!memory) return;
  data->memory = std::move(*memory);
  data->tiles = ActTiles::make(data->memory.data(), rows, kRow, table->act_form,
                               tile_columns(*table, rows, kRow), even_tiles(*table));
  add(table, "quantise/" + std::to_string(rows), kRow,
      [=](int64_t i) { data->tiles.put(*table, i % rows, 0, data->x.at, kRow); });
}

void add_heads(const KernelTable* table) {
  struct Data {
    Values<kHead> x{2}, y{2};
    alignas(64) int8_t q[kHead];
    std::unique_ptr<KvPages> pages;
  };
  auto data = std::make_shared<Data>();
  const AttentionKernels* kernels = table->attention;
  add(table, "hadamard", kHead, [=](int64_t) {
    std::copy_n(data->x.at, kHead, data->y.at);  // or numbers grow without end
    kernels->hadamard(data->y.at, kHead);
  });
  add(table, "quantise_head", kHead, [=](int64_t) {
    int32_t sum;
    benchmark::DoNotOptimize(kernels->quantise(data->x.at, kHead, kKeyLimit, data->q, &sum));
  });
  const KvLayout layout{.layers = {{.n_kv_heads = 1, .k_dim = kHead, .v_dim = kHead}},
                        .type = KvType::kQ8};
  auto pages = KvPages::make(layout, 2, {});
  if (!pages) return;
  data->pages = std::move(*pages);
  add(table, "put_kv", 2 * kHead, [=](int64_t i) {
    data->pages->put(*table, 0, 1, 0, static_cast<int32_t>(i % kPageTokens), data->x.at,
                     data->x.at);
  });
}

}  // namespace

void add_rows(const KernelTable* table) {
  struct Data {
    Values<kRow> x{3}, w{4}, y{5};
  };
  auto data = std::make_shared<Data>();
  add(table, "rms_norm", kRow,
      [=](int64_t) { table->rms_norm(data->x.at, data->w.at, 1e-6f, kRow, data->y.at); });
  add(table, "rms_norm_head", kHead,
      [=](int64_t) { table->rms_norm(data->x.at, data->w.at, 1e-6f, kHead, data->y.at); });
  add(table, "silu", kRow,
      [=](int64_t) { table->gated(0, data->x.at, data->w.at, kRow, data->y.at); });
  for (int64_t rows : {16, 1024}) add_quantise(table, rows);
  add_heads(table);
}

}  // namespace xh::cpu

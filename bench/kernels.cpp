// Every kernel of every table this machine can run: one thread, a matrix that stays in the
// second-level cache, in GOP/s (multiply and add count as two), and one column over a matrix far
// larger than the caches, in GB/s of packed bytes.   kernels_bench --benchmark_filter=avx512/Q4_0
#include <benchmark/benchmark.h>

#include "compute/cpu/act_tiles.h"
#include "compute/cpu/kernels/dispatch.h"
#include "compute/cpu/random_tensor_test.h"

namespace xh::cpu {
namespace {

void run_product(benchmark::State& state, const KernelTable& table, DType type, int64_t rows,
                 int64_t in, int64_t columns) {
  ThreadPool pool(1);
  const RandomTensor source = random_tensor(type, rows, in, 1);
  auto w = PackedMatrix::pack(source.view, "w", pool);
  if (!w) return state.SkipWithError("cannot pack");
  const auto x = random_floats(columns * in, 2);
  std::vector<std::byte> memory(ActTiles::bytes(columns, in, (*w)->takes_blocks()));
  ActTiles tiles =
      ActTiles::make(memory.data(), columns, in, (*w)->takes_blocks(), table.tile_columns);
  for (int64_t r = 0; r < columns; ++r) tiles.put(table, r, 0, x.data() + r * in, in);
  std::vector<float> y(static_cast<size_t>(columns * rows));
  for (auto _ : state) {
    multiply(table, **w, {0, (*w)->n_panels()}, tiles,
             {{y.data(), columns, rows, rows}, nullptr, false});
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(
      2e-9 * runs * static_cast<double>(rows * in * columns), benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(1e-9 * runs * static_cast<double>((*w)->bytes()),
                                              benchmark::Counter::kIsRate);
}

void add(const KernelTable* table, DType type, const char* where, int64_t rows, int64_t in,
         int64_t columns) {
  const std::string name = std::string(table->name) + "/" + std::string(dtype_name(type)) + "/" +
                           where + "/" + std::to_string(columns);
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run_product(state, *table, type, rows, in, columns);
  });
}

}  // namespace
}  // namespace xh::cpu

int main(int argc, char** argv) {
  using namespace xh::cpu;
  for (const KernelTable* table : runnable_tables()) {
    for (xh::DType type : kWeightTypes) {
      for (int64_t columns : {1, 2, 4, 8, 64}) add(table, type, "cache", 256, 1024, columns);
      add(table, type, "memory", 16384, 4096, 1);
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
